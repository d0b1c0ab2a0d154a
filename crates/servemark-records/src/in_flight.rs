//! How many requests were under way, at every moment: a sweep over records from the last end to the first.
//!
//! Records stand in a file nearly in the order in which they ended, but one that took long was sent long before its
//! neighbours. Backwards in time a record is met at its end, and from then on is known until it was sent: what has to be
//! remembered are the requests under way, and the few records whose ends are not in order yet.

use std::collections::BinaryHeap;
use std::io;

use crate::table::{Reader, Row, Table};

/// What is asked of the time from `start_ns` to `stop_ns`.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Where it begins.
    pub start_ns: i64,
    /// Where it ends.
    pub stop_ns: i64,
    /// Requests under way beyond these are not counted in [`InFlight::taken_ns`].
    pub places: u64,
}

/// Requests under way, each from its first byte written to the last byte of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// The fewest just after any response of that time; the number is lowest there. None without one.
    pub least: Option<u64>,
    /// For how long places were taken, together.
    pub taken_ns: i128,
}

/// The requests that were under way in that time, by the records of `tables`.
///
/// `latest_ends` has of each table and block the latest end among its rows that were sent.
pub fn in_flight(tables: &[Table], latest_ends: &[Vec<i64>], asked: Asked) -> io::Result<InFlight> {
    let mut unread = tables
        .iter()
        .zip(latest_ends)
        .map(|(table, ends)| Unread::new(table, ends))
        .collect::<io::Result<Vec<_>>>()?;
    let mut ended: BinaryHeap<(i64, i64)> = BinaryHeap::new();
    let mut sweep = Sweep::new(asked);
    loop {
        // Whatever ended later than all that is still to be read has its turn.
        let next = unread.iter_mut().max_by_key(|unread| unread.latest_end());
        let bound = next.as_ref().map_or(i64::MIN, |next| next.latest_end());
        while let Some((end_ns, sent_ns)) = ended.peek().copied().filter(|(end_ns, _)| *end_ns > bound) {
            ended.pop();
            sweep.meet(end_ns, sent_ns);
        }
        match next {
            Some(next) if next.left > 0 => {
                let rows = next.read()?;
                let sent = rows.filter(|row| row.sent_ns >= 0);
                ended.extend(sent.map(|row| (row.end_ns, row.sent_ns)));
            }
            _ if ended.is_empty() => return Ok(sweep.finish()),
            _ => {}
        }
    }
}

/// The blocks of a table that have not been read yet, which are the first `left`.
struct Unread<'table> {
    reader: Reader<'table>,
    left: usize,
    /// Of each block the latest end in it and in all before.
    latest_ends: Vec<i64>,
}

impl<'table> Unread<'table> {
    fn new(table: &'table Table, ends: &[i64]) -> io::Result<Self> {
        let mut latest = i64::MIN;
        let running = ends.iter().map(|end_ns| {
            latest = latest.max(*end_ns);
            latest
        });
        Ok(Self {
            reader: Reader::open(table)?,
            left: ends.len(),
            latest_ends: running.collect(),
        })
    }

    fn latest_end(&self) -> i64 {
        self.left
            .checked_sub(1)
            .map_or(i64::MIN, |last| self.latest_ends[last])
    }

    fn read(&mut self) -> io::Result<impl Iterator<Item = Row> + '_> {
        self.left -= 1;
        self.reader.block(self.left as u64)
    }
}

/// Time that passes backwards.
struct Sweep {
    asked: Asked,
    /// When the requests under way were sent.
    sent: BinaryHeap<i64>,
    /// Until here the sweep has come.
    now_ns: i64,
    found: InFlight,
}

impl Sweep {
    fn new(asked: Asked) -> Self {
        Self {
            asked,
            sent: BinaryHeap::new(),
            now_ns: i64::MAX,
            found: InFlight::default(),
        }
    }

    /// A request that ended at `end_ns`, which is not later than those before.
    fn meet(&mut self, end_ns: i64, sent_ns: i64) {
        while let Some(sent_ns) = self.sent.peek().copied().filter(|sent_ns| *sent_ns > end_ns) {
            self.pass(sent_ns);
            self.sent.pop();
        }
        if end_ns < self.now_ns {
            // The first to be met of those that ended at this moment: just after it none of them is under way.
            self.pass(end_ns);
            if (self.asked.start_ns..self.asked.stop_ns).contains(&end_ns) {
                let under_way = self.sent.len() as u64;
                self.found.least = Some(self.found.least.map_or(under_way, |least| least.min(under_way)));
            }
        }
        self.sent.push(sent_ns);
    }

