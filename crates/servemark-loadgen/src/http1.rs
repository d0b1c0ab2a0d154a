//! HTTP/1.1 from the client's side, after RFC 9112: one request at a time, its response parsed as it comes.
//!
//! A body is never buffered beyond the few bytes kept as an example. Whatever makes the end of a response doubtful
//! (both kinds of length, bytes that nobody asked for, an end before its time) ends the connection's life.

mod chunked;
mod head;

use crate::error::{Failure, Kind};
use crate::plan::Request;
use crate::protocol::{Event, Exchange, Protocol};
use crate::request::{Numbers, RequestId, apply_patches};

use chunked::Chunked;
use head::{Framing, Head, Parsed};

/// The longest head that is accepted, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub struct Http1<'plan> {
    state: State,
    id: RequestId,
    head_only: bool,
    exchange: Exchange,
    output: Output<'plan>,
    output_done: usize,
    patched: Vec<u8>,
    partial_head: Vec<u8>,
    keep_alive: bool,
    kept_body: Vec<u8>,
    keep_body_bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Idle,
    Head,
    Body(Body),
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Length { left: u64 },
    Chunked(Chunked),
    UntilClose,
}

#[derive(Debug)]
enum Output<'plan> {
    /// The plan's own bytes: nothing to copy.
    Shared(&'plan [u8]),
    /// A copy in `patched`, where the numbers are written in.
    Patched,
}

impl<'plan> Protocol<'plan> for Http1<'plan> {
    fn new(keep_body_bytes: usize) -> Self {
        Self {
            state: State::Idle,
            id: RequestId(0),
            head_only: false,
            exchange: Exchange::default(),
            output: Output::Shared(&[]),
            output_done: 0,
            patched: Vec::new(),
            partial_head: Vec::new(),
            keep_alive: true,
            kept_body: Vec::new(),
            keep_body_bytes,
        }
    }

    fn slots(&self) -> usize {
        usize::from(self.state == State::Idle)
    }

    fn start(&mut self, id: RequestId, request: &'plan Request, numbers: Numbers) {
        debug_assert_eq!(self.state, State::Idle);
        self.state = State::Head;
        self.id = id;
        self.head_only = request.head_only;
        self.exchange = Exchange::default();
        self.kept_body.clear();
        self.output_done = 0;
        self.output = if request.patches.is_empty() {
            Output::Shared(&request.wire)
        } else {
            self.patched.clear();
            self.patched.extend_from_slice(&request.wire);
            apply_patches(&mut self.patched, &request.patches, numbers);
            Output::Patched
        };
    }

    fn output(&self) -> &[u8] {
        let all = match self.output {
            Output::Shared(wire) => wire,
            Output::Patched => &self.patched,
        };
        &all[self.output_done..]
    }

    fn written(&mut self, count: usize) {
        self.output_done += count;
        self.exchange.bytes_sent += count as u64;
    }

    fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Idle => {
                    self.close(events);
                    return;
                }
                State::Closed => return,
                State::Head => self.receive_head(rest, events),
                State::Body(_) => self.receive_body(rest, events),
            };
        }
    }

    fn eof(&mut self, events: &mut Vec<Event>) {
        let missing = match &self.state {
            State::Closed => return,
            State::Idle => return self.close(events),
            State::Body(Body::UntilClose) => {
                events.push(Event::Ended(self.id, self.exchange));
                return self.close(events);
            }
            State::Head if self.exchange.bytes_received == 0 => {
                "closed before any byte of the response".to_owned()
            }
            State::Head => "closed before the end of the response's head".to_owned(),
            State::Body(Body::Length { left }) => {
                format!("closed {left} bytes before the end of the response's body")
            }
            State::Body(Body::Chunked(_)) => "closed before the last chunk".to_owned(),
        };
        let failure = Failure::new(Kind::ClosedEarly, format!("the connection was {missing}"));
        self.fail(failure, events);
    }

    fn broken(&mut self, failure: &Failure, events: &mut Vec<Event>) {
        match self.state {
            State::Closed => {}
            State::Idle => self.close(events),
            State::Head | State::Body(_) => self.fail(failure.clone(), events),
        }
    }

    fn cancel(&mut self, id: RequestId, failure: Failure, events: &mut Vec<Event>) {
        if id == self.id && matches!(self.state, State::Head | State::Body(_)) {
            self.fail(failure, events);
        }
    }

    fn kept_body(&self, _id: RequestId) -> &[u8] {
        &self.kept_body
    }
}

