//! HTTP/1.1 from the client's side, after RFC 9112: one request at a time, its response parsed as it comes.
//!
//! A body is never buffered beyond the bytes that are kept to be looked at; of a stream of server-sent events they are
//! counted as they come. Whatever makes the end of a response doubtful
//! (both kinds of length, bytes that nobody asked for, an end before its time) ends the connection's life.

mod chunked;
mod head;
mod partial;
mod prepared;

use crate::body::{Body, Watch};
use crate::error::{Failure, Kind};
use crate::plan::Request;
use crate::protocol::{Event, Exchange, Protocol};
use crate::request::{Numbers, RequestId};
use crate::sse::EventStream;

use chunked::Chunked;
use head::{Framing, Head, LastHead, Parsed};
use partial::PartialHead;

pub use prepared::Prepared;

/// The longest head that is accepted, with the interim responses before it, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub struct Http1<'plan> {
    state: State,
    id: RequestId,
    head_only: bool,
    exchange: Exchange,
    output: Output<'plan>,
    output_body: &'plan [u8],
    output_done: usize,
    patched: Vec<u8>,
    partial_head: PartialHead,
    last_head: LastHead,
    keep_alive: bool,
    /// The events of a response that is a stream of them.
    stream: Option<EventStream>,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Idle,
    Head,
    Body(BodyEnd),
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
enum BodyEnd {
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
    type Prepared = Prepared;

    fn prepare(request: &Request) -> Prepared {
        Prepared::of(request)
    }

    fn new() -> Self {
        Self {
            state: State::Idle,
            id: RequestId(0),
            head_only: false,
            exchange: Exchange::default(),
            output: Output::Shared(&[]),
            output_body: &[],
            output_done: 0,
            patched: Vec::new(),
            partial_head: PartialHead::default(),
            last_head: LastHead::default(),
            keep_alive: true,
            stream: None,
            body: Body::default(),
        }
    }

    fn slots(&self) -> usize {
        usize::from(self.state == State::Idle)
    }

    fn start(&mut self, id: RequestId, request: &'plan Prepared, numbers: Numbers, watch: Watch) {
        debug_assert_eq!(self.state, State::Idle);
        self.state = State::Head;
        self.id = id;
        self.head_only = request.head_only;
        self.exchange = Exchange::default();
        self.body.begin(watch);
        self.output_done = 0;
        self.output_body = request.body.as_slice();
        self.output = if request.digits.is_empty() {
            Output::Shared(&request.wire)
        } else {
            self.patched.clear();
            self.patched.extend_from_slice(&request.wire);
            for digits in &request.digits {
                digits.write(&mut self.patched, numbers);
            }
            Output::Patched
        };
    }

    fn output(&self) -> &[u8] {
        let first = match self.output {
            Output::Shared(wire) => wire,
            Output::Patched => &self.patched,
        };
        match self.output_done.checked_sub(first.len()) {
            None => &first[self.output_done..],
            Some(done) => &self.output_body[done..],
        }
    }

    fn written(&mut self, count: usize) {
        self.output_done += count;
        self.exchange.bytes_sent += count as u64;
        self.exchange.is_sent_whole = self.output().is_empty();
    }

    fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        let mut rest = bytes;
        self.body.begin_part();
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
            State::Body(BodyEnd::UntilClose) => {
                events.push(Event::Ended(self.id, self.exchange));
                return self.close(events);
            }
            State::Head if self.exchange.bytes_received == 0 => {
                "closed before any byte of the response".to_owned()
            }
            State::Head => "closed before the end of the response's head".to_owned(),
            State::Body(BodyEnd::Length { left }) => {
                format!("closed {left} bytes before the end of the response's body")
            }
            State::Body(BodyEnd::Chunked(_)) => "closed before the last chunk".to_owned(),
        };
        let failure = Failure::new(Kind::ClosedEarly, format!("the connection was {missing}"));
        self.fail(failure, events);
    }

    fn cut_off(&mut self, events: &mut Vec<Event>) {
        if self.state != State::Body(BodyEnd::UntilClose) {
            return self.eof(events);
        }
        // RFC 9112, section 9.8: without a closure alert such a response is incomplete.
        let message = "the connection was closed without TLS's close_notify, so that the body may be cut off";
        self.fail(Failure::new(Kind::ClosedEarly, message), events);
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

    fn body(&self, _id: RequestId) -> &Body {
        &self.body
    }
}

