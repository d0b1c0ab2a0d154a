//! Reading from and writing to a socket, with the time at which the kernel received what is read.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use rustix::io::retry_on_intr;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use crate::kernel;

/// A borrowed socket, as TLS reads and writes it. It raises no SIGPIPE: whether the program around ignores that is not ours
/// to say.
pub(super) struct Socket<'a> {
    stream: &'a TcpStream,
    stamp_unix_ns: Option<i64>,
}

impl<'a> Socket<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream,
            stamp_unix_ns: None,
        }
    }

    /// When the kernel received the last segment of what was last read, by the wall clock, where it tells.
    pub(super) fn stamp_unix_ns(&self) -> Option<i64> {
        self.stamp_unix_ns
    }
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, stamp_unix_ns) = receive(self.stream, buffer)?;
        self.stamp_unix_ns = stamp_unix_ns;
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

/// Read what is there, once: how many bytes, and when the kernel received the last segment of them, by the wall clock.
pub(super) fn receive(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
    loop {
        match kernel::receive_stamped(socket.as_fd(), buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
