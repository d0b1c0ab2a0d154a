//! Record files as they are read: rows by their file's own columns, a block at a time, on several threads.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

use crate::answers;

/// Rows that are read at once, and whose latest end is known ([`Block`]).
pub const BLOCK_ROWS: u64 = 8192;
/// More threads than this would wait for memory.
const MOST_THREADS: u64 = 4;

/// The columns of a file, by where they stand in a row. Those that older files lack have no place.
#[derive(Clone, Debug)]
struct Columns {
    seq: usize,
    scheduled: usize,
    ready: usize,
    sent: usize,
    first_byte: usize,
    end: usize,
    connect_us: usize,
    tls_us: usize,
    user: usize,
    bytes_sent: usize,
    bytes_received: usize,
    events: usize,
    status: usize,
    step: usize,
    kind: usize,
    flags: usize,
    group: usize,
    input: usize,
    first_event: Option<usize>,
    read: Option<usize>,
    answer: Option<AnswerColumns>,
}

/// Those of answers that were read ([`crate::answers`]); a file has all of them or none.
#[derive(Clone, Debug)]
struct AnswerColumns {
    first_content: usize,
    first_said: usize,
    last_content: usize,
    longest_gap: usize,
    contents: usize,
    usage_tokens: usize,
    counted_tokens: usize,
    first_tokens: usize,
    asked_tokens: Option<usize>,
    finish: usize,
    flags: usize,
}

/// The bits of the `flags` column; 0 of what a file does not know.
#[derive(Clone, Copy, Debug, Default)]
struct Bits {
    opened: u8,
    streamed: u8,
    closed_loop: u8,
    clock_read: u8,
    unsure_sent: u8,
}

/// A file of records.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    header_bytes: u64,
    row_bytes: usize,
    rows: u64,
    columns: Columns,
    bits: Bits,
}

/// What of one record is looked at; see `servemark_loadgen::record::Record`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the columns")]
#[expect(clippy::struct_excessive_bools, reason = "they are the flags")]
pub struct Row {
    pub scheduled_ns: i64,
    pub ready_ns: i64,
    pub sent_ns: i64,
    /// -1 where there was none.
    pub first_byte_ns: i64,
    pub end_ns: i64,
    /// Where a file does not have it, the end.
    pub read_ns: i64,
    pub first_event_ns: i64,
    /// Connecting and TLS, where the request waited for them; else 0.
    pub opening_us: u64,
    pub user: u32,
    pub bytes_sent: u32,
    pub bytes_received: u32,
    pub events: u32,
    pub status: u16,
    pub step: u16,
    pub group: u16,
    /// 0 is a success.
    pub kind: u8,
    pub is_closed: bool,
    pub is_streamed: bool,
    pub is_clock_read: bool,
    pub is_unsure_sent: bool,
    /// Where one was read.
    pub answer: Option<AnswerRow>,
}

/// What of the answer of one record is looked at; see [`crate::answers`]. -1 is what did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the columns")]
pub struct AnswerRow {
    pub first_content_ns: i64,
    pub first_said_ns: i64,
    pub last_content_ns: i64,
    pub longest_gap_ns: i64,
    pub contents: u32,
    pub usage_tokens: i32,
    pub counted_tokens: i32,
    pub first_tokens: i32,
    /// What its request asked for.
    pub asked_tokens: i32,
    pub finish: u8,
    pub flags: u8,
}

impl AnswerRow {
    /// How many tokens were generated: by the server, else by who counted them in the text; `None` where nobody did.
    #[must_use]
    pub fn tokens(&self) -> Option<i64> {
        let counts = [self.usage_tokens, self.counted_tokens];
        counts.into_iter().find(|count| *count >= 0).map(i64::from)
    }

    /// Whether it has fewer tokens than its request asked for; `None` where one of the two is not known.
    #[must_use]
    pub fn is_short(&self) -> Option<bool> {
        let asked = i64::from(self.asked_tokens);
        (asked > 0).then(|| self.tokens().map(|tokens| tokens < asked))?
    }

