//! What the records of a run add up to, a step name at a time: one pass, and further ones for order statistics.

mod part;
mod question;
mod span;
mod step;

use std::io;

use crate::sample::{Counts, Sample, Search, Seen};
use crate::table::{Block, Table, each_row};

use part::Part;
#[cfg(test)]
use part::note_end;
pub(crate) use question::latencies;
pub use question::{LATENCIES, Limit, Of, Question, SAMPLES};
pub use span::Span;
pub use step::{Answers, Step};

/// What one stage of a profile of rates adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Requests that were scheduled in it.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those with which an arrival began.
    pub begun: u64,
    /// Successes that ended in it, and an arrival with them.
    pub ended: u64,
}

/// Arrivals of an open loop that were scheduled in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// How many.
    pub count: u64,
    /// When the first was due; meaningless of none, as is `last_ns`.
    pub first_ns: i64,
    /// When the last was due.
    pub last_ns: i64,
}

/// Requests under way for the generator: from the first byte written until it had read the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Those that were sent at all.
    pub sent: u64,
    /// How long they were under way, summed over the part that lies in the accounted time.
    pub in_flight_ns: i128,
    /// How many of them ended in it.
    pub completions: u64,
}

/// Values of a sample by batch: all of them, then those above each threshold.
pub type Above = Vec<Vec<u64>>;

/// Values that fall into one bin: the number of their sample, the middle of the bin, and how many they are.
pub type Binned = (usize, i64, u64);
/// The same of one batch, whose number stands behind that of the sample.
pub type BinnedInBatch = (usize, usize, i64, u64);

/// What the records of a run add up to.
#[derive(Debug)]
pub struct Tally {
    tables: Vec<Table>,
    question: Question,
    /// A step name each.
    pub steps: Vec<Step>,
    /// Those of the step names, [`SAMPLES`] of each in the order of [`Of`], then the responses and the queueing of each stage.
    pub samples: Vec<Sample>,
    /// A stage each.
    pub stages: Vec<Stage>,
    /// Of an open loop.
    pub begun: Begun,
    /// The generator's own count is held against it.
    pub under_way: UnderWay,
    /// Of a closed loop: from the last first request of a user to the first last one; empty where nobody was asked for.
    pub busy: Span,
    /// Of each table and block the latest end among its rows that were sent.
    pub latest_ends: Vec<Vec<i64>>,
}

/// The first time at which anything was scheduled, and the last end; empty without records.
pub fn span(tables: &[Table]) -> io::Result<Span> {
    let parts = each_row(
        tables,
        || Span::NONE,
        |span, _, row| {
            span.join(Span {
                start_ns: row.scheduled_ns,
                end_ns: row.end_ns,
            });
        },
    )?;
    let mut whole = Span::NONE;
    for part in parts {
        whole.join(part);
    }
    Ok(if whole == Span::NONE {
        Span::default()
    } else {
        whole
    })
}

/// Of each table and block the latest end among its rows that were sent.
#[cfg(test)]
pub(crate) fn latest_ends(tables: &[Table]) -> io::Result<Vec<Vec<i64>>> {
    let parts = each_row(tables, Vec::new, |ends: &mut Vec<(Block, i64)>, block, row| {
        note_end(ends, block, row);
    })?;
    Ok(by_table(tables, parts))
}

