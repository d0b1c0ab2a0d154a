//! What a driver pushes its records to: buffers that change hands with the [`writer`](crate::writer) when they are full.
//!
//! A generator thread fills one buffer a file and swaps it for an empty one when it is full or 250 ms old. Buffers come back
//! from the writer; two a thread circulate as long as the disk keeps up. When it does not, a thread that has no empty
//! buffer makes another, so that it never waits: memory then grows by what the disk is behind.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::body_part::{Head, Part};
use crate::clock::NS_PER_MS;
use crate::event_row::event_row;
use crate::record::Record;
use crate::table::Table;
use crate::writer::WriterHandle;

/// The longest time for which a row stays in a buffer.
pub(crate) const FLUSH_INTERVAL_NS: i64 = 250 * NS_PER_MS;

/// A generator thread's end: takes records, and the times of events and the bytes of bodies where they are recorded.
#[derive(Debug)]
pub(crate) struct Recorder {
    records: Buffer,
    events: Option<Buffer>,
    bodies: Option<Buffer>,
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

impl WriterHandle {
    /// A recorder for one more generator thread.
    pub(crate) fn recorder(self) -> Recorder {
        Recorder {
            records: Buffer::new(Table::Records),
            events: self.takes(Table::Events).then(|| Buffer::new(Table::Events)),
            bodies: self.takes(Table::Bodies).then(|| Buffer::new(Table::Bodies)),
            written: 0,
            flushed_ns: 0,
            writer: self,
        }
    }
}

impl Buffer {
    fn new(table: Table) -> Self {
        let (give_back, empty) = channel();
        let capacity = table.buffer_bytes();
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
        if self.rows.len() >= self.table.buffer_bytes() {
            self.flush(writer);
        }
    }

    fn flush(&mut self, writer: &WriterHandle) {
        if self.rows.is_empty() {
            return;
        }
        let empty = self.empty.try_recv();
        let empty = empty.unwrap_or_else(|_| Vec::with_capacity(self.table.buffer_bytes()));
        let full = std::mem::replace(&mut self.rows, empty);
        writer.append(self.table, full, self.give_back.clone());
    }
}

impl Recorder {
    /// Add a record.
    pub(crate) fn push(&mut self, record: &Record) {
        self.written += 1;
        self.records.push(&record.to_row(), &self.writer);
    }

    /// Add the time of events of the request `seq`, those with the numbers of `indices`, if events are recorded.
    pub(crate) fn push_events(&mut self, seq: u64, time_ns: i64, indices: Range<u32>) {
        if let Some(events) = &mut self.events {
            for index in indices {
                events.push(&event_row(seq, time_ns, index), &self.writer);
            }
        }
    }

    /// Add a part of the body that answers the request `seq` of `step`: `bytes`, which arrived at `time_ns`, or none at its end.
    pub(crate) fn push_body(&mut self, (seq, step): (u64, u16), time_ns: i64, part: Part, bytes: &[u8]) {
        if let Some(bodies) = &mut self.bodies {
            let head = Head {
                seq,
                time_ns,
                bytes: bytes.len() as u32,
                step,
                part,
            };
            // Together in one buffer: what another thread hands over must not come between.
            bodies.rows.extend_from_slice(&head.to_bytes());
            bodies.push(bytes, &self.writer);
        }
    }

    /// How many records were added.
    pub(crate) fn records(&self) -> u64 {
        self.written
    }

    /// When [`flush_if_due`](Self::flush_if_due) next has something to do, or `i64::MAX`.
    pub(crate) fn next_flush_ns(&self) -> i64 {
        let mut beside = self.events.iter().chain(&self.bodies);
        if self.records.rows.is_empty() && beside.all(|buffer| buffer.rows.is_empty()) {
            i64::MAX
        } else {
            self.flushed_ns + FLUSH_INTERVAL_NS
        }
    }

    /// Hand over what is in the buffers if the last time is long enough ago.
    pub(crate) fn flush_if_due(&mut self, now_ns: i64) {
        if now_ns >= self.flushed_ns + FLUSH_INTERVAL_NS {
            self.flushed_ns = now_ns;
            self.flush();
        }
    }

    /// Hand over what is in the buffers.
    pub(crate) fn flush(&mut self) {
        self.records.flush(&self.writer);
        for buffer in self.events.iter_mut().chain(&mut self.bodies) {
            buffer.flush(&self.writer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use super::*;
    use crate::body_part::HEAD_BYTES;
    use crate::control::Control;
    use crate::error::Kind;
    use crate::event_row;
    use crate::record::ROW_BYTES;
    use crate::table::Header;
    use crate::writer::{Message, Writer};

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
        let (writer, handle) = Writer::new(records, vec![events]).unwrap();
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
    fn rows_wait_at_most_a_quarter_of_a_second() {
        let (handle, messages) = WriterHandle::new(&[Table::Events, Table::Bodies]);
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
        recorder.push_body((0, 0), 1, Part::Bytes, b"data");
        recorder.push_body((0, 0), 2, Part::End, b"");
        assert_eq!(recorder.next_flush_ns(), 3 * FLUSH_INTERVAL_NS);
        recorder.flush_if_due(3 * FLUSH_INTERVAL_NS);
        assert!(rows_of(Table::Bodies, 2 * HEAD_BYTES + 4));
    }
}
