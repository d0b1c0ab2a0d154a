//! A connection's bytes: as they are, or through TLS, a record each write.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// How a server speaks TLS: its certificate, and its key, from PEM files.
pub(crate) fn tls_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (certificate_pem, key_pem) = (read(certificate)?, read(key)?);
    let chain = CertificateDer::pem_slice_iter(&certificate_pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    config.map(Arc::new).map_err(|error| error.to_string())
}

/// A connection's socket, and what is between it and what is said.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Wire {
    /// What is said over `stream`, through TLS if it is configured.
    pub(crate) fn new(stream: TcpStream, config: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let tls = config.map(|config| ServerConnection::new(Arc::clone(config)));
        let tls = tls.transpose().map_err(io::Error::other)?;
        Ok(Self {
            stream,
            tls: tls.map(Box::new),
        })
    }

    /// Put what bytes that were received say behind `said`; a handshake is answered.
    pub(crate) fn receive(&mut self, mut bytes: &[u8], said: &mut Vec<u8>) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            said.extend_from_slice(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            match tls.reader().read_to_end(said) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            while tls.wants_write() {
                tls.write_tls(&mut self.stream)?;
            }
        }
        Ok(())
    }

    /// Write all of `bytes` at once. Answers are short, so a socket that cannot take one is that of a peer that does not
    /// read.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            let count = self.stream.write(bytes)?;
            return if count == bytes.len() {
                Ok(())
            } else {
                Err(ErrorKind::WriteZero.into())
            };
        };
        tls.writer().write_all(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}
