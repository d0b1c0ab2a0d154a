//! The clock: nanoseconds of one monotonic clock, counted from the run's origin; and how the wall clock lies beside it.

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

/// A reading that took longer is taken again: the thread was interrupted.
const LONGEST_READING_NS: i64 = 5_000;
const MOST_TRIES: u32 = 4;

/// Both clocks, read at one moment: the wall clock between two readings of a run's clock.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit")]
pub(crate) struct BothClocks {
    pub(crate) before_ns: i64,
    pub(crate) unix_ns: i64,
    pub(crate) after_ns: i64,
}

impl BothClocks {
    /// Read both, `clock` and the wall clock.
    pub(crate) fn read(clock: Clock) -> Self {
        Self::read_from(|| clock.now_ns(), unix_ns)
    }

    /// Read both, again where the thread was interrupted; the shortest reading counts.
    fn read_from(mut now_ns: impl FnMut() -> i64, mut unix_ns: impl FnMut() -> i64) -> Self {
        let mut before_ns = now_ns();
        let mut next = || {
            let reading = Self {
                before_ns,
                unix_ns: unix_ns(),
                after_ns: now_ns(),
            };
            before_ns = reading.after_ns;
            reading
        };
        let mut best = next();
        for _ in 1..MOST_TRIES {
            if best.length_ns() <= LONGEST_READING_NS {
                break;
            }
            let again = next();
            if again.length_ns() < best.length_ns() {
                best = again;
            }
        }
        best
    }

    pub(crate) fn length_ns(self) -> i64 {
        self.after_ns - self.before_ns
    }

    /// What the wall clock reads at time 0 of the run's clock, off by at most half the length of the reading.
    pub(crate) fn apart_ns(self) -> i64 {
        self.unix_ns - self.before_ns - self.length_ns() / 2
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What is read of clocks that lie `APART_NS` from each other, where the thread is held up for so long before it reads
    /// the wall clock.
    fn read_held_up(held_up_ns: &[i64]) -> BothClocks {
        let now_ns = Cell::new(0);
        let mut held_up_ns = held_up_ns.iter();
        let pass = |by_ns| {
            now_ns.set(now_ns.get() + by_ns);
            now_ns.get()
        };
        BothClocks::read_from(|| pass(50), || pass(*held_up_ns.next().unwrap()) + APART_NS)
    }

    const APART_NS: i64 = 1_700_000_000 * NS_PER_S;

    #[test]
    fn a_thread_that_is_interrupted_between_two_clocks_reads_them_again() {
        assert_eq!(read_held_up(&[50]).apart_ns(), APART_NS);
        assert_eq!(read_held_up(&[NS_PER_S, 50]).apart_ns(), APART_NS);
        let best = read_held_up(&[NS_PER_S, 80_050, 20_050, 40_050]);
        assert_eq!((best.length_ns(), best.apart_ns()), (20_100, APART_NS + 10_000));
    }

    #[test]
    fn counts_from_its_origin() {
        let clock = Clock::from_origin(monotonic_ns() + NS_PER_S);
        let first_ns = clock.now_ns();
        assert!(first_ns < 0);
        assert!(clock.now_ns() >= first_ns);
    }
}
