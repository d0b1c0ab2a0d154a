//! The chunked transfer coding (RFC 9112, section 7.1): extensions and trailers are read and dropped.

/// The most bytes that extensions and trailers may take in one response.
const MAX_EXTRA_BYTES: usize = 64 * 1024;

const BAD_SIZE: &str = "a chunk's size is not a hexadecimal number";
const BAD_END: &str = "a chunk does not end with a line break";
const TOO_MUCH: &str = "chunk extensions and trailers are longer than 64 KiB";

/// Where in a chunked body the next byte stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    at: At,
    extra_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { value: u64, digits: u8 },
    SizeEnd { size: u64 },
    Extension { size: u64 },
    SizeLineFeed { size: u64 },
    Data { left: u64 },
    DataEnd,
    DataLineFeed,
    TrailerStart,
    Trailer,
    LastLineFeed,
    Done,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            at: At::Size { value: 0, digits: 0 },
            extra_bytes: 0,
        }
    }

    /// Take bytes up to the end of the body; hand its data to `keep`.
    ///
    /// Returns how many bytes were used, and whether the body is complete, or what is wrong with it.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        mut keep: impl FnMut(&[u8]),
    ) -> (usize, Result<bool, &'static str>) {
        let mut used = 0;
        while used < bytes.len() {
            if let At::Data { left } = self.at {
                let available = bytes.len() - used;
                let count = available.min(usize::try_from(left).unwrap_or(usize::MAX));
                keep(&bytes[used..used + count]);
                used += count;
                self.at = match left - count as u64 {
                    0 => At::DataEnd,
                    left => At::Data { left },
                };
                continue;
            }
            let byte = bytes[used];
            used += 1;
            match self.step(byte) {
                Ok(At::Done) => return (used, Ok(true)),
                Ok(at) => self.at = at,
                Err(message) => return (used, Err(message)),
            }
        }
        (used, Ok(false))
    }

    /// Where the byte after `byte` stands.
    fn step(&mut self, byte: u8) -> Result<At, &'static str> {
        match (self.at, byte) {
            (At::Size { value, digits }, byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                match value.checked_mul(16) {
                    Some(tens) if digits < u8::MAX => Ok(At::Size {
                        value: tens + digit,
                        digits: digits + 1,
                    }),
                    _ => Err(BAD_SIZE),
                }
            }
            (At::Size { digits: 0, .. }, _) => Err(BAD_SIZE),
            (At::Size { value, .. }, b'\r') => Ok(At::SizeLineFeed { size: value }),
            (At::Size { value: size, .. } | At::SizeEnd { size }, b' ' | b'\t') => {
                self.extra(At::SizeEnd { size })
            }
            (At::Size { value: size, .. } | At::SizeEnd { size }, b';') => Ok(At::Extension { size }),
            (At::SizeEnd { size } | At::Extension { size }, b'\r') => Ok(At::SizeLineFeed { size }),
            (
                At::Size { value: size, .. }
                | At::SizeEnd { size }
                | At::Extension { size }
                | At::SizeLineFeed { size },
                b'\n',
            ) => Ok(if size == 0 {
                At::TrailerStart
            } else {
                At::Data { left: size }
            }),
            (At::Size { .. } | At::SizeEnd { .. } | At::SizeLineFeed { .. }, _) => Err(BAD_SIZE),
            (At::DataEnd, b'\r') => Ok(At::DataLineFeed),
            (At::DataEnd | At::DataLineFeed, b'\n') => Ok(At::Size { value: 0, digits: 0 }),
            (At::TrailerStart, b'\r') => Ok(At::LastLineFeed),
            (At::TrailerStart | At::LastLineFeed, b'\n') => Ok(At::Done),
            (At::DataEnd | At::DataLineFeed | At::LastLineFeed, _) => Err(BAD_END),
            (At::Trailer, b'\n') => Ok(At::TrailerStart),
            (At::TrailerStart | At::Trailer, _) => self.extra(At::Trailer),
            (at, _) => self.extra(at),
        }
    }

    fn extra(&mut self, at: At) -> Result<At, &'static str> {
        self.extra_bytes += 1;
        if self.extra_bytes > MAX_EXTRA_BYTES {
            return Err(TOO_MUCH);
        }
        Ok(at)
    }
}
