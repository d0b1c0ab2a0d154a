//! What a driver notes of its own work, apart from the records: what the records are checked against.

use std::fs;

use crate::clock::NS_PER_MS;

/// Requests under way, summed over time.
///
/// A request is under way from just before its first byte is written to its end. This is the driver's own count of
/// them: a lost record, or one with a wrong time, is missing from what the records sum up to.
#[derive(Debug)]
pub(crate) struct UnderWay {
    count: u64,
    /// Up to when the sum goes; the window begins here.
    since_ns: i64,
    /// The end of the window, as far as the plan knows it.
    until_ns: i64,
    sum_ns: u64,
}

impl UnderWay {
    /// Nothing under way, to be summed from `since_ns` to `until_ns`.
    pub(crate) fn new(since_ns: i64, until_ns: i64) -> Self {
        Self {
            count: 0,
            since_ns,
            until_ns,
            sum_ns: 0,
        }
    }

    /// One more from `now_ns`; `stop_at_ns` may end the window earlier.
    pub(crate) fn begin(&mut self, now_ns: i64, stop_at_ns: i64) {
        self.pass(now_ns, stop_at_ns);
        self.count += 1;
    }

    /// One less from `now_ns`.
    pub(crate) fn end(&mut self, now_ns: i64, stop_at_ns: i64) {
        self.pass(now_ns, stop_at_ns);
        self.count -= 1;
    }

    fn pass(&mut self, now_ns: i64, stop_at_ns: i64) {
        let to_ns = now_ns.min(self.until_ns).min(stop_at_ns);
        if to_ns > self.since_ns {
            self.sum_ns += self.count * to_ns.abs_diff(self.since_ns);
            self.since_ns = to_ns;
        }
    }

    /// Request-nanoseconds within the window; everything must have ended.
    pub(crate) fn sum_ns(&self) -> u64 {
        self.sum_ns
    }
}

/// Times in which the thread did not come back to its loop although it had to: it was stopped, throttled or kept from
/// a CPU, or one turn's work took so long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// By thread, how long they were, together.
    pub(crate) totals_ns: Vec<i64>,
    /// The longest of them, by thread in the order of time: when each began, at the latest, and when it had ended.
    pub(crate) spans_ns: Vec<Vec<(i64, i64)>>,
}

/// What is shorter is no pause.
const SHORTEST_PAUSE_NS: i64 = 50 * NS_PER_MS;
/// So many are kept of a thread.
const MOST_SPANS: usize = 64;

impl Pauses {
    /// None yet, of one thread.
    pub(crate) fn of_a_thread() -> Self {
        Self {
            totals_ns: vec![0],
            spans_ns: vec![Vec::new()],
        }
    }

    /// A wait ended at `woken_ns`, the one before at `before_ns`; between them `asked_ns` of waiting was asked for, at most.
    pub(crate) fn note(&mut self, before_ns: i64, woken_ns: i64, asked_ns: i64) {
        let late_ns = (woken_ns - before_ns).saturating_sub(asked_ns.max(0));
        if late_ns < SHORTEST_PAUSE_NS {
            return;
        }
        self.totals_ns[0] += late_ns;
        let spans_ns = &mut self.spans_ns[0];
        spans_ns.push((woken_ns - late_ns, woken_ns));
        let shortest = (0..spans_ns.len()).min_by_key(|&place| spans_ns[place].1 - spans_ns[place].0);
        if let Some(place) = shortest.filter(|_| spans_ns.len() > MOST_SPANS) {
            spans_ns.remove(place);
        }
    }

    /// Take in those of other threads.
    pub(crate) fn merge(&mut self, other: Self) {
        self.totals_ns.extend(other.totals_ns);
        self.spans_ns.extend(other.spans_ns);
    }
}

/// What the scheduler says of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunQueue {
    /// Time for which it could have run and did not.
    pub(crate) delay_ns: i64,
    /// How often it began to run.
    pub(crate) waits: u64,
}

