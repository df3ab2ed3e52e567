//! How the SDKs of Amazon speak HTTPS: rustls on ring, as everything else here, and whose certificates they believe.

use crate::smtp::Roots;
use aws_sdk_sesv2::config::SharedHttpClient;
use aws_smithy_http_client::{Builder, tls};
use std::time::Duration;

/// A connection without use is closed after this. Servers close theirs a little later, and a request that meets that is lost
/// without an answer.
const IDLE: Duration = Duration::from_secs(15);

/// `trusted`: certificates in PEM to believe instead of the system's.
pub(crate) fn https(trusted: Option<&[u8]>) -> Result<SharedHttpClient, String> {
    if let Some(pem) = trusted {
        // The client below takes it for granted that they are certificates.
        Roots::from_pem(pem).map_err(|error| error.to_string())?;
    }
    let trust = match trusted {
        Some(pem) => tls::TrustStore::empty().with_pem_certificate(pem),
        None => tls::TrustStore::empty().with_native_roots(true),
    };
    let context = tls::TlsContext::builder().with_trust_store(trust).build().map_err(|error| error.to_string())?;
    Ok(Builder::new()
        .pool_idle_timeout(IDLE)
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}
