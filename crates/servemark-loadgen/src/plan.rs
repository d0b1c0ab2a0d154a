//! A plan: all that a run needs, as `servemark.workload.engine_plan.EnginePlan` describes it. Times are nanoseconds.

mod implied;
#[cfg(test)]
pub(crate) mod tests;
mod validation;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::Arc;

use crate::arrival::Arrivals;
use crate::expect::Expect;
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
    /// Limit on a request, from `sent` to the end of its response.
    pub timeout_ns: i64,
    /// Limit on TCP connect and TLS handshake together.
    pub connect_timeout_ns: i64,
    /// Which of the users and arrivals this generator sends; all others are somebody else's.
    pub share: Share,
    /// The shares of other generators that take their ports and memory of this machine, too, by their index.
    pub beside: Vec<u32>,
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
    /// Which request of the pool is sent when.
    pub draws: Draws,
    /// The one status that is a success; without it, any from 200 to 299.
    pub expect_status: Option<u16>,
    /// What the body of a success must say before its user goes on; until then the step is repeated.
    pub until: Option<Until>,
    /// What the body of a success must be.
    pub expect: Option<Expect>,
    /// The bodies of its responses are written beside the records, as they come: see [`body_part`](crate::body_part).
    pub keeps_bodies: bool,
    /// Its successes are those whose number ends a run of adaptive length.
    pub is_headline: bool,
}

/// How a step chooses of its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// One of all, each time.
    Any,
    /// Each is sent once before any is sent again.
    EachOnce,
    /// In the order in which they stand there, again and again: the n-th of a trace with the n-th arrival.
    InOrder,
}

impl Draws {
    /// The way that `name` says, as Python has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "any" => Some(Self::Any),
            "each_once" => Some(Self::EachOnce),
            "in_order" => Some(Self::InOrder),
            _ => None,
        }
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

/// One request, however a protocol writes it.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST and so on.
    pub method: Vec<u8>,
    /// The path, and the query.
    pub target: Vec<u8>,
    /// Its fields, in order. What frames the body, a protocol adds.
    pub headers: Arc<[Field]>,
    /// The body, which may belong to whoever made the plan.
    pub body: SharedBytes,
    /// Where numbers are written into it.
    pub patches: Vec<Patch>,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as it is written.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
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

/// A decimal number in a request, zero-padded.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// What of the request it is in.
    pub part: Part,
    /// Its first byte there.
    pub offset: usize,
    /// How many bytes it has.
    pub width: usize,
    /// What is written there.
    pub value: PatchValue,
}

/// What of a request a patch is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The target.
    Target,
    /// The body.
    Body,
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

/// An open loop: each arrival is a user who performs the steps once.
#[derive(Clone, Debug)]
pub struct Open {
    /// When they arrive.
    pub arrivals: Arrivals,
    /// To one address at once, over all threads of all generators.
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
}
