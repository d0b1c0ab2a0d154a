//! The closed loop: each user sends its next request when the last one has ended, and after a pause.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Arrival, Load, Next, Retired};
use crate::clock::{NS_PER_MS, NS_PER_S};
use crate::draw::draw_weighted;
use crate::plan::{Closed, Group, Plan};
use crate::share::Share;

/// The users of one generator thread, of all groups that are closed loops.
///
/// A user performs its group's steps in order, `loops` times or until the duration. A step that failed does not end it:
/// the user goes on with the next one.
#[derive(Debug)]
pub(crate) struct ClosedLoop<'plan> {
    groups: Vec<ClosedGroup<'plan>>,
    share: Share,
    /// By their place in the share.
    users: Vec<User>,
    /// Users at rest, by the time at which they become ready.
    resting: BinaryHeap<Reverse<(i64, u32)>>,
    seed: u64,
    end_ns: i64,
    over_ns: Option<i64>,
    retired: Retired,
}

#[derive(Clone, Copy, Debug)]
struct ClosedGroup<'plan> {
    /// Index in the plan.
    index: u16,
    group: &'plan Group,
    closed: &'plan Closed,
    /// From when it schedules nothing; `i64::MAX` when only work ends it.
    end_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct User {
    /// Index among the closed loops.
    group: u16,
    position: u16,
    loops_done: u64,
    /// When it began to repeat its step; `i64::MAX` when it does not.
    repeats_since_ns: i64,
    /// How often in a row no server was there for it.
    unreached: u32,
}

/// How long a user waits at least whom no server was there for: this, then twice as long each time.
const FIRST_RETRY_NS: i64 = 5 * NS_PER_MS;
const LONGEST_RETRY_NS: i64 = NS_PER_S;

impl<'plan> ClosedLoop<'plan> {
    /// The users of `plan` that are in `share`.
    pub(crate) fn new(plan: &'plan Plan, share: Share) -> Self {
        let mut closed = Self {
            groups: Vec::new(),
            share,
            users: Vec::new(),
            resting: BinaryHeap::new(),
            seed: plan.seed,
            end_ns: i64::MAX,
            over_ns: None,
            retired: Retired::default(),
        };
        let mut number = 0_u32;
        for (index, group) in plan.groups.iter().enumerate() {
            let Some(users) = group.closed() else {
                continue;
            };
            closed.groups.push(ClosedGroup {
                index: index as u16,
                group,
                closed: users,
                end_ns: plan.end_ns(group),
            });
            for k in 0..users.users {
                if share.has(number) {
                    closed.users.push(User {
                        group: (closed.groups.len() - 1) as u16,
                        position: first_position(group, plan.seed, number, 0),
                        loops_done: 0,
                        repeats_since_ns: i64::MAX,
                        unreached: 0,
                    });
                    closed.rest(number, start_ns(users, k));
                }
                number += 1;
            }
        }
        closed
    }

    /// How many users of this thread visit each of the plan's addresses.
    pub(crate) fn users_by_address(&self, plan: &Plan) -> Vec<usize> {
        let mut users = vec![0; plan.addresses.len()];
        for user in &self.users {
            for address in plan.addresses_of(self.groups[usize::from(user.group)].group) {
                users[address] += 1;
            }
        }
        users
    }

    /// Let a user become ready at `at_ns`, unless scheduling is over by then.
    fn rest(&mut self, number: u32, at_ns: i64) {
        if self.may_go_on(number, at_ns) {
            self.resting.push(Reverse((at_ns, number)));
        }
    }

    /// From when nothing is scheduled for a user.
    fn end_of(&self, number: u32) -> i64 {
        self.end_ns.min(self.group_of(number).end_ns)
    }

    /// Whether work of a user at `at_ns` may be scheduled; if not, its time is over.
    fn may_go_on(&mut self, number: u32, at_ns: i64) -> bool {
        let end_ns = self.end_of(number);
        if at_ns >= end_ns {
            self.retire(number, end_ns);
        }
        at_ns < end_ns
    }

    /// Nothing more comes from a user: it has done its loops, or its time is over.
    fn retire(&mut self, number: u32, at_ns: i64) {
        let at_ns = at_ns.min(self.end_of(number));
        self.over_ns = self.over_ns.max(Some(at_ns));
        if !self.group_of(number).closed.background {
            self.retired = self.retired.and(Retired { count: 1, at_ns });
        }
    }

    fn user(&self, number: u32) -> &User {
        &self.users[self.share.place(number)]
    }

