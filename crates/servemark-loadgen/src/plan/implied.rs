//! What a plan implies: who sends what, for how long, over how many connections, and what is looked at.

use super::{Draws, Group, Plan, Step};
use crate::body::Watch;
use crate::draw::{draw, draw_each_once};
use crate::due::Arrival;
use crate::expect::{Expect, FirstBody};
use crate::realtime::Realtime;
use crate::share::Share;
use crate::table::Table;

/// How much of a body is kept when a step looks into it: a description of a model with a hundred workers fits.
const LOOKED_AT_BYTES: usize = 256 * 1024;

impl Plan {
    /// By step, what is looked at of its bodies: for examples of failures, and by steps that look into them.
    pub(crate) fn watches(&self) -> Vec<Watch> {
        let watch = |step: &Step| {
            let looked_at = if step.looks() { LOOKED_AT_BYTES } else { 0 };
            Watch {
                keep_bytes: self.keep_body_bytes.max(looked_at),
                digest: matches!(step.expect, Some(Expect::Same)),
                hands_on: step.keeps_bodies,
            }
        };
        self.steps.iter().map(watch).collect()
    }

    /// Which request of its step's pool an arrival sends: a pure function of the seed and of whose it is.
    pub(crate) fn input_of(&self, arrival: &Arrival) -> u32 {
        let step = &self.steps[usize::from(arrival.step)];
        if step.draws == Draws::Any {
            return draw(self.seed, arrival, step.requests.len());
        }
        // Of an open loop each arrival is a user of its own, so many of whom fit into a number.
        let users = if arrival.is_open {
            1 << 32
        } else {
            self.groups
                .iter()
                .filter_map(Group::closed)
                .map(|closed| u64::from(closed.users))
                .sum()
        };
        let number = arrival.loop_number * users + u64::from(arrival.user);
        if step.draws == Draws::InOrder {
            return (number % step.requests.len() as u64) as u32;
        }
        draw_each_once(self.seed, number, step.requests.len())
    }

    /// What is recorded beside the records.
    pub(crate) fn tables_beside(&self) -> Vec<Table> {
        let events = self.record_events.then_some(Table::Events);
        let keeps_bodies = self.steps.iter().any(|step| step.keeps_bodies);
        let bodies = keeps_bodies.then_some(Table::Bodies);
        events.into_iter().chain(bodies).collect()
    }

    /// Whether a group is an open loop.
    pub(crate) fn is_open(&self) -> bool {
        self.groups.iter().any(|group| group.open().is_some())
    }

    /// Whether generator threads ask for real-time priority.
    pub(crate) fn asks_realtime(&self) -> bool {
        match self.realtime {
            Realtime::Auto => self.is_open(),
            Realtime::On => true,
            Realtime::Off => false,
        }
    }

    /// What thread `thread` sends, as a share of the whole plan.
    pub(crate) fn share_of(&self, thread: u32) -> Share {
        self.share.part(thread, self.threads)
    }

    /// Whether a group goes on until the others are done.
    pub(crate) fn has_background(&self) -> bool {
        self.groups.iter().any(Group::is_background)
    }

    /// How many report that their work is done before the background ends: each user of a closed loop that is not in it,
    /// and each thread for its part of an open loop. Of several generators each goes by its own.
    pub(crate) fn foreground(&self) -> u64 {
        let users = self.users_by_group(self.share);
        let groups = self
            .groups
            .iter()
            .zip(users)
            .filter(|(group, _)| !group.is_background());
        let count = |(group, users): (&Group, u32)| {
            if group.open().is_some() {
                self.threads
            } else {
                users
            }
        };
        groups.map(count).map(u64::from).sum()
    }

    /// By group, how many of the users of a closed loop are in a generator's share; they are numbered over all groups.
    fn users_by_group(&self, share: Share) -> impl Iterator<Item = u32> {
        self.groups.iter().scan(0, move |before, group| {
            let first = *before;
            *before += group.closed().map_or(0, |closed| closed.users);
            Some(share.amount(*before) - share.amount(first))
        })
    }

    /// The addresses that the steps of a group lead to.
    pub(crate) fn addresses_of(&self, group: &Group) -> Vec<usize> {
        let mut visited: Vec<usize> = group.steps.iter().map(|&step| self.steps[step].address).collect();
        visited.sort_unstable();
        visited.dedup();
        visited
    }

    /// By address, the connections that this generator's users of closed loops have there: one each.
    pub(crate) fn closed_connections(&self) -> Vec<u64> {
        self.connections_of(&[self.share])
    }

    /// The same of all generators on this machine, together.
    pub(crate) fn closed_connections_here(&self) -> Vec<u64> {
        let others = self.beside.iter().map(|&index| Share { index, ..self.share });
        let shares: Vec<Share> = others.chain([self.share]).collect();
        self.connections_of(&shares)
    }

    /// By address, the connections that the users of closed loops in `shares` have there: one each.
    fn connections_of(&self, shares: &[Share]) -> Vec<u64> {
        let mut connections = vec![0; self.addresses.len()];
        for &share in shares {
            for (group, users) in self.groups.iter().zip(self.users_by_group(share)) {
                for address in self.addresses_of(group) {
                    connections[address] += u64::from(users);
                }
            }
        }
        connections
    }

    /// By address, the connections that this generator's open loops may have there at most; 0 where none goes.
    pub(crate) fn open_connections(&self) -> Vec<u32> {
        let mut most = vec![0; self.addresses.len()];
        for group in &self.groups {
            let Some(open) = group.open() else { continue };
            for address in self.addresses_of(group) {
                most[address] = self.share.amount(open.max_connections).max(most[address]);
            }
        }
        most
    }

    /// From when a group schedules nothing, whatever its work is; `i64::MAX` when no time ends it. A background ends with
    /// the time of the others, if all of them have one.
    pub(crate) fn end_ns(&self, group: &Group) -> i64 {
        if !group.is_background() {
            return group.duration_or_never_ns();
        }
        let others = self.groups.iter().filter(|other| !other.is_background());
        let others_end_ns = others.map(Group::duration_or_never_ns).max();
        group
            .duration_or_never_ns()
            .min(others_end_ns.unwrap_or(i64::MAX))
    }

    /// From when no group schedules anything; `i64::MAX` when no time ends one.
    pub(crate) fn longest_ns(&self) -> i64 {
        let ends = self.groups.iter().map(|group| self.end_ns(group));
        ends.max().unwrap_or(i64::MAX)
    }
}

impl Step {
    /// Whether it looks into bodies, beyond their digest.
    fn looks(&self) -> bool {
        self.until.is_some() || self.expect.as_ref().is_some_and(Expect::looks)
    }

    /// Where the first body of each input is remembered, if anything is compared with it.
    pub(crate) fn first_bodies(&self) -> Vec<FirstBody> {
        let compares = matches!(self.expect, Some(Expect::Same));
        let inputs = if compares { self.requests.len() } else { 0 };
        (0..inputs).map(|_| FirstBody::new()).collect()
    }
}

impl Group {
    fn duration_or_never_ns(&self) -> i64 {
        match self.duration_ns {
            0 => i64::MAX,
            duration_ns => duration_ns,
        }
    }

    pub(super) fn is_background(&self) -> bool {
        self.closed().is_some_and(|closed| closed.background)
    }
}
