//! The head of a response: what it says about the body's end and the connection's future (RFC 9112, section 6.3).

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

/// The most header lines that are accepted.
const MAX_HEADERS: usize = 256;

/// Whether the bytes hold a head.
pub(super) enum Parsed {
    Complete(Head),
    Partial,
    Invalid(&'static str),
}

/// What matters of a head.
pub(super) struct Head {
    pub(super) bytes: usize,
    pub(super) status: u16,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
}

/// How the end of the body is known.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Parse the head that `bytes` begin with.
pub(super) fn parse(bytes: &[u8], head_only: bool) -> Parsed {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
    let config = ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
        Ok(Status::Partial) => Parsed::Partial,
        Ok(Status::Complete(length)) => match understand(&response, length, head_only) {
            Ok(head) => Parsed::Complete(head),
            Err(message) => Parsed::Invalid(message),
        },
        Err(error) => Parsed::Invalid(words(error)),
    }
}

fn words(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "the response does not begin with HTTP/1.0 or HTTP/1.1",
        httparse::Error::Status => "the response's status is not a number",
        httparse::Error::HeaderName => "a header's name holds a character that is not allowed",
        httparse::Error::HeaderValue => "a header's value holds a character that is not allowed",
        httparse::Error::TooManyHeaders => "the response has more than 256 header lines",
        httparse::Error::NewLine | httparse::Error::Token => "a line break stands where it must not",
    }
}

fn understand(response: &Response<'_, '_>, bytes: usize, head_only: bool) -> Result<Head, &'static str> {
    let status = response.code.unwrap_or(0);
    let fields = read_fields(response.headers)?;
    match status {
        0..=99 => return Err("the response's status is below 100"),
        101 => return Err("the server switched protocols (101), which nobody asked for"),
        _ => {}
    }
    let has_body = !head_only && status >= 200 && status != 204 && status != 304;
    let framing = match (fields.coding, fields.length) {
        _ if !has_body => Framing::None,
        (Some(Coding::ChunkedLast), _) => Framing::Chunked,
        (Some(Coding::Other), _) | (None, None) => Framing::UntilClose,
        (None, Some(length)) => Framing::Length(length),
    };
    let http_1_1 = response.version == Some(1);
    let doubtful = fields.coding.is_some() && (fields.length.is_some() || !http_1_1);
    let persistent = (http_1_1 || fields.says_keep_alive) && !fields.says_close;
    Ok(Head {
        bytes,
        status,
        framing,
        keep_alive: persistent && !doubtful && !matches!(framing, Framing::UntilClose),
    })
}

#[derive(Default)]
struct Fields {
    length: Option<u64>,
    coding: Option<Coding>,
    says_close: bool,
    says_keep_alive: bool,
}

#[derive(Clone, Copy)]
enum Coding {
    ChunkedLast,
    Other,
}

fn read_fields(headers: &[Header<'_>]) -> Result<Fields, &'static str> {
    let mut fields = Fields::default();
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            for part in header.value.split(|&byte| byte == b',') {
                let length = parse_length(part.trim_ascii())?;
                if fields.length.is_some_and(|known| known != length) {
                    return Err("the response has conflicting Content-Length values");
                }
                fields.length = Some(length);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let last = tokens(header.value).last().unwrap_or_default();
            fields.coding = Some(if last.eq_ignore_ascii_case(b"chunked") {
                Coding::ChunkedLast
            } else {
                Coding::Other
            });
        } else if header.name.eq_ignore_ascii_case("connection") {
            for token in tokens(header.value) {
                fields.says_close |= token.eq_ignore_ascii_case(b"close");
                fields.says_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    Ok(fields)
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn parse_length(digits: &[u8]) -> Result<u64, &'static str> {
    const INVALID: &str = "the response's Content-Length is not a number";
    if digits.is_empty() {
        return Err(INVALID);
    }
    digits.iter().try_fold(0_u64, |length, &digit| {
        if !digit.is_ascii_digit() {
            return Err(INVALID);
        }
        length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(digit - b'0')))
            .ok_or(INVALID)
    })
}
