//! What a load gives to the driver: whose request is due, which one and when. Nothing is made of it yet.

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When it is due.
    pub(crate) scheduled_ns: i64,
    /// Of a closed loop the virtual user, counted over the whole plan; of an open one the number of the arrival, counted
    /// within its group and modulo 2^32.
    pub(crate) user: u32,
    /// Of a closed loop how often its user has performed the scenario before; of an open one the number of the arrival
    /// divided by 2^32: every arrival is a user who performs it once.
    pub(crate) loop_number: u64,
    /// Index of the step in the plan.
    pub(crate) step: u16,
    /// Index of the group in the plan.
    pub(crate) group: u16,
    /// Place of the step among its group's.
    pub(crate) position: u16,
    /// It belongs to an open loop, and uses its connections.
    pub(crate) is_open: bool,
    /// When this user first performed this step without having gone on since.
    pub(crate) step_since_ns: i64,
}
