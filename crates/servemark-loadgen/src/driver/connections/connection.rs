//! One connection as its driver sees it: a transport, a protocol, and what was noticed of both.

use crate::error::Failure;
use crate::transport::Transport;

/// How far a connection has come, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its TCP connection is being opened.
    Connecting,
    /// TLS is being agreed on.
    Handshaking,
    /// It carries the request that waited for it to be opened.
    First,
    /// It rests in its pool.
    Idle,
    /// It carries a request that found it open.
    Busy,
}

impl Stage {
    /// Whether it can carry requests.
    pub(crate) fn is_open(self) -> bool {
        !matches!(self, Self::Connecting | Self::Handshaking)
    }
}

/// What another turn is for, of a connection that had more to do than one turn allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// It waits for no turn.
    No,
    /// More is to be written.
    ToWrite,
    /// There may be more to read, too, although no event will say so.
    ToRead,
}

#[derive(Debug)]
pub(crate) struct Connection<P> {
    /// Unique in the run; tells a connection from an earlier one with the same key.
    pub(crate) number: u32,
    /// Index of the pool that it belongs to.
    pub(crate) pool: usize,
    pub(crate) transport: Transport,
    pub(crate) protocol: P,
    pub(crate) stage: Stage,
    /// When the opening, or its TLS handshake, began.
    pub(crate) opening_ns: i64,
    /// For how long opening it has waited for the thread, which did others' work.
    pub(crate) waited_ns: i64,
    /// For the first record that uses the connection.
    pub(crate) connect_us: u32,
    pub(crate) tls_us: u32,
    /// It takes the place of one that died while idle.
    pub(crate) is_replacement: bool,
    /// Since when it could have carried a request.
    pub(crate) free_since_ns: i64,
    /// Bytes of requests that the transport has taken; where writing fails, none of that call left.
    pub(crate) accepted_bytes: u64,
    /// The server will send no more: read to the end, then close.
    pub(crate) hang_up: bool,
    pub(crate) carried: Carried,
    /// Why writing failed; the response may have come nevertheless.
    pub(crate) write_failure: Option<Failure>,
}

impl<P> Connection<P> {
    pub(crate) fn new(number: u32, pool: usize, transport: Transport, protocol: P, now_ns: i64) -> Self {
        Self {
            number,
            pool,
            transport,
            protocol,
            stage: Stage::Connecting,
            opening_ns: now_ns,
            waited_ns: 0,
            connect_us: 0,
            tls_us: 0,
            is_replacement: false,
            free_since_ns: now_ns,
            accepted_bytes: 0,
            hang_up: false,
            carried: Carried::No,
            write_failure: None,
        }
    }

    /// Microseconds since opening it, or its handshake, began; at least 1, so that a measured time is never taken for none.
    pub(crate) fn opening_us(&self, now_ns: i64) -> u32 {
        u32::try_from((now_ns - self.opening_ns) / 1000)
            .unwrap_or(u32::MAX)
            .max(1)
    }
}
