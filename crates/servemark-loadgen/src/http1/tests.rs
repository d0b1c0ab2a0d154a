//! What a connection does between responses. How it reads them: `tests/http1`.

use super::*;
use crate::plan::tests::get;
use crate::plan::{Part, Patch, PatchValue, SharedBytes};

const WATCH: Watch = Watch {
    keep_bytes: 16,
    digest: true,
    hands_on: false,
};

fn request(head_only: bool) -> Prepared {
    let method = if head_only { "HEAD" } else { "GET" };
    Prepared::of(&Request {
        method: method.into(),
        ..get()
    })
}

#[test]
fn one_request_after_the_other_with_its_own_numbers() {
    let request = Prepared::of(&Request {
        target: b"/___".to_vec(),
        headers: [].into(),
        patches: vec![Patch {
            part: Part::Target,
            offset: 1,
            width: 3,
            value: PatchValue::Seq,
        }],
        ..get()
    });
    let mut http = Http1::new();
    let mut events = Vec::new();
    for seq in [12, 345] {
        assert_eq!(http.slots(), 1);
        http.start(RequestId(0), &request, Numbers { user: 1, seq }, WATCH);
        assert_eq!(http.slots(), 0);
        assert_eq!(
            http.output(),
            format!("GET /{seq:03} HTTP/1.1\r\n\r\n").as_bytes()
        );
        http.written(10);
        assert_eq!(http.output().len(), request.wire.len() - 10);
        http.written(request.wire.len() - 10);
        http.receive(b"HTTP/1.1 204 N\r\n\r\n", &mut events);
        let exchange = Exchange {
            status: 204,
            is_stream: false,
            bytes_sent: request.wire.len() as u64,
            is_sent_whole: true,
            bytes_received: 18,
        };
        let ended = Event::Ended(RequestId(0), exchange);
        assert_eq!(
            std::mem::take(&mut events),
            [Event::FirstByte(RequestId(0)), ended]
        );
    }
}

#[test]
fn an_answer_before_the_request_was_sent_ends_the_connection() {
    let request = request(false);
    let mut http = Http1::new();
    let mut events = Vec::new();
    http.start(RequestId(0), &request, Numbers { user: 0, seq: 0 }, WATCH);
    http.written(3);
    http.receive(
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
        &mut events,
    );
    assert!(matches!(
        events[1],
        Event::Ended(
            _,
            Exchange {
                status: 413,
                bytes_sent: 3,
                is_sent_whole: false,
                ..
            }
        )
    ));
    assert_eq!(events.last(), Some(&Event::MustClose));
    assert_eq!(http.slots(), 0);
}

