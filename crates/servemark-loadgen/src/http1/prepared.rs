//! A request as bytes: after RFC 9112, sections 3 to 6.

use crate::plan::{Field, Part, PatchValue, Request, SharedBytes};
use crate::request::Numbers;

/// A body up to this goes out with its head, in one system call; of a larger one that call is a trifle.
const LARGEST_JOINED_BODY: usize = 16 << 10;

/// A request of the plan, made ready to be written as often as it is sent.
#[derive(Debug)]
pub struct Prepared {
    /// The head, and a body that is small or has numbers.
    pub(super) wire: Vec<u8>,
    /// A large body, where it is.
    pub(super) body: SharedBytes,
    /// Where in `wire` numbers are written.
    pub(super) digits: Vec<Digits>,
    /// The response has no body, whatever its head says.
    pub(super) head_only: bool,
}

/// A decimal number in the bytes of a request, zero-padded.
#[derive(Debug)]
pub(super) struct Digits {
    offset: usize,
    width: usize,
    value: PatchValue,
}

impl Prepared {
    /// The bytes of `request`. Its body's length is told where it has one, or its method means one, unless a field of its
    /// own tells it.
    pub(super) fn of(request: &Request) -> Self {
        let mut wire = [&request.method[..], b" "].concat();
        let target_at = wire.len();
        wire.extend([&request.target[..], b" HTTP/1.1\r\n"].concat());
        for Field { name, value } in request.headers.iter() {
            wire.extend([&name[..], b": ", value, b"\r\n"].concat());
        }
        let body = request.body.as_slice();
        if needs_length(request) {
            wire.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
        }
        wire.extend(b"\r\n");
        let body_at = wire.len();
        let is_joined = body.len() <= LARGEST_JOINED_BODY || !request.patches.is_empty();
        if is_joined {
            wire.extend(body);
        }
        let digits = request.patches.iter().map(|patch| Digits {
            offset: patch.offset
                + match patch.part {
                    Part::Target => target_at,
                    Part::Body => body_at,
                },
            width: patch.width,
            value: patch.value,
        });
        Self {
            digits: digits.collect(),
            head_only: request.method == b"HEAD",
            body: if is_joined {
                SharedBytes::default()
            } else {
                request.body.clone()
            },
            wire,
        }
    }
}

fn needs_length(request: &Request) -> bool {
    let is_told = |field: &Field| field.name.eq_ignore_ascii_case(b"content-length");
    let means_body = matches!(&request.method[..], b"POST" | b"PUT" | b"PATCH");
    (means_body || !request.body.as_slice().is_empty()) && !request.headers.iter().any(is_told)
}

impl Digits {
    /// Write the number into `wire`. One that is wider than its place keeps its last digits.
    pub(super) fn write(&self, wire: &mut [u8], numbers: Numbers) {
        let mut rest = match self.value {
            PatchValue::User => u64::from(numbers.user),
            PatchValue::Seq => numbers.seq,
        };
        for digit in wire[self.offset..self.offset + self.width].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Patch;

    fn field(name: &str, value: &[u8]) -> Field {
        Field {
            name: name.into(),
            value: value.to_vec(),
        }
    }

    fn prepared(method: &str, headers: &[Field], body: &[u8]) -> Prepared {
        Prepared::of(&Request {
            method: method.into(),
            target: b"/a?b".to_vec(),
            headers: headers.into(),
            body: SharedBytes::new(body.to_vec()),
            patches: Vec::new(),
        })
    }

    #[test]
    fn a_request_is_written_in_the_order_of_its_fields() {
        let fields = [field("Host", b"x"), field("X-Bytes", b"\xff ")];
        let get = prepared("GET", &fields, b"");
        assert_eq!(
            get.wire,
            b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-Bytes: \xff \r\n\r\n"
        );
        assert!(!get.head_only);
        assert!(prepared("HEAD", &fields, b"").head_only);
    }

    #[test]
    fn a_length_is_told_of_what_has_a_body_or_should() {
        let told = |method: &str, headers: &[Field], body: &[u8]| {
            let wire = String::from_utf8(prepared(method, headers, body).wire).unwrap();
            let mut lines = wire.lines().map(str::to_owned);
            lines.find(|line| line.to_lowercase().starts_with("content-length"))
        };
        assert_eq!(told("GET", &[], b""), None);
        assert_eq!(told("GET", &[], b"xyz").unwrap(), "Content-Length: 3");
        for method in ["POST", "PUT", "PATCH"] {
            assert_eq!(told(method, &[], b"").unwrap(), "Content-Length: 0");
        }
        let own = [field("content-LENGTH", b"7")];
        assert_eq!(told("POST", &own, b"xyz").unwrap(), "content-LENGTH: 7");
    }

    #[test]
    fn a_small_body_goes_with_its_head_and_a_large_one_stays_where_it_is() {
        let small = vec![b'x'; LARGEST_JOINED_BODY];
        let joined = prepared("POST", &[], &small);
        assert!(joined.wire.ends_with(&small) && joined.body.as_slice().is_empty());
        let large = vec![b'x'; LARGEST_JOINED_BODY + 1];
        let apart = prepared("POST", &[], &large);
        assert!(apart.wire.ends_with(b"\r\n\r\n") && apart.body.as_slice() == large);
    }

    #[test]
    fn numbers_are_zero_padded_decimals_in_target_and_body() {
        let patch = |part, offset, width, value| Patch {
            part,
            offset,
            width,
            value,
        };
        let prepared = Prepared::of(&Request {
            method: b"POST".to_vec(),
            target: b"/u/__/s".to_vec(),
            headers: [].into(),
            body: SharedBytes::new(vec![b'_'; LARGEST_JOINED_BODY + 1]),
            patches: vec![
                patch(Part::Target, 3, 2, PatchValue::User),
                patch(Part::Body, 1, 4, PatchValue::Seq),
            ],
        });
        let written = |numbers| {
            let mut wire = prepared.wire.clone();
            for digits in &prepared.digits {
                digits.write(&mut wire, numbers);
            }
            wire
        };
        let wire = written(Numbers { user: 7, seq: 1234 });
        assert!(wire.starts_with(b"POST /u/07/s HTTP/1.1\r\nContent-Length: 16385\r\n\r\n_1234_"));
        let wire = written(Numbers { user: 107, seq: 9 });
        assert!(wire.starts_with(b"POST /u/07/s HTTP/1.1\r\nContent-Length: 16385\r\n\r\n_0009_"));
    }
}
