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
                    self.cut_to_whole_rows()?;
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
        let partial = (self.file.metadata()?.len() - self.end) % ROW_BYTES as u64;
        let length = self.file.metadata()?.len() - partial;
        self.file.set_len(length)
    }
}