    /// From the first event with content to the last one, for each token that came with others than the first: that has
    /// as many as the server says, or, where it does not say, one. `None` where there is nothing to divide by.
    #[must_use]
    pub fn time_per_token_ns(&self) -> Option<i64> {
        let first = i64::from(self.first_tokens.max(1));
        let later = self.tokens()? - first;
        let has_several = self.contents > 1 && self.first_content_ns >= 0 && later > 0;
        has_several.then(|| (self.last_content_ns - self.first_content_ns + later / 2) / later)
    }
}

impl Table {
    /// The file at `path`, with its columns and flags as its header names them.
    ///
    /// A column that every file has and this one lacks, or one that reaches beyond the row, is said.
    pub fn new(
        path: PathBuf,
        header_bytes: u64,
        row_bytes: usize,
        rows: u64,
        columns: &HashMap<String, usize>,
        flags: &HashMap<String, u8>,
    ) -> Result<Self, String> {
        let optional = |name: &str, width: usize| match columns.get(name) {
            Some(offset) if offset + width > row_bytes => {
                Err(format!("column {name} reaches beyond its row"))
            }
            offset => Ok(offset.copied()),
        };
        let at =
            |name: &str, width| optional(name, width)?.ok_or_else(|| format!("there is no column {name}"));
        let bit = |name: &str| flags.get(name).copied().unwrap_or(0);
        Ok(Self {
            path,
            header_bytes,
            row_bytes,
            rows,
            columns: Columns {
                seq: at("seq", 8)?,
                scheduled: at("scheduled", 8)?,
                ready: at("ready", 8)?,
                sent: at("sent", 8)?,
                first_byte: at("first_byte", 8)?,
                end: at("end", 8)?,
                connect_us: at("connect_us", 4)?,
                tls_us: at("tls_us", 4)?,
                user: at("user", 4)?,
                bytes_sent: at("bytes_sent", 4)?,
                bytes_received: at("bytes_received", 4)?,
                events: at("events", 4)?,
                status: at("status", 2)?,
                step: at("step", 2)?,
                kind: at("kind", 1)?,
                flags: at("flags", 1)?,
                group: at("group", 2)?,
                input: at("input", 4)?,
                first_event: optional("first_event", 8)?,
                read: optional("read", 8)?,
                answer: answer_columns(&optional)?,
            },
            bits: Bits {
                opened: bit("opened") | bit("reconnected"),
                streamed: bit("streamed"),
                closed_loop: bit("closed_loop"),
                clock_read: bit("clock_read"),
                unsure_sent: bit("unsure_sent"),
            },
        })
    }

    /// How many records there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.rows.div_ceil(BLOCK_ROWS)
    }

    // What is not looked at is not made: a pass over millions takes a fifth longer where this stays a call.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "measured")]
    fn row(&self, bytes: &[u8]) -> Row {
        let columns = &self.columns;
        let flags = bytes[columns.flags];
        let has = |bit: u8| flags & bit != 0;
        let end_ns = i64_at(bytes, columns.end);
        let opening_us = if has(self.bits.opened) {
            u64::from(u32_at(bytes, columns.connect_us)) + u64::from(u32_at(bytes, columns.tls_us))
        } else {
            0
        };
        Row {
            scheduled_ns: i64_at(bytes, columns.scheduled),
            ready_ns: i64_at(bytes, columns.ready),
            sent_ns: i64_at(bytes, columns.sent),
            first_byte_ns: i64_at(bytes, columns.first_byte),
            end_ns,
            read_ns: columns.read.map_or(end_ns, |at| i64_at(bytes, at)),
            first_event_ns: columns.first_event.map_or(-1, |at| i64_at(bytes, at)),
            opening_us,
            user: u32_at(bytes, columns.user),
            bytes_sent: u32_at(bytes, columns.bytes_sent),
            bytes_received: u32_at(bytes, columns.bytes_received),
            events: u32_at(bytes, columns.events),
            status: u16_at(bytes, columns.status),
            step: u16_at(bytes, columns.step),
            group: u16_at(bytes, columns.group),
            kind: bytes[columns.kind],
            is_closed: has(self.bits.closed_loop),
            is_streamed: has(self.bits.streamed),
            is_clock_read: has(self.bits.clock_read),
            is_unsure_sent: has(self.bits.unsure_sent),
            answer: columns
                .answer
                .as_ref()
                .and_then(|columns| answer_row(bytes, columns)),
        }
    }

    /// Where in a row the number of the request stands.
    pub(crate) fn seq_offset(&self) -> usize {
        self.columns.seq
    }

    /// Where in a row the place of the request in the pool of its step stands.
    pub(crate) fn input_offset(&self) -> usize {
        self.columns.input
    }

    /// Where in a row its kind stands.
    pub(crate) fn kind_offset(&self) -> usize {
        self.columns.kind
    }

    /// Look at all rows, as bytes too, in the order of the file.
    pub(crate) fn each_raw(&self, mut look: impl FnMut(&[u8], &Row) -> io::Result<()>) -> io::Result<()> {
        let mut reader = Reader::open(self)?;
        for number in 0..self.blocks() {
            reader.read(number)?;
            for bytes in reader.bytes.chunks_exact(self.row_bytes) {
                look(bytes, &self.row(bytes))?;
            }
        }
        Ok(())
    }
}

