//! The thread that writes a run's files, and how generator threads reach it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::control::{AT_ONCE_NS, Control};
use crate::table::{Header, Table};

/// What is sent to the writer.
pub(crate) enum Message {
    /// The origin is known: `started_unix_ns`.
    Started(i64),
    /// Rows of a table, and where their buffer goes when they are written.
    Rows(Table, Vec<u8>, Sender<Vec<u8>>),
}

/// How to reach the writer.
#[derive(Clone, Debug)]
pub(crate) struct WriterHandle {
    sender: Sender<Message>,
    beside: Arc<[Table]>,
}

impl WriterHandle {
    /// A handle, and what is sent by it; `beside` are the tables beside the records.
    pub(crate) fn new(beside: &[Table]) -> (Self, Receiver<Message>) {
        let (sender, messages) = channel();
        let beside = beside.into();
        (Self { sender, beside }, messages)
    }

    /// Tell the writer when the run started, for the files' headers.
    pub(crate) fn started(&self, unix_ns: i64) {
        // The writer lives until every handle is gone.
        let _ = self.sender.send(Message::Started(unix_ns));
    }

    /// Whether rows of that table are written, beside the records.
    pub(crate) fn takes(&self, table: Table) -> bool {
        self.beside.contains(&table)
    }

    /// Have whole rows of `table` written; their buffer comes back, empty, through `give_back`.
    pub(crate) fn append(&self, table: Table, rows: Vec<u8>, give_back: Sender<Vec<u8>>) {
        let _ = self.sender.send(Message::Rows(table, rows, give_back));
    }
}

/// The writing end of a run's files.
#[derive(Debug)]
pub(crate) struct Writer {
    records: TableFile,
    beside: Vec<TableFile>,
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
    /// Write the headers and take rows from the handle that is returned; of what has no file `beside` none come.
    pub(crate) fn new(
        records: (File, Header),
        beside: Vec<(File, Header)>,
    ) -> io::Result<(Self, WriterHandle)> {
        let tables: Vec<Table> = beside.iter().map(|(_, header)| header.table).collect();
        let (handle, messages) = WriterHandle::new(&tables);
        let beside = beside
            .into_iter()
            .map(|(file, header)| TableFile::new(file, header));
        let writer = Self {
            records: TableFile::new(records.0, records.1)?,
            beside: beside.collect::<io::Result<_>>()?,
            messages,
        };
        Ok((writer, handle))
    }

    /// Write until all handles and recorders are gone.
    ///
    /// When a write fails the run is ended; the rows before it stay, whole ones only. Returns why, in words.
    pub(crate) fn run(mut self, control: &Arc<Control>) -> Option<String> {
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
                let mut beside = self.beside.iter_mut();
                beside.try_for_each(|file| file.started(unix_ns))
            }
            Message::Rows(table, mut rows, give_back) => {
                let mut beside = self.beside.iter_mut();
                let other = beside.find(|file| file.header.table == table);
                other.unwrap_or(&mut self.records).append(&rows)?;
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

    #[test]
    fn a_write_that_fails_ends_the_run() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (handle, messages) = WriterHandle::new(&[]);
        let header = Header {
            table: Table::Records,
            steps: Vec::new(),
            started_unix_ns: 0,
            warmup_ns: 0,
        };
        let row = vec![0; Table::Records.row_bytes()];
        let writer = Writer {
            records: TableFile {
                file: full,
                header,
                end: 0,
            },
            beside: Vec::new(),
            messages,
        };
        let control = Arc::new(Control::new(1, 1, false).unwrap());
        let (give_back, _) = channel();
        handle.append(Table::Records, row, give_back);
        drop(handle);
        let failure = writer.run(&control).unwrap();
        assert_eq!(failure, "No space left on device (os error 28)");
        assert_eq!(control.stop_at_ns(), AT_ONCE_NS);
    }
}
