//! From a generator thread to the record file: whole buffers change hands, another thread writes them.
//!
//! A generator thread fills one buffer and swaps it for an empty one when it is full or 250 ms old. Buffers come back
//! from the writer; two a thread circulate as long as the disk keeps up. When it does not, a thread that has no empty
//! buffer makes another, so that it never waits: memory then grows by what the disk is behind.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::NS_PER_MS;
use crate::control::{AT_ONCE_NS, Control};
use crate::record::{Header, ROW_BYTES, Record};

/// The longest time for which a record stays in a buffer.
pub const FLUSH_INTERVAL_NS: i64 = 250 * NS_PER_MS;

const BUFFER_BYTES: usize = 4096 * ROW_BYTES;

/// What is sent to the writer.
enum Message {
    /// The origin is known: `started_unix_ns`.
    Started(i64),
    /// Rows, and where their buffer goes when they are written.
    Rows(Vec<u8>, Sender<Vec<u8>>),
}

/// A generator thread's end: takes records.
#[derive(Debug)]
pub struct Recorder {
    rows: Vec<u8>,
    written: u64,
    flushed_ns: i64,
    writer: WriterHandle,
    give_back: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

/// How to reach the writer.
#[derive(Clone, Debug)]
pub struct WriterHandle(Sender<Message>);

impl WriterHandle {
    /// Tell the writer when the run started, for the file's header.
    pub fn started(&self, unix_ns: i64) {
        // The writer lives until every handle is gone.
        let _ = self.0.send(Message::Started(unix_ns));
    }

    /// A recorder for one more generator thread.
    #[must_use]
    pub fn recorder(self) -> Recorder {
        let (give_back, empty) = channel();
        let _ = give_back.send(Vec::with_capacity(BUFFER_BYTES));
        Recorder {
            rows: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            flushed_ns: 0,
            writer: self,
            give_back,
            empty,
        }
    }
}

impl Recorder {
    /// Add a record.
    pub fn push(&mut self, record: &Record) {
        self.rows.extend_from_slice(&record.to_row());
        self.written += 1;
        if self.rows.len() >= BUFFER_BYTES {
            self.flush();
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
        if self.rows.is_empty() {
            i64::MAX
        } else {
            self.flushed_ns + FLUSH_INTERVAL_NS
        }
    }

    /// Hand over what is in the buffer if the last time is long enough ago.
    pub fn flush_if_due(&mut self, now_ns: i64) {
        if now_ns >= self.flushed_ns + FLUSH_INTERVAL_NS {
            self.flushed_ns = now_ns;
            self.flush();
        }
    }

    /// Hand over what is in the buffer.
    pub fn flush(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let empty = self.empty.try_recv();
        let empty = empty.unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES));
        let full = std::mem::replace(&mut self.rows, empty);
        let _ = self.writer.0.send(Message::Rows(full, self.give_back.clone()));
    }
}

/// The writing end of a record file.
#[derive(Debug)]
pub struct Writer {
    file: File,
    header: Header,
    /// Where the next row goes.
    end: u64,
    messages: Receiver<Message>,
}

impl Writer {
    /// Write the header to `file` and take rows from the handle that is returned.
    pub fn new(file: File, header: Header) -> io::Result<(Self, WriterHandle)> {
        let bytes = header.to_bytes();
        file.write_all_at(&bytes, 0)?;
        let (sender, messages) = channel();
        let writer = Self {
            file,
            header,
            end: bytes.len() as u64,
            messages,
        };
        Ok((writer, WriterHandle(sender)))
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
                self.header.started_unix_ns = unix_ns;
                self.file.write_all_at(&self.header.to_bytes(), 0)
            }
            Message::Rows(mut rows, give_back) => {
                if let Err(error) = self.file.write_all_at(&rows, self.end) {
                    // Readers ignore a part of a row at the end: why writing failed matters more than cutting it off.
                    let _ = self.cut_to_whole_rows();
                    return Err(error);
                }
                self.end += rows.len() as u64;
                rows.clear();
                // The generator thread may have ended: then the buffer has done its work.
                let _ = give_back.send(rows);
                Ok(())
            }
        }
    }

    fn cut_to_whole_rows(&self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let partial = length.saturating_sub(self.end) % ROW_BYTES as u64;
        self.file.set_len(length - partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

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
        }
    }

    fn header() -> Header {
        Header {
            steps: vec!["s".into()],
            started_unix_ns: 0,
            warmup_ns: 0,
        }
    }

    #[test]
    fn all_records_of_all_threads_reach_the_file() {
        let path = std::env::temp_dir().join(format!("servemark-{}-recorder", std::process::id()));
        let (writer, handle) = Writer::new(File::create(&path).unwrap(), header()).unwrap();
        let control = Arc::new(Control::new(1, 1, false).unwrap());
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let mut recorder = handle.clone().recorder();
                std::thread::spawn(move || {
                    (0..10_000).for_each(|n| recorder.push(&record(2 * n + thread)));
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
        std::fs::remove_file(&path).unwrap();
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
            file: full,
            header: header(),
            end: 0,
            messages,
        };
        let control = Arc::new(Control::new(1, 1, false).unwrap());
        let mut recorder = WriterHandle(sender).recorder();
        recorder.push(&record(0));
        recorder.flush();
        drop(recorder);
        let failure = writer.run(&control).unwrap();
        assert_eq!(failure, "No space left on device (os error 28)");
        assert_eq!(control.stop_at_ns(), AT_ONCE_NS);
    }

    #[test]
    fn records_wait_at_most_a_quarter_of_a_second() {
        let (sender, messages) = channel();
        let mut recorder = WriterHandle(sender).recorder();
        assert_eq!(recorder.next_flush_ns(), i64::MAX);
        recorder.push(&record(0));
        assert_eq!(recorder.next_flush_ns(), FLUSH_INTERVAL_NS);
        recorder.flush_if_due(FLUSH_INTERVAL_NS - 1);
        assert!(messages.try_recv().is_err());
        recorder.flush_if_due(FLUSH_INTERVAL_NS);
        assert!(matches!(messages.try_recv(), Ok(Message::Rows(rows, _)) if rows.len() == ROW_BYTES));
    }
}