    /// Go back to `time_ns`.
    fn pass(&mut self, time_ns: i64) {
        let inside =
            |time_ns: i64| time_ns.clamp(self.asked.start_ns, self.asked.stop_ns.max(self.asked.start_ns));
        let passed_ns = inside(self.now_ns) - inside(time_ns);
        self.found.taken_ns +=
            i128::from(passed_ns) * (self.sent.len() as i128).min(i128::from(self.asked.places));
        self.now_ns = self.now_ns.min(time_ns);
    }

    fn finish(mut self) -> InFlight {
        while let Some(sent_ns) = self.sent.peek().copied() {
            self.pass(sent_ns);
            self.sent.pop();
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{Times, table};

    fn found(requests: &[(i64, i64)], start_ns: i64, stop_ns: i64, places: u64) -> InFlight {
        let times: Vec<Times> = requests
            .iter()
            .map(|(sent, end)| Times {
                sent: *sent,
                end: *end,
                ..Times::default()
            })
            .collect();
        let (_folder, table) = table(&times);
        let tables = [table];
        let ends = crate::tally::latest_ends(&tables).unwrap();
        in_flight(
            &tables,
            &ends,
            Asked {
                start_ns,
                stop_ns,
                places,
            },
        )
        .unwrap()
    }

    #[test]
    fn the_fewest_are_those_just_after_a_response() {
        let requests = [(0, 10), (2, 20), (12, 30), (25, 40)];
        assert_eq!(found(&requests, 0, 35, 9).least, Some(1));
        assert_eq!(found(&requests, 0, 41, 9).least, Some(0));
        assert_eq!(found(&requests, 41, 50, 9).least, None);
        assert_eq!(found(&[], 0, 10, 1), InFlight::default());
    }

    #[test]
    fn of_those_that_end_together_none_is_under_way_just_after() {
        assert_eq!(
            found(&[(0, 10), (1, 10), (2, 10), (3, 15)], 0, 11, 9).least,
            Some(1)
        );
        assert_eq!(
            found(&[(0, 10), (10, 20), (10, 10)], 0, 11, 9).least,
            Some(1),
            "sent at the moment of an end"
        );
    }

    #[test]
    fn what_was_never_sent_is_not_under_way() {
        assert_eq!(found(&[(-1, 3), (0, 10), (5, 12)], 0, 11, 9).least, Some(1));
    }

    #[test]
    fn places_are_taken_up_to_their_number() {
        let requests = [(0, 20), (10, 40), (30, 50), (30, 60)];
        // 1 until 10, 2 until 20, 1 until 30, 3 until 40, 2 until 50, 1 until 60.
        assert_eq!(found(&requests, 0, 60, 2).taken_ns, 10 + 20 + 10 + 20 + 20 + 10);
        assert_eq!(found(&requests, 0, 60, 3).taken_ns, 10 + 20 + 10 + 30 + 20 + 10);
        assert_eq!(found(&requests, 5, 15, 9).taken_ns, 5 + 10);
        assert_eq!(found(&requests, 15, 15, 9).taken_ns, 0);
    }

    #[test]
    fn records_in_any_order_and_over_many_blocks_say_what_counting_says() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        // Ends nearly in order, as an engine writes them, and here and there a request that took very long.
        let requests: Vec<(i64, i64)> = (0..30_000)
            .map(|number| {
                let end = number * 10 + random(500) as i64;
                let took = if random(1000) == 0 {
                    random(200_000)
                } else {
                    random(300)
                };
                ((end - took as i64).max(0), end)
            })
            .collect();
        let (start, stop) = (50_000, 250_000);
        let under_way = |time: i64| {
            requests
                .iter()
                .filter(|(sent, end)| *sent <= time && time < *end)
                .count() as u64
        };
        let mut looked_at: Vec<i64> = requests
            .iter()
            .map(|(_, end)| *end)
            .filter(|end| (start..stop).contains(end))
            .collect();
        looked_at.truncate(400);
        let (first, last) = (
            *looked_at.iter().min().unwrap(),
            *looked_at.iter().max().unwrap() + 1,
        );
        let ends = requests
            .iter()
            .map(|(_, end)| *end)
            .filter(|end| (first..last).contains(end));
        let fewest = ends.map(under_way).min();
        let found = found(&requests, first, last, 20);
        assert_eq!(found.least, fewest);
        let taken: u64 = (first..last).map(|time| under_way(time).min(20)).sum();
        assert_eq!(found.taken_ns, i128::from(taken));
    }
}