fn answer_columns(
    optional: &impl Fn(&str, usize) -> Result<Option<usize>, String>,
) -> Result<Option<AnswerColumns>, String> {
    let Some(first_content) = optional("first_content", 8)? else {
        return Ok(None);
    };
    let at = |name: &str, width| optional(name, width)?.ok_or_else(|| format!("there is no column {name}"));
    Ok(Some(AnswerColumns {
        first_content,
        first_said: at("first_said", 8)?,
        last_content: at("last_content", 8)?,
        longest_gap: at("longest_gap", 8)?,
        contents: at("contents", 4)?,
        usage_tokens: at("usage_tokens", 4)?,
        counted_tokens: at("counted_tokens", 4)?,
        first_tokens: at("first_tokens", 4)?,
        asked_tokens: optional("asked_tokens", 4)?,
        finish: at("finish", 1)?,
        flags: at("answer_flags", 1)?,
    }))
}

fn answer_row(bytes: &[u8], columns: &AnswerColumns) -> Option<AnswerRow> {
    let tokens = |at| u32_at(bytes, at) as i32;
    let flags = bytes[columns.flags];
    (flags & answers::flags::READ != 0).then(|| AnswerRow {
        first_content_ns: i64_at(bytes, columns.first_content),
        first_said_ns: i64_at(bytes, columns.first_said),
        last_content_ns: i64_at(bytes, columns.last_content),
        longest_gap_ns: i64_at(bytes, columns.longest_gap),
        contents: u32_at(bytes, columns.contents),
        usage_tokens: tokens(columns.usage_tokens),
        counted_tokens: tokens(columns.counted_tokens),
        first_tokens: tokens(columns.first_tokens),
        asked_tokens: columns.asked_tokens.map_or(-1, tokens),
        finish: bytes[columns.finish],
        flags,
    })
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    i64_at(bytes, at) as u64
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

/// A file that is open, and room for a block of it.
pub(crate) struct Reader<'table> {
    table: &'table Table,
    file: File,
    bytes: Vec<u8>,
}

impl<'table> Reader<'table> {
    pub(crate) fn open(table: &'table Table) -> io::Result<Self> {
        Ok(Self {
            table,
            file: File::open(&table.path)?,
            bytes: Vec::new(),
        })
    }

    /// The rows of a block, in the order of the file. A file that became shorter is an unexpected end.
    pub(crate) fn block(&mut self, number: u64) -> io::Result<impl Iterator<Item = Row> + '_> {
        self.read(number)?;
        let rows = self.bytes.chunks_exact(self.table.row_bytes);
        Ok(rows.map(|bytes| self.table.row(bytes)))
    }

    fn read(&mut self, number: u64) -> io::Result<()> {
        let first = number * BLOCK_ROWS;
        let rows = BLOCK_ROWS.min(self.table.rows - first) as usize;
        self.bytes.resize(rows * self.table.row_bytes, 0);
        let offset = self.table.header_bytes + first * self.table.row_bytes as u64;
        self.file.read_exact_at(&mut self.bytes, offset)
    }
}

