//! From a generator thread to the files: whole buffers change hands, another thread writes them.
//!
//! A generator thread fills one buffer a file and swaps it for an empty one when it is full or 250 ms old. Buffers come back
//! from the writer; two a thread circulate as long as the disk keeps up. When it does not, a thread that has no empty
//! buffer makes another, so that it never waits: memory then grows by what the disk is behind.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::NS_PER_MS;
use crate::control::{AT_ONCE_NS, Control};
use crate::event_row::event_row;
use crate::record::Record;
use crate::table::{Header, Table};

/// The longest time for which a row stays in a buffer.
pub const FLUSH_INTERVAL_NS: i64 = 250 * NS_PER_MS;

const BUFFER_ROWS: usize = 4096;

/// What is sent to the writer.
enum Message {
    /// The origin is known: `started_unix_ns`.
    Started(i64),
    /// Rows of a table, and where their buffer goes when they are written.
    Rows(Table, Vec<u8>, Sender<Vec<u8>>),
}

/// A generator thread's end: takes records, and the times of events where they are recorded.
#[derive(Debug)]
pub struct Recorder {
    records: Buffer,
    events: Option<Buffer>,
    written: u64,
    flushed_ns: i64,
    writer: WriterHandle,
}

/// Rows of one table on their way to the writer.
#[derive(Debug)]
struct Buffer {
    table: Table,
    rows: Vec<u8>,
    give_back: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

/// How to reach the writer.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    sender: Sender<Message>,
    takes_events: bool,
}

impl WriterHandle {
    /// Tell the writer when the run started, for the files' headers.
    pub fn started(&self, unix_ns: i64) {
        // The writer lives until every handle is gone.
        let _ = self.sender.send(Message::Started(unix_ns));
    }

    /// A recorder for one more generator thread.
    #[must_use]
    pub fn recorder(self) -> Recorder {
        Recorder {
            records: Buffer::new(Table::Records),
            events: self.takes_events.then(|| Buffer::new(Table::Events)),
            written: 0,
            flushed_ns: 0,
            writer: self,
        }
    }
}

impl Buffer {
    fn new(table: Table) -> Self {
        let (give_back, empty) = channel();
        let capacity = BUFFER_ROWS * table.row_bytes();
        let _ = give_back.send(Vec::with_capacity(capacity));
        Self {
            table,
            rows: Vec::with_capacity(capacity),
            give_back,
            empty,
        }
    }

    fn push(&mut self, row: &[u8], writer: &WriterHandle) {
        self.rows.extend_from_slice(row);
        if self.rows.len() >= BUFFER_ROWS * self.table.row_bytes() {
            self.flush(writer);
        }
    }

    fn flush(&mut self, writer: &WriterHandle) {
        if self.rows.is_empty() {
            return;
        }
        let empty = self.empty.try_recv();
        let empty = empty.unwrap_or_else(|_| Vec::with_capacity(BUFFER_ROWS * self.table.row_bytes()));
        let full = std::mem::replace(&mut self.rows, empty);
        let message = Message::Rows(self.table, full, self.give_back.clone());
        let _ = writer.sender.send(message);
    }
}

impl Recorder {
    /// Add a record.
    pub fn push(&mut self, record: &Record) {
        self.written += 1;
        self.records.push(&record.to_row(), &self.writer);
    }

    /// Add the time of events of the request `seq`, those with the numbers of `indices`, if events are recorded.
    pub fn push_events(&mut self, seq: u64, time_ns: i64, indices: Range<u32>) {
        if let Some(events) = &mut self.events {
            for index in indices {
                events.push(&event_row(seq, time_ns, index), &self.writer);
            }
        }
    }