impl RunQueue {
    /// Of the calling thread, since it was started; zeros where the system does not tell.
    pub(crate) fn of_this_thread() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Self::parse(&text).unwrap_or_default()
    }

    /// Since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            delay_ns: self.delay_ns - before.delay_ns,
            waits: self.waits.saturating_sub(before.waits),
        }
    }

    /// CPU time, delay and count, in the format of Linux' Documentation/scheduler/sched-stats.rst.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace().skip(1);
        Some(Self {
            delay_ns: words.next()?.parse().ok()?,
            waits: words.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: i64 = i64::MAX;

    #[test]
    fn sums_what_is_under_way_within_its_window() {
        let mut under_way = UnderWay::new(100, 1000);
        under_way.begin(50, NEVER);
        under_way.begin(200, NEVER);
        under_way.end(300, NEVER);
        under_way.end(400, NEVER);
        assert_eq!(under_way.sum_ns(), 300 + 100);
        under_way.begin(900, NEVER);
        under_way.begin(1100, NEVER);
        under_way.end(1200, NEVER);
        under_way.end(1300, NEVER);
        assert_eq!(under_way.sum_ns(), 300 + 100 + 100);
    }

    #[test]
    fn a_thread_that_comes_back_late_has_paused() {
        let mut pauses = Pauses::of_a_thread();
        pauses.note(0, 49 * NS_PER_MS, 0);
        pauses.note(0, 250 * NS_PER_MS, 205 * NS_PER_MS);
        pauses.note(0, NS_PER_MS, i64::MAX);
        assert_eq!(pauses, Pauses::of_a_thread());
        pauses.note(100 * NS_PER_MS, 1850 * NS_PER_MS, 250 * NS_PER_MS);
        pauses.note(2000 * NS_PER_MS, 2060 * NS_PER_MS, 0);
        let expected = Pauses {
            totals_ns: vec![1560 * NS_PER_MS],
            spans_ns: vec![vec![
                (350 * NS_PER_MS, 1850 * NS_PER_MS),
                (2000 * NS_PER_MS, 2060 * NS_PER_MS),
            ]],
        };
        assert_eq!(pauses, expected);
        let mut total = Pauses::default();
        total.merge(pauses);
        assert_eq!(total, expected);
        total.merge(Pauses::of_a_thread());
        assert_eq!(total.totals_ns, [1560 * NS_PER_MS, 0]);
        assert_eq!(total.spans_ns[1], []);
    }

    #[test]
    fn the_longest_pauses_of_a_thread_are_kept() {
        let mut pauses = Pauses::of_a_thread();
        for number in 0..100 {
            let woken_ns = (number + 1) * 1000 * NS_PER_MS;
            let lasted_ms = if number % 2 == 0 { 60 } else { 100 + number };
            pauses.note(woken_ns - lasted_ms * NS_PER_MS, woken_ns, 0);
        }
        let spans_ns = &pauses.spans_ns[0];
        assert_eq!(spans_ns.len(), MOST_SPANS);
        assert!(spans_ns.is_sorted());
        let long = spans_ns.iter().filter(|span| span.1 - span.0 > 60 * NS_PER_MS);
        assert_eq!(long.count(), 50);
    }

    #[test]
    fn a_stop_ends_the_window() {
        let mut under_way = UnderWay::new(0, NEVER);
        under_way.begin(10, NEVER);
        under_way.end(100, 60);
        assert_eq!(under_way.sum_ns(), 50);
    }

    #[test]
    fn reads_what_the_scheduler_says() {
        let expected = RunQueue {
            delay_ns: 548_979_579,
            waits: 57,
        };
        assert_eq!(RunQueue::parse("111358655 548979579 57\n"), Some(expected));
        assert_eq!(RunQueue::parse(""), None);
        let waited = RunQueue {
            delay_ns: 548_979_000,
            waits: 50,
        };
        assert_eq!(
            expected.since(waited),
            RunQueue {
                delay_ns: 579,
                waits: 7
            }
        );
    }
}
