//! TLS by rustls, driven as a state machine: bytes move between it and the socket until nothing moves.
//!
//! What the server has said is handed on before anything that went wrong is told, in whatever order the two came from the
//! socket: a record must not depend on how the network cut what was sent.

mod client;
mod handshake;
mod socket;
mod trust;
mod words;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::error::PlanError;
use crate::plan::Tls;
use crate::transport::ReadOutcome;

use client::Shown;
use socket::Socket;
use trust::{TrustAll, TrustGiven};

pub use handshake::{Cause, HandshakeFailure, shake_hands};
pub use words::{ABILITIES, TlsError};

/// What all connections to one address share: the settings, and sessions to resume.
#[derive(Debug)]
pub struct TlsSetup {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    shown: Arc<Shown>,
}

impl TlsSetup {
    /// Read the certificates and the name of `tls`.
    pub fn new(tls: &Tls) -> Result<Self, PlanError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if tls.verify {
            Arc::new(TrustGiven::new(&tls.ca_pem, &provider)?)
        } else {
            Arc::new(TrustAll)
        };
        let shown = Arc::new(Shown::new(tls, &provider)?);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| PlanError(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::clone(&shown) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name = ServerName::try_from(tls.server_name.clone())
            .map_err(|_| PlanError(format!("{:?} is not a server name", tls.server_name)))?;
        Ok(Self {
            config: Arc::new(config),
            server_name,
            shown,
        })
    }
}

/// One TLS connection with its socket.
#[derive(Debug)]
pub struct TlsConnection {
    tls: ClientConnection,
    socket: TcpStream,
    /// When the kernel received the last segment that was read, by the wall clock, where it tells.
    stamp_unix_ns: Option<i64>,
    /// What the server sent that ended it, told when all that came before was handed on.
    failure: Option<TlsError>,
    writing: Writing,
    has_heard_all: bool,
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

impl TlsConnection {
    /// A connection whose handshake has not begun.
    pub fn new(socket: TcpStream, setup: &TlsSetup) -> io::Result<Self> {
        let tls = ClientConnection::new(Arc::clone(&setup.config), setup.server_name.clone())
            .map_err(io::Error::other)?;
        Ok(Self {
            tls,
            socket,
            stamp_unix_ns: None,
            failure: None,
            writing: Writing::Works,
            has_heard_all: false,
        })
    }

    /// Take the handshake as far as it goes. Returns whether it is done.
    pub fn handshake(&mut self) -> io::Result<bool> {
        loop {
            self.push();
            let is_done = !self.tls.is_handshaking();
            if is_done && matches!(self.writing, Writing::Works) {
                return Ok(true);
            }
            match self.fill()? {
                // What came behind the handshake is not of it.
                Filled::Some if is_done && self.failure.is_none() => return Err(self.write_failure()),
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
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(0) => {
                    self.has_heard_all = true;
                    return Ok(ReadOutcome::Eof);
                }
                Ok(count) => {
                    return Ok(ReadOutcome::Bytes {
                        count,
                        drained: false,
                        stamp_unix_ns: self.stamp_unix_ns,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.tell_write_failure()?;
                    return Ok(ReadOutcome::Cut);
                }
                Err(error) => return Err(error),
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
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.tls.wants_write() {
            return Ok(0);
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let taken = self.tls.writer().write(bytes)?;
        if self.push() == 0 {
            self.tell_write_failure()?;
        }
        Ok(taken)
    }

    /// Write encrypted bytes until there are none or the socket is full.
    pub fn flush(&mut self) -> io::Result<()> {
        self.push();
        self.tell_write_failure()
    }

    /// Whether the server has said, with a `close_notify`, that it has sent everything, and all of it was read.
    #[must_use]
    pub fn has_heard_all(&self) -> bool {
        self.has_heard_all
    }

    /// Write encrypted bytes until there are none or the socket is full. Returns how many it took; a failure is kept.
    fn push(&mut self) -> usize {
        let mut accepted = 0;
        while self.tls.wants_write() && matches!(self.writing, Writing::Works) {
            match self.tls.write_tls(&mut Socket::new(&self.socket)) {
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

    /// Read encrypted bytes once and decrypt them. What is wrong with them comes with the next call: before it there may
    /// be bytes to hand on.
    fn fill(&mut self) -> io::Result<Filled> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let mut socket = Socket::new(&self.socket);
        let filled = self.tls.read_tls(&mut socket);
        if matches!(filled, Ok(1..)) {
            self.stamp_unix_ns = socket.stamp_unix_ns();
        }
        match filled {
            Ok(0) => return Ok(Filled::Eof),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Filled::Blocked),
            Err(error) => return Err(error),
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that tells the server why is worth one try.
            self.push();
            self.failure = Some(TlsError(error));
        }
        Ok(Filled::Some)
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

impl AsFd for TlsConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
