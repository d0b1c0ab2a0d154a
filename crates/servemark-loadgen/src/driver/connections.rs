//! Connections: which there are, which are free, what is ready, and the bytes in between.
//!
//! They know requests by their names only, and neither the load nor a clock: what is to be done with a request is handed
//! back to the driver.

mod bytes;
mod connection;
mod opening;
mod slots;

use std::collections::VecDeque;
use std::io;

use slab::Slab;

use super::requests::Outgoing;
use super::{EveryNth, Surroundings, WAKE_TOKEN};
use crate::body::Body;
use crate::control::AT_ONCE_NS;
use crate::deadline::Deadlines;
use crate::error::Failure;
use crate::plan::Address;
use crate::poller::{Events, Poller};
use crate::pool::Pool;
use crate::protocol::{Event, Protocol};
use crate::request::RequestId;
use crate::source::Source;
use crate::tls::TlsSetup;

pub(super) use bytes::TURN_BYTES;
pub(super) use connection::{Carried, ConnectionId};
use connection::{Connection, Room, Stage};
pub(super) use opening::{Opening, Unopened};

/// What a connection's event asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// To go on opening it.
    Open(ConnectionId),
    /// To move bytes, in the directions that are ready.
    Move {
        id: ConnectionId,
        writable: bool,
        readable: bool,
    },
}

/// The connections of one generator thread.
pub(super) struct Connections<'plan, P: Protocol<'plan>> {
    /// By step, then by input.
    prepared: &'plan [Vec<P::Prepared>],
    addresses: &'plan [Address],
    /// By address.
    tls: &'plan [Option<TlsSetup>],
    connect_timeout_ns: i64,
    /// Whether the kernel stamps what it receives.
    has_stamps: bool,
    by_key: Slab<Connection<P>>,
    /// Of opening them.
    deadlines: Deadlines,
    /// By address.
    sources: Vec<Source>,
    /// By address: first those of closed loops, then those of open ones.
    pools: Vec<Pool>,
    /// Those with more to do than one turn allows.
    carried: VecDeque<ConnectionId>,
    poller: Poller,
    /// Events of the last wait.
    ready: Events,
    /// When a wait that brought no event had just ended: whatever was idle then was alive.
    quiet_ns: i64,
    last_opened_ns: Option<i64>,
    numbers: EveryNth,
    buffer: Box<[u8]>,
}

