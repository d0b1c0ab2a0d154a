//! One handshake, made as the engine makes it, before anything is measured: what fails here would fail for each request.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use rustls::{AlertDescription, Error, PeerMisbehaved};

use crate::tls::{ABILITIES, TlsError, TlsSetup};
use crate::transport::{ReadOutcome, TlsStream, closed};

/// How long a server that asked for a certificate may take to refuse it: with TLS 1.3 that comes behind the handshake.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(250);

/// What a handshake failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server's certificate is not accepted.
    Untrusted,
    /// The server wants a certificate of the client, and got none or one that it does not accept.
    ClientCertificate,
    /// Server and client have no version, cipher or curve in common.
    NothingInCommon,
    /// Anything else: no TLS, nobody there, no answer in time.
    Other,
}

impl Cause {
    /// Its name in Python.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::ClientCertificate => "client_certificate",
            Self::NothingInCommon => "nothing_in_common",
            Self::Other => "other",
        }
    }
}

/// Why a handshake failed.
#[derive(Clone, Debug)]
pub struct HandshakeFailure {
    /// What it failed of.
    pub cause: Cause,
    /// What was seen, in words.
    pub message: String,
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for HandshakeFailure {}

/// Connect to `address`, shake hands as `setup` says, say farewell, and close; within `timeout`.
pub fn shake_hands(address: SocketAddr, setup: &TlsSetup, timeout: Duration) -> Result<(), HandshakeFailure> {
    let deadline = Instant::now() + timeout;
    let done = open(address, setup, timeout).and_then(|mut stream| {
        let done = go_through(&mut stream, setup, deadline);
        stream.close();
        done
    });
    done.map_err(|error| failure(&error, setup))
}

fn open(address: SocketAddr, setup: &TlsSetup, timeout: Duration) -> io::Result<TlsStream> {
    let socket = TcpStream::connect_timeout(&address, timeout)?;
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    TlsStream::new(socket, setup)
}

fn go_through(stream: &mut TlsStream, setup: &TlsSetup, deadline: Instant) -> io::Result<()> {
    while !stream.handshake()? {
        if !wait(stream, deadline)? {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server did not finish it in time",
            ));
        }
    }
    if setup.was_asked_for_certificate() {
        hear_refusal(stream, deadline)?;
    }
    Ok(())
}

/// Wait for what a server says of the certificate that it was shown: an alert, or, as most do, a session ticket.
fn hear_refusal(stream: &mut TlsStream, deadline: Instant) -> io::Result<()> {
    let until = deadline.min(Instant::now() + REFUSAL_TIMEOUT);
    let mut byte = [0];
    while stream.tls().may_be_refused() {
        match stream.read(&mut byte)? {
            ReadOutcome::Blocked if wait(stream, until)? => {}
            ReadOutcome::Blocked | ReadOutcome::Bytes { .. } => break,
            ReadOutcome::Eof | ReadOutcome::Cut => return Err(closed()),
        }
    }
    Ok(())
}

/// Wait until there is something to do, if that is before `deadline`.
fn wait(stream: &TlsStream, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    let mut interest = PollFlags::IN;
    if stream.tls().has_ciphertext() {
        interest |= PollFlags::OUT;
    }
    let mut watched = [PollFd::new(stream, interest)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut watched, Some(&left)))?;
    Ok(ready > 0)
}

fn failure(error: &io::Error, setup: &TlsSetup) -> HandshakeFailure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    let was_asked = setup.was_asked_for_certificate();
    let cause = match tls.map(|TlsError(error)| error) {
        Some(Error::InvalidCertificate(_)) => Cause::Untrusted,
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => Cause::ClientCertificate,
        Some(Error::AlertReceived(_)) if was_asked => Cause::ClientCertificate,
        // Many close without a word.
        None if was_asked && error.kind() != io::ErrorKind::TimedOut => Cause::ClientCertificate,
        Some(
            Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity
                | AlertDescription::ProtocolVersion,
            )
            | Error::PeerIncompatible(_)
            | Error::PeerMisbehaved(PeerMisbehaved::SignedKxWithWrongAlgorithm),
        ) => Cause::NothingInCommon,
        _ => Cause::Other,
    };
    let message = match cause {
        Cause::ClientCertificate if setup.has_client_certificate() => {
            format!("the server does not accept the client certificate: {error}")
        }
        Cause::ClientCertificate => format!("the server asked for a client certificate: {error}"),
        Cause::NothingInCommon => format!("{error}; the engine speaks {ABILITIES}"),
        Cause::Untrusted | Cause::Other => error.to_string(),
    };
    HandshakeFailure { cause, message }
}
