//! What TLS does not do here, and what went wrong with it, in words.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerMisbehaved};

/// The versions, ciphers, curves and, with TLS 1.2, keys that there are with ring: what a server must have one of.
pub(crate) const ABILITIES: &str = "TLS 1.2 and 1.3, each with AES-GCM or ChaCha20-Poly1305 and a key exchange on X25519, P-256 or \
    P-384 (ECDHE); no CBC, no RSA or DHE key exchange, and in TLS 1.2 no certificate with a P-521 or Ed448 key";

/// The keys that ring signs with.
pub(super) const KEY_KINDS: &str = "keys are RSA of 2,048 to 4,096 bits, Ed25519, or ECDSA on P-256 or P-384";

/// Why a TLS connection ended, in words.
#[derive(Clone, Debug)]
pub(crate) struct TlsError(pub(crate) Error);

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Error::AlertReceived(alert) => alert_in_words(*alert, formatter),
            Error::InvalidCertificate(error) => {
                formatter.write_str("the server's certificate ")?;
                certificate_in_words(error, formatter)
            }
            Error::PeerIncompatible(what) => {
                write!(
                    formatter,
                    "the server speaks TLS otherwise than can be spoken here ({what:?})"
                )
            }
            Error::PeerMisbehaved(PeerMisbehaved::SignedKxWithWrongAlgorithm) => {
                formatter.write_str("the server's key is of a kind that TLS 1.2 does not have here")
            }
            // Its first bytes are no record.
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                formatter.write_str("what the server sent is not TLS")
            }
            Error::DecryptError => formatter.write_str("what the server sent cannot be decrypted"),
            other => write!(
                formatter,
                "what the server sent breaks the rules of TLS ({other})"
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// Comes as invalid data, which no socket gives.
impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

fn alert_in_words(alert: AlertDescription, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match alert {
        AlertDescription::CertificateRequired => {
            formatter.write_str("the server demands a client certificate (alert CertificateRequired)")
        }
        AlertDescription::HandshakeFailure => {
            formatter.write_str("the server accepts none of what was offered (alert HandshakeFailure)")
        }
        AlertDescription::ProtocolVersion => {
            formatter.write_str("the server speaks neither TLS 1.2 nor TLS 1.3 (alert ProtocolVersion)")
        }
        other => write!(formatter, "the server ended it with the alert {other:?}"),
    }
}

fn certificate_in_words(error: &CertificateError, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    use CertificateError as Is;
    formatter.write_str(match error {
        Is::Expired | Is::ExpiredContext { .. } => "has expired",
        Is::NotValidYet | Is::NotValidYetContext { .. } => "is not valid yet",
        Is::NotValidForName | Is::NotValidForNameContext { .. } => "does not bear the name that was asked for",
        Is::UnknownIssuer => "does not lead to an authority that is trusted",
        Is::BadSignature => "is not signed by the key that it should be",
        Is::BadEncoding => "cannot be read",
        Is::InvalidPurpose | Is::InvalidPurposeContext { .. } => "is not one for servers",
        Is::UnsupportedSignatureAlgorithmContext { .. }
        | Is::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "has a key or a signature of a kind that cannot be checked here: only RSA of 2,048 to 8,192 bits, Ed25519, \
             and ECDSA on P-256 or P-384 can, with SHA-2"
        }
        Is::Other(other) => {
            return match other.to_string().as_str() {
                "UnsupportedCertVersion" => formatter.write_str("is of another X.509 version than 3"),
                "CaUsedAsEndEntity" => formatter.write_str("is an authority's own"),
                why => write!(formatter, "is not accepted ({why})"),
            };
        }
        other => return write!(formatter, "is not accepted ({other:?})"),
    })
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;
    use rustls::{CipherSuite, NamedGroup};

    use super::*;

    #[test]
    fn what_is_said_of_ring_is_what_it_has() {
        let provider = ring::default_provider();
        for suite in &provider.cipher_suites {
            let name = format!("{:?}", suite.suite());
            assert!(
                name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_"),
                "{name}"
            );
            assert!(
                name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"),
                "{name}"
            );
        }
        let has = |suite| provider.cipher_suites.iter().any(|one| one.suite() == suite);
        assert!(has(CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert!(has(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256));
        let groups: Vec<NamedGroup> = provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(
            groups,
            [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]
        );
    }

    #[test]
    fn what_went_wrong_is_said_in_words() {
        let said = |error: Error| TlsError(error).to_string();
        let untrusted = said(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(
            untrusted,
            "the server's certificate does not lead to an authority that is trusted"
        );
        let demanded = said(Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(demanded.contains("demands a client certificate"), "{demanded}");
    }
}
