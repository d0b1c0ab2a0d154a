//! The open loop: arrivals come by their schedule, whatever becomes of those before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Arrival, Load, Next, Retired};
use crate::arrival::Schedule;
use crate::draw::draw_weighted;
use crate::plan::{Group, Open, Plan};
use crate::share::Share;

/// The arrivals of one group that belong to one generator thread.
///
/// Each is a user who performs the group's steps once: all in order, the next when the last has ended, or one that is
/// drawn by weight.
#[derive(Debug)]
pub(crate) struct OpenLoop<'plan> {
    group: &'plan Group,
    index: u16,
    stream: u32,
    /// From one of its arrivals to the next, in numbers.
    stride: u64,
    seed: u64,
    schedule: Schedule<'plan>,
    /// Number and time of the next arrival.
    next: Option<(u64, i64)>,
    /// Users who repeat their step after a pause.
    resting: BinaryHeap<Reverse<Resting>>,
    /// Users who have arrived and not gone yet.
    under_way: u64,
    end_ns: i64,
    over_ns: Option<i64>,
    is_retired: bool,
}

/// In order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Resting {
    at_ns: i64,
    number: u64,
    position: u16,
    since_ns: i64,
}

impl<'plan> OpenLoop<'plan> {
    /// What `share` has of group `index` of `plan`, which is the open loop `open`.
    pub(crate) fn new(plan: &'plan Plan, index: usize, open: &'plan Open, share: Share) -> Self {
        let group = &plan.groups[index];
        let mut created = Self {
            group,
            index: index as u16,
            stream: open.arrivals.stream,
            stride: share.of.into(),
            seed: plan.seed,
            schedule: Schedule::new(&open.arrivals, plan.seed),
            next: None,
            resting: BinaryHeap::new(),
            under_way: 0,
            end_ns: match group.duration_ns {
                0 => i64::MAX,
                duration_ns => duration_ns,
            },
            over_ns: None,
            is_retired: false,
        };
        created.find(share.index.into());
        created
    }

    /// Index of its group in the plan.
    pub(super) fn index(&self) -> u16 {
        self.index
    }

    /// Look up when arrival `number` is due.
    fn find(&mut self, number: u64) {
        self.next = match self.schedule.time_ns(number) {
            Some(at_ns) if self.is_before_end(at_ns) => Some((number, at_ns)),
            Some(_) => None,
            None => {
                // A schedule that is over before the load's time ends with that, as one that is cut off.
                if self.end_ns < i64::MAX {
                    self.over_ns = self.over_ns.max(Some(self.end_ns));
                }
                None
            }
        };
    }

    /// Whether work at `at_ns` may be scheduled; notes the end that cut it off if not.
    fn is_before_end(&mut self, at_ns: i64) -> bool {
        if at_ns >= self.end_ns {
            self.over_ns = self.over_ns.max(Some(self.end_ns));
        }
        at_ns < self.end_ns
    }

    fn arrival(&self, number: u64, position: u16, scheduled_ns: i64, step_since_ns: i64) -> Arrival {
        Arrival {
            scheduled_ns,
            user: number as u32,
            loop_number: number >> 32,
            step: self.group.steps[usize::from(position)] as u16,
            group: self.index,
            position,
            is_open: true,
            step_since_ns,
        }
    }

    /// The step with which a user begins: the first, or one drawn by weight.
    fn first_position(&self, number: u64) -> u16 {
        match self.group.weights.as_slice() {
            [] => 0,
            weights => draw_weighted(self.seed, number, u64::from(!self.stream), weights),
        }
    }

    fn is_last(&self, position: u16) -> bool {
        !self.group.weights.is_empty() || usize::from(position) + 1 == self.group.steps.len()
    }

    fn next_resting_ns(&self) -> i64 {
        self.resting.peek().map_or(i64::MAX, |resting| resting.0.at_ns)
    }

    fn take_next(&mut self, now_ns: i64) -> Option<Arrival> {
        let (number, at_ns) = self.next.filter(|&(_, at_ns)| at_ns <= now_ns)?;
        let arrival = self.arrival(number, self.first_position(number), at_ns, at_ns);
        self.find(number + self.stride);
        self.under_way += 1;
        Some(arrival)
    }

    fn take_resting(&mut self, now_ns: i64) -> Option<Arrival> {
        if self.next_resting_ns() > now_ns {
            return None;
        }
        let Reverse(resting) = self.resting.pop()?;
        Some(self.arrival(resting.number, resting.position, resting.at_ns, resting.since_ns))
    }
}

