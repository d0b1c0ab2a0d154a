//! A plan: all that a run needs, as `servemark.workload.plan.EnginePlan` describes it. Times are nanoseconds.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::Arc;

use crate::arrival::Arrivals;
use crate::body::{Body, Watch};
use crate::error::PlanError;
use crate::expect::{Expect, FirstBody};
use crate::fault::Fault;
use crate::realtime::Realtime;
use crate::receive_clock::ReceiveClock;
use crate::share::Share;

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
    /// Which of the users and arrivals this generator sends; all others are somebody else's.
    pub share: Share,
    /// Generator threads, which divide that share among them.
    pub threads: u32,
    /// How much of a response's body is kept as an example of a failure.
    pub keep_body_bytes: usize,
    /// From which every random draw is derived.
    pub seed: u64,
    /// Whether the time of every server-sent event is written beside the records.
    pub record_events: bool,
    /// Whether generator threads ask for real-time priority.
    pub realtime: Realtime,
    /// Whose time of arrival a response has.
    pub receive_clock: ReceiveClock,
    /// The program, with its arguments, that keeps the CPUs awake: it calls
    /// [`spin_until_eof`](crate::beside::keep_awake::spin_until_eof).
    pub keep_awake: Option<Vec<OsString>>,
    /// That program ends as soon as the machine is busy by itself.
    pub awake_gives_way: bool,
    /// What the driver is to do wrong; only in tests of the certificate.
    pub fault: Option<Fault>,
}

/// Where an endpoint listens.
#[derive(Clone, Debug)]
pub struct Address {
    /// IPv4 or IPv6.
    pub ip: IpAddr,
    /// The number of the network interface through which a link-local IPv6 address is reached; 0 for none.
    pub zone: u32,
    /// TCP port.
    pub port: u16,
    /// The Unix socket of this machine to connect to instead.
    pub unix: Option<PathBuf>,
    /// How to speak TLS, if it does.
    pub tls: Option<Tls>,
}

impl Address {
    /// The address to connect to, where that is none of a Unix socket.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        match self.ip {
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.zone).into(),
            IpAddr::V4(_) => SocketAddr::new(self.ip, self.port),
        }
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
    /// The client's certificate, then those that lead to its authority; empty for none.
    pub client_cert_pem: Vec<u8>,
    /// The key of the client's certificate.
    pub client_key_pem: Vec<u8>,
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
    /// What the body of a success must be.
    pub expect: Option<Expect>,
    /// Its successes are those whose number ends a run of adaptive length.
    pub is_headline: bool,
}

impl Step {
    /// Whether it looks into bodies, beyond their digest.
    fn looks(&self) -> bool {
        self.until.is_some() || self.expect.as_ref().is_some_and(Expect::looks)
    }

    /// Where the first body of each input is remembered, if anything is compared with it.
    #[must_use]
    pub fn first_bodies(&self) -> Vec<FirstBody> {
        let compares = matches!(self.expect, Some(Expect::Same));
        let inputs = if compares { self.requests.len() } else { 0 };
        (0..inputs).map(|_| FirstBody::new()).collect()
    }
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
    /// Whether `body` holds the text as often as it must. Of one that is longer than what was kept of it nobody can say:
    /// then why not, in words.
    pub fn is_met_by(&self, body: &Body) -> Result<bool, String> {
        if !body.is_whole() {
            return Err(format!(
                "the body has {} bytes, and {:?} is counted in up to {} KiB",
                body.bytes(),
                String::from_utf8_lossy(&self.text),
                body.kept().len() / 1024
            ));
        }
        let places = body.kept().windows(self.text.len());
        Ok(places.filter(|&place| place == self.text).count() == self.times)
    }
}

/// One request as it goes over the wire, head and body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The bytes, in front of those of `body`.
    pub wire: Vec<u8>,
    /// A large body, which belongs to whoever made the plan; else empty.
    pub body: SharedBytes,
    /// Where numbers are written into them.
    pub patches: Vec<Patch>,
    /// The response has no body whatever its headers say (the method is HEAD).
    pub head_only: bool,
}

impl Request {
    /// How many bytes it is in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wire.len() + self.body.as_slice().len()
    }

    /// Whether it has no bytes, which no valid plan has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes that are not copied: a pool of inputs is in memory once, whoever else holds it.
#[derive(Clone, Default)]
pub struct SharedBytes(Option<Arc<dyn AsRef<[u8]> + Send + Sync>>);

impl SharedBytes {
    /// The bytes of `owner`, which lives as long as they are used.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(owner)))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], AsRef::as_ref)
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.as_slice().len())
    }
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

/// Steps, and how they come to be performed.
#[derive(Clone, Debug)]
pub struct Group {
    /// Indices of the steps, in order.
    pub steps: Vec<usize>,
    /// Weights of the steps: each loop or arrival performs one of them, drawn by the plan's seed. Empty: all of them, in
    /// order.
    pub weights: Vec<u32>,
    /// When scheduling ends; 0 means when the load does.
    pub duration_ns: i64,
    /// Who performs them.
    pub load: GroupLoad,
}

