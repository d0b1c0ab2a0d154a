//! The time at which bytes arrived: the kernel's own, moved to the run's clock.
//!
//! The kernel stamps what it receives by `CLOCK_REALTIME`, all else is timed by `CLOCK_MONOTONIC`. The two run alike; what
//! lies between them changes only where somebody sets the first. So it is sampled all the time: no stamp is moved by what
//! is older than 100 us. Within that time a step is not seen before a stamp is believed, unless the stamp would then lie
//! in the future, or before its request.

use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::clock::{BothClocks, Clock, NS_PER_S};
use crate::kernel;

/// Whose time of arrival a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveClock {
    /// The kernel's where it has one, else the time at which the bytes were read.
    Auto,
    /// The kernel's; a run does not start where it refuses.
    Kernel,
    /// The time at which they were read.
    User,
}

/// Whose time of arrival a run has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum UsedReceiveClock {
    /// The kernel's.
    Kernel,
    /// The time of reading, as was asked.
    #[default]
    User,
    /// The time of reading, since the system refused.
    Refused(String),
}

impl fmt::Display for UsedReceiveClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => formatter.write_str("kernel"),
            Self::User => formatter.write_str("user"),
            Self::Refused(why) => write!(formatter, "user, the kernel refused: {why}"),
        }
    }
}

/// Has the kernel stamp what it receives, for as long as it lives.
///
/// A kernel begins to stamp some time after the first socket asked for it, and ends with the last: one that asks for the
/// whole run leaves no gap between connections.
#[derive(Debug)]
pub(crate) struct Stamping {
    _asks: OwnedFd,
}

impl Stamping {
    pub(crate) fn begin() -> io::Result<Self> {
        let asks = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        kernel::stamp_arrivals(asks.as_fd())?;
        Ok(Self { _asks: asks })
    }
}

/// How far two readings of one moment by both clocks may be apart beyond what their samples leave open.
const ROUNDING_NS: i64 = 1_000;
const SAMPLE_EVERY_NS: i64 = 100_000;
/// For how long after a step no stamp is believed: some that lie unread are from before it.
const DISTRUST_NS: i64 = NS_PER_S;

/// Moves stamps to the run's clock.
#[derive(Debug)]
pub(crate) struct StampClock {
    /// What has to be taken from a stamp, and how far that may be wrong.
    offset_ns: i64,
    reach_ns: i64,
    /// When they were last sampled.
    sampled_ns: i64,
    trusted_from_ns: i64,
    steps: u64,
    /// By how much the wall clock was set ahead, by a fault that a test asks for.
    shift_ns: i64,
}

impl StampClock {
    /// What lies between the clocks now.
    pub(crate) fn new(clock: Clock) -> Self {
        Self::from_sample(BothClocks::read(clock))
    }

    fn from_sample(sample: BothClocks) -> Self {
        let reach_ns = sample.length_ns() / 2 + 1;
        Self {
            offset_ns: sample.apart_ns(),
            reach_ns,
            sampled_ns: sample.after_ns,
            trusted_from_ns: i64::MIN,
            steps: 0,
            shift_ns: 0,
        }
    }

    /// Read the wall clock as if it had been set ahead: a fault.
    pub(crate) fn shift(&mut self, shift_ns: i64) {
        self.shift_ns = shift_ns;
    }

    /// Look at both clocks again, if the last time is long enough ago at `now_ns`.
    pub(crate) fn sample_if_due(&mut self, now_ns: i64, clock: Clock) {
        if now_ns - self.sampled_ns > SAMPLE_EVERY_NS {
            self.sample(clock);
        }
    }

    fn sample(&mut self, clock: Clock) {
        let mut sample = BothClocks::read(clock);
        sample.unix_ns += self.shift_ns;
        self.note(sample);
    }

    fn note(&mut self, sample: BothClocks) {
        let found = Self::from_sample(sample);
        let apart_ns = (found.offset_ns - self.offset_ns).abs();
        if apart_ns > found.reach_ns + self.reach_ns + ROUNDING_NS {
            *self = Self {
                trusted_from_ns: sample.after_ns + DISTRUST_NS,
                steps: self.steps + 1,
                shift_ns: self.shift_ns,
                ..found
            };
        } else if found.reach_ns <= self.reach_ns {
            (self.offset_ns, self.reach_ns) = (found.offset_ns, found.reach_ns);
        }
        self.sampled_ns = sample.after_ns;
    }

