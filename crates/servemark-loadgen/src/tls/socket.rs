//! A socket as rustls reads and writes it.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

/// A borrowed socket that raises no SIGPIPE: whether the program around ignores that is not ours to say.
pub(super) struct Socket<'a>(pub(super) &'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, _) = retry_on_intr(|| recv(self.0, &mut *buffer, RecvFlags::empty()))?;
        Ok(count)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| send(self.0, bytes, SendFlags::NOSIGNAL))?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // A request is one record as a rule.
        if let [bytes] = pieces {
            return self.write(bytes);
        }
        let mut control = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| {
            sendmsg(self.0, pieces, &mut control, SendFlags::NOSIGNAL)
        })?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
