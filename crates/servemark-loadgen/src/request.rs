//! A request on its way: which one of its step's pool it is, its bytes, and what is known of it so far.

use crate::due::Arrival;
use crate::record::{NEVER_NS, flags};

/// Names a request in flight within its generator thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub usize);

/// The numbers that patches write into a request.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// The virtual user.
    pub user: u32,
    /// The request's `seq`.
    pub seq: u64,
}

/// A request from its scheduled time to its record.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// When it was due, whose it is and which step.
    pub(crate) arrival: Arrival,
    /// Its number in the run.
    pub(crate) seq: u64,
    /// Its index in the step's pool.
    pub(crate) input: u32,
    /// Key of the connection that carries it, once it has one.
    pub(crate) connection: Option<usize>,
    /// Number of that connection in the run, or of the one that could not be opened.
    pub(crate) connection_number: u32,
    /// TCP connect time of the connection, if this is the first request on it.
    pub(crate) connect_us: u32,
    /// TLS handshake time of the connection, likewise.
    pub(crate) tls_us: u32,
    /// When the driver came to it.
    pub(crate) noticed_ns: i64,
    /// How late this thread asked for a connection that could be opened for it: by so much later it was open.
    pub(crate) late_ns: i64,
    /// When it could first have been sent.
    pub(crate) ready_ns: i64,
    /// Just before its first byte was written.
    pub(crate) sent_ns: i64,
    /// When the first byte of the response arrived.
    pub(crate) first_byte_ns: i64,
    /// When the first event of a streamed response did.
    pub(crate) first_event_ns: i64,
    /// When the last one was.
    pub(crate) last_event_ns: i64,
    /// How many came.
    pub(crate) events: u32,
    /// Bits of the `flags` column.
    pub(crate) flags: u8,
}

impl InFlight {
    /// A request of which nothing has happened yet.
    pub(crate) fn new(arrival: Arrival, seq: u64, input: u32, warmup_ns: i64) -> Self {
        let warmup = if arrival.scheduled_ns < warmup_ns {
            flags::WARMUP
        } else {
            0
        };
        let closed_loop = if arrival.is_open { 0 } else { flags::CLOSED_LOOP };
        Self {
            arrival,
            seq,
            input,
            connection: None,
            connection_number: NO_CONNECTION,
            connect_us: 0,
            tls_us: 0,
            noticed_ns: NEVER_NS,
            late_ns: 0,
            ready_ns: NEVER_NS,
            sent_ns: NEVER_NS,
            first_byte_ns: NEVER_NS,
            first_event_ns: NEVER_NS,
            last_event_ns: NEVER_NS,
            events: 0,
            flags: warmup | closed_loop,
        }
    }
}

/// The `connection` column of a request that never had a connection, not even one that failed to open.
pub(crate) const NO_CONNECTION: u32 = u32::MAX;