    fn user_mut(&mut self, number: u32) -> &mut User {
        &mut self.users[self.share.place(number)]
    }

    fn group_of(&self, number: u32) -> ClosedGroup<'plan> {
        let user = self.user(number);
        self.groups[usize::from(user.group)]
    }

    fn arrival(&self, number: u32, scheduled_ns: i64) -> Arrival {
        let user = self.user(number);
        let ClosedGroup { index, group, .. } = self.group_of(number);
        Arrival {
            scheduled_ns,
            user: number,
            loop_number: user.loops_done,
            step: group.steps[usize::from(user.position)] as u16,
            group: index,
            position: user.position,
            is_open: false,
            step_since_ns: user.repeats_since_ns.min(scheduled_ns),
        }
    }

    fn think_ns(&self, number: u32) -> i64 {
        let think_ns = self.group_of(number).closed.think_ns;
        think_ns.max(retry_ns(self.user(number).unreached))
    }

    /// Move a user to its next step. False when it has done its last loop.
    fn advance(&mut self, arrival: &Arrival) -> bool {
        let ClosedGroup { group, closed, .. } = self.group_of(arrival.user);
        let seed = self.seed;
        let user = self.user_mut(arrival.user);
        user.repeats_since_ns = i64::MAX;
        user.position += 1;
        if group.weights.is_empty() && usize::from(user.position) < group.steps.len() {
            return true;
        }
        user.loops_done += 1;
        user.position = first_position(group, seed, arrival.user, user.loops_done);
        user.loops_done != closed.loops
    }
}

/// The step with which a user begins a loop: the first, or one drawn by weight.
fn first_position(group: &Group, seed: u64, user: u32, loops_done: u64) -> u16 {
    match group.weights.as_slice() {
        [] => 0,
        weights => draw_weighted(seed, user.into(), loops_done, weights),
    }
}

/// How long a user waits whom no server was there for, so often in a row.
fn retry_ns(unreached: u32) -> i64 {
    match unreached.checked_sub(1) {
        None => 0,
        Some(doubled) => (FIRST_RETRY_NS << doubled.min(16)).min(LONGEST_RETRY_NS),
    }
}

