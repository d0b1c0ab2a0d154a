//! How TLS is spoken with one address.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;

use super::client::Shown;
use super::trust::{TrustAll, TrustGiven};
use crate::error::PlanError;
use crate::plan::Tls;

/// What all connections to one address share: the settings, and sessions to resume.
#[derive(Debug)]
pub struct TlsSetup {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
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
    /// Whether there is a client certificate to show.
    pub(crate) fn has_client_certificate(&self) -> bool {
        self.shown.has_certificate()
    }

    /// Whether a server has asked for one.
    pub(crate) fn was_asked_for_certificate(&self) -> bool {
        self.shown.was_asked()
    }
}
