//! One connection as its driver sees it: a transport, a protocol, and what was noticed of both.

use crate::error::Failure;
use crate::transport::Transport;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Handshaking,
    Open,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent observations, not states"
)]
pub(crate) struct Connection<P> {
    /// Unique in the run; tells a connection from an earlier one with the same key.
    pub(crate) number: u32,
    /// Index of the pool that it belongs to.
    pub(crate) pool: usize,
    pub(crate) transport: Transport,
    pub(crate) protocol: P,
    pub(crate) phase: Phase,
    /// When the phase began.
    pub(crate) phase_ns: i64,
    /// For the first record that uses the connection.
    pub(crate) connect_us: u32,
    pub(crate) tls_us: u32,
    /// It takes the place of one that died while idle.
    pub(crate) is_replacement: bool,
    /// It rests in its pool.
    pub(crate) is_idle: bool,
    /// It has rested since it was opened: a request that finds it dead may go to another.
    pub(crate) has_rested: bool,
    /// Since when it could have carried a request.
    pub(crate) free_since_ns: i64,
    /// The server will send no more: read to the end, then close.
    pub(crate) hang_up: bool,
    /// There may be more to read although no event will say so.
    pub(crate) is_unread: bool,
    /// It is queued for another turn.
    pub(crate) is_carried: bool,
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
            phase: Phase::Connecting,
            phase_ns: now_ns,
            connect_us: 0,
            tls_us: 0,
            is_replacement: false,
            is_idle: false,
            has_rested: false,
            free_since_ns: now_ns,
            hang_up: false,
            is_unread: false,
            is_carried: false,
            write_failure: None,
        }
    }

    /// Microseconds since the phase began, at least 1 so that a measured time is never taken for none.
    pub(crate) fn phase_us(&self, now_ns: i64) -> u32 {
        u32::try_from((now_ns - self.phase_ns) / 1000)
            .unwrap_or(u32::MAX)
            .max(1)
    }
}