impl Load for OpenLoop<'_> {
    fn next_due_ns(&self) -> i64 {
        self.next
            .map_or(i64::MAX, |(_, at_ns)| at_ns)
            .min(self.next_resting_ns())
    }

    fn take_due(&mut self, now_ns: i64) -> Option<Arrival> {
        if self
            .next
            .is_some_and(|(_, at_ns)| at_ns <= self.next_resting_ns())
        {
            return self.take_next(now_ns);
        }
        self.take_resting(now_ns)
    }

    fn ended(&mut self, arrival: &Arrival, end_ns: i64, next: Next) -> Option<Arrival> {
        let (position, at_ns, since_ns) = match next {
            Next::Repeat { interval_ns } => (
                arrival.position,
                end_ns.saturating_add(interval_ns),
                arrival.step_since_ns,
            ),
            Next::GoOn | Next::Unreached if self.is_last(arrival.position) => {
                self.under_way -= 1;
                self.over_ns = self.over_ns.max(Some(end_ns.min(self.end_ns)));
                return None;
            }
            Next::GoOn | Next::Unreached => (arrival.position + 1, end_ns, end_ns),
        };
        if !self.is_before_end(at_ns) {
            self.under_way -= 1;
            return None;
        }
        let number = (arrival.loop_number << 32) | u64::from(arrival.user);
        if at_ns > end_ns {
            self.resting.push(Reverse(Resting {
                at_ns,
                number,
                position,
                since_ns,
            }));
            return None;
        }
        Some(self.arrival(number, position, at_ns, since_ns))
    }

    fn take_retired(&mut self) -> Retired {
        let was_retired = self.is_retired;
        self.is_retired = self.next.is_none() && self.under_way == 0;
        if was_retired || !self.is_retired {
            return Retired::default();
        }
        Retired {
            count: 1,
            at_ns: self.over_ns.unwrap_or(i64::MIN),
        }
    }

    fn end_scheduling(&mut self, at_ns: i64) {
        self.end_ns = self.end_ns.min(at_ns);
        let end_ns = self.end_ns;
        if self.next.is_some_and(|(_, next_ns)| !self.is_before_end(next_ns)) {
            self.next = None;
        }
        let users_before = self.resting.len();
        self.resting.retain(|resting| resting.0.at_ns < end_ns);
        let dropped = users_before - self.resting.len();
        if dropped > 0 {
            self.under_way -= dropped as u64;
            self.over_ns = self.over_ns.max(Some(end_ns));
        }
    }

    fn is_exhausted(&self) -> bool {
        self.next.is_none() && self.resting.is_empty()
    }

    fn over_ns(&self) -> Option<i64> {
        self.over_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::GroupLoad;
    use crate::plan::tests::{evenly, simple_plan};

    /// 10 a second, `count` of them, each `steps` steps.
    fn plan(count: u64, steps: usize) -> Plan {
        let mut plan = simple_plan(80, 1, 1);
        plan.steps = vec![plan.steps[0].clone(); steps];
        plan.groups[0].steps = (0..steps).collect();
        plan.groups[0].load = GroupLoad::Open(evenly(10.0, count));
        plan
    }

    fn open(plan: &Plan, thread: u32) -> OpenLoop<'_> {
        OpenLoop::new(plan, 0, plan.groups[0].open().unwrap(), plan.share_of(thread))
    }

    const TENTH_NS: i64 = 100_000_000;

    /// Everything that arrives, with nothing ever answered: (user, scheduled).
    fn arrive(load: &mut OpenLoop<'_>) -> Vec<(u32, i64)> {
        let mut arrived = Vec::new();
        while !load.is_exhausted() {
            let now_ns = load.next_due_ns();
            assert_eq!(load.take_due(now_ns - 1), None);
            let arrival = load.take_due(now_ns).unwrap();
            arrived.push((arrival.user, arrival.scheduled_ns));
        }
        arrived
    }

    #[test]
    fn arrivals_wait_for_nobody_and_are_dealt_out_to_threads() {
        let mut plan = plan(7, 1);
        assert_eq!(
            arrive(&mut open(&plan, 0)),
            (0..7).map(|i| (i, i64::from(i) * TENTH_NS)).collect::<Vec<_>>()
        );
        plan.threads = 3;
        let users = |thread| -> Vec<u32> {
            arrive(&mut open(&plan, thread))
                .iter()
                .map(|arrived| arrived.0)
                .collect()
        };
        assert_eq!(
            [users(0), users(1), users(2)],
            [vec![0, 3, 6], vec![1, 4], vec![2, 5]]
        );
    }

    #[test]
    fn the_steps_of_an_arrival_follow_one_another() {
        let plan = plan(1, 3);
        let mut load = open(&plan, 0);
        let first = load.take_due(0).unwrap();
        assert!(load.is_exhausted());
        let second = load.ended(&first, 50, Next::GoOn).unwrap();
        assert_eq!((second.user, second.step, second.scheduled_ns), (0, 1, 50));
        assert_eq!(load.ended(&second, 60, Next::Repeat { interval_ns: 40 }), None);
        assert_eq!((load.next_due_ns(), load.take_retired().count), (100, 0));
        let again = load.take_due(100).unwrap();
        assert_eq!((again.step, again.step_since_ns), (1, 50));
        let third = load.ended(&again, 110, Next::GoOn).unwrap();
        assert_eq!((third.step, third.step_since_ns), (2, 110));
        assert_eq!(load.ended(&third, 120, Next::GoOn), None);
        assert_eq!(load.take_retired(), Retired { count: 1, at_ns: 120 });
        assert_eq!((load.take_retired().count, load.over_ns()), (0, Some(120)));
    }

    #[test]
    fn a_mix_draws_one_step_for_each_arrival() {
        let mut plan = plan(4000, 2);
        plan.groups[0].weights = vec![3, 1];
        let steps = |plan: &Plan| -> Vec<u16> {
            let mut load = open(plan, 0);
            let arrivals = std::iter::from_fn(|| load.take_due(i64::MAX - 1));
            arrivals.map(|arrival| arrival.step).collect()
        };
        let drawn = steps(&plan);
        let heavy = drawn.iter().filter(|&&step| step == 0).count();
        assert!((2850..3150).contains(&heavy), "{heavy} of 4000");
        plan.seed = 1;
        assert_ne!(drawn, steps(&plan));
        let mut load = open(&plan, 0);
        let arrival = load.take_due(0).unwrap();
        assert_eq!(load.ended(&arrival, 5, Next::GoOn), None);
    }

    #[test]
    fn the_end_of_the_duration_and_a_stop_cut_arrivals_off() {
        let mut plan = plan(0, 2);
        plan.groups[0].duration_ns = 3 * TENTH_NS;
        plan.validate().unwrap();
        let mut load = open(&plan, 0);
        assert_eq!(arrive(&mut load).len(), 3);
        assert_eq!(load.over_ns(), Some(3 * TENTH_NS));
        let mut load = open(&plan, 0);
        let first = load.take_due(0).unwrap();
        load.end_scheduling(TENTH_NS);
        assert!(load.is_exhausted());
        assert_eq!(load.ended(&first, TENTH_NS, Next::GoOn), None);
        let retired = Retired {
            count: 1,
            at_ns: TENTH_NS,
        };
        assert_eq!((load.over_ns(), load.take_retired()), (Some(TENTH_NS), retired));
    }

    #[test]
    fn a_schedule_that_is_over_before_the_duration_ends_with_it() {
        let mut plan = plan(2, 1);
        let mut load = open(&plan, 0);
        assert_eq!(arrive(&mut load).len(), 2);
        assert_eq!(
            load.over_ns(),
            None,
            "without a duration it ends with its last response"
        );
        plan.groups[0].duration_ns = 5 * TENTH_NS;
        let mut load = open(&plan, 0);
        assert_eq!(arrive(&mut load).len(), 2);
        assert_eq!(load.over_ns(), Some(5 * TENTH_NS));
    }

    #[test]
    fn a_stop_drops_users_who_rest_beyond_it() {
        let plan = plan(1, 1);
        let mut load = open(&plan, 0);
        let first = load.take_due(0).unwrap();
        assert_eq!(load.ended(&first, 5, Next::Repeat { interval_ns: 100 }), None);
        load.end_scheduling(50);
        assert!(load.is_exhausted());
        assert_eq!((load.over_ns(), load.take_retired().count), (Some(50), 1));
    }

    #[test]
    fn a_thread_without_an_arrival_is_done_at_once() {
        let mut plan = plan(1, 1);
        plan.threads = 2;
        assert_eq!(
            (
                open(&plan, 0).take_retired().count,
                open(&plan, 1).take_retired().count
            ),
            (0, 1)
        );
    }
}
