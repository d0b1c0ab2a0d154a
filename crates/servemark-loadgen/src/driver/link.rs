//! Connections: from being opened to being closed, and the bytes in between.

use std::io;

use super::{Driver, TURN_BYTES};
use crate::connection::{Connection, Phase};
use crate::error::{Failure, Kind};
use crate::load::Load;
use crate::poller::Ready;
use crate::protocol::{Event, Protocol};
use crate::record::flags;
use crate::transport::{ReadOutcome, Transport};

impl<'plan, L: Load, P: Protocol<'plan>> Driver<'plan, L, P> {
    /// Open as many connections to an address as its waiting requests need.
    pub(super) fn open_needed(&mut self, address: usize) {
        while self.pools[address].needs_connection() {
            self.open(address);
        }
    }

    /// Begin to open a connection.
    pub(super) fn open(&mut self, address: usize) {
        self.read_clock();
        let number = self.next_connection;
        self.next_connection = number.wrapping_add(self.around.plan.threads);
        let is_replacement = self.pools[address].opening();
        let tls = self.around.tls[address].as_ref();
        match Transport::connect(self.around.plan.addresses[address].socket(), tls) {
            Ok(transport) => self.admit_connection(number, address, transport, is_replacement),
            Err(error) => {
                self.pools[address].failed_to_open();
                let failure = Failure::from_io(Kind::Connect, "connect", &error);
                self.fail_waiting(address, number, 0, failure);
            }
        }
    }

    fn admit_connection(&mut self, number: u32, address: usize, transport: Transport, is_replacement: bool) {
        let protocol = P::new(self.around.plan.kept_bytes());
        let mut connection = Connection::new(number, address, transport, protocol, self.now_ns);
        connection.is_replacement = is_replacement;
        let key = self.connections.insert(connection);
        let deadline_ns = self.now_ns.saturating_add(self.around.plan.connect_timeout_ns);
        self.connect_deadlines.set(key, deadline_ns);
        let token = (u64::from(number) << 32) | key as u64;
        let socket = &self.connections[key].transport;
        if let Err(error) = self.poller.watch(std::os::fd::AsFd::as_fd(socket), token) {
            let failure = Failure::from_io(Kind::Connect, "epoll", &error);
            self.fail_opening(key, failure);
        }
    }

    /// A socket is ready for something.
    pub(super) fn handle(&mut self, ready: Ready) {
        let (key, number) = ((ready.token & 0xffff_ffff) as usize, (ready.token >> 32) as u32);
        if !self.is_live(key, number) {
            return;
        }
        let connection = &mut self.connections[key];
        connection.hang_up |= ready.hang_up;
        match connection.phase {
            Phase::Connecting if ready.writable || ready.hang_up => self.finish_connect(key),
            Phase::Connecting => {}
            Phase::Handshaking => self.handshake(key),
            Phase::Open => {
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
        let connection = &mut self.connections[key];
        if let Err(error) = connection.transport.finish_connect() {
            let failure = Failure::from_io(Kind::Connect, "connect", &error);
            return self.fail_opening(key, failure);
        }
        connection.connect_us = connection.phase_us(self.now_ns);
        connection.phase = Phase::Handshaking;
        connection.phase_ns = self.now_ns;
        self.handshake(key);
    }

    fn handshake(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        match connection.transport.handshake() {
            Ok(false) => {}
            Ok(true) => {
                if matches!(connection.transport, Transport::Tls(_)) {
                    self.now_ns = self.clock.now_ns();
                    connection.tls_us = connection.phase_us(self.now_ns);
                }
                self.finish_opening(key);
            }
            Err(error) => {
                self.read_clock();
                let failure = Failure::from_io(Kind::Tls, "TLS handshake", &error);
                self.fail_opening(key, failure);
            }
        }
    }

    fn finish_opening(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        connection.phase = Phase::Open;
        connection.free_since_ns = self.now_ns;
        let number = connection.number;
        let address = connection.address;
        self.last_opened_ns = self.now_ns;
        self.connect_deadlines.clear(key);
        self.pools[address].opened();
        self.offer(key);
        // Edges that came while it was opened will not come again.
        if self.is_live(key, number) {
            self.read(key);
        }
    }

    /// Give a connection that has a slot to the request that waits longest, or let it rest.
    fn offer(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let pool = &mut self.pools[connection.address];
        let Some(id) = pool.take_waiting() else {
            connection.is_idle = true;
            connection.has_rested = true;
            pool.rest(key);
            return;
        };
        if !connection.has_rested {
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
        let (address, number, connect_us) = (connection.address, connection.number, connection.connect_us);
        self.pools[address].opened();
        self.fail_waiting(address, number, connect_us, failure);
        self.close(key);
    }

    fn fail_waiting(&mut self, address: usize, number: u32, connect_us: u32, failure: Failure) {
        if let Some(id) = self.pools[address].take_waiting() {
            let request = &mut self.requests[id.0];
            request.connection_number = number;
            request.connect_us = connect_us;
            self.finish_unsent(id, failure);
        }
    }

    /// Close a connection that is still being opened, for nobody.
    pub(super) fn abandon(&mut self, key: usize) {
        self.pools[self.connections[key].address].opened();
        self.close(key);
    }

    /// Close a connection that carries no request. (A closed socket leaves its epoll instance by itself.)
    pub(super) fn close(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        self.connect_deadlines.clear(key);
        self.pools[connection.address].closed(key, connection.is_idle);
        self.open_needed(connection.address);
    }

    /// Whether an idle connection can still be used. It can when there is nothing to read: neither an end nor bytes that
    /// nobody asked for.
    pub(super) fn is_alive(&mut self, key: usize) -> bool {
        let connection = &mut self.connections[key];
        let outcome = connection.transport.read(&mut self.buffer);
        !connection.hang_up && matches!(outcome, Ok(ReadOutcome::Blocked))
    }

    /// Go on where the last turn left off.
    pub(super) fn take_turn(&mut self, key: usize, number: u32) {
        if !self.is_live(key, number) {
            return;
        }
        self.connections[key].is_carried = false;
        self.write_more(key);
        if self.is_live(key, number) && self.connections[key].is_unread {
            self.read(key);
        }
    }

    fn carry(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if !connection.is_carried {
            connection.is_carried = true;
            self.carried.push_back((key, connection.number));
        }
    }

    fn write_more(&mut self, key: usize) {
        if let Err(error) = self.write(key) {
            self.fail_write(key, &error);
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
                self.carry(key);
                return Ok(());
            }
            match connection.transport.write(&output[..output.len().min(allowed)])? {
                0 => return Ok(()),
                count => {
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
    fn read(&mut self, key: usize) {
        let number = self.connections[key].number;
        let mut allowed = TURN_BYTES;
        while self.is_live(key, number) {
            let connection = &mut self.connections[key];
            if allowed == 0 {
                connection.is_unread = true;
                return self.carry(key);
            }
            connection.is_unread = false;
            let outcome = connection.transport.read(&mut self.buffer);
            self.now_ns = self.clock.now_ns();
            let protocol = &mut connection.protocol;
            let has_more = match outcome {
                Ok(ReadOutcome::Bytes { count, drained }) => {
                    protocol.receive(&self.buffer[..count], &mut self.events);
                    allowed = allowed.saturating_sub(count);
                    !drained || connection.hang_up || connection.write_failure.is_some()
                }
                Ok(ReadOutcome::Blocked | ReadOutcome::Eof) if connection.write_failure.is_some() => {
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

    /// Do what the protocol's events ask.
    pub(super) fn apply(&mut self, key: usize) {
        if self.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        let (mut next, mut must_close, mut has_ended) = (None, false, false);
        for event in events.drain(..) {
            match event {
                Event::FirstByte(id) => self.requests[id.0].first_byte_ns = self.now_ns,
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
        connection.free_since_ns = self.now_ns;
        let address = connection.address;
        if must_close || (has_ended && connection.hang_up) {
            // A server that hangs up behind its answer, unannounced, has closed an idle connection.
            connection.is_idle |= !must_close;
            self.due.extend(next);
            return self.close(key);
        }
        if !has_ended {
            return;
        }
        let steps = &self.around.plan.steps;
        match next {
            Some(arrival) if steps[usize::from(arrival.step)].address == address => {
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
