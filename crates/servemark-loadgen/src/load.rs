//! The seat of loads: where due work comes from. The driver asks what is due and reports what has ended.

mod closed;
mod loads;
mod open;

pub(crate) use closed::ClosedLoop;
pub(crate) use loads::Loads;
pub(crate) use open::OpenLoop;

use crate::due::Arrival;

/// What becomes of a user whose request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on.
    GoOn,
    /// It goes on, but no server was there for it: a user of a closed loop waits before it asks again.
    Unreached,
    /// It repeats its step after a pause.
    Repeat {
        /// The pause.
        interval_ns: i64,
    },
}

/// Those of [`Plan::foreground`](crate::plan::Plan::foreground) who have done their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    /// How many.
    pub(crate) count: u64,
    /// When the last of them had: its last end, or the end of its time, which may be yet to come.
    pub(crate) at_ns: i64,
}

impl Default for Retired {
    fn default() -> Self {
        Self {
            count: 0,
            at_ns: i64::MIN,
        }
    }
}

impl Retired {
    /// These and `others`.
    pub(crate) fn and(self, others: Self) -> Self {
        Self {
            count: self.count + others.count,
            at_ns: self.at_ns.max(others.at_ns),
        }
    }
}

/// How requests arrive at one generator thread.
pub(crate) trait Load {
    /// When the next request is due whatever happens in between, or `i64::MAX`.
    fn next_due_ns(&self) -> i64;

    /// The next request that is due at `now_ns` or was before.
    fn take_due(&mut self, now_ns: i64) -> Option<Arrival>;

    /// A request has ended, well or not. Returns the request that is due because of it, at the same instant.
    fn ended(&mut self, arrival: &Arrival, end_ns: i64, next: Next) -> Option<Arrival>;

    /// Who has retired since this was last asked. Each does so once, however its work came to its end.
    fn take_retired(&mut self) -> Retired;

    /// Schedule nothing from `at_ns`.
    fn end_scheduling(&mut self, at_ns: i64);

    /// Whether nothing more will become due by itself; the end of a request may still bring another.
    fn is_exhausted(&self) -> bool;

    /// When scheduling was over for the last of those for whom it is: at the time that cut their work off (the duration of
    /// their group, or `end_scheduling`), or at their last end.
    fn over_ns(&self) -> Option<i64>;
}
