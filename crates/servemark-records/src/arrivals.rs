//! Whether the requests of an open loop were due when their arrival process says: the pure function beside the records.
//!
//! Records stand in a file nearly in the order of their arrivals, so that what is remembered of the schedule is from the
//! first arrival that has no record yet to the last that has one.

use std::collections::VecDeque;
use std::io;

use servemark_loadgen::arrival::{Arrivals, Schedule};

use crate::table::{Reader, Row, Table};

/// Of which records an arrival process is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The group of the plan.
    pub group: u16,
    /// The step that every arrival begins with; None where each performs one step of a mix.
    pub first_step: Option<u16>,
    /// Whether an arrival performs that step several times, of which the first counts.
    pub repeats: bool,
    /// Of each generator, in the order of their shares: its arrivals due from here on were not to be begun.
    pub ended_ns: Vec<i64>,
    /// Draws the schedule.
    pub seed: u64,
}

/// The arrivals of one group, as the schedule and the records have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many of each generator there should be.
    pub due: Vec<u64>,
    /// How many of these have a record.
    pub made: u64,
    /// Records of arrivals that should not be: due too late, beyond the last, or the same once more.
    pub more: u64,
    /// How many were scheduled at another time than the process says, and by how much at most.
    pub wrong: u64,
    /// By how much the worst of them is off.
    pub most_off_ns: i64,
}

/// Hold the records of `tables` against `arrivals`, which are valid.
pub fn account(tables: &[Table], arrivals: &Arrivals, asked: Asked) -> io::Result<Account> {
    let mut expected = Expected {
        schedule: Schedule::new(arrivals, asked.seed),
        last_ended_ns: asked.ended_ns.iter().copied().max().unwrap_or(0),
        known: VecDeque::new(),
        first: 0,
        is_complete: false,
        account: Account {
            due: vec![0; asked.ended_ns.len()],
            ..Account::default()
        },
        asked,
    };
    for table in tables {
        let mut reader = Reader::open(table)?;
        for block in 0..table.blocks() {
            for row in reader.block(block)? {
                let asked = &expected.asked;
                if row.group == asked.group && asked.first_step.is_none_or(|step| row.step == step) {
                    expected.meet(&row);
                }
            }
        }
    }
    Ok(expected.finish())
}

struct Expected<'plan> {
    schedule: Schedule<'plan>,
    asked: Asked,
    /// When the last of the generators ended.
    last_ended_ns: i64,
    /// The times of the arrivals from number `first` on, as far as they were looked at, and their records' where known.
    known: VecDeque<(i64, Option<i64>)>,
    first: u64,
    /// Whether no further arrival is due.
    is_complete: bool,
    account: Account,
}

