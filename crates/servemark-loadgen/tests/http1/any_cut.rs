//! A response cut anywhere must give the same events, the same count of bytes and the same body. Also a fuzz target.

use servemark_loadgen::body::{Digest, Watch};
use servemark_loadgen::error::{Failure, Kind};
use servemark_loadgen::http1::Http1;
use servemark_loadgen::plan::{Request, SharedBytes};
use servemark_loadgen::protocol::{Event, Protocol};
use servemark_loadgen::request::{Numbers, RequestId};

/// How much of a body is kept here.
pub(crate) const KEEP_BYTES: usize = 2048;

const ID: RequestId = RequestId(7);

/// What a server does when it has sent its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It keeps the connection and sends nothing more.
    Waits,
    /// It ends its side.
    Fin,
    /// Its side ends, and over TLS nothing says that it meant to.
    Cut,
    /// It breaks the connection.
    Rst,
}

/// What a response came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// But for server-sent events, of which only the sum does not depend on the cuts.
    pub(crate) events: Vec<Event>,
    pub(crate) server_events: u64,
    pub(crate) kept: Vec<u8>,
    pub(crate) body_bytes: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) is_reusable: bool,
}

impl Seen {
    /// How the request ended: kind, status, bytes received and the message of a failure.
    pub(crate) fn end(&self) -> Option<(Kind, u16, u64, &str)> {
        self.events.iter().find_map(|event| match event {
            Event::Ended(_, exchange) => Some((Kind::Ok, exchange.status, exchange.bytes_received, "")),
            Event::Failed(_, exchange, failure) => Some((
                failure.kind,
                exchange.status,
                exchange.bytes_received,
                failure.message.as_ref(),
            )),
            Event::FirstByte(_) | Event::BodyPart(_) | Event::ServerEvents(..) | Event::MustClose => None,
        })
    }
}

/// Send a request and feed it `pieces`; check what must hold whatever they are.
pub(crate) fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, then: Then, head_only: bool) -> Seen {
    let method = if head_only { "HEAD" } else { "GET" };
    let request = Http1::prepare(&Request {
        method: method.into(),
        target: b"/".to_vec(),
        headers: [].into(),
        body: SharedBytes::default(),
        patches: Vec::new(),
    });
    let mut http = Http1::new();
    let watch = Watch {
        keep_bytes: KEEP_BYTES,
        digest: true,
        hands_on: false,
    };
    http.start(ID, &request, Numbers { user: 0, seq: 0 }, watch);
    http.written(http.output().len());
    let (mut events, mut fed) = (Vec::new(), 0);
    for piece in pieces {
        let before = events.len();
        http.receive(piece, &mut events);
        check_count(&events[before..], fed, fed + piece.len() as u64);
        fed += piece.len() as u64;
    }
    match then {
        Then::Waits => {}
        Then::Fin => http.eof(&mut events),
        Then::Cut => http.cut_off(&mut events),
        Then::Rst => http.broken(&Failure::new(Kind::Reset, "reset"), &mut events),
    }
    let server_events = take_server_events(&mut events);
    let seen = Seen {
        server_events,
        kept: http.body(ID).kept().to_vec(),
        body_bytes: http.body(ID).bytes(),
        digest: http.body(ID).digest(),
        is_reusable: http.slots() > 0,
        events,
    };
    check(&seen);
    if seen.end().is_none() {
        // So far everything was used: giving up tells.
        let mut events = Vec::new();
        http.cancel(ID, Failure::new(Kind::Timeout, "late"), &mut events);
        assert!(
            matches!(events[..], [Event::Failed(_, exchange, _), Event::MustClose] if exchange.bytes_received == fed)
        );
    }
    seen
}

/// Take server-sent events out of `events`, and add them up. They come between a head and the end.
fn take_server_events(events: &mut Vec<Event>) -> u64 {
    let (mut sum, mut has_head, mut has_ended) = (0, false, false);
    events.retain(|event| match event {
        Event::ServerEvents(id, count) => {
            assert!(*id == ID && *count > 0 && has_head && !has_ended, "{event:?}");
            sum += u64::from(*count);
            false
        }
        other => {
            has_head = true;
            has_ended |= !matches!(other, Event::FirstByte(_));
            true
        }
    });
    sum
}

/// An end comes with the last byte that it counts.
fn check_count(events: &[Event], before: u64, after: u64) {
    for event in events {
        if let Event::Ended(_, exchange) | Event::Failed(_, exchange, _) = event {
            assert!(
                before < exchange.bytes_received && exchange.bytes_received <= after,
                "{event:?}"
            );
        }
    }
}

fn check(seen: &Seen) {
    let events = &seen.events;
    let ends = events
        .iter()
        .filter(|event| matches!(event, Event::Ended(..) | Event::Failed(..)));
    let ends = ends.count();
    assert!(ends <= 1, "one end for one request: {events:?}");
    let close = events.iter().position(|event| *event == Event::MustClose);
    assert!(
        close.is_none_or(|at| at + 1 == events.len()),
        "nothing comes after the close: {events:?}"
    );
    assert_eq!(
        ends == 1 && !seen.is_reusable,
        close.is_some(),
        "a connection without a future is closed: {events:?}"
    );
    assert!(seen.kept.len() <= KEEP_BYTES && seen.kept.len() as u64 <= seen.body_bytes);
    // An event takes a line of data and a blank one.
    assert!(6 * seen.server_events <= seen.body_bytes);
    assert!(
        seen.end()
            .is_none_or(|(_, _, received, _)| seen.body_bytes <= received)
    );
}

/// Feed `bytes` whole, in pieces of those lengths (over and over), and one by one; all must agree.
pub(crate) fn feed_every_way(bytes: &[u8], lengths: &[&[usize]], then: Then, head_only: bool) -> Seen {
    let whole = feed([bytes], then, head_only);
    for lengths in lengths {
        assert_eq!(
            feed(cut(bytes, lengths), then, head_only),
            whole,
            "in pieces of {lengths:?}"
        );
    }
    assert_eq!(feed(bytes.chunks(1), then, head_only), whole, "byte by byte");
    whole
}

/// `bytes` in pieces of `lengths`, over and over.
fn cut<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for length in lengths.iter().cycle().map(|&length| length.max(1)) {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// The fuzz target: a byte of what is asked and what follows, two lengths of pieces, and the response.
pub(crate) fn fuzz(data: &[u8]) {
    let [mode, first, second, response @ ..] = data else {
        return;
    };
    let then = [Then::Waits, Then::Fin, Then::Rst, Then::Cut][usize::from(mode >> 1 & 3)];
    let lengths = [usize::from(*first), usize::from(*second)];
    feed_every_way(response, &[&lengths], then, mode & 1 == 1);
}
