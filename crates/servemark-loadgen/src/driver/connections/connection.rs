//! One connection: a transport, a protocol, and what was noticed of both.

use crate::error::Failure;
use crate::transport::Transport;

/// Names a connection: its key may be another's later, its number will not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct ConnectionId {
    /// Key among the connections that there are.
    pub(in crate::driver) key: usize,
    /// Unique in the run.
    pub(in crate::driver) number: u32,
}

impl ConnectionId {
    /// What the poller tells its events by.
    pub(super) fn token(self) -> u64 {
        (u64::from(self.number) << 32) | self.key as u64
    }

    pub(super) fn of_token(token: u64) -> Self {
        Self {
            key: (token & 0xffff_ffff) as usize,
            number: (token >> 32) as u32,
        }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its TCP connection is being opened.
    Connecting,
    /// TLS is being agreed on.
    Handshaking,
    /// It is open, and who waits has waited for that: its slots were not offered yet.
    New,
    /// It is open.
    Open,
}

/// Whether a connection has a slot, as far as was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It has none that can be used.
    Full,
    /// It has one, and is about to be used.
    Free,
    /// It has one, and rests in its pool.
    Resting,
}

/// What another turn is for, of a connection that had more to do than one turn allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Carried {
    /// It waits for no turn.
    No,
    /// More is to be written.
    ToWrite,
    /// There may be more to read, too, although no event will say so.
    ToRead,
}

#[derive(Debug)]
pub(super) struct Connection<P> {
    /// Unique in the run; tells a connection from an earlier one with the same key.
    pub(super) number: u32,
    /// Index of the pool that it belongs to.
    pub(super) pool: usize,
    pub(super) transport: Transport,
    pub(super) protocol: P,
    pub(super) stage: Stage,
    /// How many requests were started on it that have not ended.
    pub(super) in_flight: usize,
    /// When the opening, or its TLS handshake, began.
    pub(super) opening_ns: i64,
    /// When the first segment of it had left.
    pub(super) asked_ns: i64,
    /// When the last step of its opening was done.
    pub(super) stepped_ns: i64,
    /// For how long opening it has waited for the thread, which did others' work, or did not run.
    pub(super) waited_ns: i64,
    /// For the first record that uses the connection.
    pub(super) connect_us: u32,
    pub(super) tls_us: u32,
    /// It takes the place of one that died while idle.
    pub(super) is_replacement: bool,
    pub(super) room: Room,
    /// Since when it has had a slot, without a pause.
    pub(super) free_since_ns: i64,
    /// The server will send no more: read to the end, then close.
    pub(super) hang_up: bool,
    pub(super) carried: Carried,
    /// The socket takes no more: an event will say when it does.
    pub(super) is_full: bool,
    /// Why writing failed; the response may have come nevertheless.
    pub(super) write_failure: Option<Failure>,
}

impl<P> Connection<P> {
    /// One whose opening begins at `now_ns`.
    pub(super) fn new(number: u32, pool: usize, transport: Transport, protocol: P, now_ns: i64) -> Self {
        Self {
            number,
            pool,
            transport,
            protocol,
            stage: Stage::Connecting,
            in_flight: 0,
            opening_ns: now_ns,
            asked_ns: now_ns,
            stepped_ns: now_ns,
            waited_ns: 0,
            connect_us: 0,
            tls_us: 0,
            is_replacement: false,
            room: Room::Full,
            free_since_ns: now_ns,
            hang_up: false,
            carried: Carried::No,
            is_full: false,
            write_failure: None,
        }
    }

    /// Microseconds from when opening it, or its handshake, began to `end_ns`; at least 1, so that a measured time is never
    /// taken for none.
    pub(super) fn opening_us(&self, end_ns: i64) -> u32 {
        u32::try_from((end_ns - self.opening_ns) / 1000)
            .unwrap_or(u32::MAX)
            .max(1)
    }
}
