//! Faults that a driver makes when it is told to: the test seam of the certificate.
//!
//! A certificate is worth what it finds. Tests have a real run go wrong in one way, over real sockets, and see that it
//! becomes INVALID. A plan of a measurement has none; then a fault costs one branch a request.

use std::time::Duration;

use crate::clock::{NS_PER_S, monotonic_ns};
use crate::due::Arrival;

/// Of how many requests one is begun late.
const LATE_EVERY: u64 = 10;
const CLOCK_STEP_AT_NS: i64 = NS_PER_S / 2;

/// One way to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every tenth request that is due is begun this much later: the thread sleeps.
    LateWakeUp {
        /// How much.
        by_ns: u64,
    },
    /// Every n-th record is not written.
    LostRecord {
        /// n.
        every: u64,
    },
    /// Every n-th arrival of an open loop is not begun.
    SkippedArrival {
        /// n.
        every: u64,
    },
    /// Before the bytes of a response are parsed, the thread is busy for this long.
    SlowParse {
        /// How long.
        by_ns: u64,
    },
    /// Half a second after the start the wall clock, by which the kernel stamps what it receives, is set ahead.
    ClockStep {
        /// How far.
        by_ns: u64,
    },
}

impl Fault {
    /// Whether it does anything.
    pub(crate) fn makes_sense(self) -> bool {
        let (Self::LateWakeUp { by_ns: amount }
        | Self::LostRecord { every: amount }
        | Self::SkippedArrival { every: amount }
        | Self::SlowParse { by_ns: amount }
        | Self::ClockStep { by_ns: amount }) = self;
        amount > 0
    }

    /// Request `seq` is about to be begun.
    pub(crate) fn before_begin(self, seq: u64) {
        if let Self::LateWakeUp { by_ns } = self {
            if seq % LATE_EVERY == LATE_EVERY - 1 {
                std::thread::sleep(Duration::from_nanos(by_ns));
            }
        }
    }

    /// Bytes of a response are about to be parsed.
    pub(crate) fn before_parse(self) {
        if let Self::SlowParse { by_ns } = self {
            let until_ns = monotonic_ns().saturating_add_unsigned(by_ns);
            while monotonic_ns() < until_ns {
                std::hint::spin_loop();
            }
        }
    }

    /// How far the wall clock is set ahead at `now_ns`.
    pub(crate) fn clock_shift_ns(self, now_ns: i64) -> i64 {
        match self {
            Self::ClockStep { by_ns } if now_ns >= CLOCK_STEP_AT_NS => by_ns.try_into().unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    /// Whether `arrival` is not begun.
    pub(crate) fn skips(self, arrival: &Arrival) -> bool {
        let number = u64::from(arrival.user);
        matches!(self, Self::SkippedArrival { every } if arrival.is_open && number % every == every - 1)
    }

    /// Whether the record of request `seq` is lost.
    pub(crate) fn loses_record(self, seq: u64) -> bool {
        matches!(self, Self::LostRecord { every } if seq % every == every - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_record_is_lost() {
        let lost = |fault: Fault| (0..7).filter(|&seq| fault.loses_record(seq)).collect::<Vec<_>>();
        assert_eq!(lost(Fault::LostRecord { every: 3 }), [2, 5]);
        assert!(lost(Fault::SlowParse { by_ns: 1 }).is_empty());
    }

    #[test]
    fn every_nth_arrival_of_an_open_loop_is_skipped() {
        let arrival = |user, is_open| Arrival {
            scheduled_ns: 0,
            user,
            loop_number: 0,
            step: 0,
            group: 0,
            position: 0,
            is_open,
            step_since_ns: 0,
        };
        let fault = Fault::SkippedArrival { every: 4 };
        let skipped = (0..9).filter(|&user| fault.skips(&arrival(user, true)));
        assert_eq!(skipped.collect::<Vec<_>>(), [3, 7]);
        assert!(!fault.skips(&arrival(3, false)));
        assert!(!Fault::LostRecord { every: 4 }.skips(&arrival(3, true)));
    }

    #[test]
    fn only_its_own_moment_is_delayed() {
        let took_ns = |act: &dyn Fn()| {
            let before_ns = monotonic_ns();
            act();
            monotonic_ns() - before_ns
        };
        let late = Fault::LateWakeUp { by_ns: 20_000_000 };
        assert!(took_ns(&|| late.before_begin(9)) >= 20_000_000);
        let slow = Fault::SlowParse { by_ns: 20_000_000 };
        assert!(took_ns(&|| slow.before_parse()) >= 20_000_000);
        let others = || {
            (0..9).for_each(|seq| late.before_begin(seq));
            late.before_parse();
            slow.before_begin(9);
        };
        assert!(took_ns(&others) < 20_000_000);
    }
}