/// A block of one of several tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) table: usize,
    pub(crate) number: u64,
}

/// Look at all rows of `tables`, a share of the blocks on each of several threads, and give what each thread gathered, in
/// the order of the files. `look` gets each row with its block.
pub(crate) fn each_row<Gathered: Send>(
    tables: &[Table],
    start: impl Fn() -> Gathered + Sync,
    look: impl Fn(&mut Gathered, Block, &Row) + Sync,
) -> io::Result<Vec<Gathered>> {
    let blocks: u64 = tables.iter().map(Table::blocks).sum();
    let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    let threads = blocks.clamp(1, cpus.min(MOST_THREADS));
    let share = |thread: u64| blocks * thread / threads..blocks * (thread + 1) / threads;
    let gather = |own: Range<u64>| -> io::Result<Gathered> {
        let mut gathered = start();
        let mut first = 0;
        for (number, table) in tables.iter().enumerate() {
            let own =
                own.start.clamp(first, first + table.blocks())..own.end.clamp(first, first + table.blocks());
            if !own.is_empty() {
                let mut reader = Reader::open(table)?;
                for block in own {
                    let block = Block {
                        table: number,
                        number: block - first,
                    };
                    reader.read(block.number)?;
                    for bytes in reader.bytes.chunks_exact(table.row_bytes) {
                        look(&mut gathered, block, &table.row(bytes));
                    }
                }
            }
            first += table.blocks();
        }
        Ok(gathered)
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (1..threads)
            .map(|thread| {
                let (gather, own) = (&gather, share(thread));
                scope.spawn(move || gather(own))
            })
            .collect();
        let own = gather(share(0));
        let rest = handles
            .into_iter()
            .map(|handle| handle.join().expect("a pass does not panic"));
        std::iter::once(own).chain(rest).collect()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::{env, fs, process};

    use servemark_loadgen::error::Kind;
    use servemark_loadgen::record::{COLUMNS, Column, ROW_BYTES, Record, flags};

    use super::*;
    use crate::answers::{ANSWER_COLUMNS, ANSWER_ROW_BYTES};

    /// What of a record a test sets.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Times {
        pub(crate) scheduled: i64,
        pub(crate) sent: i64,
        pub(crate) end: i64,
        pub(crate) user: u32,
        pub(crate) step: u16,
    }

    /// A file that is there as long as this.
    pub(crate) struct TestFile(PathBuf);

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    impl TestFile {
        /// A new file of these bytes.
        pub(crate) fn new(bytes: &[u8]) -> Self {
            static FILES: AtomicU64 = AtomicU64::new(0);
            let number = FILES.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("servemark-records-{}-{number}", process::id()));
            fs::write(&path, bytes).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    /// A file without a header of successes of a closed loop at these times.
    pub(crate) fn table(times: &[Times]) -> (TestFile, Table) {
        let records: Vec<Record> = times.iter().map(record).collect();
        let rows: Vec<u8> = records.iter().flat_map(Record::to_row).collect();
        of_columns(&rows, ROW_BYTES, &COLUMNS)
    }

    /// The same of these records.
    pub(crate) fn records_of(records: &[Record]) -> (TestFile, Table) {
        let rows: Vec<u8> = records.iter().flat_map(Record::to_row).collect();
        of_columns(&rows, ROW_BYTES, &COLUMNS)
    }

    /// A file of records with what their answers said.
    pub(crate) fn wide(rows: &[u8]) -> (TestFile, Table) {
        let behind = ANSWER_COLUMNS.map(|(name, dtype, offset)| (name, dtype, ROW_BYTES + offset));
        of_columns(
            rows,
            ROW_BYTES + ANSWER_ROW_BYTES,
            &[&COLUMNS[..], &behind].concat(),
        )
    }

    fn of_columns(rows: &[u8], row_bytes: usize, columns: &[Column]) -> (TestFile, Table) {
        let file = TestFile::new(rows);
        let columns = columns
            .iter()
            .map(|(name, _, offset)| ((*name).to_owned(), *offset))
            .collect();
        let bits = flags::NAMES
            .iter()
            .map(|(name, bit)| ((*name).to_owned(), *bit))
            .collect();
        let count = (rows.len() / row_bytes) as u64;
        let table = Table::new(file.0.clone(), 0, row_bytes, count, &columns, &bits).unwrap();
        (file, table)
    }

    pub(crate) fn record(times: &Times) -> Record {
        Record {
            seq: 0,
            scheduled_ns: times.scheduled,
            ready_ns: times.sent,
            sent_ns: times.sent,
            first_byte_ns: times.end,
            end_ns: times.end,
            connect_us: 3,
            tls_us: 4,
            user: times.user,
            connection: 0,
            bytes_sent: 10,
            bytes_received: 20,
            input: 0,
            events: 0,
            status: 200,
            step: times.step,
            kind: Kind::Ok,
            flags: flags::CLOSED_LOOP,
            group: 0,
            first_event_ns: -1,
            last_event_ns: -1,
            read_ns: times.end + 5,
        }
    }

    #[test]
    fn each_row_is_seen_once_whatever_the_number_of_threads() {
        let all: Vec<Times> = (0..50_000)
            .map(|number| Times {
                end: number,
                ..Times::default()
            })
            .collect();
        let (_first, first) = table(&all[..20_000]);
        let (_none, none) = table(&[]);
        let (_second, second) = table(&all[20_000..]);
        let tables = [first, none, second];
        let seen = each_row(&tables, Vec::new, |ends, block, row| {
            ends.push((block, row.end_ns));
        })
        .unwrap();
        let seen = seen.concat();
        assert!(seen.iter().map(|(_, end)| *end).eq(0..50_000));
        assert_eq!(seen[20_000].0, Block { table: 2, number: 0 });
        assert_eq!(
            seen[49_999].0,
            Block {
                table: 2,
                number: 29_999 / BLOCK_ROWS
            }
        );
    }

    #[test]
    fn a_row_is_what_was_recorded() {
        let (_file, table) = table(&[Times {
            scheduled: 1,
            sent: 2,
            end: 30,
            user: 7,
            step: 4,
        }]);
        let row = Reader::open(&table).unwrap().block(0).unwrap().next().unwrap();
        assert_eq!(
            (
                row.scheduled_ns,
                row.ready_ns,
                row.sent_ns,
                row.end_ns,
                row.read_ns
            ),
            (1, 2, 2, 30, 35)
        );
        assert_eq!(
            (row.user, row.step, row.bytes_sent, row.bytes_received, row.status),
            (7, 4, 10, 20, 200)
        );
        assert_eq!((row.is_closed, row.is_streamed, row.opening_us), (true, false, 0));
    }

    #[test]
    fn a_file_that_became_shorter_is_said() {
        let (file, table) = table(&[Times::default(); 3]);
        fs::write(&file.0, [0; ROW_BYTES]).unwrap();
        let error = each_row(&[table], || (), |(), _, _| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn columns_that_a_row_cannot_hold_are_refused() {
        let columns: HashMap<String, usize> = COLUMNS
            .iter()
            .map(|(name, _, offset)| ((*name).to_owned(), *offset))
            .collect();
        let made = |columns: &HashMap<String, usize>, bytes| {
            Table::new(PathBuf::new(), 0, bytes, 0, columns, &HashMap::new())
        };
        assert!(
            made(&columns, ROW_BYTES - 1)
                .unwrap_err()
                .contains("column read reaches beyond")
        );
        let mut older = columns.clone();
        older.remove("read");
        assert!(made(&older, ROW_BYTES - 8).is_ok());
        older.remove("sent");
        assert!(made(&older, ROW_BYTES).unwrap_err().contains("no column sent"));
    }
}
