//! The bytes of a connection: written as the protocol says, and read into its events.

use std::io;

use rustix::io::ioctl_fionread;

use super::connection::{Carried, Connection, ConnectionId};
use super::{Connections, Protocol};
use crate::error::{Failure, Kind};
use crate::protocol::Event;
use crate::transport::ReadOutcome;

/// The most bytes that one connection reads or writes before the others have their turn.
pub(in crate::driver) const TURN_BYTES: usize = 64 * 1024;

/// Why bytes could not be written.
#[derive(Debug)]
pub(in crate::driver) struct WriteFailure {
    error: io::Error,
    /// The transport took bytes before it failed; of the call that failed none left.
    pub(in crate::driver) took_some: bool,
}

/// What reading once came to.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Parsed {
    /// How many bytes were read.
    pub(in crate::driver) bytes: usize,
    /// There may be more to read, although no event will say so.
    pub(in crate::driver) has_more: bool,
}

impl<'plan, P: Protocol<'plan>> Connections<'plan, P> {
    /// Whether the protocol has something to write.
    pub(in crate::driver) fn has_output(&self, id: ConnectionId) -> bool {
        !self.by_key[id.key].protocol.output().is_empty()
    }

    /// Whether there is something to write that nobody else will write: neither its turn, nor an event of a socket that is
    /// full now.
    pub(in crate::driver) fn wants_to_write(&self, id: ConnectionId) -> bool {
        let connection = &self.by_key[id.key];
        let is_able = !connection.is_full && connection.write_failure.is_none();
        is_able && connection.carried == Carried::No && !connection.protocol.output().is_empty()
    }

    /// Write what the protocol has, as far as the socket and the turn allow. Returns how many bytes that were.
    pub(in crate::driver) fn write(&mut self, id: ConnectionId) -> Result<usize, WriteFailure> {
        let mut left = TURN_BYTES;
        match self.by_key[id.key].write(&mut left) {
            Ok(()) => {
                if left == 0 && self.has_output(id) {
                    self.carry(id, Carried::ToWrite);
                }
                Ok(TURN_BYTES - left)
            }
            Err(error) => Err(WriteFailure {
                error,
                took_some: left < TURN_BYTES,
            }),
        }
    }

    /// Writing failed. A server that refuses a body may have answered before it closed: what is there is read first.
    pub(in crate::driver) fn note_write_failure(&mut self, id: ConnectionId, failure: &WriteFailure) {
        let error = &failure.error;
        let failure = Failure::from_io(transport_kind(error), "while writing", error);
        self.by_key[id.key].write_failure.get_or_insert(failure);
    }

    /// Read what is there, once, into the buffer.
    pub(in crate::driver) fn read(&mut self, id: ConnectionId) -> io::Result<ReadOutcome> {
        self.by_key[id.key].transport.read(&mut self.buffer)
    }

    /// How many bytes lie there unread; 0 where the system does not tell.
    pub(in crate::driver) fn unread_bytes(&self, id: ConnectionId) -> usize {
        let bytes = ioctl_fionread(&self.by_key[id.key].transport);
        bytes.map_or(0, |bytes| bytes as usize)
    }

    /// Give the protocol what was just read.
    pub(in crate::driver) fn parse(
        &mut self,
        id: ConnectionId,
        read: io::Result<ReadOutcome>,
        events: &mut Vec<Event>,
    ) -> Parsed {
        let connection = &mut self.by_key[id.key];
        let protocol = &mut connection.protocol;
        match read {
            Ok(ReadOutcome::Bytes {
                count, mut drained, ..
            }) => {
                protocol.receive(&self.buffer[..count], events);
                if !drained && connection.has_ended_all(events) {
                    drained = connection.look_behind(&mut self.buffer, events);
                }
                return Parsed {
                    bytes: count,
                    has_more: !drained || connection.hang_up || connection.write_failure.is_some(),
                };
            }
            Ok(ReadOutcome::Blocked | ReadOutcome::Eof | ReadOutcome::Cut)
                if connection.write_failure.is_some() && !connection.transport.has_heard_all() =>
            {
                if let Some(failure) = connection.write_failure.take() {
                    protocol.broken(&failure, events);
                }
            }
            Ok(ReadOutcome::Blocked) => {}
            Ok(ReadOutcome::Eof) => protocol.eof(events),
            Ok(ReadOutcome::Cut) => protocol.cut_off(events),
            Err(error) => protocol.broken(&read_failure(&error), events),
        }
        Parsed {
            bytes: 0,
            has_more: false,
        }
    }
}

impl<'plan, P: Protocol<'plan>> Connection<P> {
    /// Write what the protocol has, until the socket is full, or so many bytes are not `left` any more.
    fn write(&mut self, left: &mut usize) -> io::Result<()> {
        self.transport.flush()?;
        self.is_full = false;
        loop {
            let output = self.protocol.output();
            if output.is_empty() || *left == 0 {
                return Ok(());
            }
            match self.transport.write(&output[..output.len().min(*left)])? {
                0 => {
                    self.is_full = true;
                    return Ok(());
                }
                count => {
                    self.protocol.written(count);
                    *left -= count;
                }
            }
        }
    }

    /// Whether `events`, which were not applied yet, are the end of all requests that it carries, and it could carry another.
    fn has_ended_all(&self, events: &[Event]) -> bool {
        let ends = events
            .iter()
            .filter(|event| matches!(event, Event::Ended(..) | Event::Failed(..)));
        self.protocol.slots() > 0 && ends.count() == self.in_flight
    }

    /// See that nothing lies behind an answer that was read without draining the socket: what nobody asked for must not
    /// be taken for the answer to the next request. Returns whether nothing is left to be read.
    fn look_behind(&mut self, buffer: &mut [u8], events: &mut Vec<Event>) -> bool {
        match self.transport.read(buffer) {
            Ok(ReadOutcome::Blocked) => return true,
            Ok(ReadOutcome::Eof | ReadOutcome::Cut) => self.hang_up = true,
            Ok(ReadOutcome::Bytes { count, drained, .. }) => {
                self.protocol.receive(&buffer[..count], events);
                return drained;
            }
            Err(error) => self.protocol.broken(&read_failure(&error), events),
        }
        true
    }
}

fn read_failure(error: &io::Error) -> Failure {
    Failure::from_io(transport_kind(error), "while reading", error)
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
