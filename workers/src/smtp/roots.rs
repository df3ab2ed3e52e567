//! Whose certificates a provider may show.

use std::{fmt, sync::Arc};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Trusted roots as a ready TLS configuration, which also remembers sessions. Cheap to clone; make it once.
#[derive(Clone)]
pub struct Roots(Arc<ClientConfig>);

impl Roots {
    /// Those of this machine.
    pub fn system() -> Result<Self, RootsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (kept, _) = store.add_parsable_certificates(found.certs);
        if kept == 0 {
            let reason = found.errors.first().map(ToString::to_string).unwrap_or_else(|| "there are none".to_owned());
            return Err(RootsError::NoneHere { reason });
        }
        Self::trusting(store)
    }

    /// The certificates of a PEM file: a provider with its own authority.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        Self::of(certificates.map_err(|error| RootsError::Unreadable { reason: error.to_string() })?)
    }

    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        if certificates.is_empty() {
            return Err(RootsError::Unreadable { reason: "no certificate is in it".to_owned() });
        }
        for certificate in certificates {
            store.add(certificate).map_err(|error| RootsError::Unreadable { reason: error.to_string() })?;
        }
        Self::trusting(store)
    }

    /// Believes nobody: for a provider on this machine without TLS.
    pub fn none() -> Result<Self, RootsError> {
        Self::trusting(RootCertStore::empty())
    }

    fn trusting(store: RootCertStore) -> Result<Self, RootsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| RootsError::Provider { reason: error.to_string() })?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// As a client of TLS takes it.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots(..)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("this machine has no root certificates to verify a mail provider with: {reason}; install ca-certificates")]
    NoneHere { reason: String },
    #[error("the root certificates of a mail provider cannot be used: {reason}; give certificates in PEM")]
    Unreadable { reason: String },
    #[error("TLS cannot be set up: {reason}")]
    Provider { reason: String },
}
