//! The clock: nanoseconds of one monotonic clock, counted from the run's origin.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: i64 = 1_000_000_000;

/// `CLOCK_MONOTONIC` since a run's origin. Times before the origin are negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin_ns: i64,
}

impl Clock {
    /// A clock that reads 0 at `origin_ns` of `CLOCK_MONOTONIC`.
    pub(crate) fn from_origin(origin_ns: i64) -> Self {
        Self { origin_ns }
    }

    /// Nanoseconds since the origin.
    pub(crate) fn now_ns(self) -> i64 {
        monotonic_ns() - self.origin_ns
    }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Wall-clock time, in nanoseconds since 1970.
#[must_use]
pub fn unix_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// User and system time of the calling thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * NS_PER_S + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_its_origin() {
        let clock = Clock::from_origin(monotonic_ns() + NS_PER_S);
        let first_ns = clock.now_ns();
        assert!(first_ns < 0);
        assert!(clock.now_ns() >= first_ns);
    }
}