    /// How many records were added.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.written
    }

    /// When [`flush_if_due`](Self::flush_if_due) next has something to do, or `i64::MAX`.
    #[must_use]
    pub fn next_flush_ns(&self) -> i64 {
        let has_events = self.events.as_ref().is_some_and(|events| !events.rows.is_empty());
        if self.records.rows.is_empty() && !has_events {
            i64::MAX
        } else {
            self.flushed_ns + FLUSH_INTERVAL_NS
        }
    }

    /// Hand over what is in the buffers if the last time is long enough ago.
    pub fn flush_if_due(&mut self, now_ns: i64) {
        if now_ns >= self.flushed_ns + FLUSH_INTERVAL_NS {
            self.flushed_ns = now_ns;
            self.flush();
        }
    }

    /// Hand over what is in the buffers.
    pub fn flush(&mut self) {
        self.records.flush(&self.writer);
        if let Some(events) = &mut self.events {
            events.flush(&self.writer);
        }
    }
}

/// The writing end of a run's files.
#[derive(Debug)]
pub struct Writer {
    records: TableFile,
    events: Option<TableFile>,
    messages: Receiver<Message>,
}

/// A file that grows row by row.
#[derive(Debug)]
struct TableFile {
    file: File,
    header: Header,
    /// Where the next row goes.
    end: u64,
}

impl TableFile {
    fn new(file: File, header: Header) -> io::Result<Self> {
        let bytes = header.to_bytes();
        file.write_all_at(&bytes, 0)?;
        Ok(Self {
            file,
            header,
            end: bytes.len() as u64,
        })
    }

    fn started(&mut self, unix_ns: i64) -> io::Result<()> {
        self.header.started_unix_ns = unix_ns;
        self.file.write_all_at(&self.header.to_bytes(), 0)
    }

    fn append(&mut self, rows: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(rows, self.end) {
            // Readers ignore a part of a row at the end: why writing failed matters more than cutting it off.
            let _ = self.cut_to_whole_rows();
            return Err(error);
        }
        self.end += rows.len() as u64;
        Ok(())
    }

    fn cut_to_whole_rows(&self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let partial = length.saturating_sub(self.end) % self.header.table.row_bytes() as u64;
        self.file.set_len(length - partial)
    }
}

impl Writer {
    /// Write the headers and take rows from the handle that is returned. Without `events`, their times are not recorded.
    pub fn new(records: (File, Header), events: Option<(File, Header)>) -> io::Result<(Self, WriterHandle)> {
        let (sender, messages) = channel();
        let takes_events = events.is_some();
        let events = events.map(|(file, header)| TableFile::new(file, header));
        let writer = Self {
            records: TableFile::new(records.0, records.1)?,
            events: events.transpose()?,
            messages,
        };
        Ok((writer, WriterHandle { sender, takes_events }))
    }

    /// Write until all handles and recorders are gone.
    ///
    /// When a write fails the run is ended; the rows before it stay, whole ones only. Returns why, in words.
    #[must_use]
    pub fn run(mut self, control: &Arc<Control>) -> Option<String> {
        let mut failure: Option<String> = None;
        while let Ok(message) = self.messages.recv() {
            if failure.is_some() {
                continue;
            }
            if let Err(error) = self.write(message) {
                failure = Some(error.to_string());
                control.stop_at(AT_ONCE_NS);
                control.cancel_at(AT_ONCE_NS);
            }
        }
        failure
    }

