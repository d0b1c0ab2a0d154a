//! Slots: which connection can carry one more request, and who waits for one.
//!
//! A connection that has a slot rests in its pool, once, unless somebody waits: then nothing rests there.

use super::connection::{Connection, ConnectionId, Room, Stage};
use super::{Connections, Event, Outgoing, Protocol, RequestId, TURN_BYTES};
use crate::driver::Slot;
use crate::transport::ReadOutcome;

/// For how long after a wait without an event idle connections need not be looked at again before they are used.
const QUIET_NS: i64 = 50_000;

/// What looking at an idle connection showed.
#[derive(Clone, Copy, Debug)]
enum Life {
    Alive,
    Dead,
}

impl<'plan, P: Protocol<'plan>> Connections<'plan, P> {
    /// Take a free connection that is alive at `now_ns`. Those that are not are closed. `events` is empty, and stays so.
    pub(in crate::driver) fn take_free(
        &mut self,
        pool: usize,
        now_ns: i64,
        events: &mut Vec<Event>,
    ) -> Option<ConnectionId> {
        while let Some(key) = self.pools[pool].take_free() {
            self.by_key[key].room = Room::Free;
            let id = self.id_at(key);
            match self.look_at(id, now_ns, events) {
                Life::Alive if self.note_slot(id, now_ns) => return Some(id),
                // What it said has taken its slots away. Its event is still to come: what is to be said to that is said then.
                Life::Alive => {}
                Life::Dead => self.lose(id),
            }
        }
        None
    }

    /// See whether a free connection can still be used. One that carries requests can: it is read whenever it is ready.
    /// Of one that does not, what it said meanwhile is heard; an end, or bytes that nobody asked for, are its death.
    fn look_at(&mut self, id: ConnectionId, now_ns: i64, events: &mut Vec<Event>) -> Life {
        let connection = &mut self.by_key[id.key];
        if connection.in_flight > 0 {
            return Life::Alive;
        }
        if connection.hang_up {
            return Life::Dead;
        }
        if now_ns.saturating_sub(self.quiet_ns) < QUIET_NS {
            return Life::Alive;
        }
        let life = connection.hear(&mut self.buffer, events);
        events.clear();
        life
    }

    /// Queue a request until a connection of the pool has a slot. Returns whether there will be one of its own for it, and
    /// not only what others have done with.
    pub(in crate::driver) fn wait_for_slot(&mut self, pool: usize, request: RequestId) -> bool {
        self.pools[pool].wait(request);
        self.pools[pool].has_room()
    }

    /// The request that has waited longest for a connection of the pool.
    pub(in crate::driver) fn take_waiting(&mut self, pool: usize) -> Option<RequestId> {
        self.pools[pool].take_waiting()
    }

    /// Whether a request waits for a connection of the pool.
    pub(in crate::driver) fn has_waiting(&self, pool: usize) -> bool {
        self.pools[pool].has_waiting()
    }

    /// Forget all requests that wait.
    pub(in crate::driver) fn clear_waiting(&mut self) {
        for pool in &mut self.pools {
            pool.clear_waiting();
        }
    }

    /// Whether a connection has a slot that can be used, after something happened to it at `since_ns`.
    pub(in crate::driver) fn note_slot(&mut self, id: ConnectionId, since_ns: i64) -> bool {
        let connection = &mut self.by_key[id.key];
        let before = connection.room;
        let has_slot = connection.note_slot(since_ns);
        if before == Room::Resting && !has_slot {
            self.pools[connection.pool].withdraw(id.key);
        }
        has_slot
    }

    /// Whether a connection rests in its pool.
    pub(in crate::driver) fn is_resting(&self, id: ConnectionId) -> bool {
        self.by_key[id.key].room == Room::Resting
    }

    /// Let a connection rest in its pool, if it is there and has a slot. Nobody waits for one.
    pub(in crate::driver) fn rest(&mut self, id: ConnectionId) {
        if !self.is_live(id) {
            return;
        }
        let connection = &mut self.by_key[id.key];
        if connection.room == Room::Free {
            connection.room = Room::Resting;
            self.pools[connection.pool].rest(id.key);
        }
    }

    /// Whether who waited for a slot of a connection has waited for it to be opened.
    pub(in crate::driver) fn is_new(&self, id: ConnectionId) -> bool {
        self.by_key[id.key].stage == Stage::New
    }

    /// The slots that a connection had when it was opened were offered.
    pub(in crate::driver) fn note_offered(&mut self, id: ConnectionId) {
        if self.is_live(id) {
            self.by_key[id.key].stage = Stage::Open;
        }
    }

    /// The slot of a connection, for the request that is started on it next.
    pub(in crate::driver) fn take_slot(&mut self, id: ConnectionId) -> Slot {
        let connection = &mut self.by_key[id.key];
        Slot {
            connection: id.key,
            connection_number: id.number,
            connect_us: std::mem::take(&mut connection.connect_us),
            tls_us: std::mem::take(&mut connection.tls_us),
            free_since_ns: connection.free_since_ns,
        }
    }

    /// Start a request on a connection that has a slot and does not rest. Its bytes are not written yet.
    pub(in crate::driver) fn start(&mut self, id: ConnectionId, request: RequestId, outgoing: Outgoing) {
        let connection = &mut self.by_key[id.key];
        debug_assert_eq!((connection.room, connection.can_start()), (Room::Free, true));
        let prepared = &self.prepared[outgoing.step][outgoing.input];
        connection
            .protocol
            .start(request, prepared, outgoing.numbers, outgoing.watch);
        connection.in_flight += 1;
        if !connection.can_start() {
            connection.room = Room::Full;
        }
    }

    /// So many requests of a connection have ended. Returns how many it carried, and how many it still does.
    pub(in crate::driver) fn note_ended(&mut self, id: ConnectionId, ended: usize) -> (usize, usize) {
        let connection = &mut self.by_key[id.key];
        let before = connection.in_flight;
        connection.in_flight -= ended;
        (before, connection.in_flight)
    }
}

impl<'plan, P: Protocol<'plan>> Connection<P> {
    /// Whether a request can be started. None is where the server will send no more, or takes nothing; but who has waited
    /// for the connection learns that from it.
    fn can_start(&self) -> bool {
        let is_usable = self.stage == Stage::New || (!self.hang_up && self.write_failure.is_none());
        is_usable && self.protocol.slots() > 0
    }

    /// See whether there is a slot that can be used, after something happened at `since_ns`.
    pub(super) fn note_slot(&mut self, since_ns: i64) -> bool {
        let has_slot = self.can_start();
        match self.room {
            Room::Full if has_slot => {
                self.free_since_ns = since_ns;
                self.room = Room::Free;
            }
            Room::Free | Room::Resting if !has_slot => self.room = Room::Full,
            _ => {}
        }
        has_slot
    }

    /// Hear what the server said while no request was on the connection.
    fn hear(&mut self, buffer: &mut [u8], events: &mut Vec<Event>) -> Life {
        let mut left = TURN_BYTES;
        while left > 0 {
            match self.transport.read(buffer) {
                Ok(ReadOutcome::Blocked) => return Life::Alive,
                Ok(ReadOutcome::Bytes { count, drained, .. }) => {
                    self.protocol.receive(&buffer[..count], events);
                    if !events.is_empty() {
                        return Life::Dead;
                    }
                    if drained {
                        return Life::Alive;
                    }
                    left = left.saturating_sub(count);
                }
                Ok(ReadOutcome::Eof | ReadOutcome::Cut) | Err(_) => return Life::Dead,
            }
        }
        // It talks without end and says nothing.
        Life::Dead
    }
}
