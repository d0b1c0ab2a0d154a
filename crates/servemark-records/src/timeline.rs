//! What happened when, and where the time of each request went: small enough to be drawn, whatever the number of records.
//!
//! Latencies are counted in bins that are equal parts of a decade: value `v` is in bin `floor(log10(v) * parts)`.

use std::collections::HashMap;
use std::io;

use crate::table::{Row, Table, each_row};
use crate::tally::{Span, latencies};

/// Parts of a decade where latencies are counted by time: a bin is 2.3% wide.
pub const PARTS_BY_TIME: u32 = 100;
/// And where they are counted over all of the measured time: 0.23%.
pub const PARTS: u32 = 1000;

/// What is asked of records.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of each step of the plan, the place of its name among the names: steps of one name are one.
    pub places: Vec<usize>,
    /// The time that is looked at; what lies beyond it counts in its first or last bin.
    pub whole: Span,
    /// Into so many parts of equal time it is cut.
    pub bins: usize,
    /// Successes that were scheduled in it make the distribution.
    pub window: Span,
}

impl Question {
    /// The length of a bin; the last one may reach beyond the end.
    #[must_use]
    pub fn width_ns(&self) -> i64 {
        let length = (self.whole.end_ns - self.whole.start_ns).max(1);
        let bins = self.bins.max(1) as i64;
        (length + bins - 1) / bins
    }

    fn bin(&self, time_ns: i64) -> usize {
        let bin = (time_ns - self.whole.start_ns).max(0) / self.width_ns();
        (bin as usize).min(self.bins.max(1) - 1)
    }
}

/// Requests of one bin of latency, and what their time was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// How many.
    pub count: u64,
    /// Their time, summed: waiting for a connection, sent late, from the first byte sent to the first one of the
    /// answer, and from that to the last.
    pub spent_ns: [i64; 4],
}

/// What happened to the requests of one step name; a vector has an entry a bin of time.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Requests, by when they were scheduled.
    pub scheduled: Vec<u64>,
    /// Successes, by when they ended.
    pub succeeded: Vec<u64>,
    /// Failures by kind and status, by when they ended.
    pub failed: HashMap<(u8, u16), Vec<u64>>,
    /// Successes by bin of the time at which they were scheduled, and bin of their headline's latency.
    pub latencies: HashMap<(u32, u32), u32>,
    /// Measured successes, by bin of their headline's latency.
    pub distribution: HashMap<u32, Slice>,
}

/// What happened over time.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// A step name each.
    pub steps: Vec<Step>,
    /// By bin of time, for how long requests were under way, summed over them.
    pub under_way_ns: Vec<i64>,
}

struct Part {
    steps: Vec<Step>,
    under_way_ns: Vec<i64>,
    /// How many more requests are under way for the whole of this bin than for the whole of the one before.
    more: Vec<i64>,
    unknown: Option<u16>,
}

