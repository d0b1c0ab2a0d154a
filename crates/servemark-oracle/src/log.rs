//! What happened to each request: rows of sixteen little-endian i64, in order of arrival, without a header.

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
    /// When the kernel received it, or, not `is_stamped`, when it had been read.
    pub(crate) arrival_ns: i64,
    /// How long it was served, by the law.
    pub(crate) service_ns: i64,
    /// When its answer, or last event, was to be sent.
    pub(crate) due_ns: i64,
    /// When its answer, or first event, was about to be written.
    pub(crate) first_ns: i64,
    /// When its answer, or last event, was about to be written.
    pub(crate) departed_ns: i64,
    /// When it had been read.
    pub(crate) read_ns: i64,
    /// When its answer, or last event, had been written: it left between `departed_ns` and this.
    pub(crate) written_ns: i64,
    /// Whether `arrival_ns` is the kernel's.
    pub(crate) is_stamped: bool,
    /// Of an LLM server's answers: when the first event with content was about to be written whole, and the last one.
    pub(crate) first_content_ns: i64,
    /// When the last one was.
    pub(crate) last_content_ns: i64,
    /// The longest time from one of them to the next.
    pub(crate) longest_gap_ns: i64,
    /// How many there were.
    pub(crate) contents: i64,
    /// The tokens in them.
    pub(crate) tokens: i64,
}

impl Row {
    /// Events with content, with so many tokens, left at `now_ns`.
    pub(crate) fn note_content(&mut self, now_ns: i64, contents: u32, tokens: u32) {
        if contents == 0 {
            return;
        }
        if self.contents == 0 {
            self.first_content_ns = now_ns;
        } else {
            self.longest_gap_ns = self.longest_gap_ns.max(now_ns - self.last_content_ns);
        }
        self.last_content_ns = now_ns;
        self.contents += i64::from(contents);
        self.tokens += i64::from(tokens);
    }
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
                row.read_ns,
                row.written_ns,
                row.is_stamped.into(),
                row.first_content_ns,
                row.last_content_ns,
                row.longest_gap_ns,
                row.contents,
                row.tokens,
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
        self.spread_ns(|row| row.departed_ns - row.due_ns)
    }

    /// The same of how long writing the answer took: for so long it is not known when it left.
    pub(crate) fn writing_ns(&self) -> [i64; 3] {
        self.spread_ns(|row| row.written_ns - row.departed_ns).1
    }

    fn spread_ns(&self, of: impl Fn(&Row) -> i64) -> (usize, [i64; 3]) {
        let answered = self.rows.iter().filter(|row| row.departed_ns != NEVER_NS);
        let mut times_ns: Vec<_> = answered.map(of).collect();
        times_ns.sort_unstable();
        let at_share = |percent: usize| {
            let rank = (times_ns.len() * percent).div_ceil(100).max(1);
            times_ns.get(rank - 1).copied().unwrap_or(0)
        };
        (times_ns.len(), [at_share(50), at_share(99), at_share(100)])
    }

    /// Requests whose arrival the kernel did not stamp.
    pub(crate) fn unstamped(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_stamped).count()
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
            read_ns: 9,
            written_ns: departed_ns + 10,
            is_stamped: true,
            first_content_ns: NEVER_NS,
            last_content_ns: NEVER_NS,
            longest_gap_ns: 0,
            contents: 0,
            tokens: 0,
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
        assert_eq!(log.writing_ns(), [10, 10, 10]);
        assert_eq!(log.unstamped(), 0);
        log.rows[0].is_stamped = false;
        assert_eq!(log.unstamped(), 1);
    }

    #[test]
    fn the_longest_gap_is_between_events_with_content() {
        let mut row = row(6, 8);
        for (now_ns, contents, tokens) in [(10, 0, 0), (20, 1, 2), (25, 1, 2), (65, 2, 1), (70, 0, 0)] {
            row.note_content(now_ns, contents, tokens);
        }
        assert_eq!((row.first_content_ns, row.last_content_ns), (20, 65));
        assert_eq!((row.longest_gap_ns, row.contents, row.tokens), (40, 4, 5));
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
        let values = (1..=9_i64).chain([18, 1, -1, -1, 0, 0, 0]);
        assert_eq!(bytes, values.flat_map(i64::to_le_bytes).collect::<Vec<_>>());
    }
}
