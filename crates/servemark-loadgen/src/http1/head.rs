//! The head of a response: what it says about the body's end and the connection's future (RFC 9112, section 6.3).

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

/// The most header lines that are accepted.
pub(super) const MAX_HEADERS: usize = 256;

/// The longest head that a connection remembers: there may be ten thousand of them.
const MAX_REMEMBERED_BYTES: usize = 1024;

/// What every head begins with; the first byte that differs is wrong whatever follows.
pub(super) const START: &[u8] = b"HTTP/1.";

/// Whether the bytes hold a head.
pub(super) enum Parsed {
    Complete(Head),
    Partial,
    /// What is wrong, and how many bytes it takes to know.
    Invalid {
        bytes: usize,
        message: &'static str,
    },
}

impl Parsed {
    /// How many of `more` bytes, which followed `held` ones, this took.
    pub(super) fn used(&self, held: usize, more: usize) -> usize {
        match self {
            Self::Complete(whole) => whole.bytes - held,
            Self::Invalid { bytes, .. } => bytes - held,
            Self::Partial => more,
        }
    }
}

/// The last head of a connection, byte for byte, and what it said: servers repeat themselves, and comparing is cheaper
/// than parsing again.
#[derive(Debug, Default)]
pub(super) struct LastHead {
    bytes: Vec<u8>,
    said: Option<(bool, Head)>,
}

impl LastHead {
    /// What `bytes` begin with, if it is the same head again, in answer to the same kind of request.
    pub(super) fn again(&self, bytes: &[u8], head_only: bool) -> Option<Head> {
        let (asked, head) = self.said?;
        (asked == head_only && bytes.starts_with(&self.bytes)).then_some(head)
    }

    /// Remember the head that `bytes` begin with, unless it is a long one.
    pub(super) fn remember(&mut self, bytes: &[u8], head_only: bool, head: Head) {
        if head.bytes > MAX_REMEMBERED_BYTES {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&bytes[..head.bytes]);
        self.said = Some((head_only, head));
    }
}

/// What matters of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) bytes: usize,
    pub(super) status: u16,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// The body is server-sent events.
    pub(super) is_stream: bool,
}

/// How the end of the body is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Parse once, as far as `bytes` go. The error does not say where it stands.
pub(super) fn attempt(bytes: &[u8], head_only: bool) -> Result<Parsed, httparse::Error> {
    #[cfg(test)]
    super::work::note(bytes.len());
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
    let mut config = ParserConfig::default();
    // RFC 9112, section 5.2: a user agent reads a folded line as one.
    config.allow_obsolete_multiline_headers_in_responses(true);
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers)? {
        Status::Partial => Ok(Parsed::Partial),
        Status::Complete(bytes) => Ok(match understand(&response, bytes, head_only) {
            Ok(head) => Parsed::Complete(head),
            Err(message) => Parsed::Invalid { bytes, message },
        }),
    }
}

/// What is wrong, for people.
pub(super) fn words(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "the response does not begin with HTTP/1.0 or HTTP/1.1",
        httparse::Error::Status => "the response's status line is not a number and a reason",
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
    // Where two readers could see different ends, or a body that must not be there may follow, nothing else is sent.
    let two_ends = fields.has_coding && (fields.length.is_some() || !http_1_1);
    let forbidden_body = status == 204 && (fields.has_coding || fields.length.unwrap_or(0) > 0);
    let persistent = (http_1_1 || fields.says_keep_alive) && !fields.says_close;
    let trusted = !two_ends && !forbidden_body && !matches!(framing, Framing::UntilClose);
    Ok(Head {
        bytes,
        status,
        framing,
        keep_alive: persistent && trusted,
        is_stream: (200..300).contains(&status) && has_body && fields.says_events && !fields.says_encoded,
    })
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "what was seen, not states")]
struct Fields {
    length: Option<u64>,
    /// The last transfer coding, if there is one.
    coding: Option<Coding>,
    has_coding: bool,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
    says_events: bool,
    /// What events there are in a compressed body is not known.
    says_encoded: bool,
}

#[derive(Clone, Copy)]
enum Coding {
    ChunkedLast,
    Other,
}

impl Fields {
    /// Note one transfer coding, in the order in which they were applied.
    fn add_coding(&mut self, coding: &[u8]) -> Result<(), &'static str> {
        if coding.eq_ignore_ascii_case(b"chunked") {
            if self.is_chunked {
                return Err("the response's body is chunked twice");
            }
            self.is_chunked = true;
            self.coding = Some(Coding::ChunkedLast);
        } else if !coding.eq_ignore_ascii_case(b"identity") {
            // "identity" was a coding until RFC 7230, and changes nothing.
            self.coding = Some(Coding::Other);
        }
        Ok(())
    }
}

fn read_fields(headers: &[Header<'_>]) -> Result<Fields, &'static str> {
    let mut fields = Fields::default();
    for header in headers {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        // The length of most names tells that they are none of these.
        match header.name.len() {
            14 if is("content-length") => {
                for part in header.value.split(|&byte| byte == b',') {
                    let length = parse_length(part.trim_ascii())?;
                    if fields.length.is_some_and(|known| known != length) {
                        return Err("the response has conflicting Content-Length values");
                    }
                    fields.length = Some(length);
                }
            }
            17 if is("transfer-encoding") => {
                fields.has_coding = true;
                tokens(header.value).try_for_each(|coding| fields.add_coding(coding))?;
            }
            10 if is("connection") => {
                for token in tokens(header.value) {
                    fields.says_close |= token.eq_ignore_ascii_case(b"close");
                    fields.says_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            // The value first: nearly always its first letter decides.
            12 if is_event_stream(header.value) && is("content-type") => fields.says_events = true,
            16 if is("content-encoding") => {
                fields.says_encoded |=
                    tokens(header.value).any(|token| !token.eq_ignore_ascii_case(b"identity"));
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// Whether a Content-Type is text/event-stream, with or without parameters.
fn is_event_stream(value: &[u8]) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    let Some((media_type, rest)) = value.trim_ascii_start().split_at_checked(EVENT_STREAM.len()) else {
        return false;
    };
    media_type.eq_ignore_ascii_case(EVENT_STREAM)
        && matches!(rest.trim_ascii_start().first(), None | Some(b';'))
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
