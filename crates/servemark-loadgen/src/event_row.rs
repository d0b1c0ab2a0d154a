//! The row of one event of a streamed response: when it came. A file of events is a [`table`](crate::table) of them.

use crate::record::Column;

/// What a file of events begins with.
pub(crate) const MAGIC: [u8; 16] = *b"SERVEMARK-EVT\0\0\0";

/// Bytes of one row.
pub(crate) const ROW_BYTES: usize = 20;

/// The columns: the `seq` of the request's record, the time, and the event's number in its response, from 0.
pub(crate) const COLUMNS: [Column; 3] = [("seq", "<u8", 0), ("time", "<i8", 8), ("index", "<u4", 16)];

/// The row, as [`COLUMNS`] lays it out.
pub(crate) fn event_row(seq: u64, time_ns: i64, index: u32) -> [u8; ROW_BYTES] {
    let mut row = [0; ROW_BYTES];
    row[..8].copy_from_slice(&seq.to_le_bytes());
    row[8..16].copy_from_slice(&time_ns.to_le_bytes());
    row[16..].copy_from_slice(&index.to_le_bytes());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_at_its_column() {
        let row = event_row(1 << 40, -1, 7);
        let at = COLUMNS.map(|(_, _, offset)| offset);
        assert_eq!(row[at[0]..at[1]], (1_u64 << 40).to_le_bytes());
        assert_eq!(row[at[1]..at[2]], (-1_i64).to_le_bytes());
        assert_eq!(row[at[2]..], 7_u32.to_le_bytes());
    }
}
