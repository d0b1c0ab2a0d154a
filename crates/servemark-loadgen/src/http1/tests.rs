//! A table of responses; each must give the same result however its bytes are cut.

use super::*;

/// What a response came to.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Kind and status of the request's end.
    end: Option<(Kind, u16)>,
    body: String,
    /// Whether the connection may carry another request.
    is_reusable: bool,
    /// How often a head began.
    heads: usize,
}

const KEEP_BYTES: usize = 16;

fn request(head_only: bool) -> Request {
    Request {
        wire: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        patches: Vec::new(),
        head_only,
    }
}

/// Feed `pieces`, then an end of the stream if `ends`.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, ends: bool, head_only: bool) -> Seen {
    let request = request(head_only);
    let mut http = Http1::new(KEEP_BYTES);
    http.start(RequestId(7), &request, Numbers { user: 0, seq: 0 });
    http.written(request.wire.len());
    let mut events = Vec::new();
    for piece in pieces {
        http.receive(piece, &mut events);
    }
    if ends {
        http.eof(&mut events);
    }
    let mut end = None;
    let mut heads = 0;
    for event in &events {
        match event {
            Event::FirstByte(id) => {
                assert_eq!(*id, RequestId(7));
                heads += 1;
            }
            Event::Ended(_, exchange) => {
                assert_eq!(end, None, "one end for one request");
                end = Some((Kind::Ok, exchange.status));
            }
            Event::Failed(_, exchange, failure) => {
                assert_eq!(end, None, "one end for one request");
                end = Some((failure.kind, exchange.status));
            }
            Event::MustClose => {}
        }
    }
    assert_eq!(
        http.slots() == 0 && end.is_some(),
        events.contains(&Event::MustClose),
        "a connection without a future must be closed: {events:?}"
    );
    Seen {
        end,
        body: String::from_utf8_lossy(http.kept_body(RequestId(7))).into_owned(),
        is_reusable: http.slots() > 0,
        heads,
    }
}

/// Run whole, cut once at every byte, and byte by byte; all must agree.
fn run_every_way(bytes: &[u8], ends: bool, head_only: bool) -> Seen {
    let whole = run([bytes], ends, head_only);
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(run([first, second], ends, head_only), whole, "cut at {cut}");
    }
    assert_eq!(run(bytes.chunks(1), ends, head_only), whole, "byte by byte");
    whole
}

struct Case {
    response: &'static str,
    ends: bool,
    end: Option<(Kind, u16)>,
    body: &'static str,
    is_reusable: bool,
}

fn whole(response: &'static str, status: u16, body: &'static str) -> Case {
    Case {
        response,
        ends: false,
        end: Some((Kind::Ok, status)),
        body,
        is_reusable: true,
    }
}

fn last(response: &'static str, status: u16, body: &'static str) -> Case {
    Case {
        is_reusable: false,
        ..whole(response, status, body)
    }
}

fn closed(response: &'static str, status: u16, body: &'static str) -> Case {
    Case {
        ends: true,
        ..last(response, status, body)
    }
}

fn failed(response: &'static str, kind: Kind, status: u16, body: &'static str) -> Case {
    Case {
        response,
        ends: kind == Kind::ClosedEarly,
        end: Some((kind, status)),
        body,
        is_reusable: false,
    }
}

fn unfinished(response: &'static str, body: &'static str) -> Case {
    Case {
        response,
        ends: false,
        end: None,
        body,
        is_reusable: false,
    }
}

