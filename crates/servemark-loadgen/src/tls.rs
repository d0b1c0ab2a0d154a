//! TLS by rustls, as a state machine: it takes and gives ciphertext, and owns no socket.
//!
//! What the server has said is handed on before anything that went wrong is told, in whatever order the two came: a record
//! must not depend on how the network cut what was sent.

mod client;
mod setup;
#[cfg(test)]
mod tests;
mod trust;
mod words;

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, ProtocolVersion};

pub use setup::TlsSetup;
pub(crate) use words::{ABILITIES, TlsError};

/// The client's end of one TLS connection.
///
/// Ciphertext is read into, and written from, the place where it is kept: whoever moves it gives a reader and a writer, and
/// each call makes one read or one write.
#[derive(Debug)]
pub(crate) struct TlsConnection {
    tls: ClientConnection,
    /// What the server sent that ended it, told when all that came before was handed on.
    failure: Option<TlsError>,
    has_heard_all: bool,
}

/// What there is to read of what the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plaintext {
    /// So many bytes.
    Bytes(usize),
    /// Nothing, until more ciphertext comes.
    Nothing,
    /// The server has said, with a `close_notify`, that it has sent everything.
    End,
    /// No more ciphertext will come, and the server has not said that this is its end.
    Cut,
}

impl TlsConnection {
    /// A connection whose handshake has not begun.
    pub(crate) fn new(setup: &TlsSetup) -> io::Result<Self> {
        let tls = ClientConnection::new(Arc::clone(&setup.config), setup.server_name.clone())
            .map_err(io::Error::other)?;
        Ok(Self {
            tls,
            failure: None,
            has_heard_all: false,
        })
    }

    /// Whether the handshake is not done.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Read ciphertext once and decrypt it. Returns how many bytes it was, 0 when `from` has ended. What is wrong with them
    /// is told with the next one, or when there is nothing left to read: before it there may be plaintext to hand on.
    pub(crate) fn receive_ciphertext(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        self.tell_failure()?;
        let count = self.tls.read_tls(from)?;
        if count > 0 {
            self.failure = self.tls.process_new_packets().err().map(TlsError);
        }
        Ok(count)
    }

    /// Read what was decrypted.
    pub(crate) fn read_plaintext(&mut self, buffer: &mut [u8]) -> io::Result<Plaintext> {
        match self.tls.reader().read(buffer) {
            Ok(0) => {
                self.has_heard_all = true;
                Ok(Plaintext::End)
            }
            Ok(count) => Ok(Plaintext::Bytes(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.tell_failure()?;
                Ok(Plaintext::Nothing)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Plaintext::Cut),
            Err(error) => Err(error),
        }
    }

    /// Encrypt some of `bytes`. Returns how many were taken: none while there is ciphertext that was not written.
    pub(crate) fn write_plaintext(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_ciphertext() {
            return Ok(0);
        }
        self.tell_failure()?;
        self.tls.writer().write(bytes)
    }

    /// Whether there is ciphertext to write.
    pub(crate) fn has_ciphertext(&self) -> bool {
        self.tls.wants_write()
    }

    /// Write ciphertext once, as much as `to` takes. Returns how many bytes that is.
    pub(crate) fn give_ciphertext(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        self.tls.write_tls(to)
    }

    /// Have a farewell written: nothing more will come from here.
    pub(crate) fn close(&mut self) {
        self.tls.send_close_notify();
    }

    /// Whether what the server sent has ended the connection.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether the server has said, with a `close_notify`, that it has sent everything, and all of it was read.
    pub(crate) fn has_heard_all(&self) -> bool {
        self.has_heard_all
    }

    /// Whether the server may still refuse the certificate that it was shown: with TLS 1.3 it does so behind the handshake,
    /// instead of the session ticket that most send.
    pub(crate) fn may_be_refused(&self) -> bool {
        self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && self.tls.tls13_tickets_received() == 0
    }

    fn tell_failure(&self) -> io::Result<()> {
        match &self.failure {
            Some(failure) => Err(failure.clone().into()),
            None => Ok(()),
        }
    }
}
