//! Times from one to another.

/// From a time to another, in nanoseconds from the run's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start_ns: i64,
    /// Where it ends.
    pub end_ns: i64,
}

impl Span {
    /// Of no time at all: whatever is joined to it is what comes of it.
    pub(super) const NONE: Self = Self {
        start_ns: i64::MAX,
        end_ns: i64::MIN,
    };

    /// From the earlier beginning to the later end.
    pub(super) fn join(&mut self, other: Self) {
        self.start_ns = self.start_ns.min(other.start_ns);
        self.end_ns = self.end_ns.max(other.end_ns);
    }

    /// From the first of some times to the last; `time_ns` is another one.
    pub(super) fn include(&mut self, time_ns: i64) {
        self.join(Self {
            start_ns: time_ns,
            end_ns: time_ns,
        });
    }

    pub(crate) fn contains(self, time_ns: i64) -> bool {
        self.start_ns <= time_ns && time_ns < self.end_ns
    }

    /// The number of the part of equal length that a time falls in, clipped to the span.
    pub(super) fn part(self, time_ns: i64, parts: usize) -> usize {
        let share = (time_ns - self.start_ns) as f64 / (self.end_ns - self.start_ns).max(1) as f64;
        (share * parts as f64).clamp(0.0, (parts - 1) as f64) as usize
    }
}
