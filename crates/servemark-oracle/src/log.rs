//! What happened to each request: rows of eight little-endian i64, in order of arrival, without a header.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A request that was not answered, or not yet.
pub(crate) const NEVER_NS: i64 = -1;

/// Rows for which room is kept from the start, so that growing delays no answer; memory that is not used costs nothing.
const ROOM_ROWS: usize = 1 << 20;

/// A request. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The first number in the request's path, or -1.
    pub(crate) user: i64,
    /// The second, or -1.
    pub(crate) seq: i64,
    /// Which connection brought it, counted from 0.
    pub(crate) connection: i64,
    /// When its first byte had been read.
    pub(crate) arrival_ns: i64,
    /// How long it was served, by the law.
    pub(crate) service_ns: i64,
    /// When its answer, or last event, was to be sent.
    pub(crate) due_ns: i64,
    /// When its answer, or first event, had been written.
    pub(crate) first_ns: i64,
    /// When its answer, or last event, had been written.
    pub(crate) departed_ns: i64,
}

/// All requests.
#[derive(Debug)]
pub(crate) struct Log {
    /// In order of arrival.
    pub(crate) rows: Vec<Row>,
}

impl Log {
    /// No request yet.
    pub(crate) fn new() -> Self {
        Self {
            rows: Vec::with_capacity(ROOM_ROWS),
        }
    }

    /// Write the rows to a new file at `path`.
    pub(crate) fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for row in &self.rows {
            let values = [
                row.user,
                row.seq,
                row.connection,
                row.arrival_ns,
                row.service_ns,
                row.due_ns,
                row.first_ns,
                row.departed_ns,
            ];
            for value in values {
                file.write_all(&value.to_le_bytes())?;
            }
        }
        file.flush()
    }

    /// How many were answered, and the median, the 99th percentile (nearest rank) and the maximum of how much later
    /// than due.
    pub(crate) fn lateness_ns(&self) -> (usize, [i64; 3]) {
        let answered = self.rows.iter().filter(|row| row.departed_ns != NEVER_NS);
        let mut late_ns: Vec<_> = answered.map(|row| row.departed_ns - row.due_ns).collect();
        late_ns.sort_unstable();
        let at_share = |percent: usize| {
            let rank = (late_ns.len() * percent).div_ceil(100).max(1);
            late_ns.get(rank - 1).copied().unwrap_or(0)
        };
        (late_ns.len(), [at_share(50), at_share(99), at_share(100)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(due_ns: i64, departed_ns: i64) -> Row {
        Row {
            user: 1,
            seq: 2,
            connection: 3,
            arrival_ns: 4,
            service_ns: 5,
            due_ns,
            first_ns: 7,
            departed_ns,
        }
    }

    #[test]
    fn lateness_is_of_what_was_answered() {
        let mut log = Log::new();
        assert_eq!(log.lateness_ns(), (0, [0, 0, 0]));
        log.rows
            .extend((1..=200).map(|late_ns| row(1_000, 1_000 + late_ns)));
        log.rows.push(row(1_000, NEVER_NS));
        assert_eq!(log.lateness_ns(), (200, [100, 198, 200]));
    }

    #[test]
    fn rows_are_written_as_they_stand() {
        let path = std::env::temp_dir().join(format!("servemark-oracle-{}", std::process::id()));
        let log = Log {
            rows: vec![row(6, 8)],
        };
        log.write_to(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes, (1..=8_i64).flat_map(i64::to_le_bytes).collect::<Vec<_>>());
    }
}
