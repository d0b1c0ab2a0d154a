//! From `CLOCK_REALTIME`, the clock of the kernel's stamps, to `CLOCK_MONOTONIC`.
//!
//! Both run at the same rate, whatever steers it, so that the one minus the other is constant until somebody sets the
//! time: then the one clock steps and the other does not. No stamp from before that can be converted.

use servemark_loadgen::clock::{monotonic_ns, unix_ns};

/// Readings of which the one that took the least time is taken.
const READINGS: usize = 3;
/// By how much a reading may be off past what it took: the kernel rounds each clock for itself.
const ROUNDING_NS: i64 = 1_000;

/// One reading of `CLOCK_REALTIME`, between two of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit")]
struct Reading {
    before_ns: i64,
    real_ns: i64,
    after_ns: i64,
}

impl Reading {
    fn now() -> Self {
        Self {
            before_ns: monotonic_ns(),
            real_ns: unix_ns(),
            after_ns: monotonic_ns(),
        }
    }

    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, give or take `reach_ns`.
    fn offset_ns(self) -> i64 {
        self.real_ns - self.before_ns - self.reach_ns()
    }

    fn reach_ns(self) -> i64 {
        (self.after_ns - self.before_ns) / 2
    }
}

/// How far the two clocks are apart, as well as that is known.
#[derive(Debug)]
pub(crate) struct Stamps {
    best: Reading,
    /// The first time whose stamp can be converted: when the last step was noticed.
    known_from_ns: i64,
    /// How often the time was set, as far as that was noticed.
    pub(crate) steps: u64,
}

impl Stamps {
    /// With a first look at both clocks.
    pub(crate) fn new() -> Self {
        let first = Reading::now();
        let mut stamps = Self {
            best: first,
            known_from_ns: i64::MIN,
            steps: 0,
        };
        stamps.sample();
        stamps
    }

    /// Look at both clocks again: what tells more than all before is kept, and a step is noticed.
    pub(crate) fn sample(&mut self) {
        let mut tightest = Reading::now();
        for _ in 1..READINGS {
            let reading = Reading::now();
            if reading.reach_ns() < tightest.reach_ns() {
                tightest = reading;
            }
        }
        self.take(tightest);
    }

    fn take(&mut self, reading: Reading) {
        let apart_ns = (reading.offset_ns() - self.best.offset_ns()).abs();
        if apart_ns > reading.reach_ns() + self.best.reach_ns() + ROUNDING_NS {
            self.steps += 1;
            self.known_from_ns = reading.after_ns;
            self.best = reading;
        } else if reading.reach_ns() < self.best.reach_ns() {
            self.best = reading;
        }
    }

    /// When a stamp was made, in nanoseconds of `CLOCK_MONOTONIC`; `None` when it is from before a step, or of a time
    /// that is yet to come and so from after one that was not noticed. `now_ns` is when the stamp was had.
    pub(crate) fn monotonic_ns(&self, stamp_ns: i64, now_ns: i64) -> Option<i64> {
        let at_ns = stamp_ns - self.best.offset_ns();
        let reach_ns = self.best.reach_ns() + ROUNDING_NS;
        (self.known_from_ns <= at_ns && at_ns <= now_ns + reach_ns).then_some(at_ns.min(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at_ns: i64, took_ns: i64, offset_ns: i64) -> Reading {
        Reading {
            before_ns: at_ns,
            real_ns: at_ns + took_ns / 2 + offset_ns,
            after_ns: at_ns + took_ns,
        }
    }

    fn stamps(first: Reading) -> Stamps {
        Stamps {
            best: first,
            known_from_ns: i64::MIN,
            steps: 0,
        }
    }

    #[test]
    fn the_reading_that_took_least_is_the_best() {
        let mut stamps = stamps(reading(0, 500, 1_000_000));
        assert_eq!(stamps.monotonic_ns(1_000_100, 1_000), Some(100));
        stamps.take(reading(1_000, 40, 1_000_010));
        stamps.take(reading(2_000, 900, 1_000_300));
        assert_eq!(stamps.monotonic_ns(1_000_110, 1_000), Some(100));
        assert_eq!(stamps.steps, 0);
    }

    #[test]
    fn a_reading_that_was_interrupted_is_no_step() {
        let mut stamps = stamps(reading(0, 50, 0));
        // Stopped for 3 ms between the second clock and the third.
        stamps.take(Reading {
            before_ns: 10_000,
            real_ns: 10_010,
            after_ns: 3_010_000,
        });
        assert_eq!(stamps.steps, 0);
        assert_eq!(stamps.monotonic_ns(20_000, 30_000), Some(20_000));
    }

    #[test]
    fn a_step_is_noticed_and_older_stamps_are_refused() {
        for step_ns in [-70_000, 70_000] {
            let mut stamps = stamps(reading(0, 50, 0));
            stamps.take(reading(1_000_000, 60, step_ns));
            assert_eq!(stamps.steps, 1);
            let stamped = |at_ns| stamps.monotonic_ns(at_ns + step_ns, 2_000_000);
            assert_eq!(stamped(999_000), None, "from before it was noticed");
            assert_eq!(stamped(1_500_000), Some(1_500_000));
        }
    }

    #[test]
    fn a_stamp_of_the_future_is_refused() {
        let stamps = stamps(reading(0, 50, 0));
        assert_eq!(
            stamps.monotonic_ns(900, 800),
            Some(800),
            "within what the reading took"
        );
        assert_eq!(stamps.monotonic_ns(90_000, 800), None);
    }

    #[test]
    fn the_clocks_of_this_machine_agree_with_themselves() {
        let mut stamps = Stamps::new();
        for _ in 0..1_000 {
            stamps.sample();
            let before_ns = monotonic_ns();
            let stamp_ns = unix_ns();
            let after_ns = monotonic_ns();
            let at_ns = stamps.monotonic_ns(stamp_ns, after_ns);
            let reach_ns = stamps.best.reach_ns() + ROUNDING_NS;
            if stamps.steps == 0 {
                assert!(at_ns.is_some_and(|at_ns| before_ns - reach_ns <= at_ns && at_ns <= after_ns));
            }
        }
    }
}