#[test]
fn a_head_that_comes_again_means_what_it_says_to_its_own_request() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok",
        "x".repeat(2000)
    );
    let responses = [
        (false, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"),
        (false, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"),
        // The same head in answer to HEAD: nothing follows it.
        (true, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        (true, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        (false, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsix"),
        (
            false,
            "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nthirty bytes of a long answer!",
        ),
        (
            false,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            false,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ),
        (false, &long),
        (false, &long),
        (
            false,
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
    ];
    let requests = [request(false), request(true)];
    let answer = |http: &mut Http1<'static>, request: &'static Prepared, response: &str| {
        let mut events = Vec::new();
        http.start(RequestId(0), request, Numbers { user: 0, seq: 0 }, WATCH);
        http.written(request.wire.len());
        http.receive(response.as_bytes(), &mut events);
        (events, http.slots(), http.body(RequestId(0)).kept().to_vec())
    };
    let requests: &'static [Prepared; 2] = Box::leak(Box::new(requests));
    let mut used = Http1::new();
    for (head_only, response) in responses {
        let request = &requests[usize::from(head_only)];
        let mut fresh = Http1::new();
        let expected = answer(&mut fresh, request, response);
        assert!(matches!(
            expected.0[expected.0.len().saturating_sub(1)],
            Event::Ended(..) | Event::MustClose
        ));
        assert_eq!(answer(&mut used, request, response), expected, "{response}");
    }
}

#[test]
fn what_nobody_asked_for_ends_an_idle_connection() {
    for is_eof in [false, true] {
        let mut http = Http1::new();
        let mut events = Vec::new();
        if is_eof {
            http.eof(&mut events);
        } else {
            http.receive(b"HTTP/1.1 408 Timeout\r\n\r\n", &mut events);
        }
        assert_eq!(events, [Event::MustClose]);
        assert_eq!(http.slots(), 0);
    }
}

#[test]
fn a_request_that_is_given_up_fails_as_it_is_told() {
    let request = request(false);
    let mut http = Http1::new();
    let mut events = Vec::new();
    http.start(RequestId(3), &request, Numbers { user: 0, seq: 0 }, WATCH);
    let late = Failure::new(Kind::Timeout, "late");
    http.cancel(RequestId(4), late.clone(), &mut events);
    assert_eq!(events, []);
    http.cancel(RequestId(3), late.clone(), &mut events);
    assert_eq!(
        events,
        [
            Event::Failed(RequestId(3), Exchange::default(), late.clone()),
            Event::MustClose
        ]
    );
    http.broken(&late, &mut events);
    assert_eq!(events.len(), 2);
}

#[test]
fn a_large_body_follows_the_head_from_where_it_is() {
    let body = vec![b'x'; 1 << 20];
    let request = Prepared::of(&Request {
        method: b"POST".to_vec(),
        body: SharedBytes::new(body.clone()),
        ..get()
    });
    let mut http = Http1::new();
    http.start(RequestId(0), &request, Numbers { user: 0, seq: 0 }, WATCH);
    let mut sent: Vec<u8> = Vec::new();
    while !http.output().is_empty() {
        let some = &http.output()[..http.output().len().min(1000)];
        sent.extend(some);
        let count = some.len();
        http.written(count);
    }
    assert_eq!(sent, [request.wire.as_slice(), &body].concat());
    assert_eq!(http.exchange.bytes_sent, sent.len() as u64);
}

#[test]
fn a_body_that_is_recorded_is_handed_on_part_by_part_however_it_is_cut() {
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let (request, watch) = (
        request(false),
        Watch {
            hands_on: true,
            ..WATCH
        },
    );
    for size in 1..=response.len() {
        let (mut http, mut events, mut body) = (Http1::new(), Vec::new(), Vec::new());
        http.start(RequestId(0), &request, Numbers { user: 0, seq: 0 }, watch);
        http.written(request.wire.len());
        for piece in response.chunks(size) {
            http.receive(piece, &mut events);
            let told = events
                .drain(..)
                .filter(|event| *event == Event::BodyPart(RequestId(0)));
            assert_eq!(told.count(), usize::from(!http.body.part().is_empty()), "{size}");
            body.extend_from_slice(http.body.part());
        }
        assert_eq!(body, b"abcde", "{size}");
    }
}

/// Kind and status of the end of a response, and how many events came if it was a stream of them.
fn stream_of(pieces: &[&[u8]], ends: bool) -> (Option<(Kind, u16)>, Option<u32>) {
    let request = request(false);
    let mut http = Http1::new();
    http.start(RequestId(7), &request, Numbers { user: 0, seq: 0 }, WATCH);
    http.written(request.wire.len());
    let mut events = Vec::new();
    for piece in pieces {
        http.receive(piece, &mut events);
    }
    if ends {
        http.eof(&mut events);
    }
    let (mut end, mut is_stream, mut count) = (None, false, 0);
    for event in events {
        match event {
            Event::ServerEvents(id, more) => {
                assert_eq!((id, end), (RequestId(7), None));
                count += more;
            }
            Event::Ended(_, exchange) => {
                (end, is_stream) = (Some((Kind::Ok, exchange.status)), exchange.is_stream);
            }
            Event::Failed(_, exchange, failure) => {
                (end, is_stream) = (Some((failure.kind, exchange.status)), exchange.is_stream);
            }
            Event::FirstByte(_) | Event::BodyPart(_) | Event::MustClose => {}
        }
    }
    (end, is_stream.then_some(count))
}

#[test]
fn events_are_counted_in_streams_of_them_and_nowhere_else() {
    const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
    let ok = Some((Kind::Ok, 200));
    let early = Some((Kind::ClosedEarly, 200));
    let of = |head: &str, rest: &str| format!("{head}{rest}");
    let cases = [
        (of(STREAM, "Content-Length: 9\r\n\r\ndata: 1\n\n"), false, ok, Some(1)),
        (of(STREAM, "Content-Length: 0\r\n\r\n"), false, ok, Some(0)),
        (of(STREAM, "Content-Length: 8\r\n\r\ndata: 1\n"), false, ok, Some(0)),
        (of(STREAM, "\r\ndata: 1\n\ndata: 2\r\n\r\n"), true, ok, Some(2)),
        // An event may be spread over chunks, and a chunk hold several.
        (
            of(STREAM, CHUNKED) + "3\r\ndat\r\n6\r\na: 1\n\n\r\n12\r\ndata: 2\n\ndata: 3\n\n\r\n0\r\nX: data:\r\n\r\n",
            false,
            ok,
            Some(3),
        ),
        // Chunk framing that looks like an event is none.
        (
            of(STREAM, CHUNKED) + "2;\ndata: 1\n\r\n",
            true,
            Some((Kind::Protocol, 200)),
            Some(0),
        ),
        // Cut off: what came before counts.
        (of(STREAM, CHUNKED) + "9\r\ndata: 1\n\n\r\n5\r\ndata", true, early, Some(1)),
        (of(STREAM, "Content-Length: 99\r\n\r\ndata: 1\n\n"), true, early, Some(1)),
        // The media type, whatever its case and parameters.
        (
            "HTTP/1.1 201 C\r\ncontent-TYPE: Text/Event-Stream ; charset=utf-8\r\nContent-Length: 9\r\n\r\ndata: 1\n\n".into(),
            false,
            Some((Kind::Ok, 201)),
            Some(1),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-streams\r\nContent-Length: 9\r\n\r\ndata: 1\n\n".into(),
            false,
            ok,
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\ndata: 1\n\n".into(),
            false,
            ok,
            None,
        ),
        // A failure is no stream, and what is compressed cannot be counted.
        (
            "HTTP/1.1 503 B\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n".into(),
            false,
            Some((Kind::Ok, 503)),
            None,
        ),
        (of(STREAM, "Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\ndata: 1\n\n"), false, ok, None),
        (
            of(STREAM, "Content-Encoding: identity\r\nContent-Length: 9\r\n\r\ndata: 1\n\n"),
            false,
            ok,
            Some(1),
        ),
    ];
    for (response, ends, end, events) in cases {
        let bytes = response.as_bytes();
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let seen = stream_of(&[first, second], ends);
            assert_eq!(seen, (end, events), "{response:?} cut at {cut}");
        }
    }
}

#[test]
fn each_stream_of_a_connection_is_counted_from_its_own_beginning() {
    let request = request(false);
    let mut http = Http1::new();
    let mut events = Vec::new();
    // The first body ends within a block of data; the second begins with a blank line.
    for (body, count) in [("data: 1\n", 0), ("\n\ndata\n\n", 1)] {
        http.start(RequestId(0), &request, Numbers { user: 0, seq: 0 }, WATCH);
        http.written(request.wire.len());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
        let response = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        http.receive(response.as_bytes(), &mut events);
        let counted = events.drain(..).filter_map(|event| match event {
            Event::ServerEvents(_, count) => Some(count),
            _ => None,
        });
        assert_eq!(counted.sum::<u32>(), count);
        assert_eq!(http.slots(), 1);
    }
}

/// Heads as long as they may be, of lines as short as they may be, good and bad, whole and in parts: what is parsed grows
/// with their length alone.
#[test]
fn a_hostile_head_costs_what_its_length_costs() {
    let start = "HTTP/1.1 200 OK\r\n";
    let endless = |line: &str| line.repeat(MAX_HEAD_BYTES / line.len());
    let long_value = "x".repeat(MAX_HEAD_BYTES - 200);
    let heads = [
        ("lines that go on", format!("{start}A:\n{}", endless(" \n"))),
        ("empty headers", format!("{start}{}", endless("A:\n"))),
        (
            "a wrong byte at last",
            format!(
                "{start}A:\n{}",
                endless(" \n").split_at(60_000).0.to_owned() + "\0\n"
            ),
        ),
        (
            "a wrong byte without an end",
            format!("{start}A:\n{}\0{long_value}", " \n".repeat(50)),
        ),
        ("one long line", format!("{start}A: {long_value}\n\n")),
        ("no line", "HTTP/1.1 200 ".to_owned() + &long_value),
        ("interim responses", endless("HTTP/1.1 100 C\n\n")),
        ("empty lines", endless("\r\n")),
    ];
    let request = request(false);
    for (name, head) in &heads {
        for piece in [1, 2, 3, 1460, MAX_HEAD_BYTES] {
            let mut http = Http1::new();
            let mut events = Vec::new();
            http.start(RequestId(0), &request, Numbers { user: 0, seq: 0 }, WATCH);
            work::take();
            head.as_bytes()
                .chunks(piece)
                .for_each(|bytes| http.receive(bytes, &mut events));
            let parsed = work::take();
            assert!(
                parsed <= 3 * MAX_HEAD_BYTES,
                "{name} in pieces of {piece}: {parsed} bytes parsed"
            );
        }
    }
}
