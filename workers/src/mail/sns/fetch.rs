//! HTTPS requests to hosts of SNS: a certificate, or the confirmation of a subscription. Nothing else is asked for, no redirect
//! is followed.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

/// Bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;
/// For a whole request.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks hosts whose certificates it verifies. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
    /// Instead of the host's own; for tests.
    address: Option<SocketAddr>,
}

/// An answer of status 200.
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    /// What the host showed of itself; among it those who sign for it.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

impl Fetcher {
    /// Believes the roots of this machine. Asks an address of the caller's instead of each host's own, if one is given.
    pub fn system(address: Option<SocketAddr>) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        let (kept, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if kept == 0 {
            return Err(FetchError::NoRoots);
        }
        Self::trusting(roots, address)
    }

    /// Believes these roots only and asks an address of the caller's, whatever host is named.
    pub fn trusting(roots: RootCertStore, address: Option<SocketAddr>) -> Result<Self, FetchError> {
        let roots = Arc::new(roots);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| FetchError::Tls(error.to_string()))?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Ok(Self { roots, config: Arc::new(config), address })
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// Asks for a page whose answer does not matter.
    pub async fn visit(&self, (host, path): (String, String)) -> Result<(), FetchError> {
        self.get(&host, &path).await.map(|_| ())
    }

    pub(super) async fn get(&self, host: &str, path: &str) -> Result<Fetched, FetchError> {
        let asked = timeout(PATIENCE, self.ask(host, path)).await;
        asked.map_err(|_| FetchError::Slow { host: host.to_owned() })?
    }

    async fn ask(&self, host: &str, path: &str) -> Result<Fetched, FetchError> {
        let failed = |source: io::Error| FetchError::Unreachable { host: host.to_owned(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| FetchError::Tls(error.to_string()))?;
        let stream = match self.address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((host, 443)).await,
        };
        let connector = TlsConnector::from(self.config.clone());
        let mut stream = connector.connect(name, stream.map_err(failed)?).await.map_err(failed)?;
        // Version 1.0, so that the answer ends with the connection and is not in pieces.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\nUser-Agent: millrace\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut answer = Vec::new();
        match (&mut stream).take(MAX_ANSWER as u64 + 1).read_to_end(&mut answer).await {
            Ok(_) => {}
            // Some close without a goodbye; a cut certificate is noticed later.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(failed(error)),
        }
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let refused = || FetchError::Refused { host: host.to_owned() };
        let end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or_else(refused)?;
        let status = answer.split(|byte| *byte == b' ').nth(1);
        if answer.len() > MAX_ANSWER || !answer.starts_with(b"HTTP/1.") || status != Some(b"200") {
            return Err(refused());
        }
        Ok(Fetched { body: answer.split_off(end + 4), chain })
    }
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("this machine has no root certificates to verify SNS with; install ca-certificates")]
    NoRoots,
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("{host} cannot be asked: {source}")]
    Unreachable { host: String, source: io::Error },
    #[error("{host} does not answer in time")]
    Slow { host: String },
    #[error("{host} does not give what it was asked for")]
    Refused { host: String },
}
