//! A plan: all that a run needs, as `servemark.workload.plan.EnginePlan` describes it. Times are nanoseconds.

use std::net::{IpAddr, SocketAddr};

use crate::error::PlanError;

/// Everything that one run sends.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The endpoints.
    pub addresses: Vec<Address>,
    /// The steps, which name an address by its index.
    pub steps: Vec<Step>,
    /// The groups, which name steps by their index; all run at the same time.
    pub groups: Vec<Group>,
    /// Records scheduled before it carry the warm-up flag.
    pub warmup_ns: i64,
    /// Limit on a request, from `ready` to the end of its response.
    pub timeout_ns: i64,
    /// Limit on TCP connect and TLS handshake together.
    pub connect_timeout_ns: i64,
    /// Generator threads; user u belongs to thread u mod threads.
    pub threads: u32,
    /// How much of a response's body is kept as an example of a failure.
    pub keep_body_bytes: usize,
    /// From which every random draw is derived.
    pub seed: u64,
}

/// Where an endpoint listens.
#[derive(Clone, Debug)]
pub struct Address {
    /// IPv4 or IPv6.
    pub ip: IpAddr,
    /// TCP port.
    pub port: u16,
    /// How to speak TLS, if it does.
    pub tls: Option<Tls>,
}

impl Address {
    /// The address to connect to.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// How to speak TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The name asked for (SNI) and looked for in the certificate.
    pub server_name: String,
    /// Whether the certificate is checked at all.
    pub verify: bool,
    /// The trusted certificates.
    pub ca_pem: Vec<u8>,
}

/// One named request of a scenario, and the pool of requests it draws from.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name in results.
    pub name: String,
    /// Index of its address.
    pub address: usize,
    /// The pool; never empty.
    pub requests: Vec<Request>,
    /// The one status that is a success; without it, any from 200 to 299.
    pub expect_status: Option<u16>,
    /// What the body of a success must say before its user goes on; until then the step is repeated.
    pub until: Option<Until>,
}

/// A condition on a body, and how long it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Until {
    /// What is counted in the body.
    pub text: Vec<u8>,
    /// How often it must be there.
    pub times: usize,
    /// Pause between a response that does not satisfy and the next request.
    pub interval_ns: i64,
    /// When a step has been repeated for longer, its request fails and its user goes on.
    pub limit_ns: i64,
}

impl Until {
    /// Whether `body` holds the text as often as it must.
    #[must_use]
    pub fn is_met_by(&self, body: &[u8]) -> bool {
        body.windows(self.text.len())
            .filter(|&window| window == self.text)
            .count()
            == self.times
    }
}

/// One request as it goes over the wire, head and body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The bytes.
    pub wire: Vec<u8>,
    /// Where numbers are written into them.
    pub patches: Vec<Patch>,
    /// The response has no body whatever its headers say (the method is HEAD).
    pub head_only: bool,
}

/// A decimal field of a request: `wire[offset..offset + width]`, zero-padded.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// First byte of the field.
    pub offset: usize,
    /// Bytes of the field.
    pub width: usize,
    /// What is written there.
    pub value: PatchValue,
}

/// The number that a patch writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchValue {
    /// The virtual user, counted over the whole plan.
    User,
    /// The request's `seq`.
    Seq,
}

/// Virtual users that perform the same steps in a closed loop.
#[derive(Clone, Debug)]
pub struct Group {
    /// Indices of the steps, in order.
    pub steps: Vec<usize>,
    /// How many users.
    pub users: u32,
    /// How often each performs all steps; 0 means until `duration_ns`.
    pub loops: u64,
    /// When scheduling ends; 0 means when the loops are done.
    pub duration_ns: i64,
    /// User k of n starts at `ramp_ns * k / n`.
    pub ramp_ns: i64,
    /// Pause of a user between a response and its next request.
    pub think_ns: i64,
    /// Weights of the steps: each loop performs one of them, drawn by the plan's seed. Empty: all of them, in order.
    pub weights: Vec<u32>,
    /// It goes on until every group that is not in the background has done its loops.
    pub background: bool,
}

/// How much of a body is kept when a step looks into it: a description of a model with a hundred workers fits.
const LOOKED_AT_BYTES: usize = 256 * 1024;

