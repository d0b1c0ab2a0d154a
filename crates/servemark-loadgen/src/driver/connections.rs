//! Connections: from being opened to being closed, and the bytes in between.

pub(super) mod connection;

use std::io;
use std::os::fd::AsFd;

use super::connections::connection::{Carried, Connection, Stage};
use super::{Driver, QUIET_NS, TURN_BYTES};
use crate::error::{Failure, Kind, Lack};
use crate::load::Load;
use crate::poller::Ready;
use crate::protocol::{Event, Protocol};
use crate::record::flags;
use crate::transport::{ReadOutcome, Transport};

/// Why a connection could not even begin to be opened: at what, and the error.
#[derive(Debug)]
pub(super) struct Unopened(&'static str, io::Error);

impl Unopened {
    fn lacks_descriptor(&self) -> bool {
        Lack::of(&self.1) == Some(Lack::Descriptors)
    }
}

impl From<Unopened> for Failure {
    fn from(Unopened(doing, error): Unopened) -> Self {
        Self::from_io(Kind::Connect, doing, &error)
    }
}

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// Open as many connections of a pool as its waiting requests need.
    ///
    /// Where an open loop gets no more descriptors, those that are open are all that there can be: the others wait.
    pub(super) fn open_needed(&mut self, pool: usize) {
        while self.pools[pool].needs_connection() {
            let number = self.next_connection;
            let Err(unopened) = self.open(pool) else {
                continue;
            };
            let is_of_open_loop = pool >= self.around.plan.addresses.len();
            if is_of_open_loop && unopened.lacks_descriptor() && self.pools[pool].note_full() {
                return;
            }
            self.fail_waiting(pool, number, 0, unopened.into());
        }
    }

    /// Begin to open a connection. What fails at once leaves nothing behind.
    pub(super) fn open(&mut self, pool: usize) -> Result<(), Unopened> {
        self.read_clock();
        let number = self.next_connection;
        self.next_connection = number.wrapping_add(self.share.of);
        let transport = self.connect(pool, number)?;
        let protocol = P::new();
        let mut connection = Connection::new(number, pool, transport, protocol, self.now_ns);
        connection.is_replacement = self.pools[pool].opening();
        let key = self.connections.insert(connection);
        let deadline_ns = self.now_ns.saturating_add(self.around.plan.connect_timeout_ns);
        self.connect_deadlines.set(key, deadline_ns);
        Ok(())
    }

    /// Begin to connect a socket, watched as that of the next connection, which will have `number`.
    fn connect(&mut self, pool: usize, number: u32) -> Result<Transport, Unopened> {
        let addresses = &self.around.plan.addresses;
        let address = pool % addresses.len();
        let tls = self.around.tls[address].as_ref();
        let (target, stamps) = (&addresses[address], self.stamps.is_some());
        let transport = self.sources[address]
            .open(|source| Transport::connect(target, source, tls, stamps))
            .map_err(|error| Unopened("connect", error))?;
        let token = (u64::from(number) << 32) | self.connections.vacant_key() as u64;
        self.poller
            .watch(transport.as_fd(), token)
            .map_err(|error| Unopened("epoll", error))?;
        Ok(transport)
    }

    /// A socket is ready for something.
    pub(super) fn handle(&mut self, ready: Ready) {
        let (key, number) = ((ready.token & 0xffff_ffff) as usize, (ready.token >> 32) as u32);
        if !self.is_live(key, number) {
            return;
        }
        let connection = &mut self.connections[key];
        connection.hang_up |= ready.hang_up;
        match connection.stage {
            Stage::Connecting if ready.writable || ready.hang_up => self.finish_connect(key),
            Stage::Connecting => {}
            Stage::Handshaking => {
                self.read_clock();
                self.connections[key].waited_ns += self.now_ns - self.told_ns();
                self.handshake(key);
            }
            // It has its turn behind those that came before it.
            _ if connection.carried != Carried::No => {
                if ready.readable {
                    connection.carried = Carried::ToRead;
                }
            }
            Stage::First | Stage::Idle | Stage::Busy => {
                if ready.writable {
                    self.write_more(key);
                }
                if ready.readable && self.is_live(key, number) {
                    self.read(key);
                }
            }
        }
    }

    fn is_live(&self, key: usize, number: u32) -> bool {
        let connection = self.connections.get(key);
        connection.is_some_and(|connection| connection.number == number)
    }

    fn finish_connect(&mut self, key: usize) {
        self.read_clock();
        let told_ns = self.told_ns();
        let connection = &mut self.connections[key];
        if let Err(error) = connection.transport.finish_connect() {
            let failure = Failure::from_io(Kind::Connect, "connect", &error);
            return self.fail_opening(key, failure);
        }
        let open_ns = told_ns.max(connection.opening_ns);
        connection.connect_us = connection.opening_us(open_ns);
        connection.stage = Stage::Handshaking;
        connection.opening_ns = open_ns;
        connection.waited_ns = self.now_ns - open_ns;
        self.handshake(key);
    }

    /// Take the handshake as far as it goes. A connection is open from when it would be if the thread had nothing else to
    /// do: what its opening waits for the thread, behind other handshakes, is the generator's lag.
    fn handshake(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        match connection.transport.handshake() {
            Ok(false) => {}
            Ok(true) => {
                let is_tls = matches!(connection.transport, Transport::Tls(_));
                if is_tls {
                    self.now_ns = self.clock.now_ns();
                }
                let open_ns = self.now_ns - connection.waited_ns;
                if is_tls {
                    connection.tls_us = connection.opening_us(open_ns);
                }
                self.finish_opening(key, open_ns);
            }
            Err(error) => {
                self.read_clock();
                let failure = Failure::from_io(Kind::Tls, "TLS handshake", &error);
                self.fail_opening(key, failure);
            }
        }
    }

    fn finish_opening(&mut self, key: usize, open_ns: i64) {
        let connection = &mut self.connections[key];
        connection.free_since_ns = open_ns;
        let number = connection.number;
        let pool = connection.pool;
        self.last_opened_ns = self.now_ns;
        self.connect_deadlines.clear(key);
        self.pools[pool].opened();
        self.offer(key);
        // Edges that came while it was opened will not come again.
        if self.is_live(key, number) {
            self.read(key);
        }
    }

    /// Give a connection that has a slot to the request that waits longest, or let it rest.
    fn offer(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let pool = &mut self.pools[connection.pool];
        let Some(id) = pool.take_waiting() else {
            connection.stage = Stage::Idle;
            pool.rest(key);
            return;
        };
        if connection.stage.is_open() {
            connection.stage = Stage::Busy;
        } else {
            connection.stage = Stage::First;
            let replaced = if connection.is_replacement {
                flags::RECONNECTED
            } else {
                0
            };
            self.requests[id.0].flags |= flags::OPENED | replaced;
        }
        self.assign(id, key);
    }

    /// A connection could not be opened: the request that waits longest pays for it.
    pub(super) fn fail_opening(&mut self, key: usize, failure: Failure) {
        let connection = &self.connections[key];
        let (pool, number, connect_us) = (connection.pool, connection.number, connection.connect_us);
        self.pools[pool].opened();
        self.fail_waiting(pool, number, connect_us, failure);
        self.close(key);
    }

    fn fail_waiting(&mut self, pool: usize, number: u32, connect_us: u32, failure: Failure) {
        if let Some(id) = self.pools[pool].take_waiting() {
            let request = &mut self.requests[id.0];
            request.connection_number = number;
            request.connect_us = connect_us;
            self.finish_unsent(id, failure);
        }
    }

    /// Close a connection that is still being opened, for nobody.
    pub(super) fn abandon(&mut self, key: usize) {
        self.pools[self.connections[key].pool].opened();
        self.close(key);
    }

    /// Close a connection that carries no request. (A closed socket leaves its epoll instance by itself.)
    pub(super) fn close(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        self.connect_deadlines.clear(key);
        let pool = &mut self.pools[connection.pool];
        match connection.stage {
            Stage::Idle => pool.lost(key),
            _ => pool.closed(),
        }
        self.open_needed(connection.pool);
    }

    /// Whether an idle connection can still be used. It can when there is nothing to read: neither an end nor bytes that
    /// nobody asked for.
    pub(super) fn is_alive(&mut self, key: usize) -> bool {
        let connection = &mut self.connections[key];
        if self.now_ns.saturating_sub(self.quiet_ns) < QUIET_NS {
            return !connection.hang_up;
        }
        let outcome = connection.transport.read(&mut self.buffer);
        !connection.hang_up && matches!(outcome, Ok(ReadOutcome::Blocked))
    }

    /// Go on where the last turn left off.
    pub(super) fn take_turn(&mut self, key: usize, number: u32) {
        if !self.is_live(key, number) {
            return;
        }
        let carried = std::mem::replace(&mut self.connections[key].carried, Carried::No);
        self.write_more(key);
        if self.is_live(key, number) && carried == Carried::ToRead {
            self.read(key);
        }
    }

    /// Queue a connection for another turn.
    pub(super) fn carry(&mut self, key: usize, to: Carried) {
        let connection = &mut self.connections[key];
        let before = connection.carried;
        if before == Carried::No {
            self.carried.push_back((key, connection.number));
        }
        if before != Carried::ToRead {
            connection.carried = to;
        }
    }

    fn write_more(&mut self, key: usize) {
        let has_more = !self.connections[key].protocol.output().is_empty();
        if let Err(error) = self.write(key) {
            self.fail_write(key, &error);
        }
        if has_more {
            self.read_clock();
        }
    }

    /// Write what the protocol has, as far as the socket and the turn allow.
    pub(super) fn write(&mut self, key: usize) -> io::Result<()> {
        let connection = &mut self.connections[key];
        connection.transport.flush()?;
        let mut allowed = TURN_BYTES;
        loop {
            let output = connection.protocol.output();
            if output.is_empty() {
                return Ok(());
            }
            if allowed == 0 {
                self.carry(key, Carried::ToWrite);
                return Ok(());
            }
            match connection.transport.write(&output[..output.len().min(allowed)])? {
                0 => return Ok(()),
                count => {
                    connection.accepted_bytes += count as u64;
                    connection.protocol.written(count);
                    allowed -= count;
                }
            }
        }
    }

    /// Writing failed. A server that refuses a body may have answered before it closed: what is there is read first.
    pub(super) fn fail_write(&mut self, key: usize, error: &io::Error) {
        let failure = Failure::from_io(transport_kind(error), "while writing", error);
        self.connections[key].write_failure.get_or_insert(failure);
        self.read(key);
    }

    /// Read what is there, as far as the turn allows.
    pub(super) fn read(&mut self, key: usize) {
        let number = self.connections[key].number;
        let mut allowed = TURN_BYTES;
        while self.is_live(key, number) {
            let connection = &mut self.connections[key];
            if allowed == 0 {
                return self.carry(key, Carried::ToRead);
            }
            let outcome = connection.transport.read(&mut self.buffer);
            self.now_ns = self.clock.now_ns();
            self.arrived_ns = match (&outcome, &mut self.stamps) {
                (Ok(ReadOutcome::Bytes { stamp_unix_ns, .. }), Some(stamps)) => {
                    stamp_unix_ns.and_then(|stamp| stamps.time_of(stamp, self.now_ns, self.clock))
                }
                _ => None,
            };
            self.note_sending(self.now_ns);
            let connection = &mut self.connections[key];
            let protocol = &mut connection.protocol;
            let has_more = match outcome {
                Ok(ReadOutcome::Bytes {
                    count, mut drained, ..
                }) => {
                    if let Some(fault) = self.around.plan.fault {
                        fault.before_parse();
                    }
                    protocol.receive(&self.buffer[..count], &mut self.events);
                    allowed = allowed.saturating_sub(count);
                    if !drained && protocol.slots() > 0 {
                        self.look_behind(key);
                        drained = true;
                    }
                    let connection = &self.connections[key];
                    !drained || connection.hang_up || connection.write_failure.is_some()
                }
                Ok(ReadOutcome::Blocked | ReadOutcome::Eof | ReadOutcome::Cut)
                    if connection.write_failure.is_some() && !connection.transport.has_heard_all() =>
                {
                    if let Some(failure) = connection.write_failure.take() {
                        protocol.broken(&failure, &mut self.events);
                    }
                    false
                }
                Ok(ReadOutcome::Blocked) => false,
                Ok(ReadOutcome::Eof) => {
                    protocol.eof(&mut self.events);
                    false
                }
                Ok(ReadOutcome::Cut) => {
                    protocol.cut_off(&mut self.events);
                    false
                }
                Err(error) => {
                    let failure = Failure::from_io(transport_kind(&error), "while reading", &error);
                    protocol.broken(&failure, &mut self.events);
                    false
                }
            };
            self.apply(key);
            if !has_more {
                return;
            }
        }
    }

    /// See that nothing lies behind an answer that was read without draining the socket: what nobody asked for must not
    /// be taken for the answer to the next request.
    fn look_behind(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let protocol = &mut connection.protocol;
        match connection.transport.read(&mut self.buffer) {
            Ok(ReadOutcome::Blocked) => {}
            Ok(ReadOutcome::Eof | ReadOutcome::Cut) => connection.hang_up = true,
            Ok(ReadOutcome::Bytes { count, .. }) => protocol.receive(&self.buffer[..count], &mut self.events),
            Err(error) => {
                let failure = Failure::from_io(transport_kind(&error), "while reading", &error);
                protocol.broken(&failure, &mut self.events);
            }
        }
    }

    /// Do what the protocol's events ask.
    pub(super) fn apply(&mut self, key: usize) {
        if self.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        let (mut next, mut must_close, mut has_ended) = (None, false, false);
        for event in events.drain(..) {
            match event {
                Event::FirstByte(id) => {
                    let moment_ns = self.moment_ns();
                    let request = &mut self.requests[id.0];
                    request.first_byte_ns = moment_ns.max(request.sent_ns);
                }
                Event::ServerEvents(id, count) => self.note_events(id, count),
                Event::Ended(id, exchange) => {
                    self.due.extend(next.take());
                    next = self.finish(id, &exchange, None);
                    has_ended = true;
                }
                Event::Failed(id, exchange, failure) => {
                    self.due.extend(next.take());
                    next = self.finish(id, &exchange, Some(failure));
                }
                Event::MustClose => must_close = true,
            }
        }
        self.events = events;
        let connection = &mut self.connections[key];
        connection.free_since_ns = self.arrived_ns.take().unwrap_or(self.now_ns);
        let pool = connection.pool;
        if must_close || (has_ended && connection.hang_up) {
            // A server that hangs up behind its answer, unannounced, has closed an idle connection.
            if !must_close {
                connection.stage = Stage::Idle;
            }
            self.due.extend(next);
            return self.close(key);
        }
        if !has_ended {
            return;
        }
        match next {
            // Whoever waits comes first.
            Some(arrival) if self.pool_of(&arrival) == pool && !self.pools[pool].has_waiting() => {
                self.begin_on(arrival, key);
            }
            other => {
                self.due.extend(other);
                self.offer(key);
            }
        }
    }
}

/// The kind of failure of a connection that was open.
fn transport_kind(error: &io::Error) -> Kind {
    // What rustls cannot accept comes as invalid data.
    if error.kind() == io::ErrorKind::InvalidData {
        Kind::Tls
    } else {
        Kind::Reset
    }
}