impl Tally {
    /// Add up all records of `tables`.
    ///
    /// A step that the question does not know, or a user beyond all numbers, is invalid data.
    pub fn new(tables: Vec<Table>, question: Question) -> io::Result<Self> {
        let parts = each_row(
            &tables,
            || Part::new(&question),
            |part, block, row| part.look(&question, block, row),
        )?;
        let mut whole = Part::new(&question);
        let mut ends = Vec::new();
        for mut part in parts {
            ends.push(std::mem::take(&mut part.ends));
            whole.merge(part);
        }
        if let Some(fault) = whole.fault {
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        Ok(Self {
            latest_ends: by_table(&tables, ends),
            tables,
            question,
            steps: whole.steps,
            samples: whole.samples,
            stages: whole.stages,
            begun: whole.begun,
            under_way: whole.under_way,
            busy: busy(&whole.users),
        })
    }

    /// The records that it is of.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The values of samples that have the given ranks, from 0; each entry is the number of a sample and its ranks.
    ///
    /// Ranks beyond a sample have no value. Passes over the records are made until all are found.
    pub fn order_statistics(&self, wanted: &[(usize, Vec<u64>)]) -> io::Result<Vec<Vec<Option<i64>>>> {
        let mut searches: Vec<Option<Search>> = self.samples.iter().map(|_| None).collect();
        for (sample, ranks) in wanted {
            searches[*sample] = Some(Search::new(&self.samples[*sample], ranks));
        }
        while searches.iter().flatten().any(|search| !search.is_done()) {
            let open: Vec<Option<&Search>> = searches
                .iter()
                .map(|search| search.as_ref().filter(|search| !search.is_done()))
                .collect();
            let start = || {
                open.iter()
                    .map(|search| search.map(Search::seen))
                    .collect::<Vec<Option<Seen>>>()
            };
            let parts = each_row(&self.tables, start, |seen, _, row| {
                self.question.each_value(row, &mut |sample, value| {
                    if let (Some(search), Some(seen)) = (open[sample], &mut seen[sample]) {
                        search.look(seen, value);
                    }
                });
            })?;
            let mut of_samples: Vec<Vec<Seen>> = self.samples.iter().map(|_| Vec::new()).collect();
            for part in parts {
                for (of_sample, seen) in of_samples.iter_mut().zip(part) {
                    of_sample.extend(seen);
                }
            }
            for (search, seen) in searches.iter_mut().zip(of_samples) {
                if let Some(search) = search.as_mut().filter(|_| !seen.is_empty()) {
                    search.take(seen);
                }
            }
        }
        let found = wanted.iter().map(|(sample, ranks)| {
            let search = searches[*sample].as_ref();
            ranks
                .iter()
                .map(|rank| search.and_then(|search| search.value(*rank)))
                .collect()
        });
        Ok(found.collect())
    }
}

impl Tally {
    /// Of samples, by number, how many values each batch has, and how many of them lie above each of some thresholds.
    ///
    /// The thresholds of a sample rise, or stay. A value is of the batch in which its request was scheduled.
    pub fn above(&self, wanted: &[(usize, Vec<i64>)]) -> io::Result<Vec<Above>> {
        let mut places: Vec<Option<usize>> = vec![None; self.samples.len()];
        for (place, (sample, _)) in wanted.iter().enumerate() {
            places[*sample] = Some(place);
        }
        let (window, batches) = (self.question.window, self.question.batches);
        let start = || -> Vec<Above> {
            wanted
                .iter()
                .map(|(_, thresholds)| vec![vec![0; batches]; thresholds.len() + 1])
                .collect()
        };
        let parts = each_row(&self.tables, start, |parts, _, row| {
            let batch = window.part(row.scheduled_ns, batches);
            self.question.each_value(row, &mut |sample, value| {
                if let Some(place) = places[sample] {
                    let below = wanted[place].1.partition_point(|threshold| *threshold < value);
                    parts[place][below][batch] += 1;
                }
            });
        })?;
        let mut whole = start();
        for part in parts {
            for (own, others) in whole.iter_mut().flatten().zip(part.into_iter().flatten()) {
                add(own, &others);
            }
        }
        for counts in &mut whole {
            // What is above a threshold is above those before it.
            for threshold in (1..counts.len()).rev() {
                let (before, after) = counts.split_at_mut(threshold);
                add(&mut before[threshold - 1], &after[0]);
            }
        }
        Ok(whole)
    }
}

/// What is left of records that are not kept.
impl Tally {
    /// How many values of each sample fall into which bin, by sample and value.
    #[must_use]
    pub fn binned(&self) -> Vec<Binned> {
        let bins = self.samples.iter().enumerate().flat_map(|(sample, of)| {
            let middles = of.middles().into_iter();
            middles.map(move |(middle, count)| (sample, middle, count))
        });
        bins.collect()
    }

