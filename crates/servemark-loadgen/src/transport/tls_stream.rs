//! TLS over a socket: bytes move between the state machine and the socket until nothing moves.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use super::ReadOutcome;
use super::socket::Socket;
use crate::tls::{Plaintext, TlsConnection, TlsSetup};

/// A TLS connection with its socket.
#[derive(Debug)]
pub(crate) struct TlsStream {
    tls: TlsConnection,
    socket: TcpStream,
    /// When the kernel received the last segment that was read, by the wall clock, where it tells.
    stamp_unix_ns: Option<i64>,
    writing: Writing,
}

/// Whether bytes can still be written.
#[derive(Debug)]
enum Writing {
    Works,
    /// It failed when nobody had asked for it: told when there is nothing left to read, or on the next write.
    Failed(io::Error),
    /// It failed, and that was told.
    Over,
}

enum Filled {
    Some,
    Blocked,
    Eof,
}

impl TlsStream {
    /// A connection whose handshake has not begun, over a socket that does not block.
    pub(crate) fn new(socket: TcpStream, setup: &TlsSetup) -> io::Result<Self> {
        Ok(Self {
            tls: TlsConnection::new(setup)?,
            socket,
            stamp_unix_ns: None,
            writing: Writing::Works,
        })
    }

    /// The state machine, to be asked.
    pub(crate) fn tls(&self) -> &TlsConnection {
        &self.tls
    }

    /// When the kernel received the last segment that was read, by the wall clock, where it tells.
    pub(crate) fn stamp_unix_ns(&self) -> Option<i64> {
        self.stamp_unix_ns
    }

    /// Take the handshake as far as it goes. Returns whether it is done.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        self.stamp_unix_ns = None;
        loop {
            self.push();
            let is_done = !self.tls.is_handshaking();
            if is_done && matches!(self.writing, Writing::Works) {
                return Ok(true);
            }
            match self.fill()? {
                // What came behind the handshake is not of it.
                Filled::Some if is_done && !self.tls.has_failed() => return Err(self.write_failure()),
                Filled::Some => {}
                Filled::Blocked => {
                    self.tell_write_failure()?;
                    return Ok(false);
                }
                Filled::Eof => {
                    self.tell_write_failure()?;
                    return Err(closed());
                }
            }
        }
    }

    /// Read decrypted bytes, once; never `drained`, since TLS may hold more than the socket shows.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        loop {
            match self.tls.read_plaintext(buffer)? {
                Plaintext::Bytes(count) => {
                    return Ok(ReadOutcome::Bytes {
                        count,
                        drained: false,
                        stamp_unix_ns: self.stamp_unix_ns,
                    });
                }
                Plaintext::End => return Ok(ReadOutcome::Eof),
                Plaintext::Cut => {
                    self.tell_write_failure()?;
                    return Ok(ReadOutcome::Cut);
                }
                Plaintext::Nothing => {}
            }
            // Not before: who has answered and closed takes nothing more.
            self.push();
            if matches!(self.fill()?, Filled::Blocked) {
                self.tell_write_failure()?;
                return Ok(ReadOutcome::Blocked);
            }
        }
    }

    /// Encrypt some of `bytes` and write them. Returns how many were taken: an error says that none of them left.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.tls.write_plaintext(bytes)?;
        if taken > 0 && self.push() == 0 {
            self.tell_write_failure()?;
        }
        Ok(taken)
    }

    /// Write encrypted bytes until there are none or the socket is full.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.push();
        self.tell_write_failure()
    }

    /// Say farewell, as far as the socket takes it.
    pub(crate) fn close(&mut self) {
        self.tls.close();
        self.push();
    }

    /// Write encrypted bytes until there are none or the socket is full. Returns how many it took; a failure is kept.
    fn push(&mut self) -> usize {
        let mut accepted = 0;
        while self.tls.has_ciphertext() && matches!(self.writing, Writing::Works) {
            match self.tls.give_ciphertext(&mut Socket::new(&self.socket)) {
                Ok(count) => accepted += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self.writing = Writing::Failed(error),
            }
        }
        accepted
    }

    fn tell_write_failure(&mut self) -> io::Result<()> {
        if matches!(self.writing, Writing::Failed(_)) {
            return Err(self.write_failure());
        }
        Ok(())
    }

    fn write_failure(&mut self) -> io::Error {
        match std::mem::replace(&mut self.writing, Writing::Over) {
            Writing::Failed(error) => error,
            Writing::Works | Writing::Over => io::ErrorKind::BrokenPipe.into(),
        }
    }

    /// Read encrypted bytes once.
    fn fill(&mut self) -> io::Result<Filled> {
        let mut socket = Socket::new(&self.socket);
        match self.tls.receive_ciphertext(&mut socket) {
            Ok(0) => return Ok(Filled::Eof),
            Ok(_) => self.stamp_unix_ns = socket.stamp_unix_ns(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Filled::Blocked),
            Err(error) => return Err(error),
        }
        if self.tls.has_failed() {
            // The alert that tells the server why is worth one try.
            self.push();
        }
        Ok(Filled::Some)
    }
}

/// The server has closed the connection in the middle of something.
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
