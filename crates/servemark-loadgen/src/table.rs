//! Tables: files of rows of fixed width that say themselves what their columns are.
//!
//! A table is a header and rows, nothing else, all little-endian. The header: a magic of 16 bytes; u32 version, u32 bytes
//! of a row, u32 bytes of the header, u32 bytes of the JSON; the JSON (column table, names, start); zeros up to a multiple
//! of 4096. The number of rows is (file size - header) / row size, rounded down, so that the file of a killed run is
//! readable.

use std::fmt::Write;

use crate::body_part;
use crate::error::Kind;
use crate::event_row;
use crate::record::{self, Column, flags};

/// Version of the format that this module writes. Version 1 had records of 88 bytes, without `first_event` and `last_event`.
pub(crate) const FORMAT_VERSION: u32 = 3;

const HEADER_FIXED_BYTES: usize = 32;
const HEADER_UNIT_BYTES: usize = 4096;

const BUFFER_ROWS: usize = 4096;
const BODIES_BUFFER_BYTES: usize = 256 * 1024;

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// One row a request: [`record::Record`].
    Records,
    /// One row an event of a streamed response: [`event_row`].
    Events,
    /// Bytes: [`body_part`]s one behind the other.
    Bodies,
}

impl Table {
    /// Bytes of one row.
    pub(crate) fn row_bytes(self) -> usize {
        match self {
            Self::Records => record::ROW_BYTES,
            Self::Events => event_row::ROW_BYTES,
            Self::Bodies => 1,
        }
    }

    /// Bytes of a full buffer on its way to the file.
    pub(crate) fn buffer_bytes(self) -> usize {
        match self {
            Self::Bodies => BODIES_BUFFER_BYTES,
            Self::Records | Self::Events => BUFFER_ROWS * self.row_bytes(),
        }
    }

    /// The extension of its file, beside that of the records.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Records => "bin",
            Self::Events => "events.bin",
            Self::Bodies => "bodies.bin",
        }
    }

    fn magic(self) -> [u8; 16] {
        match self {
            Self::Records => record::MAGIC,
            Self::Events => event_row::MAGIC,
            Self::Bodies => body_part::MAGIC,
        }
    }

    fn columns(self) -> &'static [Column] {
        match self {
            Self::Records => &record::COLUMNS,
            Self::Events => &event_row::COLUMNS,
            Self::Bodies => &body_part::COLUMNS,
        }
    }
}

/// What the header of a table says besides the columns.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// What the rows are.
    pub(crate) table: Table,
    /// Names of the steps, by the value of the `step` column.
    pub(crate) steps: Vec<String>,
    /// Wall-clock time of the origin; 0 until it is known.
    pub(crate) started_unix_ns: i64,
    /// The plan's warm-up.
    pub(crate) warmup_ns: i64,
}

impl Header {
    /// The bytes of the header. Their number does not depend on `started_unix_ns`, so that it can be written over.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        const LONGEST_NUMBER: usize = 20;
        let unpadded = HEADER_FIXED_BYTES + self.json(0).len() + LONGEST_NUMBER;
        let header_bytes = unpadded.next_multiple_of(HEADER_UNIT_BYTES);
        let json = self.json(header_bytes);
        let mut bytes = self.table.magic().to_vec();
        for number in [
            FORMAT_VERSION,
            self.table.row_bytes() as u32,
            header_bytes as u32,
            json.len() as u32,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(json.as_bytes());
        bytes.resize(header_bytes, 0);
        bytes
    }

    fn json(&self, header_bytes: usize) -> String {
        let columns = self.table.columns().iter().map(|(name, dtype, offset)| {
            format!(r#"{{"name":"{name}","dtype":"{dtype}","offset":{offset}}}"#)
        });
        let columns: Vec<String> = columns.collect();
        let kinds = Kind::NAMES.map(|name| format!("{name:?}"));
        let flags = flags::NAMES.map(|(name, bit)| format!("{name:?}:{bit}"));
        let steps: Vec<String> = self.steps.iter().map(|name| json_string(name)).collect();
        format!(
            concat!(
                r#"{{"version":{},"row_bytes":{},"header_bytes":{:8},"columns":[{}],"#,
                r#""error_kinds":[{}],"flags":{{{}}},"steps":[{}],"started_unix_ns":{},"warmup_ns":{}}}"#
            ),
            FORMAT_VERSION,
            self.table.row_bytes(),
            header_bytes,
            columns.join(","),
            kinds.join(","),
            flags.join(","),
            steps.join(","),
            self.started_unix_ns,
            self.warmup_ns,
        )
    }
}

fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_its_size_when_the_start_is_filled_in() {
        let mut header = Header {
            table: Table::Records,
            steps: vec!["say \"hi\"\n".into(); 400],
            started_unix_ns: 0,
            warmup_ns: 5,
        };
        let before = header.to_bytes();
        header.started_unix_ns = i64::MAX;
        let after = header.to_bytes();
        assert_eq!(before.len(), after.len());
        assert_eq!(after.len() % 4096, 0);
        assert!(after.len() > 4096);
        assert_eq!(&after[..13], b"SERVEMARK-REC");
        let text = String::from_utf8_lossy(&after);
        assert!(text.contains(r#""say \"hi\"\u000a""#));
        assert!(text.contains(r#""started_unix_ns":9223372036854775807"#));
    }

    #[test]
    fn a_header_says_what_the_rows_of_its_table_are() {
        let header = Header {
            table: Table::Events,
            steps: Vec::new(),
            started_unix_ns: 0,
            warmup_ns: 0,
        };
        let bytes = header.to_bytes();
        assert_eq!(&bytes[..13], b"SERVEMARK-EVT");
        assert_eq!(bytes[20..24], 20_u32.to_le_bytes());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(r#"{"name":"index","dtype":"<u4","offset":16}"#));
    }
}
