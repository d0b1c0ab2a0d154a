//! All loads of one generator thread together: the users of closed loops, and the arrivals of each open one.

use super::{Arrival, ClosedLoop, Load, Next, OpenLoop, Retired};
use crate::plan::Plan;
use crate::share::Share;

/// What one generator thread performs of a plan.
#[derive(Debug)]
pub(crate) struct Loads<'plan> {
    plan: &'plan Plan,
    /// What the thread has of that which its generator's threads divide.
    of_threads: Share,
    closed: ClosedLoop<'plan>,
    open: Vec<OpenLoop<'plan>>,
}

/// How many connections one thread has to each of the plan's addresses.
///
/// Those of closed loops come first, then those of open ones: a user of a closed loop never waits for a connection that
/// an arrival holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionCounts {
    /// At most.
    pub(crate) limits: Vec<usize>,
    /// Opened before the start: one for each user of a closed loop, and the first of an open one.
    pub(crate) before_start: Vec<usize>,
}

impl<'plan> Loads<'plan> {
    /// What `thread` performs of `plan`.
    pub(crate) fn new(plan: &'plan Plan, thread: u32) -> Self {
        let share = plan.share_of(thread);
        let open = plan.groups.iter().enumerate().filter_map(|(index, group)| {
            let open = group.open()?;
            Some(OpenLoop::new(plan, index, open, share))
        });
        Self {
            plan,
            of_threads: Share::WHOLE.part(thread, plan.threads),
            closed: ClosedLoop::new(plan, share),
            open: open.collect(),
        }
    }

    /// How many connections this thread may have, when an open loop gets at most `most_open` to an address.
    pub(crate) fn connections(&self, most_open: u32) -> ConnectionCounts {
        let mut limits = self.closed.users_by_address(self.plan);
        let mut before_start = limits.clone();
        let of_open: Vec<usize> = self
            .plan
            .open_connections()
            .into_iter()
            .map(|most| self.of_threads.amount(most.min(most_open)) as usize)
            .collect();
        before_start.extend(of_open.iter().map(|&limit| limit.min(1)));
        limits.extend(of_open);
        ConnectionCounts { limits, before_start }
    }
}

impl Load for Loads<'_> {
    fn next_due_ns(&self) -> i64 {
        let open = self.open.iter().map(OpenLoop::next_due_ns);
        open.fold(self.closed.next_due_ns(), i64::min)
    }

    fn take_due(&mut self, now_ns: i64) -> Option<Arrival> {
        let earliest = self.open.iter_mut().min_by_key(|open| open.next_due_ns());
        match earliest {
            Some(open) if open.next_due_ns() <= self.closed.next_due_ns() => open.take_due(now_ns),
            _ => self.closed.take_due(now_ns),
        }
    }

    fn ended(&mut self, arrival: &Arrival, end_ns: i64, next: Next) -> Option<Arrival> {
        if !arrival.is_open {
            return self.closed.ended(arrival, end_ns, next);
        }
        let mut open = self.open.iter_mut();
        let own = open.find(|open| open.index() == arrival.group)?;
        own.ended(arrival, end_ns, next)
    }

    fn take_retired(&mut self) -> Retired {
        let open = self.open.iter_mut().map(OpenLoop::take_retired);
        open.fold(self.closed.take_retired(), Retired::and)
    }

    fn end_scheduling(&mut self, at_ns: i64) {
        self.closed.end_scheduling(at_ns);
        for open in &mut self.open {
            open.end_scheduling(at_ns);
        }
    }

    fn is_exhausted(&self) -> bool {
        self.closed.is_exhausted() && self.open.iter().all(OpenLoop::is_exhausted)
    }

    fn over_ns(&self) -> Option<i64> {
        let open = self.open.iter().map(OpenLoop::over_ns);
        open.fold(self.closed.over_ns(), Option::max)
    }
}