    fn write(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Started(unix_ns) => {
                self.records.started(unix_ns)?;
                self.events
                    .as_mut()
                    .map_or(Ok(()), |events| events.started(unix_ns))
            }
            Message::Rows(table, mut rows, give_back) => {
                match (table, &mut self.events) {
                    (Table::Events, Some(events)) => events.append(&rows)?,
                    _ => self.records.append(&rows)?,
                }
                rows.clear();
                // The generator thread may have ended: then the buffer has done its work.
                let _ = give_back.send(rows);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::event_row;
    use crate::record::ROW_BYTES;

    fn record(seq: u64) -> Record {
        Record {
            seq,
            scheduled_ns: 0,
            ready_ns: 0,
            sent_ns: 0,
            first_byte_ns: 0,
            end_ns: 0,
            connect_us: 0,
            tls_us: 0,
            user: 0,
            connection: 0,
            bytes_sent: 0,
            bytes_received: 0,
            input: 0,
            events: 0,
            status: 200,
            step: 0,
            kind: Kind::Ok,
            flags: 0,
            group: 0,
            first_event_ns: -1,
            last_event_ns: -1,
            read_ns: 0,
        }
    }

    fn header(table: Table) -> Header {
        Header {
            table,
            steps: vec!["s".into()],
            started_unix_ns: 0,
            warmup_ns: 0,
        }
    }

    #[test]
    fn all_records_of_all_threads_reach_the_file() {
        let path = std::env::temp_dir().join(format!("servemark-{}-recorder", std::process::id()));
        let events_path = path.with_extension("events");
        let records = (File::create(&path).unwrap(), header(Table::Records));
        let events = (File::create(&events_path).unwrap(), header(Table::Events));
        let (writer, handle) = Writer::new(records, Some(events)).unwrap();
        let control = Arc::new(Control::new(1, 1, false).unwrap());
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let mut recorder = handle.clone().recorder();
                std::thread::spawn(move || {
                    for n in 0..10_000 {
                        recorder.push(&record(2 * n + thread));
                        recorder.push_events(2 * n + thread, 5, 0..2);
                    }
                    recorder.flush();
                    recorder.records()
                })
            })
            .collect();
        handle.started(77);
        drop(handle);
        assert_eq!(writer.run(&control), None);
        let pushed: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let bytes = std::fs::read(&path).unwrap();
        let events = std::fs::read(&events_path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&events_path).unwrap();
        assert_eq!(events.len(), 4096 + 40_000 * event_row::ROW_BYTES);
        assert!(String::from_utf8_lossy(&events[..4096]).contains(r#""started_unix_ns":77"#));
        assert_eq!(pushed, 20_000);
        assert_eq!(bytes.len(), 4096 + 20_000 * ROW_BYTES);
        assert!(String::from_utf8_lossy(&bytes[..4096]).contains(r#""started_unix_ns":77"#));
        let seqs = bytes[4096..]
            .chunks(ROW_BYTES)
            .map(|row| u64::from_le_bytes(row[..8].try_into().unwrap()));
        let mut seqs: Vec<u64> = seqs.collect();
        seqs.sort_unstable();
        assert!(seqs.into_iter().eq(0..20_000));
    }

    #[test]
    fn a_write_that_fails_ends_the_run() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (sender, messages) = channel();
        let writer = Writer {
            records: TableFile {
                file: full,
                header: header(Table::Records),
                end: 0,
            },
            events: None,
            messages,
        };
        let control = Arc::new(Control::new(1, 1, false).unwrap());
        let handle = WriterHandle {
            sender,
            takes_events: false,
        };
        let mut recorder = handle.recorder();
        recorder.push(&record(0));
        recorder.flush();
        drop(recorder);
        let failure = writer.run(&control).unwrap();
        assert_eq!(failure, "No space left on device (os error 28)");
        assert_eq!(control.stop_at_ns(), AT_ONCE_NS);
    }

    #[test]
    fn rows_wait_at_most_a_quarter_of_a_second() {
        let (sender, messages) = channel();
        let handle = WriterHandle {
            sender,
            takes_events: true,
        };
        let mut recorder = handle.recorder();
        assert_eq!(recorder.next_flush_ns(), i64::MAX);
        recorder.push(&record(0));
        assert_eq!(recorder.next_flush_ns(), FLUSH_INTERVAL_NS);
        recorder.flush_if_due(FLUSH_INTERVAL_NS - 1);
        assert!(messages.try_recv().is_err());
        recorder.flush_if_due(FLUSH_INTERVAL_NS);
        let rows_of = |wanted, bytes| {
            let message = messages.try_recv();
            matches!(message, Ok(Message::Rows(table, rows, _)) if table == wanted && rows.len() == bytes)
        };
        assert!(rows_of(Table::Records, ROW_BYTES));
        recorder.push_events(0, 1, 4..7);
        assert_eq!(recorder.next_flush_ns(), 2 * FLUSH_INTERVAL_NS);
        recorder.flush_if_due(2 * FLUSH_INTERVAL_NS);
        assert!(rows_of(Table::Events, 3 * event_row::ROW_BYTES));
    }
}
