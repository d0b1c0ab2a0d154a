//! The seat of loads: where due work comes from. The driver asks what is due and reports what has ended.

mod closed;
mod loads;
mod open;

pub use closed::ClosedLoop;
pub use loads::Loads;
pub use open::OpenLoop;

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it is due.
    pub scheduled_ns: i64,
    /// Of a closed loop the virtual user, counted over the whole plan; of an open one the number of the arrival, counted
    /// within its group and modulo 2^32.
    pub user: u32,
    /// Index of the step in the plan.
    pub step: u16,
    /// Index of the group in the plan.
    pub group: u16,
    /// Place of the step among its group's.
    pub position: u16,
    /// It belongs to an open loop, and uses its connections.
    pub is_open: bool,
    /// When this user first performed this step without having gone on since.
    pub step_since_ns: i64,
}

/// What becomes of a user whose request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
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

/// How requests arrive at one generator thread.
pub trait Load {
    /// When the next request is due whatever happens in between, or `i64::MAX`.
    fn next_due_ns(&self) -> i64;

    /// The next request that is due at `now_ns` or was before.
    fn take_due(&mut self, now_ns: i64) -> Option<Arrival>;

    /// A request has ended, well or not. Returns the request that is due because of it, at the same instant.
    fn ended(&mut self, arrival: &Arrival, end_ns: i64, next: Next) -> Option<Arrival>;

    /// How many of [`Plan::foreground`](crate::plan::Plan::foreground) have done their work since this was last asked.
    fn take_retired(&mut self) -> u64;

    /// Schedule nothing from `at_ns`.
    fn end_scheduling(&mut self, at_ns: i64);

    /// Whether nothing more will become due by itself; the end of a request may still bring another.
    fn is_exhausted(&self) -> bool;

    /// The time that cut the load off, when work was left: its own duration, or `end_scheduling`.
    fn cut_off_ns(&self) -> Option<i64>;
}
