//! TLS by rustls, driven as a state machine: bytes move between it and the socket until nothing moves.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};

use crate::error::PlanError;
use crate::plan::Tls;
use crate::transport::{ReadOutcome, receive};

/// What all connections to one address share: the settings, and sessions to resume.
#[derive(Debug)]
pub struct TlsSetup {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl TlsSetup {
    /// Read the certificates and the name of `tls`.
    pub fn new(tls: &Tls) -> Result<Self, PlanError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if tls.verify {
            Arc::new(TrustGiven::new(&tls.ca_pem, &provider)?)
        } else {
            Arc::new(TrustAll(Arc::clone(&provider)))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| PlanError(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = if tls.client_cert_pem.is_empty() {
            builder.with_no_client_auth()
        } else {
            let refuse = |error: &dyn std::fmt::Display| PlanError(format!("client certificate: {error}"));
            let chain = certificates(&tls.client_cert_pem).map_err(|error| refuse(&error))?;
            let key = PrivateKeyDer::from_pem_slice(&tls.client_key_pem).map_err(|error| refuse(&error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| refuse(&error))?
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name = ServerName::try_from(tls.server_name.clone())
            .map_err(|_| PlanError(format!("{:?} is not a server name", tls.server_name)))?;
        Ok(Self {
            config: Arc::new(config),
            server_name,
        })
    }
}

/// One TLS connection with its socket.
#[derive(Debug)]
pub struct TlsConnection {
    tls: ClientConnection,
    socket: TcpStream,
    /// When the kernel received the last segment that was read.
    stamp_unix_ns: Option<i64>,
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
        })
    }

    /// Take the handshake as far as it goes. Returns whether it is done.
    pub fn handshake(&mut self) -> io::Result<bool> {
        loop {
            self.flush()?;
            if !self.tls.is_handshaking() {
                return Ok(true);
            }
            match self.fill()? {
                Filled::Some => {}
                Filled::Blocked => return Ok(false),
                Filled::Eof => {
                    return Err(io::Error::other("the server closed the connection"));
                }
            }
        }
    }

    /// Read decrypted bytes, once; never `drained`, since TLS may hold more than the socket shows. Their time of arrival
    /// is that of the segment which completed their record.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(0) => return Ok(ReadOutcome::Eof),
                Ok(count) => {
                    return Ok(ReadOutcome::Bytes {
                        count,
                        drained: false,
                        stamp_unix_ns: self.stamp_unix_ns,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match self.fill()? {
                Filled::Some => self.flush()?,
                Filled::Blocked => return Ok(ReadOutcome::Blocked),
                Filled::Eof => return Ok(ReadOutcome::Eof),
            }
        }
    }

    /// Encrypt some of `bytes` and write them. Returns how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.tls.wants_write() {
            return Ok(0);
        }
        let taken = self.tls.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// Write encrypted bytes until there are none or the socket is full.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Read encrypted bytes once and decrypt them.
    fn fill(&mut self) -> io::Result<Filled> {
        let mut arriving = Arriving {
            socket: &self.socket,
            stamp_unix_ns: &mut self.stamp_unix_ns,
        };
        match self.tls.read_tls(&mut arriving) {
            Ok(0) => return Ok(Filled::Eof),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Filled::Blocked),
            Err(error) => return Err(error),
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that tells the server why is worth one try.
            let _ = self.flush();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(Filled::Some)
    }
}

impl AsFd for TlsConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that notes when what is read from it had arrived.
struct Arriving<'connection> {
    socket: &'connection TcpStream,
    stamp_unix_ns: &'connection mut Option<i64>,
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, stamp_unix_ns) = receive(self.socket, buffer)?;
        if count > 0 {
            *self.stamp_unix_ns = stamp_unix_ns;
        }
        Ok(count)
    }
}

enum Filled {
    Some,
    Blocked,
    Eof,
}

/// Accepts any certificate, as `verify: false` asks.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

/// Accepts what leads to the given certificates, or is one of them.
///
/// The second matters for `openssl req -x509`: it makes certificates that are their own authority, which a strict check
/// refuses as a server's even when they are the very ones that are trusted. Their name is checked nevertheless.
#[derive(Debug)]
struct TrustGiven {
    strict: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl TrustGiven {
    fn new(ca_pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, PlanError> {
        let refuse = |error: &dyn std::fmt::Display| PlanError(format!("ca_pem: {error}"));
        let given = certificates(ca_pem).map_err(|error| refuse(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in &given {
            roots.add(certificate.clone()).map_err(|error| refuse(&error))?;
        }
        let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| refuse(&error))?;
        Ok(Self {
            strict,
            given,
            provider: Arc::clone(provider),
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

impl ServerCertVerifier for TrustGiven {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let strict =
            self.strict
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match strict {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(_))))
                if self.given.iter().any(|given| given == end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12(&self.provider, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13(&self.provider, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes(&self.provider)
    }
}

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12(&self.0, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13(&self.0, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes(&self.0)
    }
}

fn verify_tls12(
    provider: &CryptoProvider,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
}

fn verify_tls13(
    provider: &CryptoProvider,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
}

fn schemes(provider: &CryptoProvider) -> Vec<SignatureScheme> {
    provider.signature_verification_algorithms.supported_schemes()
}
