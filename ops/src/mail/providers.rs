//! The file of mail providers: in which order they are tried, how fast each takes mails, and what recipients' domains get.
//!
//! ```json
//! {
//!   "providers": [
//!     {"name": "ses", "host": "email-smtp.eu-west-1.amazonaws.com", "credentials": "/etc/millrace/ses", "per_second": 14},
//!     {"name": "relay", "host": "relay.example.com", "port": 587, "security": "starttls", "connections": 4}
//!   ],
//!   "domain_limits": [
//!     {"domain": "gmail.com", "connections": 4, "per_second": 20},
//!     {"domain": "*", "connections": 8}
//!   ]
//! }
//! ```

use super::{MailArgsError, MailSecurity, credentials, read};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use workers::{
    mail::{
        Domain,
        providers::{DomainLimit, ProviderOptions, Providers},
    },
    smtp::{Roots, Security, SmtpOptions},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProvidersFile {
    providers: Vec<ProviderEntry>,
    #[serde(default)]
    domain_limits: Vec<DomainEntry>,
}

/// One provider, from the file or from flags.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderEntry {
    pub name: String,
    pub host: String,
    pub port: Option<u16>,
    #[serde(default)]
    pub security: MailSecurity,
    /// A file, as of `--mail-credentials`.
    pub credentials: Option<PathBuf>,
    /// A file, as of `--mail-ca`.
    pub ca: Option<PathBuf>,
    #[serde(default = "connections")]
    pub connections: usize,
    pub per_second: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainEntry {
    domain: String,
    connections: Option<usize>,
    per_second: Option<f64>,
}

fn connections() -> usize {
    8
}

impl ProvidersFile {
    pub(super) fn read(path: &Path) -> Result<Self, MailArgsError> {
        serde_json::from_slice(&read(path)?)
            .map_err(|source| MailArgsError::ProvidersFile { path: path.display().to_string(), source })
    }

    pub(super) fn of(entry: ProviderEntry) -> Self {
        Self { providers: vec![entry], domain_limits: Vec::new() }
    }

    /// `ehlo_name` is what this machine calls itself to all of them.
    pub(super) fn providers(self, ehlo_name: &Domain) -> Result<Providers, MailArgsError> {
        let providers: Result<Vec<_>, _> = self.providers.into_iter().map(|entry| entry.options(ehlo_name)).collect();
        let limit = |entry: DomainEntry| {
            let DomainEntry { domain, connections, per_second } = entry;
            // Addresses hold their domain in small ASCII letters.
            let domain = match domain.as_str() {
                DomainLimit::ANY => domain,
                _ => Domain::try_new(&domain).map_or(domain, |domain| domain.to_string()),
            };
            DomainLimit { domain, connections, per_second }
        };
        Ok(Providers::try_new(providers?, self.domain_limits.into_iter().map(limit).collect())?)
    }
}

impl ProviderEntry {
    fn options(self, ehlo_name: &Domain) -> Result<ProviderOptions, MailArgsError> {
        let (security, usual) = match self.security {
            MailSecurity::Tls => (Security::ImplicitTls, 465),
            MailSecurity::Starttls => (Security::StartTls, 587),
            MailSecurity::PlainLoopback => (Security::PlainForLoopbackOnly, 25),
        };
        let roots = match (&self.ca, security) {
            (Some(path), _) => Roots::from_pem(&read(path)?)?,
            (None, Security::PlainForLoopbackOnly) => Roots::none()?,
            (None, _) => Roots::system()?,
        };
        let port = self.port.unwrap_or(usual);
        let mut smtp = SmtpOptions::new(self.host, port, security, ehlo_name.clone(), roots);
        smtp.credentials = self.credentials.as_deref().map(credentials).transpose()?;
        Ok(ProviderOptions { name: self.name, smtp, connections: self.connections, per_second: self.per_second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Providers, MailArgsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.json");
        std::fs::write(&path, text).unwrap();
        ProvidersFile::read(&path)?.providers(&Domain::try_new("shop.example").unwrap())
    }

    #[test]
    fn providers_keep_their_order_and_faults_are_named() {
        let two = r#"{"providers": [
            {"name": "first", "host": "127.0.0.1", "security": "plain-loopback", "per_second": 14},
            {"name": "second", "host": "::1", "port": 2525, "security": "plain-loopback", "connections": 2}],
            "domain_limits": [{"domain": "Gmail.com", "connections": 4}, {"domain": "*", "per_second": 0.5}]}"#;
        let names: Vec<String> = parsed(two).unwrap().status().into_iter().map(|status| status.name).collect();
        assert_eq!(names, ["first", "second"]);
        let wrong = |text: &str| parsed(text).unwrap_err().to_string();
        assert!(wrong(r#"{"providers": []}"#).contains("1 to 16"));
        assert!(wrong(&two.replace("\"second\"", "\"first\"")).contains("two mail providers are called first"));
        assert!(wrong(&two.replace("0.5", "0")).contains("the limit of \"*\""));
        assert!(wrong(&two.replace("per_second", "per_minute")).contains("per_minute"));
        assert!(wrong("{").contains("providers.json"));
    }
}
