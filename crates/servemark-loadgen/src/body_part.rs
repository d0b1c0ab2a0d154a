//! Parts of the bodies of responses, as they were read: what a file of bodies is made of.
//!
//! A file of bodies is a [`table`](crate::table) whose rows are bytes: one part behind the other, each a head and its
//! bytes. Those of one request stand in the order in which they were read, the end behind them; those of requests that
//! were under way at the same time are interleaved. Whoever reads it needs memory for what was under way, not for all.

use crate::record::Column;

/// What a file of bodies begins with.
pub const MAGIC: [u8; 16] = *b"SERVEMARK-BDY\0\0\0";

/// Bytes of a part's head.
pub const HEAD_BYTES: usize = 24;

/// So much of a body is kept: a server that never stops must not fill the disk.
pub const MOST_BYTES: u64 = 16 << 20;

/// The one column.
pub(crate) const COLUMNS: [Column; 1] = [("byte", "u1", 0)];

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes, with more to come.
    Bytes,
    /// The end, without bytes.
    End,
    /// The end of a body that was longer than [`MOST_BYTES`], and is kept that far.
    CutEnd,
}

/// A part's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The `seq` of the request's record.
    pub seq: u64,
    /// When its bytes arrived: events that are complete with them have this time.
    pub time_ns: i64,
    /// How many bytes follow.
    pub bytes: u32,
    /// Index of the request's step.
    pub step: u16,
    /// What it is.
    pub part: Part,
}

impl Head {
    /// The head, as it is written: `seq` u64, time i64, bytes u32, step u16, what it is u16, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time_ns.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.step.to_le_bytes());
        bytes[22..].copy_from_slice(&(self.part as u16).to_le_bytes());
        bytes
    }

    /// The head that was written so; `None` where it is none.
    #[must_use]
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (seq, rest) = bytes.split_first_chunk::<8>()?;
        let (time_ns, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (step, rest) = rest.split_first_chunk::<2>()?;
        let (part, _) = rest.split_first_chunk::<2>()?;
        Some(Self {
            seq: u64::from_le_bytes(*seq),
            time_ns: i64::from_le_bytes(*time_ns),
            bytes: u32::from_le_bytes(*length),
            step: u16::from_le_bytes(*step),
            part: match u16::from_le_bytes(*part) {
                0 => Part::Bytes,
                1 => Part::End,
                2 => Part::CutEnd,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for part in [Part::Bytes, Part::End, Part::CutEnd] {
            let head = Head {
                seq: 1 << 40,
                time_ns: -1,
                bytes: 7,
                step: 3,
                part,
            };
            assert_eq!(Head::read(&head.to_bytes()), Some(head));
        }
        assert_eq!(Head::read(&[0xff; HEAD_BYTES]), None);
    }
}