impl Http1<'_> {
    fn receive_head<'b>(&mut self, bytes: &'b [u8], events: &mut Vec<Event>) -> &'b [u8] {
        let before = usize::try_from(self.exchange.bytes_received).unwrap_or(MAX_HEAD_BYTES);
        let room = MAX_HEAD_BYTES.saturating_sub(before).min(bytes.len());
        let (used, parsed) = self.look_for_head(&bytes[..room], events);
        self.exchange.bytes_received += used as u64;
        match parsed {
            Parsed::Complete(complete) => {
                self.partial_head.clear();
                self.begin_body(&complete, events);
                &bytes[used..]
            }
            Parsed::Partial if room == bytes.len() => &[],
            Parsed::Partial => {
                self.exchange.bytes_received += 1;
                self.protocol_error("the response's head is longer than 64 KiB", events);
                &[]
            }
            Parsed::Invalid { message, .. } => {
                self.protocol_error(message, events);
                &[]
            }
        }
    }

    /// Look at more bytes of a head. Returns how many of them were used, and what they came to.
    fn look_for_head(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> (usize, Parsed) {
        let held = self.partial_head.len();
        if held > 0 {
            let parsed = self.partial_head.add(bytes, self.head_only);
            return (parsed.used(held, bytes.len()), parsed);
        }
        // Empty lines before a head belong to nothing.
        let blank = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let begun = &bytes[blank..];
        if begun.is_empty() {
            return (blank, Parsed::Partial);
        }
        events.push(Event::FirstByte(self.id));
        if let Some(same) = self.last_head.again(begun, self.head_only) {
            return (blank + same.bytes, Parsed::Complete(same));
        }
        // Nearly always it has come whole.
        let parsed = match head::attempt(begun, self.head_only) {
            Ok(Parsed::Partial) | Err(_) => self.partial_head.add(begun, self.head_only),
            Ok(known) => known,
        };
        if let Parsed::Complete(whole) = &parsed {
            self.last_head.remember(begun, self.head_only, *whole);
        }
        (blank + parsed.used(0, begun.len()), parsed)
    }

    fn begin_body(&mut self, head: &Head, events: &mut Vec<Event>) {
        if head.status < 200 {
            return;
        }
        self.exchange.status = head.status;
        self.exchange.is_stream = head.is_stream;
        self.keep_alive = head.keep_alive;
        self.stream = head.is_stream.then(EventStream::default);
        match head.framing {
            Framing::None | Framing::Length(0) => self.end(events),
            Framing::Length(left) => self.state = State::Body(BodyEnd::Length { left }),
            Framing::Chunked => self.state = State::Body(BodyEnd::Chunked(Chunked::new())),
            Framing::UntilClose => self.state = State::Body(BodyEnd::UntilClose),
        }
    }

    fn receive_body<'b>(&mut self, bytes: &'b [u8], events: &mut Vec<Event>) -> &'b [u8] {
        let State::Body(end) = &mut self.state else {
            return bytes;
        };
        let (body, stream) = (&mut self.body, &mut self.stream);
        let mut dispatched = 0;
        let mut add = |data: &[u8]| {
            body.add(data);
            if let Some(stream) = stream {
                dispatched += stream.receive(data);
            }
        };
        let (used, done) = match end {
            BodyEnd::UntilClose => {
                add(bytes);
                (bytes.len(), Ok(false))
            }
            BodyEnd::Length { left } => {
                let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                add(&bytes[..used]);
                *left -= used as u64;
                (used, Ok(*left == 0))
            }
            BodyEnd::Chunked(chunked) => chunked.receive(bytes, add),
        };
        self.exchange.bytes_received += used as u64;
        if !self.body.part().is_empty() {
            events.push(Event::BodyPart(self.id));
        }
        if dispatched > 0 {
            events.push(Event::ServerEvents(self.id, dispatched));
        }
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
        self.output_body = &[];
        self.output_done = 0;
        events.push(Event::MustClose);
    }
}

/// How many bytes were handed to a parser of heads, on this thread.
#[cfg(test)]
mod work {
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    pub(super) fn take() -> usize {
        BYTES.take()
    }
}

#[cfg(test)]
mod tests;
