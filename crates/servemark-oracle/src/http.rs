//! As much HTTP/1.1 as a load generator speaks: requests in, fixed answers out.

/// A complete request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its bytes, head and body.
    pub(crate) length: usize,
    /// Those of its head.
    pub(crate) head_length: usize,
    /// Whether it only asks what can be asked there.
    pub(crate) is_look: bool,
    /// Its path, and behind a question mark its query.
    pub(crate) target: String,
    /// The number in the first segment of its path, or -1.
    pub(crate) user: i64,
    /// The number in the second, or -1.
    pub(crate) seq: i64,
}

/// Bytes that are no request that the oracle knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The request that `bytes` begins with, if it is complete.
///
/// Its path is `/USER/SEQ`, perhaps with more behind; a body has a Content-Length.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Request>, Unreadable> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_length) = head.parse(bytes).map_err(|_| Unreadable)? else {
        return Ok(None);
    };
    let mut body_length = 0;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Unreadable);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            body_length = number(header.value).ok_or(Unreadable)?;
        }
    }
    let length = head_length + body_length;
    if bytes.len() < length {
        return Ok(None);
    }
    let target = head.path.unwrap_or_default();
    let mut segments = target.split(['/', '?']).skip(1);
    let mut numbered = || segments.next().and_then(|text| text.parse().ok()).unwrap_or(-1);
    let (user, seq) = (numbered(), numbered());
    Ok(Some(Request {
        length,
        head_length,
        is_look: head.method == Some("OPTIONS"),
        target: target.to_owned(),
        user,
        seq,
    }))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// A plain answer.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"oracle\":true}";

/// Event `index` of `count`, as a chunk; the first one with the head before it, the last one with the end behind it.
pub(crate) fn event(index: u32, count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if index == 0 {
        bytes.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
    }
    let text = format!("data: {{\"index\":{index}}}\n\n");
    bytes.extend_from_slice(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
    if index + 1 == count {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_complete_with_its_last_byte() {
        let bytes = b"POST /0000000007/00000000000000000042/x HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody";
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut}");
        }
        let request = Request {
            length: bytes.len(),
            head_length: bytes.len() - 4,
            is_look: false,
            target: "/0000000007/00000000000000000042/x".into(),
            user: 7,
            seq: 42,
        };
        assert_eq!(parse(bytes), Ok(Some(request.clone())));
        assert_eq!(parse(&[bytes, &b"GET "[..]].concat()), Ok(Some(request)));
    }

    #[test]
    fn numbers_are_read_where_they_are() {
        let numbers = |path: &str| {
            let request = parse(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes())
                .unwrap()
                .unwrap();
            (request.user, request.seq)
        };
        assert_eq!(numbers("/"), (-1, -1));
        assert_eq!(numbers("/3"), (3, -1));
        assert_eq!(numbers("/3/4?5"), (3, 4));
        assert_eq!(numbers("/ping/4"), (-1, 4));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [
            "\0\0\0\0",
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(Unreadable), "{bytes}");
        }
    }

    #[test]
    fn events_are_one_chunked_response() {
        let stream = [event(0, 2), event(1, 2)].concat();
        let text = String::from_utf8(stream).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        let chunk = |index| format!("13\r\ndata: {{\"index\":{index}}}\n\n\r\n");
        assert_eq!(body, format!("{}{}0\r\n\r\n", chunk(0), chunk(1)));
    }
}