impl Timeline {
    /// Look at all records of `tables`. A step that the question does not know is invalid data.
    pub fn new(tables: &[Table], question: &Question) -> io::Result<Self> {
        let parts = each_row(
            tables,
            || Part::new(question),
            |part, _, row| part.look(question, row),
        )?;
        let mut whole = Part::new(question);
        for part in parts {
            whole.merge(part);
        }
        if let Some(step) = whole.unknown {
            let fault = format!("there is no step {step}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        let mut through = 0;
        for (under_way, more) in whole.under_way_ns.iter_mut().zip(&whole.more) {
            through += more;
            *under_way += through * question.width_ns();
        }
        Ok(Self {
            steps: whole.steps,
            under_way_ns: whole.under_way_ns,
        })
    }
}

impl Part {
    fn new(question: &Question) -> Self {
        let bins = question.bins.max(1);
        let names = question.places.iter().max().map_or(0, |last| last + 1);
        let step = Step {
            scheduled: vec![0; bins],
            succeeded: vec![0; bins],
            ..Step::default()
        };
        Self {
            steps: vec![step; names],
            under_way_ns: vec![0; bins],
            more: vec![0; bins],
            unknown: None,
        }
    }

    fn look(&mut self, question: &Question, row: &Row) {
        let Some(place) = question.places.get(usize::from(row.step)) else {
            self.unknown = Some(row.step);
            return;
        };
        if row.sent_ns >= 0 {
            self.look_at_time_under_way(question, row);
        }
        let step = &mut self.steps[*place];
        let (due, ended) = (question.bin(row.scheduled_ns), question.bin(row.end_ns));
        step.scheduled[due] += 1;
        if row.kind != 0 {
            let bins = question.bins.max(1);
            let failed = step.failed.entry((row.kind, row.status));
            failed.or_insert_with(|| vec![0; bins])[ended] += 1;
            return;
        }
        step.succeeded[ended] += 1;
        let [response, service, queue, lag] = latencies(row);
        let latency = if row.is_closed { service } else { response };
        let place = (due as u32, bin_of(latency, PARTS_BY_TIME));
        *step.latencies.entry(place).or_default() += 1;
        if question.window.contains(row.scheduled_ns) {
            let first_byte_ns = if row.first_byte_ns < 0 {
                row.end_ns
            } else {
                row.first_byte_ns
            };
            let spent = [
                queue,
                lag,
                first_byte_ns - row.sent_ns,
                row.end_ns - first_byte_ns,
            ];
            let slice = step.distribution.entry(bin_of(latency, PARTS)).or_default();
            slice.add(Slice {
                count: 1,
                spent_ns: spent,
            });
        }
    }

    fn look_at_time_under_way(&mut self, question: &Question, row: &Row) {
        let (first, last) = (question.bin(row.sent_ns), question.bin(row.end_ns));
        let start_of = |bin: usize| question.whole.start_ns + bin as i64 * question.width_ns();
        if first == last {
            self.under_way_ns[first] += row.end_ns - row.sent_ns;
            return;
        }
        self.under_way_ns[first] += start_of(first + 1) - row.sent_ns;
        self.under_way_ns[last] += row.end_ns - start_of(last);
        self.more[first + 1] += 1;
        self.more[last] -= 1;
    }

    fn merge(&mut self, other: Self) {
        for (own, others) in self.steps.iter_mut().zip(other.steps) {
            add(&mut own.scheduled, &others.scheduled);
            add(&mut own.succeeded, &others.succeeded);
            for (kind, bins) in others.failed {
                let own = own.failed.entry(kind).or_insert_with(|| vec![0; bins.len()]);
                add(own, &bins);
            }
            for (place, count) in others.latencies {
                *own.latencies.entry(place).or_default() += count;
            }
            for (bin, slice) in others.distribution {
                own.distribution.entry(bin).or_default().add(slice);
            }
        }
        for (own, others) in [
            (&mut self.under_way_ns, other.under_way_ns),
            (&mut self.more, other.more),
        ] {
            own.iter_mut()
                .zip(others)
                .for_each(|(own, others)| *own += others);
        }
        self.unknown = self.unknown.or(other.unknown);
    }
}

impl Slice {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        for (own, others) in self.spent_ns.iter_mut().zip(other.spent_ns) {
            *own += others;
        }
    }
}

fn add(own: &mut [u64], others: &[u64]) {
    for (own, others) in own.iter_mut().zip(others) {
        *own += others;
    }
}

fn bin_of(value_ns: i64, parts: u32) -> u32 {
    ((value_ns.max(1) as f64).log10() * f64::from(parts)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{Times, table};

    fn question(bins: usize, window: Span) -> Question {
        Question {
            places: vec![0, 1],
            whole: Span {
                start_ns: 0,
                end_ns: 1000,
            },
            bins,
            window,
        }
    }

    const ALL: Span = Span {
        start_ns: 0,
        end_ns: 1000,
    };

    fn times(scheduled: i64, sent: i64, end: i64, step: u16) -> Times {
        Times {
            scheduled,
            sent,
            end,
            user: 0,
            step,
        }
    }

    #[test]
    fn each_request_counts_where_it_was_due_and_where_it_ended() {
        let (_file, table) = table(&[
            times(0, 0, 150, 0),
            times(50, 60, 350, 0),
            times(990, 990, 1400, 1),
        ]);
        let found = Timeline::new(&[table], &question(10, ALL)).unwrap();
        assert_eq!(found.steps[0].scheduled, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(found.steps[0].succeeded, [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(found.steps[1].succeeded, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(found.steps.iter().all(|step| step.failed.is_empty()));
    }

    #[test]
    fn time_under_way_is_shared_among_the_bins_that_it_lies_in() {
        let (_file, table) = table(&[times(0, 50, 350, 0), times(0, 120, 130, 0), times(0, -1, 90, 0)]);
        let found = Timeline::new(&[table], &question(10, ALL)).unwrap();
        assert_eq!(found.under_way_ns, [50, 110, 100, 50, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn latencies_are_counted_by_parts_of_a_decade() {
        let (_file, table) = table(&[
            times(0, 10, 110, 0),
            times(950, 950, 1050, 0),
            times(20, 20, 29, 0),
        ]);
        let found = Timeline::new(&[table], &question(2, ALL)).unwrap();
        let step = &found.steps[0];
        assert_eq!(step.latencies[&(0, 2 * PARTS_BY_TIME)], 1);
        assert_eq!(step.latencies[&(1, 2 * PARTS_BY_TIME)], 1);
        let slice = step.distribution[&(2 * PARTS)];
        assert_eq!((slice.count, slice.spent_ns), (2, [0, 10, 200, 0]));
        assert_eq!(
            step.distribution.values().map(|slice| slice.count).sum::<u64>(),
            3
        );
    }

    #[test]
    fn only_what_was_scheduled_in_the_window_is_in_the_distribution() {
        let window = Span {
            start_ns: 500,
            end_ns: 1000,
        };
        let (_file, table) = table(&[times(0, 0, 600, 0), times(600, 600, 700, 0)]);
        let found = Timeline::new(&[table], &question(2, window)).unwrap();
        assert_eq!(
            found.steps[0]
                .distribution
                .values()
                .map(|slice| slice.count)
                .sum::<u64>(),
            1
        );
        assert_eq!(found.steps[0].latencies.values().sum::<u32>(), 2);
    }

    #[test]
    fn many_blocks_add_up_to_the_same() {
        let all: Vec<Times> = (0..30_000)
            .map(|at| times(at % 1000, at % 1000, at % 1000 + 300, 0))
            .collect();
        let (_file, table) = table(&all);
        let found = Timeline::new(&[table], &question(7, ALL)).unwrap();
        assert_eq!(found.steps[0].scheduled.iter().sum::<u64>(), 30_000);
        assert_eq!(found.under_way_ns.iter().sum::<i64>(), 30_000 * 300);
    }

    #[test]
    fn a_step_that_nobody_knows_is_said() {
        let (_file, table) = table(&[times(0, 0, 1, 9)]);
        let error = Timeline::new(&[table], &question(1, ALL)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