    /// How many values of some samples fall into which bin in each batch, by batch, sample and value.
    ///
    /// A value is of the batch in which its request was scheduled.
    pub fn binned_by_batch(&self, wanted: &[usize]) -> io::Result<Vec<BinnedInBatch>> {
        let (window, batches) = (self.question.window, self.question.batches);
        let mut places: Vec<Option<usize>> = vec![None; self.samples.len()];
        for (place, sample) in wanted.iter().enumerate() {
            places[*sample] = Some(place);
        }
        let start = || vec![None; batches * wanted.len()];
        let parts = each_row(&self.tables, start, |counts: &mut Vec<Option<Counts>>, _, row| {
            let first = window.part(row.scheduled_ns, batches) * wanted.len();
            self.question.each_value(row, &mut |sample, value| {
                if let Some(place) = places[sample] {
                    counts[first + place].get_or_insert_default().add(value);
                }
            });
        })?;
        let mut whole = start();
        for part in parts {
            for (own, others) in whole.iter_mut().zip(part) {
                if let Some(others) = others {
                    own.get_or_insert_default().merge(others);
                }
            }
        }
        let mut found = Vec::new();
        for (number, counts) in whole.iter().enumerate() {
            let (batch, sample) = (number / wanted.len(), wanted[number % wanted.len()]);
            let middles = counts.iter().flat_map(Counts::middles);
            found.extend(middles.map(|(middle, count)| (sample, batch, middle, count)));
        }
        Ok(found)
    }
}

fn add(own: &mut [u64], others: &[u64]) {
    for (own, others) in own.iter_mut().zip(others) {
        *own += others;
    }
}

fn by_table(tables: &[Table], parts: Vec<Vec<(Block, i64)>>) -> Vec<Vec<i64>> {
    let mut ends: Vec<Vec<i64>> = tables.iter().map(|_| Vec::new()).collect();
    for (block, latest_ns) in parts.into_iter().flatten() {
        ends[block.table].push(latest_ns);
    }
    ends
}

/// From the last first time to the first last one.
fn busy(users: &[Option<Span>]) -> Span {
    let active = users.iter().flatten();
    let whole = active.copied().reduce(|one, other| Span {
        start_ns: one.start_ns.max(other.start_ns),
        end_ns: one.end_ns.min(other.end_ns),
    });
    whole.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{Times, table};

    fn question() -> Question {
        Question {
            places: vec![0, 1, 0],
            window: Span {
                start_ns: 100,
                end_ns: 1000,
            },
            batches: 9,
            pause: Span::default(),
            accounted: Span {
                start_ns: 0,
                end_ns: 500,
            },
            stages: vec![
                Span {
                    start_ns: 0,
                    end_ns: 300,
                },
                Span {
                    start_ns: 300,
                    end_ns: 400,
                },
            ],
            begins: vec![true, false, true],
            ends: vec![true, true, false],
            users: true,
            limits: Vec::new(),
        }
    }

    fn tally(times: &[Times]) -> (crate::table::tests::TestFile, io::Result<Tally>) {
        let (file, table) = table(times);
        (file, Tally::new(vec![table], question()))
    }

    #[test]
    fn steps_of_one_name_are_one() {
        let times: Vec<Times> = (0..12)
            .map(|number| Times {
                scheduled: number * 100,
                sent: number * 100 + 10,
                end: number * 100 + 30,
                user: 0,
                step: number as u16 % 3,
            })
            .collect();
        let (_file, found) = tally(&times);
        let found = found.unwrap();
        let [first, second] = &found.steps[..] else {
            panic!("two names")
        };
        assert_eq!((first.requests, second.requests), (8, 4));
        assert_eq!(
            (
                first.succeeded,
                first.closed,
                first.bytes_sent,
                first.bytes_received
            ),
            (8, 8, 80, 160)
        );
        assert_eq!(
            found.samples[Of::Service as usize].count,
            6,
            "0, 1000 and 1100 are not measured, and 1 4 7 are others'"
        );
        assert_eq!(found.samples[Of::Service as usize].sum, 6 * 20);
        assert_eq!(found.samples[SAMPLES + Of::Response as usize].sum, 3 * 30);
        assert_eq!(first.batch_measured, [0, 1, 1, 0, 1, 1, 0, 1, 1]);
        assert_eq!(
            first.batch_sums[Of::GeneratorLag as usize],
            [0, 10, 10, 0, 10, 10, 0, 10, 10]
        );
        assert_eq!(first.receive_lag_ns, 6 * 5);
    }

    #[test]
    fn stages_arrivals_and_time_under_way_are_counted() {
        let at = |scheduled: i64, step: u16, user: u32| Times {
            scheduled,
            sent: scheduled + 1,
            end: scheduled + 150,
            user,
            step,
        };
        let (_file, found) = tally(&[
            at(0, 0, 0),
            at(100, 1, 1),
            at(310, 2, 0),
            at(390, 0, 1),
            at(900, 0, 2),
        ]);
        let found = found.unwrap();
        assert_eq!(
            found.stages[0],
            Stage {
                requests: 2,
                failed: 0,
                begun: 1,
                ended: 2
            }
        );
        assert_eq!(
            found.stages[1],
            Stage {
                requests: 2,
                failed: 0,
                begun: 2,
                ended: 0
            }
        );
        assert_eq!(
            found.begun,
            Begun {
                count: 3,
                first_ns: 310,
                last_ns: 900
            }
        );
        let in_flight_ns = 154 + 154 + 154 + (500 - 391);
        assert_eq!(
            found.under_way,
            UnderWay {
                sent: 5,
                in_flight_ns,
                completions: 3
            }
        );
        assert_eq!(
            found.busy,
            Span {
                start_ns: 900,
                end_ns: 310
            },
            "the third user began when the first had ended"
        );
        let stage_samples = &found.samples[2 * SAMPLES..];
        assert_eq!(
            (
                stage_samples[0].count,
                stage_samples[2].count,
                stage_samples[3].sum
            ),
            (2, 2, 2)
        );
    }

    #[test]
    fn what_is_no_step_or_user_is_invalid() {
        for wrong in [
            Times {
                step: 3,
                ..Times::default()
            },
            Times {
                user: 1 << 30,
                ..Times::default()
            },
        ] {
            let (_file, found) = tally(&[Times::default(), wrong]);
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn order_statistics_of_many_records_take_another_pass() {
        let times: Vec<Times> = (0..100_000_i64)
            .map(|number| Times {
                scheduled: 100,
                sent: 100,
                end: 100 + (number * 7_919 % 100_000) * 1000,
                ..Times::default()
            })
            .collect();
        let (_file, table) = table(&times);
        let found = Tally::new(vec![table], question()).unwrap();
        let wanted = [
            (Of::Service as usize, vec![0, 49_999, 99_999, 100_000]),
            (Of::Failed as usize, vec![0]),
        ];
        let values = found.order_statistics(&wanted).unwrap();
        assert_eq!(
            values,
            [
                vec![Some(0), Some(49_999_000), Some(99_999_000), None],
                vec![None]
            ]
        );
    }

    #[test]
    fn values_above_thresholds_are_counted_by_batch() {
        let times: Vec<Times> = (0..90_000_i64)
            .map(|number| Times {
                scheduled: 100 + number / 100,
                sent: 100,
                end: 100 + number / 100 + number % 4,
                ..Times::default()
            })
            .collect();
        let (_file, table) = table(&times);
        let found = Tally::new(vec![table], question()).unwrap();
        let response = Of::Response as usize;
        let wanted = [(Of::Failed as usize, vec![]), (response, vec![-1, 0, 2, 2, 3])];
        let above = found.above(&wanted).unwrap();
        let each = |count| vec![count; 9];
        assert_eq!(above[0], [each(0)], "none failed");
        assert_eq!(
            above[1],
            [
                each(10_000),
                each(10_000),
                each(7_500),
                each(2_500),
                each(2_500),
                each(0)
            ]
        );
    }

    #[test]
    fn values_are_counted_by_bin_in_all_and_by_batch() {
        let times: Vec<Times> = (0..9_000_i64)
            .map(|number| Times {
                scheduled: 100 + number / 10,
                sent: 100,
                end: 100 + number / 10 + [7, 100_000_000, 100_000_003][(number % 3) as usize],
                ..Times::default()
            })
            .collect();
        let (_file, table) = table(&times);
        let found = Tally::new(vec![table], question()).unwrap();
        let (response, failed) = (Of::Response as usize, Of::Failed as usize);
        let binned = found.binned();
        let of_all: Vec<_> = binned.iter().filter(|bin| bin.0 == response).collect();
        let [(_, 7, 3_000), (_, middle, 6_000)] = of_all[..] else {
            panic!("{of_all:?}")
        };
        assert!((middle - 100_000_000).abs() * 1000 < 100_000_000);
        let by_batch = found.binned_by_batch(&[failed, response]).unwrap();
        assert_eq!(by_batch.len(), 2 * 9, "two bins of each batch, and none failed");
        for (place, (sample, batch, value, count)) in by_batch.iter().enumerate() {
            assert_eq!((*sample, *batch), (response, place / 2));
            assert_eq!(*value, if place % 2 == 0 { 7 } else { *middle });
            assert!([333, 334, 666, 667].contains(count));
        }
    }

    #[test]
    fn the_span_is_from_the_first_schedule_to_the_last_end() {
        let (_file, table) = table(&[
            Times {
                scheduled: 50,
                end: 90,
                ..Times::default()
            },
            Times {
                scheduled: 20,
                end: 60,
                ..Times::default()
            },
        ]);
        assert_eq!(
            span(&[table]).unwrap(),
            Span {
                start_ns: 20,
                end_ns: 90
            }
        );
        assert_eq!(span(&[]).unwrap(), Span::default());
    }
}