impl<'plan, P: Protocol<'plan>> Connections<'plan, P> {
    /// None yet, in pools of as many as `limits` say. They are given `numbers`.
    pub(super) fn new(
        around: Surroundings<'plan>,
        prepared: &'plan [Vec<P::Prepared>],
        limits: &[usize],
        numbers: EveryNth,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.watch_waker(around.control.waker(around.thread), WAKE_TOKEN)?;
        let addresses = around.plan.addresses.as_slice();
        Ok(Self {
            prepared,
            addresses,
            tls: around.tls,
            connect_timeout_ns: around.plan.connect_timeout_ns,
            has_stamps: around.has_stamps,
            by_key: Slab::new(),
            deadlines: Deadlines::new(),
            sources: addresses.iter().map(Source::to).collect(),
            pools: limits.iter().copied().map(Pool::new).collect(),
            carried: VecDeque::new(),
            poller,
            ready: Events::new(),
            quiet_ns: i64::MIN,
            last_opened_ns: None,
            numbers,
            buffer: vec![0; TURN_BYTES].into(),
        })
    }

    /// The clock's origin is known: what was open before could always have carried a request.
    pub(super) fn begin_at_origin(&mut self) {
        for (_, connection) in &mut self.by_key {
            connection.free_since_ns = AT_ONCE_NS;
        }
        self.quiet_ns = i64::MIN;
    }

    /// The pool of the connections to an address that those of open loops use, or those of closed ones.
    pub(super) fn pool_of(&self, address: usize, is_open: bool) -> usize {
        if is_open {
            self.addresses.len() + address
        } else {
            address
        }
    }

    fn is_of_open_loops(&self, pool: usize) -> bool {
        pool >= self.addresses.len()
    }

    /// The most connections to one address that open loops could have, and whether that was for lack of descriptors.
    pub(super) fn most_of_open_loops(&self) -> (usize, bool) {
        let pools = &self.pools[self.addresses.len()..];
        let most = pools.iter().map(Pool::most).max().unwrap_or(0);
        (most, pools.iter().any(Pool::was_full))
    }

    /// Whether that connection is still there.
    pub(super) fn is_live(&self, id: ConnectionId) -> bool {
        let connection = self.by_key.get(id.key);
        connection.is_some_and(|connection| connection.number == id.number)
    }

    /// The connection that has the key now.
    pub(super) fn id_at(&self, key: usize) -> ConnectionId {
        let number = self.by_key[key].number;
        ConnectionId { key, number }
    }

    /// Wait for events, at most so long.
    pub(super) fn wait(&mut self, timeout_ns: i64) -> io::Result<()> {
        self.poller.wait(&mut self.ready, timeout_ns)
    }

    /// How many events the last wait brought.
    pub(super) fn events(&self) -> usize {
        self.ready.len()
    }

    /// What the event at `index` asks for, if it still asks for anything.
    pub(super) fn task(&mut self, index: usize) -> Option<Task> {
        let ready = self.ready.at(index);
        if ready.token == WAKE_TOKEN {
            return None;
        }
        let id = ConnectionId::of_token(ready.token);
        let connection = self.by_key.get_mut(id.key)?;
        if connection.number != id.number {
            return None;
        }
        connection.hang_up |= ready.hang_up;
        match connection.stage {
            Stage::Connecting if !ready.writable && !ready.hang_up => None,
            Stage::Connecting | Stage::Handshaking => Some(Task::Open(id)),
            // It has its turn behind those that came before it.
            Stage::New | Stage::Open if connection.carried != Carried::No => {
                if ready.readable {
                    connection.carried = Carried::ToRead;
                }
                None
            }
            Stage::New | Stage::Open => Some(Task::Move {
                id,
                writable: ready.writable,
                readable: ready.readable,
            }),
        }
    }

    /// A wait that brought no event had just ended at `now_ns`.
    pub(super) fn note_quiet(&mut self, now_ns: i64) {
        self.quiet_ns = now_ns;
    }

    /// Queue a connection for another turn.
    pub(super) fn carry(&mut self, id: ConnectionId, to: Carried) {
        let connection = &mut self.by_key[id.key];
        let before = connection.carried;
        if before == Carried::No {
            self.carried.push_back(id);
        }
        if before != Carried::ToRead {
            connection.carried = to;
        }
    }

    /// How many wait for another turn.
    pub(super) fn carried_count(&self) -> usize {
        self.carried.len()
    }

    /// The connection whose turn it is, and what for; `None` where it is gone.
    pub(super) fn take_carried(&mut self) -> Option<(ConnectionId, Carried)> {
        let id = self.carried.pop_front()?;
        if !self.is_live(id) {
            return None;
        }
        let connection = &mut self.by_key[id.key];
        Some((id, std::mem::replace(&mut connection.carried, Carried::No)))
    }

    /// Give up a request that was started on the connection `key`, and say which that is.
    pub(super) fn cancel(
        &mut self,
        key: usize,
        request: RequestId,
        failure: Failure,
        events: &mut Vec<Event>,
    ) -> ConnectionId {
        let connection = &mut self.by_key[key];
        connection.protocol.cancel(request, failure, events);
        self.id_at(key)
    }

    /// What is known of the body that answers a request.
    pub(super) fn body(&self, id: ConnectionId, request: RequestId) -> &Body {
        self.by_key[id.key].protocol.body(request)
    }

    /// How many requests a connection carries.
    pub(super) fn in_flight(&self, id: ConnectionId) -> usize {
        self.by_key[id.key].in_flight
    }

    /// Whether the server will send no more.
    pub(super) fn has_hung_up(&self, id: ConnectionId) -> bool {
        self.by_key[id.key].hang_up
    }

    /// The pool that a connection belongs to.
    pub(super) fn pool_at(&self, id: ConnectionId) -> usize {
        self.by_key[id.key].pool
    }

    /// Read no more than so many bytes at once.
    #[cfg(test)]
    pub(super) fn read_at_most(&mut self, bytes: usize) {
        self.buffer = vec![0; bytes].into();
    }

    /// Have nothing more watched.
    #[cfg(test)]
    pub(super) fn refuse_to_watch(&mut self) {
        self.poller = Poller::refusing();
    }

    /// Those that there are, with their sockets.
    #[cfg(test)]
    pub(super) fn sockets(&self) -> Vec<(ConnectionId, std::os::fd::BorrowedFd<'_>)> {
        let connections = self.by_key.iter();
        connections
            .map(|(key, connection)| (self.id_at(key), std::os::fd::AsFd::as_fd(&connection.transport)))
            .collect()
    }

    /// Close a connection that carries no request any more. (A closed socket leaves its epoll instance by itself.)
    pub(super) fn close(&mut self, id: ConnectionId) {
        self.remove(id).closed();
    }

    /// Close a connection that died while it carried no request.
    pub(super) fn lose(&mut self, id: ConnectionId) {
        self.remove(id).lost();
    }

    /// Forget a connection. Returns its pool, which is to be told how it went.
    fn remove(&mut self, id: ConnectionId) -> &mut Pool {
        self.deadlines.clear(id.key);
        let connection = self.by_key.remove(id.key);
        let pool = &mut self.pools[connection.pool];
        if connection.room == Room::Resting {
            pool.withdraw(id.key);
        }
        pool
    }
}
