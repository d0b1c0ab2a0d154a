//! Arrivals of an open loop: when each one is due, a pure function of (process, profile, seed, stream).
//!
//! It knows nothing of clocks and wires, of threads, or of how long the run lasts. The times are made in two steps.
//! In *operational time* ([`gaps`]), which passes at one arrival a unit, arrival i is due at u(i): i itself when the
//! process is constant, a sum of gaps of mean 1 when they are drawn. The *profile* ([`profile`]) maps it to
//! nanoseconds, by the inverse of the cumulated rate: Çinlar, "Introduction to Stochastic Processes", 1975, section 4.7.
//! All of it is integer arithmetic but the draws of the gaps, so nothing drifts however long a run is.

mod gaps;
mod profile;
mod wide;

pub use gaps::Gaps;
pub use profile::RateSegment;

use crate::error::PlanError;
use gaps::{Drawn, GAP_BITS};
use profile::{Position, Profile};

/// When the requests of a group arrive.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// Where their times come from.
    pub times: Times,
    /// How many there are at most; 0 means as many as the times say.
    pub count: u64,
    /// Tells the draws of one group from those of another with the same seed.
    pub stream: u32,
}

/// Where the times of arrivals come from.
#[derive(Clone, Debug)]
pub enum Times {
    /// Gaps between them, at a rate that follows a profile. After its last segment nothing arrives.
    Drawn {
        /// The process.
        gaps: Gaps,
        /// All segments but the last have an end.
        profile: Vec<RateSegment>,
    },
    /// As they were recorded: nanoseconds from the start, in order.
    Recorded(Vec<i64>),
}

impl Arrivals {
    /// Check that there is something to arrive, and that its times make sense.
    pub fn validate(&self) -> Result<(), PlanError> {
        match &self.times {
            Times::Drawn { gaps, profile } => {
                gaps.validate()?;
                profile::validate(profile)
            }
            Times::Recorded(times_ns) if times_ns.is_empty() => {
                Err(PlanError("a trace without a time has no arrival".into()))
            }
            Times::Recorded(times_ns) if times_ns[0] < 0 || !times_ns.is_sorted() => {
                Err(PlanError("the times of a trace must rise from 0".into()))
            }
            Times::Recorded(_) => Ok(()),
        }
    }

    /// Whether the times come to an end by themselves.
    pub(crate) fn is_finite(&self) -> bool {
        match &self.times {
            Times::Drawn { profile, .. } => {
                self.count > 0 || profile.last().is_some_and(|last| last.duration_ns > 0)
            }
            Times::Recorded(_) => true,
        }
    }
}

/// The times of [`Arrivals`], asked for in order.
#[derive(Debug)]
pub struct Schedule<'plan> {
    source: Source<'plan>,
    count: u64,
}

#[derive(Debug)]
enum Source<'plan> {
    Drawn {
        drawn: Drawn,
        profile: Profile,
        position: Position,
    },
    Recorded(&'plan [i64]),
}

impl<'plan> Schedule<'plan> {
    /// The schedule of `arrivals`, which are valid, drawn by `seed`.
    #[must_use]
    pub fn new(arrivals: &'plan Arrivals, seed: u64) -> Self {
        let source = match &arrivals.times {
            Times::Drawn { gaps, profile } => Source::Drawn {
                drawn: Drawn::new(*gaps, seed, arrivals.stream),
                profile: Profile::new(profile),
                position: Position::default(),
            },
            Times::Recorded(times_ns) => Source::Recorded(times_ns),
        };
        let count = match arrivals.count {
            0 => u64::MAX,
            count => count,
        };
        Self { source, count }
    }

    /// When arrival `number` is due, or that there is none. No lower `number` than before may be asked for.
    ///
    /// The whole nanosecond in which it falls: the greatest t by which no more than u(number) arrivals have cumulated.
    pub fn time_ns(&mut self, number: u64) -> Option<i64> {
        if number >= self.count {
            return None;
        }
        match &mut self.source {
            Source::Drawn {
                drawn,
                profile,
                position,
            } => profile.time_ns(drawn.operational_time(number), position),
            Source::Recorded(times_ns) => times_ns.get(usize::try_from(number).ok()?).copied(),
        }
    }
}

/// The times of arrivals `first..first + count`, fewer when the schedule ends.
#[must_use]
pub fn schedule(arrivals: &Arrivals, seed: u64, first: u64, count: u64) -> Vec<i64> {
    let mut schedule = Schedule::new(arrivals, seed);
    (first..first.saturating_add(count))
        .map_while(|number| schedule.time_ns(number))
        .collect()
}

#[cfg(test)]
mod tests;