impl Expected<'_> {
    fn meet(&mut self, row: &Row) {
        let number = u64::from(row.user);
        let generator = self.generator_of(number);
        while !self.is_complete && self.first + self.known.len() as u64 <= number {
            self.look_at_next();
        }
        let place = number
            .checked_sub(self.first)
            .and_then(|place| self.known.get_mut(place as usize));
        match place {
            Some((due_ns, _)) if *due_ns >= self.asked.ended_ns[generator] => self.account.more += 1,
            Some((_, recorded @ None)) => *recorded = Some(row.scheduled_ns),
            Some((_, Some(earlier))) if self.asked.repeats => *earlier = row.scheduled_ns.min(*earlier),
            _ => self.account.more += 1,
        }
        if !self.asked.repeats {
            while let Some((due_ns, recorded)) = self.known.front().copied() {
                if recorded.is_none() && self.is_due(self.first, due_ns) {
                    break;
                }
                self.known.pop_front();
                self.judge(due_ns, recorded);
            }
        }
    }

    fn look_at_next(&mut self) {
        match self.schedule.time_ns(self.first + self.known.len() as u64) {
            Some(due_ns) if due_ns < self.last_ended_ns => self.known.push_back((due_ns, None)),
            _ => self.is_complete = true,
        }
    }

    /// Whose arrival that is, by its place.
    fn generator_of(&self, number: u64) -> usize {
        (number % self.asked.ended_ns.len() as u64) as usize
    }

    /// Whether an arrival was to be begun.
    fn is_due(&self, number: u64, due_ns: i64) -> bool {
        due_ns < self.asked.ended_ns[self.generator_of(number)]
    }

    /// Judge the first of those that are known, which is so no more.
    fn judge(&mut self, due_ns: i64, scheduled_ns: Option<i64>) {
        let (number, generator) = (self.first, self.generator_of(self.first));
        self.first += 1;
        if !self.is_due(number, due_ns) {
            return;
        }
        self.account.due[generator] += 1;
        if let Some(scheduled_ns) = scheduled_ns {
            let off_ns = (scheduled_ns - due_ns).abs();
            self.account.made += 1;
            self.account.wrong += u64::from(off_ns != 0);
            self.account.most_off_ns = self.account.most_off_ns.max(off_ns);
        }
    }

    fn finish(mut self) -> Account {
        loop {
            while let Some((due_ns, scheduled_ns)) = self.known.pop_front() {
                self.judge(due_ns, scheduled_ns);
            }
            if self.is_complete {
                return self.account;
            }
            self.look_at_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use servemark_loadgen::arrival::{self, Gaps, RateSegment, Times as ArrivalTimes};

    use super::*;
    use crate::table::tests::{Times, table};

    const N: u64 = 20_000;

    fn poisson() -> Arrivals {
        Arrivals {
            times: ArrivalTimes::Drawn {
                gaps: Gaps::Exponential,
                profile: vec![RateSegment {
                    from_per_s: 1000.0,
                    to_per_s: 1000.0,
                    duration_ns: 0,
                }],
            },
            count: 0,
            stream: 0,
        }
    }

    fn asked(ended_ns: i64) -> Asked {
        Asked {
            group: 0,
            first_step: None,
            repeats: false,
            ended_ns: vec![ended_ns],
            seed: 3,
        }
    }

    fn rows(times_ns: &[i64]) -> Vec<Times> {
        let numbered = times_ns.iter().enumerate();
        numbered
            .map(|(user, scheduled)| Times {
                user: user as u32,
                scheduled: *scheduled,
                ..Times::default()
            })
            .collect()
    }

    fn found(rows: &[Times], asked: Asked) -> Account {
        let (_file, table) = table(rows);
        account(&[table], &poisson(), asked).unwrap()
    }

    #[test]
    fn what_was_scheduled_as_the_process_says_is_right_in_any_order() {
        let times_ns = arrival::schedule(&poisson(), 3, 0, N + 1);
        let right = Account {
            due: vec![N],
            made: N,
            ..Account::default()
        };
        let mut rows = rows(&times_ns[..N as usize]);
        assert_eq!(found(&rows, asked(times_ns[N as usize])), right);
        rows.swap(0, 19_000);
        rows[5_000..9_000].reverse();
        assert_eq!(found(&rows, asked(times_ns[N as usize])), right);
    }

    #[test]
    fn what_is_missing_too_many_or_elsewhere_is_counted() {
        let times_ns = arrival::schedule(&poisson(), 3, 0, N + 1);
        let ended_ns = times_ns[N as usize];
        let mut rows = rows(&times_ns);
        assert_eq!(
            found(&rows, asked(ended_ns)),
            Account {
                due: vec![N],
                made: N,
                more: 1,
                ..Account::default()
            }
        );
        rows.pop();
        rows[7].scheduled += 5;
        rows[8].scheduled -= 9;
        rows.remove(100);
        let wrong = Account {
            due: vec![N],
            made: N - 1,
            more: 0,
            wrong: 2,
            most_off_ns: 9,
        };
        assert_eq!(found(&rows, asked(ended_ns)), wrong);
        rows.push(rows[3]);
        assert_eq!(found(&rows, asked(ended_ns)), Account { more: 1, ..wrong });
    }

    #[test]
    fn each_generator_is_asked_for_its_arrivals_until_its_own_end() {
        let times_ns = arrival::schedule(&poisson(), 3, 0, N + 1);
        let ended_ns = vec![times_ns[100], times_ns[N as usize]];
        let asked = Asked { ended_ns, ..asked(0) };
        let mut rows = rows(&times_ns[..N as usize]);
        rows.retain(|row| row.user < 100 || row.user % 2 == 1);
        let right = Account {
            due: vec![50, N / 2],
            made: 50 + N / 2,
            ..Account::default()
        };
        assert_eq!(found(&rows, asked.clone()), right);
        rows.push(Times {
            user: 100,
            scheduled: times_ns[100],
            ..Times::default()
        });
        assert_eq!(
            found(&rows, asked.clone()),
            Account {
                more: 1,
                ..right.clone()
            }
        );
        rows.remove(1);
        let lacking = Account {
            made: right.made - 1,
            more: 1,
            ..right
        };
        assert_eq!(found(&rows, asked), lacking);
    }

    #[test]
    fn of_a_step_that_is_repeated_the_first_time_counts() {
        let times_ns = arrival::schedule(&poisson(), 3, 0, 101);
        let once = rows(&times_ns[..100]);
        let again = once.iter().map(|row| Times {
            scheduled: row.scheduled + 1000,
            ..*row
        });
        let rows: Vec<Times> = again.chain(once.iter().copied()).collect();
        let repeats = Asked {
            repeats: true,
            ..asked(times_ns[100])
        };
        assert_eq!(
            found(&rows, repeats),
            Account {
                due: vec![100],
                made: 100,
                ..Account::default()
            }
        );
    }

    #[test]
    fn other_groups_and_steps_are_left_out() {
        let times_ns = arrival::schedule(&poisson(), 3, 0, 11);
        let mut rows = rows(&times_ns[..10]);
        rows.push(Times {
            step: 1,
            user: 3,
            ..Times::default()
        });
        let first_step = Asked {
            first_step: Some(0),
            ..asked(times_ns[10])
        };
        assert_eq!(
            found(&rows, first_step.clone()),
            Account {
                due: vec![10],
                made: 10,
                ..Account::default()
            }
        );
        let other_group = Asked {
            group: 1,
            ..first_step
        };
        assert_eq!(
            found(&rows, other_group),
            Account {
                due: vec![10],
                made: 0,
                ..Account::default()
            }
        );
    }
}
