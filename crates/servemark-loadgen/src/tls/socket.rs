//! A socket as rustls reads and writes it.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use rustix::io::retry_on_intr;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use crate::transport::receive;

/// A borrowed socket that raises no SIGPIPE: whether the program around ignores that is not ours to say.
pub(super) struct Socket<'a> {
    stream: &'a TcpStream,
    arrival: Option<Option<i64>>,
}

impl<'a> Socket<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream,
            arrival: None,
        }
    }

    /// If something was read here, when the kernel received the last segment of it, by the wall clock, where it tells.
    pub(super) fn arrival(&self) -> Option<Option<i64>> {
        self.arrival
    }
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, stamp_unix_ns) = receive(self.stream, buffer)?;
        if count > 0 {
            self.arrival = Some(stamp_unix_ns);
        }
        Ok(count)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| send(self.stream, bytes, SendFlags::NOSIGNAL))?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // A request is one record as a rule.
        if let [bytes] = pieces {
            return self.write(bytes);
        }
        let mut control = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| {
            sendmsg(self.stream, pieces, &mut control, SendFlags::NOSIGNAL)
        })?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
