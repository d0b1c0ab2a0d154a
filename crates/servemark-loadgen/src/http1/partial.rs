//! A head that comes in parts: judged line by line, each byte as often whatever the parts are.

use httparse::{EMPTY_HEADER, Error};

use super::head::{MAX_HEADERS, Parsed, START, attempt, words};

/// The head of a response, as far as it has come.
///
/// A line is judged once, when its end has come, and the whole once, with the blank line at its end. What is wrong is so
/// found at the end of its line however the bytes were cut, and 64 KiB of anything cost what 64 KiB cost.
#[derive(Debug, Default)]
pub(super) struct PartialHead {
    bytes: Vec<u8>,
    /// The lines up to here have been judged, and none of them is wrong or the last.
    judged: usize,
    /// Header lines among them; those that go on with one count with it.
    header_lines: usize,
}

impl PartialHead {
    /// How much has come.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Begin another head.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.judged = 0;
        self.header_lines = 0;
    }

    /// More of it came. What it holds now, in answer to a HEAD request or not.
    pub(super) fn add(&mut self, more: &[u8], head_only: bool) -> Parsed {
        let held = self.len();
        self.bytes.extend_from_slice(more);
        if let Some(wrong) = wrong_start(&self.bytes) {
            return wrong;
        }
        for (at, _) in more.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            let parsed = self.judge_line(held + at + 1, head_only);
            if !matches!(parsed, Parsed::Partial) {
                return parsed;
            }
        }
        Parsed::Partial
    }

    /// Judge the line that ends at `end`: it is wrong, the last, or one more.
    fn judge_line(&mut self, end: usize, head_only: bool) -> Parsed {
        let line = &self.bytes[self.judged..end];
        let is_first = self.judged == 0;
        let goes_on = self.header_lines > 0 && matches!(line[0], b' ' | b'\t');
        let judged = if is_first {
            attempt(line, head_only)
        } else if goes_on {
            judge_value(line)
        } else if self.header_lines > MAX_HEADERS {
            Err(Error::TooManyHeaders)
        } else if matches!(line, b"\n" | b"\r\n") {
            attempt(&self.bytes[..end], head_only)
        } else {
            self.header_lines += 1;
            judge_header(line)
        };
        self.judged = end;
        judged.unwrap_or_else(|error| Parsed::Invalid {
            bytes: end,
            message: words(error),
        })
    }
}

/// That the bytes begin as no head does: the first one that differs is wrong, whatever follows.
fn wrong_start(bytes: &[u8]) -> Option<Parsed> {
    let differs = bytes
        .iter()
        .zip(START)
        .position(|(byte, expected)| byte != expected)?;
    Some(Parsed::Invalid {
        bytes: differs + 1,
        message: words(Error::Version),
    })
}

fn judge_header(line: &[u8]) -> Result<Parsed, Error> {
    #[cfg(test)]
    super::work::note(line.len());
    // It lacks the blank line, and so is never complete.
    httparse::parse_headers(line, &mut [EMPTY_HEADER]).map(|_| Parsed::Partial)
}

/// Judge a line that goes on with the value of the header before it (RFC 9112, section 5.2).
fn judge_value(line: &[u8]) -> Result<Parsed, Error> {
    #[cfg(test)]
    super::work::note(line.len());
    let value = line.strip_suffix(b"\n").unwrap_or(line);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    // As in httparse: anything but control characters, tabs excepted.
    if value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
    {
        Ok(Parsed::Partial)
    } else {
        Err(Error::HeaderValue)
    }
}
