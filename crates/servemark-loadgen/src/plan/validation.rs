//! What a plan must not be: indices that lead nowhere, and what would never end or cannot be written.

use super::{Closed, Group, GroupLoad, Open, Part, Plan, Request, Step};
use crate::error::PlanError;
use crate::fault::Fault;

/// Users of closed loops together: each has a descriptor at least, and Linux gives a process no more (`fs.nr_open`).
const MOST_USERS: u64 = 1 << 20;

impl Plan {
    /// Check that every index, size and time makes sense.
    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        require(self.threads >= 1, || "threads must be at least 1".into())?;
        require(self.share.index < self.share.of, || {
            format!("there is no share {} of {}", self.share.index, self.share.of)
        })?;
        require(self.timeout_ns > 0, || "timeout_ns must be positive".into())?;
        require(self.connect_timeout_ns > 0, || {
            "connect_timeout_ns must be positive".into()
        })?;
        require(self.warmup_ns >= 0, || "warmup_ns must not be negative".into())?;
        require(self.fault.is_none_or(Fault::makes_sense), || {
            "a fault needs an amount above 0".into()
        })?;
        require(!self.groups.is_empty(), || "a plan needs a group".into())?;
        let columns = usize::from(u16::MAX);
        require(
            self.steps.len() <= columns && self.groups.len() <= columns,
            || format!("at most {columns} steps and groups"),
        )?;
        for step in &self.steps {
            self.validate_step(step)?;
        }
        for (index, group) in self.groups.iter().enumerate() {
            self.validate_group(index, group)?;
        }
        let closed = self.groups.iter().filter_map(Group::closed);
        let users: u64 = closed.map(|closed| u64::from(closed.users)).sum();
        let most = MOST_USERS * u64::from(self.share.of);
        require(users <= most.min(u32::MAX.into()), || {
            format!("{users} users are more than the {MOST_USERS} that one process can have")
        })
    }

    fn validate_step(&self, step: &Step) -> Result<(), PlanError> {
        let name = &step.name;
        require(step.address < self.addresses.len(), || {
            format!("step {name:?} names address {}", step.address)
        })?;
        require(!step.requests.is_empty(), || {
            format!("step {name:?} has no request")
        })?;
        if let Some(until) = &step.until {
            require(
                !until.text.is_empty() && until.interval_ns >= 0 && until.limit_ns > 0,
                || format!("step {name:?} repeats until something that cannot be"),
            )?;
        }
        require(u32::try_from(step.requests.len()).is_ok(), || {
            format!("step {name:?} has too many requests")
        })?;
        for request in &step.requests {
            require(request.is_sound(), || {
                format!("step {name:?} has a request that cannot be written")
            })?;
            for patch in &request.patches {
                let end = patch.offset.checked_add(patch.width);
                let part = match patch.part {
                    Part::Target => request.target.len(),
                    Part::Body => request.body.as_slice().len(),
                };
                require(end.is_some_and(|end| end <= part), || {
                    format!("step {name:?} has a patch outside its request")
                })?;
            }
        }
        Ok(())
    }

    fn validate_group(&self, index: usize, group: &Group) -> Result<(), PlanError> {
        require(!group.steps.is_empty(), || format!("group {index} has no step"))?;
        require(group.steps.iter().all(|&step| step < self.steps.len()), || {
            format!("group {index} names a step that does not exist")
        })?;
        require(u16::try_from(group.steps.len()).is_ok(), || {
            format!("group {index} has too many steps")
        })?;
        require(group.duration_ns >= 0, || {
            format!("group {index} has a negative duration")
        })?;
        let weights = group.weights.iter().map(|&weight| u64::from(weight));
        require(
            group.weights.is_empty()
                || (group.weights.len() == group.steps.len() && weights.sum::<u64>() > 0),
            || format!("group {index} needs a weight for each step, not all of them 0"),
        )?;
        match &group.load {
            GroupLoad::Closed(closed) => self.validate_closed(index, group, closed),
            GroupLoad::Open(open) => self.validate_open(index, group, open),
        }
    }

    fn validate_closed(&self, index: usize, group: &Group, closed: &Closed) -> Result<(), PlanError> {
        require(closed.users >= 1, || format!("group {index} has no user"))?;
        require(closed.ramp_ns >= 0 && closed.think_ns >= 0, || {
            format!("group {index} has a negative time")
        })?;
        require(!closed.background || self.foreground() > 0, || {
            format!("group {index} is in the background of nothing, or of nobody in this share")
        })?;
        require(
            closed.loops > 0 || group.duration_ns > 0 || closed.background,
            || format!("group {index} has neither loops nor a duration: it would never end"),
        )
    }

    fn validate_open(&self, index: usize, group: &Group, open: &Open) -> Result<(), PlanError> {
        open.arrivals
            .validate()
            .map_err(|error| PlanError(format!("group {index}: {error}")))?;
        require(open.arrivals.is_finite() || group.duration_ns > 0, || {
            format!("group {index} has neither a number of arrivals nor a duration: it would never end")
        })?;
        let threads = u64::from(self.threads) * u64::from(self.share.of);
        require(u64::from(open.max_connections) >= threads, || {
            format!(
                "group {index} may have {} connections, but each of {threads} threads needs one of its own",
                open.max_connections
            )
        })
    }
}

impl Request {
    /// Whether it has a method and a target, and nothing in its head would be read as the end of a line.
    fn is_sound(&self) -> bool {
        let fields = self.headers.iter();
        let mut words = fields.flat_map(|field| [&field.name, &field.value]);
        let is_sound = |word: &Vec<u8>| !word.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0'));
        let start = [&self.method, &self.target];
        start.into_iter().all(|word| !word.is_empty() && is_sound(word)) && words.all(is_sound)
    }
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), PlanError> {
    if holds { Ok(()) } else { Err(PlanError(message())) }
}