    /// The time of a stamp that was read at `read_ns`, the last reading of `clock`; none of one that cannot be right.
    pub(crate) fn time_of(&mut self, stamp_unix_ns: i64, read_ns: i64, clock: Clock) -> Option<i64> {
        let stamp_unix_ns = stamp_unix_ns + self.shift_ns;
        self.sample_if_due(read_ns, clock);
        if read_ns < self.trusted_from_ns {
            return None;
        }
        let time_ns = stamp_unix_ns - self.offset_ns;
        (time_ns <= read_ns + self.tolerance_ns()).then(|| time_ns.min(read_ns))
    }

    /// By how much a stamp may be off, where its clock was not set.
    pub(crate) fn tolerance_ns(&self) -> i64 {
        self.reach_ns + ROUNDING_NS
    }

    /// How often the wall clock was set since the first sample.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{monotonic_ns, unix_ns};

    /// Both clocks at `at_ns`, read within 100 ns, with `apart_ns` between them.
    fn sample(at_ns: i64, apart_ns: i64) -> BothClocks {
        BothClocks {
            before_ns: at_ns - 50,
            unix_ns: at_ns + apart_ns,
            after_ns: at_ns + 50,
        }
    }

    /// A run clock that the tests below never ask: their stamps are older than the last sample.
    fn unused() -> Clock {
        Clock::from_origin(0)
    }

    const APART_NS: i64 = 1_700_000_000 * NS_PER_S;

    #[test]
    fn a_stamp_is_moved_to_the_runs_clock() {
        let mut stamps = StampClock::from_sample(sample(0, APART_NS));
        stamps.note(sample(5_000, APART_NS));
        assert_eq!(stamps.time_of(APART_NS + 3_000, 6_000, unused()), Some(3_000));
        assert_eq!(stamps.steps(), 0);
    }

    #[test]
    fn the_tightest_sample_counts() {
        let loose = BothClocks {
            before_ns: 0,
            unix_ns: APART_NS + 3_900,
            after_ns: 4_000,
        };
        let mut stamps = StampClock::from_sample(loose);
        stamps.note(sample(10_000, APART_NS));
        assert_eq!(stamps.offset_ns, APART_NS);
        stamps.note(loose);
        assert_eq!((stamps.offset_ns, stamps.steps()), (APART_NS, 0));
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_its_stamps_are_not_believed_for_a_while() {
        for step_ns in [-50_000_000, -3_000, 3_000, 50_000_000] {
            let mut stamps = StampClock::from_sample(sample(0, APART_NS));
            stamps.note(sample(5_000, APART_NS + step_ns));
            assert_eq!(stamps.steps(), 1, "by {step_ns}");
            let stamp = APART_NS + step_ns + 4_000;
            assert_eq!(stamps.time_of(stamp, 6_000, unused()), None);
            let later_ns = 5_050 + DISTRUST_NS;
            stamps.note(sample(later_ns + 1_000, APART_NS + step_ns));
            let stamp = APART_NS + step_ns + later_ns + 500;
            assert_eq!(
                stamps.time_of(stamp, later_ns + 2_000, unused()),
                Some(later_ns + 500)
            );
        }
    }

    #[test]
    fn a_stamp_from_the_future_is_not_believed() {
        let mut stamps = StampClock::from_sample(sample(10_000_000, APART_NS));
        assert_eq!(stamps.time_of(APART_NS + 9_000_000, 5_000_000, unused()), None);
        // Within what a sample leaves open it is the time of reading.
        assert_eq!(
            stamps.time_of(APART_NS + 5_000_500, 5_000_000, unused()),
            Some(5_000_000)
        );
    }

    #[test]
    fn a_stamp_long_after_the_last_sample_has_both_clocks_looked_at_again() {
        let clock = Clock::from_origin(monotonic_ns());
        let mut stamps = StampClock::new(clock);
        // The wall clock was set back by an hour since.
        stamps.sampled_ns -= SAMPLE_EVERY_NS;
        stamps.offset_ns += 3600 * NS_PER_S;
        assert_eq!(stamps.time_of(unix_ns(), clock.now_ns(), clock), None);
        assert_eq!(stamps.steps(), 1);
    }

    #[test]
    fn both_clocks_of_this_machine_run_alike() {
        let clock = Clock::from_origin(monotonic_ns());
        let mut stamps = StampClock::new(clock);
        (0..1000).for_each(|_| {
            stamps.sample(clock);
        });
        assert_eq!(stamps.steps(), 0);
        let (stamp, read_ns) = (unix_ns(), clock.now_ns());
        let time_ns = stamps.time_of(stamp, read_ns, clock).unwrap();
        assert!(read_ns - time_ns < 1_000_000, "{time_ns} {read_ns}");
    }
}
