//! Certificates that messages are signed with: fetched from SNS, checked up to a root, kept for a while.

use super::{Envelope, EnvelopeRefused, FetchError, Fetcher};
use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use bus_schema::Micros;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_rustls::rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use webpki::EndEntityCert;

/// Whom such a certificate names.
const NAME: &str = "sns.amazonaws.com";
/// Certificates that are kept; there is one a region at a time.
const KEPT: usize = 32;
/// Certificates of one file.
const MAX_CHAIN: usize = 8;
/// How long one is kept before it is checked again, in microseconds.
const FRESH: i64 = 86_400_000_000;

/// Fetches and keeps. Cheap to clone.
#[derive(Clone)]
pub struct Certificates {
    fetcher: Fetcher,
    kept: Arc<Mutex<Kept>>,
}

/// By address, with the time each was checked.
type Kept = HashMap<String, (Micros, Arc<Checked>)>;

/// The public key of a certificate that was checked.
#[derive(Debug)]
pub struct Checked(Vec<u8>);

impl Checked {
    /// Whether the signature is of this text.
    pub fn signed(&self, sha1: bool, text: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm =
            if sha1 { &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY } else { &RSA_PKCS1_2048_8192_SHA256 };
        UnparsedPublicKey::new(algorithm, &self.0).verify(text, signature).is_ok()
    }
}

impl Certificates {
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, kept: Arc::default() }
    }

    pub(super) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// The certificate of a message, which says where it is; that address is checked first.
    pub(super) async fn get(&self, envelope: &Envelope, now: Micros) -> Result<Arc<Checked>, CertificateRefused> {
        let (host, path) = (envelope.region()?.host(), envelope.certificate_path()?);
        let address = format!("{host}{path}");
        if let Some((at, checked)) = self.kept().get(&address).filter(|(at, _)| now.0 - at.0 < FRESH) {
            debug_assert!(*at <= now);
            return Ok(checked.clone());
        }
        let fetched = self.fetcher.get(&host, &path).await?;
        let checked = Arc::new(self.check(&fetched.body, &fetched.chain, now)?);
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(address, (now, checked.clone()));
        Ok(checked)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chain, time and name. Those who sign for it come with it, or were shown by the host it is from.
    fn check(&self, pem: &[u8], shown: &[CertificateDer<'static>], now: Micros) -> Result<Checked, CertificateRefused> {
        let refused = |why: &dyn std::fmt::Display| CertificateRefused::Chain(why.to_string());
        let found: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(pem).take(MAX_CHAIN).collect();
        let found = found.map_err(|error| refused(&error))?;
        let (leaf, rest) = found.split_first().ok_or_else(|| refused(&"the file holds none"))?;
        let between: Vec<CertificateDer<'static>> =
            rest.iter().chain(shown.iter().skip(1).take(MAX_CHAIN)).cloned().collect();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(self.fetcher.roots(), provider).build();
        let verifier = verifier.map_err(|error| refused(&error))?;
        let name = ServerName::try_from(NAME).map_err(|error| refused(&error))?;
        let time = UnixTime::since_unix_epoch(Duration::from_micros(u64::try_from(now.0).unwrap_or(0)));
        verifier.verify_server_cert(leaf, &between, &name, &[], time).map_err(|error| refused(&error))?;
        let leaf = EndEntityCert::try_from(leaf).map_err(|error| refused(&error))?;
        Ok(Checked(leaf.subject_public_key_info().as_ref().to_vec()))
    }
}

/// Why a certificate is not believed.
#[derive(Debug, thiserror::Error)]
pub enum CertificateRefused {
    #[error(transparent)]
    Address(#[from] EnvelopeRefused),
    #[error("the certificate cannot be fetched: {0}")]
    Fetch(#[from] FetchError),
    #[error("the certificate is not one of SNS: {0}")]
    Chain(String),
}

impl CertificateRefused {
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Fetch(_))
    }
}