/// How a group's requests arrive.
#[derive(Clone, Debug)]
pub enum GroupLoad {
    /// From users who each wait for their response.
    Closed(Closed),
    /// By a schedule that knows nothing of the responses.
    Open(Open),
}

/// Virtual users in a closed loop.
#[derive(Clone, Debug)]
pub struct Closed {
    /// How many users.
    pub users: u32,
    /// How often each performs the steps; 0 means until the group's `duration_ns`.
    pub loops: u64,
    /// User k of n starts at `ramp_ns * k / n`.
    pub ramp_ns: i64,
    /// Pause of a user between a response and its next request.
    pub think_ns: i64,
    /// It goes on until every group that is not in the background has done its work.
    pub background: bool,
}

/// An open loop: each arrival is a user who performs the steps once. Arrival i belongs to thread i mod threads.
#[derive(Clone, Debug)]
pub struct Open {
    /// When they arrive.
    pub arrivals: Arrivals,
    /// To one address at once, over all threads.
    pub max_connections: u32,
}

impl Group {
    /// Its users, if it is a closed loop.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        match &self.load {
            GroupLoad::Closed(closed) => Some(closed),
            GroupLoad::Open(_) => None,
        }
    }

    /// Its arrivals, if it is an open loop.
    #[must_use]
    pub fn open(&self) -> Option<&Open> {
        match &self.load {
            GroupLoad::Closed(_) => None,
            GroupLoad::Open(open) => Some(open),
        }
    }

    fn duration_or_never_ns(&self) -> i64 {
        match self.duration_ns {
            0 => i64::MAX,
            duration_ns => duration_ns,
        }
    }

    fn is_background(&self) -> bool {
        self.closed().is_some_and(|closed| closed.background)
    }
}

/// Users of closed loops together: each has a descriptor at least, and Linux gives a process no more (`fs.nr_open`).
pub const MOST_USERS: u64 = 1 << 20;

/// How much of a body is kept when a step looks into it: a description of a model with a hundred workers fits.
const LOOKED_AT_BYTES: usize = 256 * 1024;

impl Plan {
    /// By step, what is looked at of its bodies: for examples of failures, and by steps that look into them.
    #[must_use]
    pub fn watches(&self) -> Vec<Watch> {
        let watch = |step: &Step| {
            let looked_at = if step.looks() { LOOKED_AT_BYTES } else { 0 };
            Watch {
                keep_bytes: self.keep_body_bytes.max(looked_at),
                digest: matches!(step.expect, Some(Expect::Same)),
            }
        };
        self.steps.iter().map(watch).collect()
    }

