//! A protocol with several slots a connection, as HTTP/2 has them, made small: frames of three bytes, and the server's
//! end of it.
//!
//! A response may end before its slot comes back, slots may come and go without a request, a ping is answered at once, and
//! who cancels a request ends its sibling.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use crate::body::{Body, Watch};
use crate::error::{Failure, Kind};
use crate::plan::Request;
use crate::protocol::{Event, Exchange, Protocol};
use crate::request::{Numbers, RequestId};

/// A kind, the stream or a number, and a value.
pub(super) type Frame = [u8; 3];

/// The client asks, on a stream, for a user.
pub(super) const ASK: u8 = b'Q';
/// The client gives up a stream.
pub(super) const RESET: u8 = b'R';
/// The client answers a ping.
pub(super) const PONG: u8 = b'A';
/// The server allows so many streams.
pub(super) const ALLOW: u8 = b'S';
/// The server sends a byte of a body.
pub(super) const DATA: u8 = b'D';
/// The server ends a response; its slot is still taken.
pub(super) const END: u8 = b'E';
/// The server gives a slot back.
pub(super) const FREE: u8 = b'F';
/// The server gives up a stream, and its slot is free.
pub(super) const REFUSE: u8 = b'X';
/// The server wants an answer.
pub(super) const PING: u8 = b'P';

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// It has ended, and its slot has not come back.
    Over,
    /// Its slot has come back.
    Free,
}

#[derive(Debug)]
struct Stream {
    number: u8,
    id: RequestId,
    exchange: Exchange,
    body: Body,
    stage: Stage,
}

/// The client's end of a connection that begins with `SLOTS` slots.
#[derive(Debug)]
pub(super) struct Slotted<const SLOTS: usize> {
    allowed: usize,
    streams: Vec<Stream>,
    next_number: u8,
    output: Vec<u8>,
    input: Vec<u8>,
    is_closed: bool,
}

impl<const SLOTS: usize> Slotted<SLOTS> {
    fn act(&mut self, [kind, number, value]: Frame, events: &mut Vec<Event>) {
        match kind {
            ALLOW => self.allowed = number.into(),
            PING => self.output.extend([PONG, number, value]),
            _ => self.act_on_stream(kind, number, value, events),
        }
    }

    fn act_on_stream(&mut self, kind: u8, number: u8, value: u8, events: &mut Vec<Event>) {
        let stream = self.streams.iter_mut().find(|stream| stream.number == number);
        // One that was given up may have been answered meanwhile.
        let Some(stream) = stream.filter(|stream| stream.stage != Stage::Free) else {
            return;
        };
        stream.exchange.bytes_received += 3;
        match kind {
            DATA => {
                if stream.body.bytes() == 0 {
                    events.push(Event::FirstByte(stream.id));
                }
                stream.body.add(&[value]);
            }
            END => {
                stream.stage = Stage::Over;
                stream.exchange.status = 200;
                events.push(Event::Ended(stream.id, stream.exchange));
            }
            FREE => stream.stage = Stage::Free,
            REFUSE => stream.fail(Failure::new(Kind::Reset, "refused"), events),
            _ => panic!("the server sent {kind}"),
        }
    }

    fn close(&mut self, failure: &Failure, events: &mut Vec<Event>) {
        if !self.is_closed {
            self.is_closed = true;
            self.output.clear();
            for stream in &mut self.streams {
                stream.fail(failure.clone(), events);
            }
            events.push(Event::MustClose);
        }
    }
}

impl Stream {
    fn fail(&mut self, failure: Failure, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.stage, Stage::Free) == Stage::Open {
            events.push(Event::Failed(self.id, self.exchange, failure));
        }
    }
}

impl<'plan, const SLOTS: usize> Protocol<'plan> for Slotted<SLOTS> {
    type Prepared = ();

    fn prepare(_request: &Request) {}