#[test]
fn lengths_and_ends() {
    check(&[
        whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        whole("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", 200, ""),
        whole("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
        whole("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok"),
        whole("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
        whole("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 503, "busy"),
        whole(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        whole("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", 200, "ok"),
        whole(
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789abcdefghij",
            200,
            "0123456789abcdef",
        ),
        unfinished("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "hel"),
        unfinished("HTTP/1.1 200 OK\r\nContent-Le", ""),
        closed("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end"),
        closed(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzzz",
            200,
            "zzz",
        ),
        failed(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            Kind::ClosedEarly,
            200,
            "hel",
        ),
        failed("HTTP/1.1 200 OK\r\nContent-Le", Kind::ClosedEarly, 0, ""),
        failed("", Kind::ClosedEarly, 0, ""),
    ]);
}

#[test]
fn chunks() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = |body: &str| -> &'static str { format!("{HEAD}{body}").leak() };
    check(&[
        whole(chunked("5\r\nhello\r\n0\r\n\r\n"), 200, "hello"),
        whole(chunked("2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\n"), 200, "hello"),
        whole(
            chunked("A;name=\"v;\"\r\n0123456789\r\n0;last\r\n\r\n"),
            200,
            "0123456789",
        ),
        whole(
            chunked("5 \r\nhello\r\n0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n"),
            200,
            "hello",
        ),
        whole(chunked("5\nhello\n0\n\n"), 200, "hello"),
        whole(chunked("0\r\n\r\n"), 200, ""),
        unfinished(chunked("5\r\nhello\r\n0\r\nX: 1\r\n"), "hello"),
        failed(chunked("5\r\nhello\r\n"), Kind::ClosedEarly, 200, "hello"),
        failed(chunked("x\r\n"), Kind::Protocol, 200, ""),
        failed(chunked("\r\n"), Kind::Protocol, 200, ""),
        failed(chunked("5x\r\n"), Kind::Protocol, 200, ""),
        failed(chunked("5\r\nhelloX"), Kind::Protocol, 200, "hello"),
        failed(chunked("5\rhello"), Kind::Protocol, 200, ""),
        failed(chunked("11111111111111111\r\n"), Kind::Protocol, 200, ""),
        failed(chunked("5\r\nhello\r\n0\r\n\rX"), Kind::Protocol, 200, "hello"),
        last(
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            "ok",
        ),
        last(
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            "ok",
        ),
    ]);
}

#[test]
fn connections_that_end_with_their_response() {
    check(&[
        last(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        last(
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        last("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
        whole(
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        closed("HTTP/1.0 200 OK\r\n\r\nok", 200, "ok"),
        last(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
            200,
            "ok",
        ),
        last("HTTP/1.1 204 No Content\r\n\r\nbody", 204, ""),
    ]);
}

#[test]
fn responses_without_a_body_and_interim_ones() {
    check(&[
        whole("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        whole("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, ""),
        whole("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, ""),
        whole(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        whole(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
            204,
            "",
        ),
        failed("HTTP/1.1 100 Continue\r\n\r\n", Kind::ClosedEarly, 0, ""),
        failed("HTTP/1.1 101 Switching Protocols\r\n\r\n", Kind::Protocol, 0, ""),
    ]);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let seen = run_every_way(head, false, true);
    assert_eq!((seen.end, seen.is_reusable), (Some((Kind::Ok, 200)), true));
    let seen = run_every_way(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n", false, false);
    assert_eq!(seen.heads, 2);
}

#[test]
fn nonsense() {
    check(&[
        failed("SSH-2.0-OpenSSH_9.2\r\n", Kind::Protocol, 0, ""),
        failed("HTTP/2.0 200 OK\r\n\r\n", Kind::Protocol, 0, ""),
        failed("HTTP/1.1 abc OK\r\n\r\n", Kind::Protocol, 0, ""),
        failed("HTTP/1.1 099 Low\r\n\r\n", Kind::Protocol, 0, ""),
        failed("HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n", Kind::Protocol, 0, ""),
        failed(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            Kind::Protocol,
            0,
            "",
        ),
        failed(
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
            Kind::Protocol,
            0,
            "",
        ),
        failed(
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            Kind::Protocol,
            0,
            "",
        ),
        failed(
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
            Kind::Protocol,
            0,
            "",
        ),
        failed(
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            Kind::Protocol,
            0,
            "",
        ),
    ]);
}

fn check(cases: &[Case]) {
    for case in cases {
        let seen = run_every_way(case.response.as_bytes(), case.ends, false);
        let name = case.response;
        assert_eq!(seen.end, case.end, "{name:?}");
        assert_eq!(seen.body, case.body, "{name:?}");
        assert_eq!(seen.is_reusable, case.is_reusable, "{name:?}");
    }
}

#[test]
fn a_head_ends_within_64_kib() {
    let head_of = |bytes: usize| {
        let frame = "HTTP/1.1 204 N\r\nA: \r\n\r\n".len();
        format!("HTTP/1.1 204 N\r\nA: {}\r\n\r\n", "a".repeat(bytes - frame)).into_bytes()
    };
    for piece in [1000, 60_000, 1 << 20] {
        let longest = head_of(MAX_HEAD_BYTES);
        let seen = run(longest.chunks(piece), false, false);
        assert_eq!((seen.end, seen.is_reusable), (Some((Kind::Ok, 204)), true));
        for bytes in [MAX_HEAD_BYTES + 1, 1 << 20] {
            let too_long = head_of(bytes);
            let seen = run(too_long.chunks(piece), false, false);
            assert_eq!((seen.end, seen.is_reusable), (Some((Kind::Protocol, 0)), false));
        }
    }
    let endless = vec![b'a'; 3 * MAX_HEAD_BYTES];
    let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;".to_vec();
    response.extend_from_slice(&endless);
    assert_eq!(
        run(response.chunks(999), false, false).end,
        Some((Kind::Protocol, 200))
    );
}

#[test]
fn many_headers_are_refused_in_words() {
    let mut response = b"HTTP/1.1 204 N\r\n".to_vec();
    response.extend(b"A: b\r\n".repeat(257));
    response.extend(b"\r\n");
    assert_eq!(
        run([response.as_slice()], false, false).end,
        Some((Kind::Protocol, 0))
    );
}

#[test]
fn one_request_after_the_other_with_its_own_numbers() {
    use crate::plan::{Patch, PatchValue};
    let patch = Patch {
        offset: 5,
        width: 3,
        value: PatchValue::Seq,
    };
    let request = Request {
        wire: b"GET /___ HTTP/1.1\r\n\r\n".to_vec(),
        patches: vec![patch],
        head_only: false,
    };
    let mut http = Http1::new(KEEP_BYTES);
    let mut events = Vec::new();
    for seq in [12, 345] {
        assert_eq!(http.slots(), 1);
        http.start(RequestId(0), &request, Numbers { user: 1, seq });
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
            bytes_sent: request.wire.len() as u64,
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
    let mut http = Http1::new(KEEP_BYTES);
    let mut events = Vec::new();
    http.start(RequestId(0), &request, Numbers { user: 0, seq: 0 });
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
                ..
            }
        )
    ));
    assert_eq!(events.last(), Some(&Event::MustClose));
    assert_eq!(http.slots(), 0);
}

#[test]
fn what_nobody_asked_for_ends_an_idle_connection() {
    for is_eof in [false, true] {
        let mut http = Http1::new(KEEP_BYTES);
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
    let mut http = Http1::new(KEEP_BYTES);
    let mut events = Vec::new();
    http.start(RequestId(3), &request, Numbers { user: 0, seq: 0 });
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