    /// Whether a group is an open loop.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.groups.iter().any(|group| group.open().is_some())
    }

    /// Whether generator threads ask for real-time priority.
    #[must_use]
    pub fn asks_realtime(&self) -> bool {
        match self.realtime {
            Realtime::Auto => self.is_open(),
            Realtime::On => true,
            Realtime::Off => false,
        }
    }

    /// What thread `thread` sends, as a share of the whole plan.
    #[must_use]
    pub fn share_of(&self, thread: u32) -> Share {
        self.share.part(thread, self.threads)
    }

    /// Whether a group goes on until the others are done.
    #[must_use]
    pub fn has_background(&self) -> bool {
        self.groups.iter().any(Group::is_background)
    }

    /// How many report that their work is done before the background ends: each user of a closed loop that is not in it,
    /// and each thread for its part of an open loop. Of several generators each goes by its own.
    #[must_use]
    pub fn foreground(&self) -> u64 {
        let users = self.users_by_group();
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

    /// By group, how many of the users of a closed loop are in this generator's share; they are numbered over all groups.
    fn users_by_group(&self) -> impl Iterator<Item = u32> {
        self.groups.iter().scan(0, |before, group| {
            let first = *before;
            *before += group.closed().map_or(0, |closed| closed.users);
            Some(self.share.amount(*before) - self.share.amount(first))
        })
    }

    /// The addresses that the steps of a group lead to.
    #[must_use]
    pub fn addresses_of(&self, group: &Group) -> Vec<usize> {
        let mut visited: Vec<usize> = group.steps.iter().map(|&step| self.steps[step].address).collect();
        visited.sort_unstable();
        visited.dedup();
        visited
    }

    /// By address, the connections that this generator's users of closed loops have there: one each.
    #[must_use]
    pub fn closed_connections(&self) -> Vec<u64> {
        let mut connections = vec![0; self.addresses.len()];
        for (group, users) in self.groups.iter().zip(self.users_by_group()) {
            for address in self.addresses_of(group) {
                connections[address] += u64::from(users);
            }
        }
        connections
    }

    /// By address, the connections that this generator's open loops may have there at most; 0 where none goes.
    #[must_use]
    pub fn open_connections(&self) -> Vec<u32> {
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
    #[must_use]
    pub fn end_ns(&self, group: &Group) -> i64 {
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
    #[must_use]
    pub fn longest_ns(&self) -> i64 {
        let ends = self.groups.iter().map(|group| self.end_ns(group));
        ends.max().unwrap_or(i64::MAX)
    }

    /// Check that every index, size and time makes sense.
    pub fn validate(&self) -> Result<(), PlanError> {
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

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), PlanError> {
    if holds { Ok(()) } else { Err(PlanError(message())) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arrival::{Gaps, RateSegment, Times};

    /// One group of `users` that sends `GET /` to 127.0.0.1:`port`, `loops` times.
    pub(crate) fn simple_plan(port: u16, users: u32, loops: u64) -> Plan {
        Plan {
            addresses: vec![Address {
                ip: IpAddr::from([127, 0, 0, 1]),
                zone: 0,
                port,
                unix: None,
                tls: None,
            }],
            steps: vec![Step {
                name: "ping".into(),
                address: 0,
                requests: vec![Request {
                    wire: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
                    body: SharedBytes::default(),
                    patches: Vec::new(),
                    head_only: false,
                }],
                expect_status: None,
                until: None,
                expect: None,
                is_headline: true,
            }],
            groups: vec![Group {
                steps: vec![0],
                weights: Vec::new(),
                duration_ns: 0,
                load: GroupLoad::Closed(Closed {
                    users,
                    loops,
                    ramp_ns: 0,
                    think_ns: 0,
                    background: false,
                }),
            }],
            warmup_ns: 0,
            timeout_ns: 5_000_000_000,
            connect_timeout_ns: 2_000_000_000,
            share: Share::WHOLE,
            threads: 1,
            keep_body_bytes: 2048,
            seed: 0,
            record_events: false,
            realtime: Realtime::Off,
            receive_clock: ReceiveClock::Auto,
            keep_awake: None,
            awake_gives_way: false,
            fault: None,
        }
    }

    /// The users of the plan's first group.
    pub(crate) fn closed_of(plan: &mut Plan) -> &mut Closed {
        match &mut plan.groups[0].load {
            GroupLoad::Closed(closed) => closed,
            GroupLoad::Open(_) => panic!("an open loop"),
        }
    }

    /// An open loop of `count` arrivals at `rate_per_s`, evenly.
    pub(crate) fn evenly(rate_per_s: f64, count: u64) -> Open {
        let segment = RateSegment {
            from_per_s: rate_per_s,
            to_per_s: rate_per_s,
            duration_ns: 0,
        };
        Open {
            arrivals: Arrivals {
                times: Times::Drawn {
                    gaps: Gaps::Constant,
                    profile: vec![segment],
                },
                count,
                stream: 0,
            },
            max_connections: 10,
        }
    }

    #[test]
    fn a_sound_plan_is_accepted() {
        assert_eq!(simple_plan(80, 3, 1).validate(), Ok(()));
    }

    #[test]
    fn a_share_has_its_part_of_users_and_connections() {
        let mut plan = simple_plan(80, 5, 1);
        let mut second = plan.groups[0].clone();
        second.load = GroupLoad::Open(evenly(1.0, 1));
        plan.groups.push(second);
        plan.groups.push(plan.groups[0].clone());
        plan.threads = 2;
        let shares = (0..3).map(|index| {
            plan.share = Share { index, of: 3 };
            assert_eq!(plan.validate(), Ok(()));
            (
                plan.closed_connections()[0],
                plan.open_connections()[0],
                plan.foreground(),
            )
        });
        // Users 0 to 4 and 5 to 9; both threads report an open loop.
        assert_eq!(shares.collect::<Vec<_>>(), [(4, 4, 6), (3, 3, 5), (3, 3, 5)]);
    }

    #[test]
    fn each_inconsistency_is_refused() {
        let breaks: [fn(&mut Plan); 16] = [
            |plan| plan.share = Share { index: 2, of: 2 },
            |plan| closed_of(plan).users = 1_048_577,
            |plan| plan.fault = Some(Fault::LostRecord { every: 0 }),
            |plan| plan.groups[0].weights = vec![1, 1],
            |plan| plan.groups[0].weights = vec![0],
            |plan| closed_of(plan).background = true,
            |plan| plan.threads = 0,
            |plan| plan.timeout_ns = 0,
            |plan| plan.connect_timeout_ns = -1,
            |plan| plan.groups.clear(),
            |plan| plan.groups[0].steps = vec![7],
            |plan| closed_of(plan).loops = 0,
            |plan| closed_of(plan).think_ns = -1,
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

    #[test]
    fn an_open_loop_that_cannot_be_is_refused() {
        type Change = fn(&mut Open);
        let open = |change: Change| {
            let mut plan = simple_plan(80, 1, 1);
            plan.threads = 2;
            let mut open = evenly(10.0, 5);
            change(&mut open);
            plan.groups[0].load = GroupLoad::Open(open);
            plan.validate()
        };
        assert_eq!(open(|_| ()), Ok(()));
        let refused: [(Change, &str); 3] = [
            (
                |open| open.arrivals.count = 0,
                "neither a number of arrivals nor a duration",
            ),
            (
                |open| open.max_connections = 1,
                "1 connections, but each of 2 threads",
            ),
            (
                |open| open.arrivals.times = Times::Recorded(Vec::new()),
                "group 0: a trace without a time",
            ),
        ];
        for (change, message) in refused {
            let error = open(change).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