    fn new() -> Self {
        Self {
            allowed: SLOTS,
            streams: Vec::new(),
            next_number: 0,
            output: Vec::new(),
            input: Vec::new(),
            is_closed: false,
        }
    }

    fn slots(&self) -> usize {
        let taken = self.streams.iter().filter(|stream| stream.stage != Stage::Free);
        let allowed = if self.is_closed { 0 } else { self.allowed };
        allowed.saturating_sub(taken.count())
    }

    fn start(&mut self, id: RequestId, _prepared: &'plan (), numbers: Numbers, watch: Watch) {
        assert!(self.slots() > 0, "started without a slot");
        self.streams.retain(|stream| stream.stage != Stage::Free);
        let mut body = Body::default();
        body.begin(watch);
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.streams.push(Stream {
            number,
            id,
            exchange: Exchange::default(),
            body,
            stage: Stage::Open,
        });
        self.output.extend([ASK, number, numbers.user as u8]);
    }

    fn output(&self) -> &[u8] {
        &self.output
    }

    fn written(&mut self, count: usize) {
        self.output.drain(..count);
    }

    fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let frames = input.chunks_exact(3);
        self.input.extend_from_slice(frames.remainder());
        for frame in frames {
            self.act(frame.try_into().unwrap(), events);
        }
    }

    fn eof(&mut self, events: &mut Vec<Event>) {
        self.close(&Failure::new(Kind::ClosedEarly, "closed"), events);
    }

    fn cut_off(&mut self, events: &mut Vec<Event>) {
        self.eof(events);
    }

    fn broken(&mut self, failure: &Failure, events: &mut Vec<Event>) {
        self.close(failure, events);
    }

    fn cancel(&mut self, id: RequestId, failure: Failure, events: &mut Vec<Event>) {
        let own = self.streams.iter().find(|stream| stream.id == id);
        let number = own.expect("a request of this connection").number;
        for stream in &mut self.streams {
            if stream.number / 2 == number / 2 && stream.stage == Stage::Open {
                stream.fail(failure.clone(), events);
                self.output.extend([RESET, stream.number, 0]);
            }
        }
    }

    fn body(&self, id: RequestId) -> &Body {
        // A request that has just ended may have had its number before.
        let own = self.streams.iter().rev().find(|stream| stream.id == id);
        &own.expect("a request of this connection").body
    }
}

/// The server's end of a connection.
pub(super) struct Peer(TcpStream);

impl Peer {
    pub(super) fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        // For a test that fails: one that passes waits for nobody.
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    /// Send frames in one write.
    pub(super) fn send(&mut self, frames: &[Frame]) {
        self.0.write_all(frames.as_flattened()).unwrap();
    }

    /// Send frames in one write. Returns whether the client is still there.
    pub(super) fn try_send(&mut self, frames: &[Frame]) -> bool {
        self.0.write_all(frames.as_flattened()).is_ok()
    }

    /// The next frame; none behind the last.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut frame = Frame::default();
        self.0.read_exact(&mut frame).ok().map(|()| frame)
    }

    /// The stream on which the client asks next, and the user that it asks for.
    pub(super) fn asked(&mut self) -> (u8, u8) {
        let [kind, number, user] = self.next().unwrap();
        assert_eq!(kind, ASK, "{:?}", kind as char);
        (number, user)
    }

    /// See that the client has read all that was sent, and asked for nothing meanwhile.
    pub(super) fn ping(&mut self) {
        self.send(&[[PING, 1, 2]]);
        assert_eq!(self.next().unwrap(), [PONG, 1, 2]);
    }

    /// Whether nothing has come.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        peeked.is_err()
    }

    /// Send no more.
    pub(super) fn end(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }
}

/// A whole answer, and the slot back.
pub(super) fn answer(stream: u8) -> [Frame; 3] {
    [[DATA, stream, b'x'], [END, stream, 0], [FREE, stream, 0]]
}