impl Plan {
    /// How much of each body a connection keeps: for examples, or for steps that look into it.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let looks = self.steps.iter().any(|step| step.until.is_some());
        if looks {
            self.keep_body_bytes.max(LOOKED_AT_BYTES)
        } else {
            self.keep_body_bytes
        }
    }

    /// Users of the groups that are not in the background.
    #[must_use]
    pub fn foreground_users(&self) -> u64 {
        let groups = self.groups.iter().filter(|group| !group.background);
        groups.map(|group| u64::from(group.users)).sum()
    }

    /// Check that every index, size and time makes sense.
    pub fn validate(&self) -> Result<(), PlanError> {
        require(self.threads >= 1, || "threads must be at least 1".into())?;
        require(self.timeout_ns > 0, || "timeout_ns must be positive".into())?;
        require(self.connect_timeout_ns > 0, || {
            "connect_timeout_ns must be positive".into()
        })?;
        require(self.warmup_ns >= 0, || "warmup_ns must not be negative".into())?;
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
        require(u32::try_from(self.users()).is_ok(), || "too many users".into())
    }

    /// Users of all groups together.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.users)).sum()
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
            require(!request.wire.is_empty(), || {
                format!("step {name:?} has an empty request")
            })?;
            for patch in &request.patches {
                let end = patch.offset.checked_add(patch.width);
                require(end.is_some_and(|end| end <= request.wire.len()), || {
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
        require(group.users >= 1, || format!("group {index} has no user"))?;
        require(
            group.duration_ns >= 0 && group.ramp_ns >= 0 && group.think_ns >= 0,
            || format!("group {index} has a negative time"),
        )?;
        let weights = group.weights.iter().map(|&weight| u64::from(weight));
        require(
            group.weights.is_empty()
                || (group.weights.len() == group.steps.len() && weights.sum::<u64>() > 0),
            || format!("group {index} needs a weight for each step, not all of them 0"),
        )?;
        require(!group.background || self.foreground_users() > 0, || {
            format!("group {index} is in the background of nothing")
        })?;
        require(
            group.loops > 0 || group.duration_ns > 0 || group.background,
            || format!("group {index} has neither loops nor a duration: it would never end"),
        )
    }
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), PlanError> {
    if holds { Ok(()) } else { Err(PlanError(message())) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One group of `users` that sends `GET /` to 127.0.0.1:`port`, `loops` times.
    pub(crate) fn simple_plan(port: u16, users: u32, loops: u64) -> Plan {
        Plan {
            addresses: vec![Address {
                ip: IpAddr::from([127, 0, 0, 1]),
                port,
                tls: None,
            }],
            steps: vec![Step {
                name: "ping".into(),
                address: 0,
                requests: vec![Request {
                    wire: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
                    patches: Vec::new(),
                    head_only: false,
                }],
                expect_status: None,
                until: None,
            }],
            groups: vec![Group {
                steps: vec![0],
                users,
                loops,
                duration_ns: 0,
                ramp_ns: 0,
                think_ns: 0,
                weights: Vec::new(),
                background: false,
            }],
            warmup_ns: 0,
            timeout_ns: 5_000_000_000,
            connect_timeout_ns: 2_000_000_000,
            threads: 1,
            keep_body_bytes: 2048,
            seed: 0,
        }
    }

    #[test]
    fn a_sound_plan_is_accepted() {
        assert_eq!(simple_plan(80, 3, 1).validate(), Ok(()));
        assert_eq!(simple_plan(80, 3, 1).users(), 3);
    }

    #[test]
    fn each_inconsistency_is_refused() {
        let breaks: [fn(&mut Plan); 13] = [
            |plan| plan.groups[0].weights = vec![1, 1],
            |plan| plan.groups[0].weights = vec![0],
            |plan| plan.groups[0].background = true,
            |plan| plan.threads = 0,
            |plan| plan.timeout_ns = 0,
            |plan| plan.connect_timeout_ns = -1,
            |plan| plan.groups.clear(),
            |plan| plan.groups[0].steps = vec![7],
            |plan| plan.groups[0].loops = 0,
            |plan| plan.groups[0].think_ns = -1,
            |plan| plan.steps[0].address = 1,
            |plan| plan.steps[0].requests.clear(),
            |plan| {
                plan.steps[0].requests[0].patches.push(Patch {
                    offset: usize::MAX,
                    width: 2,
                    value: PatchValue::Seq,
                });
            },
        ];
        for break_it in breaks {
            let mut plan = simple_plan(80, 1, 1);
            break_it(&mut plan);
            assert!(plan.validate().is_err());
        }
    }
}
