//! Whatever is done to a connection, in any order that its driver may do it, its promises hold. Also a fuzz target.

use servemark_loadgen::body::Watch;
use servemark_loadgen::error::{Failure, Kind};
use servemark_loadgen::http1::{Http1, Prepared};
use servemark_loadgen::plan::{Part, Patch, PatchValue, Request, SharedBytes};
use servemark_loadgen::protocol::{Event, Protocol};
use servemark_loadgen::request::{Numbers, RequestId};

const KEEP_BYTES: usize = 16;
/// A body that does not go out with its head.
static LARGE: [u8; 1 << 15] = [b'x'; 1 << 15];

/// What a server may send, besides bytes of the input.
const ANSWERS: [&[u8]; 9] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nhalf of it is here",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
    b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: ",
    b"\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 16\r\n\r\ndata\n\n: x\ndata\n\n",
];

/// What must be true of the connection now.
#[derive(Default)]
struct Model {
    in_flight: Option<RequestId>,
    started: usize,
    sent: u64,
    received: u64,
    is_closed: bool,
}

impl Model {
    fn observe(&mut self, http: &Http1<'_>, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            assert!(!self.is_closed, "after the close came {event:?}");
            match event {
                Event::FirstByte(id) | Event::BodyPart(id) | Event::ServerEvents(id, 1..) => {
                    assert_eq!(Some(id), self.in_flight);
                }
                Event::ServerEvents(_, 0) => panic!("no event is none"),
                Event::Ended(id, exchange) | Event::Failed(id, exchange, _) => {
                    assert_eq!(self.in_flight.take(), Some(id), "one end for one request");
                    assert_eq!(exchange.bytes_sent, self.sent);
                    assert!(exchange.bytes_received <= self.received);
                    assert!(http.body(id).kept().len() <= KEEP_BYTES);
                    assert!(http.body(id).bytes() <= exchange.bytes_received);
                }
                Event::MustClose => self.is_closed = true,
            }
        }
        let free = !self.is_closed && self.in_flight.is_none();
        assert_eq!(http.slots(), usize::from(free));
        assert!(!self.is_closed || (self.in_flight.is_none() && http.output().is_empty()));
    }
}

/// The fuzz target: each byte says what is done; some take the next ones.
pub(crate) fn fuzz(data: &[u8]) {
    let requests = requests();
    let mut http = Http1::new();
    let watch = Watch {
        keep_bytes: KEEP_BYTES,
        digest: false,
        hands_on: false,
    };
    let (mut model, mut events, mut rest) = (Model::default(), Vec::new(), data);
    while let Some((&step, behind)) = rest.split_first() {
        rest = behind;
        let more = usize::from(step >> 3);
        match step & 7 {
            0 if http.slots() > 0 => {
                let request = &requests[more % requests.len()];
                let id = RequestId(model.started);
                let started = model.started + 1;
                model = Model {
                    in_flight: Some(id),
                    started,
                    ..Model::default()
                };
                http.start(id, request, Numbers { user: 3, seq: 12 }, watch);
                assert!(!http.output().is_empty());
            }
            0 | 1 => {
                let all = http.output().len();
                let count = if more == 0 { all } else { more.min(all) };
                http.written(count);
                model.sent += count as u64;
            }
            2 | 3 => {
                let (piece, behind) = rest.split_at(more.min(rest.len()));
                rest = behind;
                model.received += piece.len() as u64;
                http.receive(piece, &mut events);
            }
            4 => {
                let answer = ANSWERS[more % ANSWERS.len()];
                model.received += answer.len() as u64;
                http.receive(answer, &mut events);
            }
            5 if more % 2 == 1 => http.cut_off(&mut events),
            5 => http.eof(&mut events),
            6 => http.broken(&Failure::new(Kind::Reset, "broken"), &mut events),
            _ => {
                let id = RequestId(model.started.wrapping_sub(more % 3));
                http.cancel(id, Failure::new(Kind::Timeout, "late"), &mut events);
            }
        }
        model.observe(&http, &mut events);
    }
    if let Some(id) = model.in_flight {
        http.cancel(id, Failure::new(Kind::Cancelled, "stopped"), &mut events);
        assert!(
            matches!(events[..], [Event::Failed(_, exchange, _), Event::MustClose] if exchange.bytes_received == model.received)
        );
        model.observe(&http, &mut events);
    }
}

fn requests() -> [Prepared; 4] {
    let request = |method: &str, target: &[u8], body: &'static [u8]| Request {
        method: method.into(),
        target: target.to_vec(),
        headers: [].into(),
        body: SharedBytes::new(body),
        patches: Vec::new(),
    };
    let mut numbered = request("GET", b"/____", b"");
    numbered.patches.push(Patch {
        part: Part::Target,
        offset: 1,
        width: 4,
        value: PatchValue::Seq,
    });
    [
        request("GET", b"/", b""),
        request("HEAD", b"/", b""),
        numbered,
        request("POST", b"/", &LARGE),
    ]
    .map(|request| Http1::prepare(&request))
}