impl Http1<'_> {
    fn receive_head<'b>(&mut self, bytes: &'b [u8], events: &mut Vec<Event>) -> &'b [u8] {
        let held = self.partial_head.len();
        if held == 0 {
            events.push(Event::FirstByte(self.id));
        }
        let parsed = if held == 0 {
            head::parse(bytes, self.head_only)
        } else {
            // The head ends with a line break: without one, parsing it again would find nothing new.
            let room = (MAX_HEAD_BYTES + 1).saturating_sub(held).min(bytes.len());
            self.partial_head.extend_from_slice(&bytes[..room]);
            if bytes[..room].contains(&b'\n') {
                head::parse(&self.partial_head, self.head_only)
            } else {
                Parsed::Partial
            }
        };
        match parsed {
            Parsed::Complete(complete) if complete.bytes <= MAX_HEAD_BYTES => {
                let (used, rest) = bytes.split_at(complete.bytes - held);
                self.exchange.bytes_received += used.len() as u64;
                self.partial_head.clear();
                self.begin_body(&complete, events);
                rest
            }
            Parsed::Partial if held + bytes.len() <= MAX_HEAD_BYTES => {
                self.exchange.bytes_received += bytes.len() as u64;
                if held == 0 {
                    self.partial_head.extend_from_slice(bytes);
                }
                &[]
            }
            Parsed::Complete(_) | Parsed::Partial => {
                self.exchange.bytes_received += bytes.len() as u64;
                self.protocol_error("the response's head is longer than 64 KiB", events);
                &[]
            }
            Parsed::Invalid(message) => {
                self.exchange.bytes_received += bytes.len() as u64;
                self.protocol_error(message, events);
                &[]
            }
        }
    }

    fn begin_body(&mut self, head: &Head, events: &mut Vec<Event>) {
        if head.status < 200 {
            return;
        }
        self.exchange.status = head.status;
        self.keep_alive = head.keep_alive;
        match head.framing {
            Framing::None | Framing::Length(0) => self.end(events),
            Framing::Length(left) => self.state = State::Body(Body::Length { left }),
            Framing::Chunked => self.state = State::Body(Body::Chunked(Chunked::new())),
            Framing::UntilClose => self.state = State::Body(Body::UntilClose),
        }
    }

    fn receive_body<'b>(&mut self, bytes: &'b [u8], events: &mut Vec<Event>) -> &'b [u8] {
        let State::Body(body) = &mut self.state else {
            return bytes;
        };
        let kept = &mut self.kept_body;
        let limit = self.keep_body_bytes;
        let mut keep = |data: &[u8]| {
            let room = limit.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(&data[..room]);
        };
        let (used, done) = match body {
            Body::UntilClose => {
                keep(bytes);
                (bytes.len(), Ok(false))
            }
            Body::Length { left } => {
                let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                keep(&bytes[..used]);
                *left -= used as u64;
                (used, Ok(*left == 0))
            }
            Body::Chunked(chunked) => chunked.receive(bytes, keep),
        };
        self.exchange.bytes_received += used as u64;
        match done {
            Ok(false) => {}
            Ok(true) => self.end(events),
            Err(message) => self.protocol_error(message, events),
        }
        &bytes[used..]
    }

    /// The response is complete. Its connection goes on only if the request, too, was written to its end.
    fn end(&mut self, events: &mut Vec<Event>) {
        events.push(Event::Ended(self.id, self.exchange));
        if self.keep_alive && self.output().is_empty() {
            self.state = State::Idle;
        } else {
            self.close(events);
        }
    }

    fn protocol_error(&mut self, message: &'static str, events: &mut Vec<Event>) {
        self.fail(Failure::new(Kind::Protocol, message), events);
    }

    fn fail(&mut self, failure: Failure, events: &mut Vec<Event>) {
        events.push(Event::Failed(self.id, self.exchange, failure));
        self.close(events);
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        self.state = State::Closed;
        self.output = Output::Shared(&[]);
        self.output_done = 0;
        events.push(Event::MustClose);
    }
}

#[cfg(test)]
mod tests;
