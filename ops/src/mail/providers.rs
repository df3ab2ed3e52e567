//! The file of mail providers: in which order they are tried, how fast each takes mails, and what recipients' domains get.
//!
//! ```json
//! {
//!   "providers": [
//!     {"name": "ses", "kind": "ses", "region": "eu-west-1", "credentials": "/etc/millrace/ses",
//!      "configuration_set": "mails", "per_second": 14},
//!     {"name": "relay", "host": "relay.example.com", "port": 587, "security": "starttls", "connections": 4}
//!   ],
//!   "domain_limits": [
//!     {"domain": "gmail.com", "connections": 4, "per_second": 20},
//!     {"domain": "*", "connections": 8}
//!   ]
//! }
//! ```
//!
//! A provider without `kind` is one of SMTP ([`SmtpEntry`]); the other kind is `ses` ([`SesEntry`]).

use super::{MailArgsError, MailSecurity, credentials, read, ses::SesEntry};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use std::path::{Path, PathBuf};
use workers::{
    mail::{
        Domain,
        providers::{DomainLimit, ProviderOptions, Providers, TransportOptions},
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

/// One provider.
#[derive(Debug)]
pub(super) enum ProviderEntry {
    Smtp(SmtpEntry),
    Ses(SesEntry),
}

impl<'de> Deserialize<'de> for ProviderEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entry = serde_json::Map::deserialize(deserializer)?;
        let kind = entry.shift_remove("kind");
        // Said of whatever is wrong with it.
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let wrong = |error: serde_json::Error| D::Error::custom(format!("provider {name:?}: {error}"));
        let entry = Value::Object(entry);
        match kind.as_ref().map_or(Some("smtp"), Value::as_str) {
            Some("smtp") => Ok(Self::Smtp(serde_json::from_value(entry).map_err(wrong)?)),
            Some("ses") => Ok(Self::Ses(serde_json::from_value(entry).map_err(wrong)?)),
            _ => Err(D::Error::custom(format!("provider {name:?}: its kind is `smtp` or `ses`"))),
        }
    }
}

/// One of SMTP, from the file or from flags.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SmtpEntry {
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

pub(super) fn connections() -> usize {
    8
}

impl ProvidersFile {
    pub(super) fn read(path: &Path) -> Result<Self, MailArgsError> {
        serde_json::from_slice(&read(path)?)
            .map_err(|source| MailArgsError::ProvidersFile { path: path.display().to_string(), source })
    }

    pub(super) fn of(entry: SmtpEntry) -> Self {
        Self { providers: vec![ProviderEntry::Smtp(entry)], domain_limits: Vec::new() }
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
        match self {
            Self::Smtp(entry) => entry.options(ehlo_name),
            Self::Ses(entry) => entry.options(|name| std::env::var(name).ok()),
        }
    }
}

impl SmtpEntry {
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
        let (name, transport) = (self.name, TransportOptions::Smtp(smtp));
        Ok(ProviderOptions { name, transport, connections: self.connections, per_second: self.per_second })
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
        assert!(wrong(&two.replace("\"host\"", "\"region\"")).contains("provider \"first\": unknown field `region`"));
        assert!(wrong(&two.replacen("\"host\"", "\"kind\": \"fax\", \"host\"", 1)).contains("`smtp` or `ses`"));
    }

    #[test]
    fn an_account_of_ses_stands_between_others() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::write(&keys, "AKID\ngeheim\n").unwrap();
        let text = serde_json::json!({"providers": [
            {"name": "relay", "kind": "smtp", "host": "127.0.0.1", "security": "plain-loopback"},
            {"name": "ses", "kind": "ses", "region": "eu-west-1", "configuration_set": "mails", "credentials": keys,
             "connections": 4, "per_second": 14}]});
        let providers = parsed(&text.to_string()).unwrap();
        assert_eq!(providers.status()[1].name, "ses");
        assert!(!format!("{providers:?}").contains("geheim"));
        let wrong = |from: &str, to: &str| parsed(&text.to_string().replace(from, to)).unwrap_err().to_string();
        assert!(wrong("eu-west-1", "EU").contains("the mail provider ses: \"EU\" is no region"));
        assert!(wrong("\"configuration_set\"", "\"host\"").contains("provider \"ses\": unknown field `host`"));
        assert!(wrong("\"region\":\"eu-west-1\",", "").contains("missing field `region`"));
        assert!(wrong("/keys", "/none").contains("cannot be read"));
    }
}
