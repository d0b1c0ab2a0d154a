//! What the client shows of itself when a server asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};

use super::trust::certificates;
use super::words::KEY_KINDS;
use crate::error::PlanError;
use crate::plan::Tls;

/// The client's certificate with its key, if it has one, and whether a server has asked for it.
#[derive(Debug)]
pub(super) struct Shown {
    certified: Option<Arc<CertifiedKey>>,
    was_asked: AtomicBool,
}

impl Shown {
    pub(super) fn new(tls: &Tls, provider: &CryptoProvider) -> Result<Self, PlanError> {
        let certified = if tls.client_cert_pem.is_empty() {
            None
        } else {
            Some(Arc::new(certified_key(tls, provider)?))
        };
        Ok(Self {
            certified,
            was_asked: AtomicBool::new(false),
        })
    }

    /// Whether there is a certificate to show.
    pub(super) fn has_certificate(&self) -> bool {
        self.certified.is_some()
    }

    /// Whether a server has asked for one.
    pub(super) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        self.has_certificate()
    }
}

fn certified_key(tls: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, PlanError> {
    let refuse = |error: &dyn std::fmt::Display| PlanError(format!("client certificate: {error}"));
    let chain = certificates(&tls.client_cert_pem).map_err(|error| refuse(&error))?;
    if chain.is_empty() {
        return Err(refuse(&"there is none in the file"));
    }
    let key = PrivateKeyDer::from_pem_slice(&tls.client_key_pem)
        .map_err(|error| PlanError(format!("client key: {error}")))?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        PlanError(format!(
            "client key: of a kind that cannot sign here; {KEY_KINDS}"
        ))
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(refuse(&"the key does not belong to it"))
        }
        // A certificate that is not read here, of version 1 for example, is the server's to judge.
        _ => Ok(certified),
    }
}
