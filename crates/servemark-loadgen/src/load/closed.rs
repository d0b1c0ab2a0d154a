//! The closed loop: each user sends its next request when the last one has ended, and after a pause.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Arrival, Load};
use crate::plan::{Group, Plan};

/// The users of one generator thread.
///
/// A user performs its group's steps in order, `loops` times or until the duration. A step that failed does not end it:
/// the user goes on with the next one.
#[derive(Debug)]
pub struct ClosedLoop<'plan> {
    groups: &'plan [Group],
    threads: u32,
    /// By number / threads.
    users: Vec<User>,
    /// Users at rest, by the time at which they become ready.
    resting: BinaryHeap<Reverse<(i64, u32)>>,
    end_ns: i64,
    cut_off_ns: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    group: u16,
    position: u16,
    loops_done: u64,
}

impl<'plan> ClosedLoop<'plan> {
    /// The users of `plan` whose number leaves `thread` when divided by the number of threads.
    #[must_use]
    pub fn new(plan: &'plan Plan, thread: u32) -> Self {
        let mut closed = Self {
            groups: &plan.groups,
            threads: plan.threads,
            users: Vec::new(),
            resting: BinaryHeap::new(),
            end_ns: i64::MAX,
            cut_off_ns: None,
        };
        let mut number = 0_u32;
        for (index, group) in plan.groups.iter().enumerate() {
            for k in 0..group.users {
                if number % plan.threads == thread {
                    closed.users.push(User {
                        group: index as u16,
                        position: 0,
                        loops_done: 0,
                    });
                    closed.rest(number, start_ns(group, k));
                }
                number += 1;
            }
        }
        closed
    }

    /// How many users of this thread visit each of the plan's addresses.
    #[must_use]
    pub fn users_by_address(&self, plan: &Plan) -> Vec<usize> {
        let mut users = vec![0; plan.addresses.len()];
        for user in &self.users {
            let steps = &plan.groups[usize::from(user.group)].steps;
            let mut visited: Vec<usize> = steps.iter().map(|&s| plan.steps[s].address).collect();
            visited.sort_unstable();
            visited.dedup();
            for address in visited {
                users[address] += 1;
            }
        }
        users
    }

    /// Let a user become ready at `at_ns`, unless scheduling is over by then.
    fn rest(&mut self, number: u32, at_ns: i64) {
        let user = self.users[(number / self.threads) as usize];
        if self.is_before_end(self.end_of(user), at_ns) {
            self.resting.push(Reverse((at_ns, number)));
        }
    }

    fn end_of(&self, user: User) -> i64 {
        match self.groups[usize::from(user.group)].duration_ns {
            0 => self.end_ns,
            duration_ns => self.end_ns.min(duration_ns),
        }
    }

    /// Whether work at `at_ns` may be scheduled; notes the end that cut it off if not.
    fn is_before_end(&mut self, end_ns: i64, at_ns: i64) -> bool {
        if at_ns >= end_ns {
            self.cut_off_ns = self.cut_off_ns.max(Some(end_ns));
        }
        at_ns < end_ns
    }

    fn arrival(&self, number: u32, scheduled_ns: i64) -> Arrival {
        let user = self.users[(number / self.threads) as usize];
        let steps = &self.groups[usize::from(user.group)].steps;
        Arrival {
            scheduled_ns,
            user: number,
            step: steps[usize::from(user.position)] as u16,
            group: user.group,
        }
    }
}

/// When user `k` of a group starts.
fn start_ns(group: &Group, k: u32) -> i64 {
    (i128::from(group.ramp_ns) * i128::from(k) / i128::from(group.users)) as i64
}

impl Load for ClosedLoop<'_> {
    fn next_due_ns(&self) -> i64 {
        self.resting.peek().map_or(i64::MAX, |next| next.0.0)
    }

    fn take_due(&mut self, now_ns: i64) -> Option<Arrival> {
        let &Reverse((at_ns, number)) = self.resting.peek()?;
        if at_ns > now_ns {
            return None;
        }
        self.resting.pop();
        Some(self.arrival(number, at_ns))
    }

    fn ended(&mut self, arrival: &Arrival, end_ns: i64) -> Option<Arrival> {
        let group = &self.groups[usize::from(arrival.group)];
        let user = &mut self.users[(arrival.user / self.threads) as usize];
        user.position += 1;
        if usize::from(user.position) == group.steps.len() {
            user.position = 0;
            user.loops_done += 1;
            if user.loops_done == group.loops {
                return None;
            }
        }
        if group.think_ns > 0 {
            self.rest(arrival.user, end_ns.saturating_add(group.think_ns));
            return None;
        }
        let limit_ns = self.end_of(self.users[(arrival.user / self.threads) as usize]);
        self.is_before_end(limit_ns, end_ns)
            .then(|| self.arrival(arrival.user, end_ns))
    }

    fn end_scheduling(&mut self, at_ns: i64) {
        self.end_ns = self.end_ns.min(at_ns);
        let end_ns = self.end_ns;
        let users_before = self.resting.len();
        self.resting.retain(|resting| resting.0.0 < end_ns);
        if self.resting.len() < users_before {
            self.cut_off_ns = self.cut_off_ns.max(Some(end_ns));
        }
    }

    fn is_exhausted(&self) -> bool {
        self.resting.is_empty()
    }

    fn cut_off_ns(&self) -> Option<i64> {
        self.cut_off_ns
    }
}