/// When user `k` of a group starts.
fn start_ns(closed: &Closed, k: u32) -> i64 {
    (i128::from(closed.ramp_ns) * i128::from(k) / i128::from(closed.users)) as i64
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

    fn ended(&mut self, arrival: &Arrival, end_ns: i64, next: Next) -> Option<Arrival> {
        let user = self.user_mut(arrival.user);
        user.unreached = match next {
            Next::Unreached => user.unreached.saturating_add(1),
            Next::GoOn | Next::Repeat { .. } => 0,
        };
        let pause_ns = match next {
            Next::Repeat { interval_ns } => {
                let user = self.user_mut(arrival.user);
                user.repeats_since_ns = arrival.step_since_ns;
                interval_ns
            }
            Next::GoOn | Next::Unreached if self.advance(arrival) => self.think_ns(arrival.user),
            Next::GoOn | Next::Unreached => {
                self.retire(arrival.user, end_ns);
                return None;
            }
        };
        if pause_ns > 0 {
            self.rest(arrival.user, end_ns.saturating_add(pause_ns));
            return None;
        }
        self.may_go_on(arrival.user, end_ns)
            .then(|| self.arrival(arrival.user, end_ns))
    }

    fn take_retired(&mut self) -> Retired {
        std::mem::take(&mut self.retired)
    }

    fn end_scheduling(&mut self, at_ns: i64) {
        self.end_ns = self.end_ns.min(at_ns);
        let end_ns = self.end_ns;
        let (kept, dropped) = std::mem::take(&mut self.resting)
            .into_iter()
            .partition(|resting| resting.0.0 < end_ns);
        self.resting = kept;
        for Reverse((_, number)) in Vec::from(dropped) {
            self.retire(number, end_ns);
        }
    }

    fn is_exhausted(&self) -> bool {
        self.resting.is_empty()
    }

    fn over_ns(&self) -> Option<i64> {
        self.over_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{closed_of, simple_plan};

    /// Perform everything at once: each request takes `service_ns`. Returns (user, step, scheduled) in order of time.
    fn perform(load: &mut ClosedLoop<'_>, service_ns: i64) -> Vec<(u32, u16, i64)> {
        let mut performed = Vec::new();
        while !load.is_exhausted() {
            let now_ns = load.next_due_ns();
            assert_eq!(load.take_due(now_ns - 1), None);
            let mut next = load.take_due(now_ns);
            while let Some(arrival) = next {
                performed.push((arrival.user, arrival.step, arrival.scheduled_ns));
                next = load.ended(&arrival, arrival.scheduled_ns + service_ns, Next::GoOn);
            }
        }
        performed
    }

    fn plan_of_two_steps() -> Plan {
        let mut plan = simple_plan(80, 2, 2);
        let mut other = plan.steps[0].clone();
        other.address = 1;
        plan.addresses.push(plan.addresses[0].clone());
        plan.steps.push(other);
        plan.groups[0].steps = vec![1, 0];
        plan
    }

    #[test]
    fn users_perform_their_steps_in_order_as_often_as_told() {
        let plan = plan_of_two_steps();
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        let of_user = |user| [(user, 1, 0), (user, 0, 5), (user, 1, 10), (user, 0, 15)];
        assert_eq!(perform(&mut load, 5), [of_user(0), of_user(1)].concat());
        assert_eq!(load.over_ns(), Some(20));
        assert_eq!(load.users_by_address(&plan), [2, 2]);
    }

    #[test]
    fn thinking_and_ramp_move_the_schedule() {
        let mut plan = simple_plan(80, 4, 2);
        closed_of(&mut plan).ramp_ns = 1000;
        closed_of(&mut plan).think_ns = 300;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        let performed = perform(&mut load, 7);
        let expected = [
            (0, 0),
            (1, 250),
            (0, 307),
            (2, 500),
            (1, 557),
            (3, 750),
            (2, 807),
            (3, 1057),
        ];
        assert_eq!(performed, expected.map(|(user, at_ns)| (user, 0, at_ns)));
    }

    #[test]
    fn users_are_dealt_out_to_threads() {
        let mut plan = simple_plan(80, 5, 1);
        plan.threads = 3;
        let users = |thread| -> Vec<u32> {
            let mut load = ClosedLoop::new(&plan, plan.share_of(thread));
            perform(&mut load, 1)
                .iter()
                .map(|performed| performed.0)
                .collect()
        };
        assert_eq!([users(0), users(1), users(2)], [vec![0, 3], vec![1, 4], vec![2]]);
    }

    #[test]
    fn nothing_is_scheduled_at_the_end_or_later() {
        let mut plan = simple_plan(80, 1, 0);
        plan.groups[0].duration_ns = 20;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        let times: Vec<i64> = perform(&mut load, 5)
            .iter()
            .map(|performed| performed.2)
            .collect();
        assert_eq!(times, [0, 5, 10, 15]);
        assert_eq!(load.over_ns(), Some(20));
    }

    #[test]
    fn a_stop_drops_users_that_rest_beyond_it() {
        let mut plan = simple_plan(80, 2, 9);
        closed_of(&mut plan).ramp_ns = 100;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        load.end_scheduling(50);
        load.end_scheduling(70);
        let times: Vec<i64> = perform(&mut load, 20)
            .iter()
            .map(|performed| performed.2)
            .collect();
        assert_eq!(times, [0, 20, 40]);
        assert_eq!(load.over_ns(), Some(50));
    }

    #[test]
    fn loops_that_end_first_are_over_with_their_last_end() {
        let mut plan = simple_plan(80, 1, 2);
        plan.groups[0].duration_ns = 1000;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        assert_eq!(perform(&mut load, 5).len(), 2);
        assert_eq!(load.over_ns(), Some(10));
    }

    #[test]
    fn a_step_that_is_repeated_remembers_since_when() {
        let plan = plan_of_two_steps();
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        let first = load.take_due(0).unwrap();
        assert_eq!(first.step_since_ns, 0);
        let repeat = Next::Repeat { interval_ns: 10 };
        assert_eq!(load.ended(&first, 5, repeat), None);
        load.take_due(0);
        assert_eq!(load.take_due(14), None);
        let again = load.take_due(15).unwrap();
        assert_eq!(
            (again.step, again.scheduled_ns, again.step_since_ns),
            (first.step, 15, 0)
        );
        let next = load.ended(&again, 20, Next::GoOn).unwrap();
        assert_ne!(next.step, first.step);
        assert_eq!(next.step_since_ns, 20);
    }

    #[test]
    fn a_user_whom_no_server_was_there_for_waits_longer_each_time() {
        let mut plan = simple_plan(80, 1, 100);
        closed_of(&mut plan).think_ns = 6 * NS_PER_MS;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        let mut waited_ms = Vec::new();
        let mut end_ns = 0;
        let mut ends = |next| {
            let arrival = load.take_due(load.next_due_ns()).unwrap();
            assert_eq!(load.ended(&arrival, end_ns, next), None);
            waited_ms.push((load.next_due_ns() - end_ns) / NS_PER_MS);
            end_ns = load.next_due_ns() + 1;
        };
        (0..11).for_each(|_| ends(Next::Unreached));
        ends(Next::GoOn);
        ends(Next::Unreached);
        ends(Next::Unreached);
        // The longer of the pause and the think time.
        assert_eq!(
            waited_ms,
            [6, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 6, 6, 10]
        );
    }

    #[test]
    fn a_mix_performs_one_step_a_loop_by_weight_and_seed() {
        let mut plan = plan_of_two_steps();
        plan.groups[0].weights = vec![3, 1];
        closed_of(&mut plan).loops = 2000;
        let performed = perform(&mut ClosedLoop::new(&plan, Share::WHOLE), 1);
        assert_eq!(performed.len(), 4000);
        let heavy = performed.iter().filter(|performed| performed.1 == 1).count();
        assert!((2850..3150).contains(&heavy), "{heavy} of 4000");
        assert_eq!(performed, perform(&mut ClosedLoop::new(&plan, Share::WHOLE), 1));
        plan.seed = 1;
        assert_ne!(performed, perform(&mut ClosedLoop::new(&plan, Share::WHOLE), 1));
    }

    #[test]
    fn only_foreground_users_retire() {
        let mut plan = simple_plan(80, 2, 1);
        plan.groups.push(plan.groups[0].clone());
        closed_of(&mut plan).background = true;
        closed_of(&mut plan).loops = 0;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        let arrivals: Vec<Arrival> = std::iter::from_fn(|| load.take_due(0)).collect();
        assert_eq!(arrivals.len(), 4);
        let goes_on = arrivals
            .iter()
            .filter(|arrival| load.ended(arrival, 1, Next::GoOn).is_some());
        assert_eq!(goes_on.count(), 2);
        assert_eq!((load.take_retired().count, load.take_retired().count), (2, 0));
    }

    #[test]
    fn users_whose_time_is_over_retire_too_each_once() {
        let mut plan = simple_plan(80, 4, 0);
        plan.groups[0].duration_ns = 100;
        closed_of(&mut plan).ramp_ns = 120;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        // The last begins at 90; nobody at 100 or later.
        let first = load.take_due(0).unwrap();
        assert_eq!(load.take_retired(), Retired::default());
        assert_eq!(load.ended(&first, 100, Next::GoOn), None);
        assert_eq!(load.take_retired(), Retired { count: 1, at_ns: 100 });
        let second = load.take_due(30).unwrap();
        assert_eq!(load.ended(&second, 50, Next::Repeat { interval_ns: 80 }), None);
        assert_eq!(
            load.take_retired(),
            Retired { count: 1, at_ns: 100 },
            "its time is over then, though that is known now"
        );
        let third = load.take_due(60).unwrap();
        load.end_scheduling(80);
        assert_eq!(load.take_retired(), Retired { count: 1, at_ns: 80 });
        assert_eq!(load.ended(&third, 90, Next::GoOn), None);
        assert_eq!(load.take_retired(), Retired { count: 1, at_ns: 80 });
        assert_eq!((load.over_ns(), load.is_exhausted()), (Some(100), true));
    }

    #[test]
    fn a_ramp_beyond_the_duration_retires_who_never_begins() {
        let mut plan = simple_plan(80, 2, 0);
        plan.groups[0].duration_ns = 10;
        closed_of(&mut plan).ramp_ns = 40;
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        assert_eq!(load.take_retired(), Retired { count: 1, at_ns: 10 });
    }

    #[test]
    fn a_background_ends_with_the_time_of_the_others_if_all_have_one() {
        let mut plan = simple_plan(80, 1, 0);
        plan.groups.push(plan.groups[0].clone());
        closed_of(&mut plan).background = true;
        plan.groups[1].duration_ns = 20;
        plan.validate().unwrap();
        assert_eq!(plan.longest_ns(), 20);
        let mut load = ClosedLoop::new(&plan, Share::WHOLE);
        assert_eq!(perform(&mut load, 5).len(), 8);
        assert_eq!(load.over_ns(), Some(20));
        plan.groups.push(plan.groups[1].clone());
        plan.groups[2].duration_ns = 0;
        assert_eq!(
            (plan.end_ns(&plan.groups[0]), plan.longest_ns()),
            (i64::MAX, i64::MAX)
        );
    }
}
