//! Time, as it is passed down: only the driver itself reads a clock, where it says why; its halves are told.
//!
//! Who takes `now_ns` or a `Moment` depends on time; who takes a `&mut Moment` may read the clock, and leaves its reading there.

use crate::clock::Clock;
use crate::receive_clock::StampClock;

/// What is known of the time of that which is being handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The last reading of the clock.
    pub(super) now_ns: i64,
    /// When the wait ended that reported this and something else; the end of time where it reported nothing else.
    woken_ns: i64,
    /// When the bytes arrived that tell of it, by the kernel; none where it does not tell, and where nothing was read.
    pub(super) arrived: Option<Arrived>,
}

/// The kernel's time of arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    at_ns: i64,
    /// By how much it may be off.
    tolerance_ns: i64,
}

impl Arrived {
    /// When that was.
    pub(super) fn at_ns(self) -> i64 {
        self.at_ns
    }
}

impl Moment {
    /// Now, and no event told of anything.
    pub(super) fn at(now_ns: i64) -> Self {
        Self {
            now_ns,
            woken_ns: i64::MAX,
            arrived: None,
        }
    }

    /// The end of a wait that reported so many `events`.
    pub(super) fn woken(now_ns: i64, events: usize) -> Self {
        Self {
            woken_ns: if events > 1 { now_ns } else { i64::MAX },
            ..Self::at(now_ns)
        }
    }

    /// When the wait ended that reported the event at hand, whatever this thread did for others since; now, if it
    /// reported no other.
    pub(super) fn reported_ns(self) -> i64 {
        self.woken_ns.min(self.now_ns)
    }

    /// When that happened which is being handled: when the bytes arrived that tell of it, else now.
    pub(super) fn happened_ns(self) -> i64 {
        self.arrived.map_or(self.now_ns, |arrived| arrived.at_ns)
    }

    /// When the bytes arrived, if what came of them can have happened after `sent_ns`: a time before that contradicts the
    /// clock, and is not believed, unless it could be off by so much.
    pub(super) fn arrived_after_ns(self, sent_ns: i64) -> Option<i64> {
        let believed = self
            .arrived
            .filter(|arrived| arrived.at_ns + arrived.tolerance_ns >= sent_ns);
        believed.map(|arrived| arrived.at_ns)
    }
}

/// The clocks of a generator thread.
#[derive(Debug)]
pub(super) struct Clocks {
    clock: Clock,
    /// Moves the kernel's times of arrival to the clock, where there are any.
    stamps: Option<StampClock>,
}

impl Clocks {
    pub(super) fn new(clock: Clock, has_stamps: bool) -> Self {
        Self {
            clock,
            stamps: has_stamps.then(|| StampClock::new(clock)),
        }
    }

    /// These, counted from `origin_ns` of the monotonic clock.
    pub(super) fn counted_from(&self, origin_ns: i64) -> Self {
        Self::new(Clock::from_origin(origin_ns), self.stamps.is_some())
    }

    /// Read the clock.
    pub(super) fn now_ns(&self) -> i64 {
        self.clock.now_ns()
    }

    /// When what was read at `now_ns`, the last reading, arrived by its stamp; none of a stamp that cannot be right.
    pub(super) fn arrived(&mut self, stamp_unix_ns: Option<i64>, now_ns: i64) -> Option<Arrived> {
        let stamps = self.stamps.as_mut()?;
        let at_ns = stamps.time_of(stamp_unix_ns?, now_ns, self.clock)?;
        Some(Arrived {
            at_ns,
            tolerance_ns: stamps.tolerance_ns(),
        })
    }

    /// Read the wall clock as if it had been set ahead: a fault.
    pub(super) fn shift(&mut self, shift_ns: i64) {
        if let Some(stamps) = &mut self.stamps {
            stamps.shift(shift_ns);
        }
    }

    /// How often the wall clock was set.
    pub(super) fn steps(&self) -> u64 {
        self.stamps.as_ref().map_or(0, StampClock::steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_with_others_was_reported_when_the_wait_ended() {
        let mut alone = Moment::woken(100, 1);
        let mut with_another = Moment::woken(100, 2);
        (alone.now_ns, with_another.now_ns) = (150, 150);
        assert_eq!((alone.reported_ns(), with_another.reported_ns()), (150, 100));
    }

    #[test]
    fn a_time_of_arrival_before_its_request_is_believed_as_far_as_it_may_be_off() {
        let arrived = Arrived {
            at_ns: 90,
            tolerance_ns: 5,
        };
        let moment = Moment {
            arrived: Some(arrived),
            ..Moment::at(120)
        };
        assert_eq!((moment.happened_ns(), Moment::at(120).happened_ns()), (90, 120));
        assert_eq!(moment.arrived_after_ns(95), Some(90));
        assert_eq!(moment.arrived_after_ns(96), None);
        assert_eq!(Moment::at(120).arrived_after_ns(0), None);
    }
}
