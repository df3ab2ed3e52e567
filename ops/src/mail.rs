//! The mail providers of an installation, from flags and the environment.

mod board;
mod providers;
mod ses;

pub use board::ProviderBoard;
use bus_schema::TenantId;
use providers::{ProvidersFile, SmtpEntry};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use workers::{
    backend::ses::InvalidSes,
    mail::{
        Domain,
        campaign::{Outlet, OutletError, Pace},
        dkim::{DkimError, DkimKey, Signer},
        providers::ProvidersError,
        sns::SnsOptions,
    },
    smtp::{Credentials, RootsError},
};

/// What the provider of the flags is called.
const MAIN: &str = "main";
/// Bytes of a file of credentials, keys or certificates.
const FILE_LIMIT: u64 = 1 << 20;

/// The providers that mails are handed to. Without any campaigns stay scheduled and messages wait.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Mail provider")]
pub struct MailArgs {
    /// Name or IP address of the provider's SMTP server
    #[arg(long, env = "MILLRACE_MAIL_HOST", requires_all = ["mail_from_domain", "public_url"])]
    pub mail_host: Option<String>,
    /// A file of several providers, of SMTP or Amazon SES, in the order in which they are tried, with rates and limits of domains
    /// (JSON, see the runbooks sending-stopped.md and amazon-ses.md); instead of --mail-host and what goes with it
    #[arg(long, env = "MILLRACE_MAIL_PROVIDERS", conflicts_with = "mail_host",
        requires_all = ["mail_from_domain", "public_url"])]
    pub mail_providers: Option<PathBuf>,
    /// Mails a second at most; as fast as the provider takes them when absent
    #[arg(long, env = "MILLRACE_MAIL_PER_SECOND", requires = "mail_host")]
    pub mail_per_second: Option<f64>,
    /// How long a mail rests that nobody takes for the time being, in seconds, for each time; after the last it stays deferred
    #[arg(long, env = "MILLRACE_MAIL_DEFERRALS", value_delimiter = ',', default_values_t = [60, 300, 900, 3600, 3600],
        value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub mail_deferrals: Vec<i64>,
    /// How long a worker has the recipients it sends to, in seconds; tests make it short
    #[arg(long, env = "MILLRACE_MAIL_LEASE", hide = true, default_value_t = 60,
        value_parser = clap::value_parser!(i64).range(3..=600))]
    pub mail_lease: i64,
    /// Its port; 465 with implicit TLS and 587 with STARTTLS when absent
    #[arg(long, env = "MILLRACE_MAIL_PORT", requires = "mail_host")]
    pub mail_port: Option<u16>,
    /// How the connection is protected
    #[arg(long, env = "MILLRACE_MAIL_SECURITY", value_enum, default_value_t)]
    pub mail_security: MailSecurity,
    /// A file with the user in its first line and the password in its second
    #[arg(long, env = "MILLRACE_MAIL_CREDENTIALS", requires = "mail_host")]
    pub mail_credentials: Option<PathBuf>,
    /// Certificates to believe instead of the system's (PEM)
    #[arg(long, env = "MILLRACE_MAIL_CA", requires = "mail_host")]
    pub mail_ca: Option<PathBuf>,
    /// The domain campaigns are sent from; senders are at it or below it
    #[arg(long, env = "MILLRACE_MAIL_FROM_DOMAIN")]
    pub mail_from_domain: Option<String>,
    /// The domain bounces come back to; the sender's when absent
    #[arg(long, env = "MILLRACE_MAIL_BOUNCE_DOMAIN")]
    pub mail_bounce_domain: Option<String>,
    /// Also take the mail that bounces at this address, as the mail server of the bounce domain
    #[arg(long, env = "MILLRACE_BOUNCE_LISTEN")]
    pub bounce_listen: Option<SocketAddr>,
    /// Take notifications of Amazon SES for a tenant from this topic of Amazon SNS, as TENANT=arn:aws:sns:…; may be repeated
    #[arg(long = "sns-topic", env = "MILLRACE_SNS_TOPICS", value_delimiter = ',', value_name = "TENANT=ARN")]
    pub sns_topics: Vec<String>,
    /// Also believe signatures of version 1 (SHA-1), which a topic has unless its SignatureVersion is set to 2
    #[arg(long, env = "MILLRACE_SNS_SHA1", requires = "sns_topics")]
    pub sns_sha1: bool,
    /// Where the hosts of SNS are asked instead, on this machine; their certificates are verified all the same. For tests
    #[arg(long, env = "MILLRACE_SNS_ADDRESS", hide = true, requires = "sns_topics")]
    pub sns_address: Option<SocketAddr>,
    /// Connections at once
    #[arg(long, env = "MILLRACE_MAIL_CONNECTIONS", default_value_t = 8)]
    pub mail_connections: usize,
    /// Connections beside them for mail to one person, which waits behind no campaign
    #[arg(long, env = "MILLRACE_MAIL_MESSAGE_CONNECTIONS", default_value_t = 2)]
    pub mail_message_connections: usize,
    /// The private RSA key mails are signed with (DKIM, PEM); without it the provider has to sign
    #[arg(long, env = "MILLRACE_MAIL_DKIM_KEY", requires = "mail_dkim_selector")]
    pub mail_dkim_key: Option<PathBuf>,
    /// The name under which the public half of it is in the DNS
    #[arg(long, env = "MILLRACE_MAIL_DKIM_SELECTOR")]
    pub mail_dkim_selector: Option<String>,
    /// Where receivers reach this platform, for links to unsubscribe: https://…
    #[arg(long, env = "MILLRACE_PUBLIC_URL")]
    pub public_url: Option<String>,
}

/// How the connection to a provider is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// TLS from the first byte
    #[default]
    Tls,
    /// TLS after STARTTLS
    Starttls,
    /// None; only to a provider on this machine
    PlainLoopback,
}

impl MailArgs {
    /// Whose topics of SNS may speak for which tenant; `None` when none is named.
    pub fn sns(&self) -> Result<Option<SnsOptions>, MailArgsError> {
        let topic = |text: &String| {
            let wrong = || MailArgsError::Topic { text: text.clone() };
            let (tenant, topic) =
                text.split_once('=').filter(|(_, topic)| topic.starts_with("arn:")).ok_or_else(wrong)?;
            Ok((TenantId::try_new(tenant.trim()).map_err(|_| wrong())?, topic.trim().to_owned()))
        };
        let topics = self.sns_topics.iter().map(topic).collect::<Result<BTreeSet<_>, MailArgsError>>()?;
        if let Some(address) = self.sns_address.filter(|address| !address.ip().is_loopback()) {
            return Err(MailArgsError::SnsElsewhere { address });
        }
        let options = SnsOptions { topics, address: self.sns_address, sha1: self.sns_sha1 };
        Ok(Some(options).filter(|options| !options.topics.is_empty()))
    }

    /// What the server for bounces calls itself.
    pub fn bounce_name(&self) -> &str {
        self.mail_bounce_domain.as_deref().or(self.mail_from_domain.as_deref()).unwrap_or("localhost")
    }

    /// The way out; `None` when no provider is named.
    pub fn outlet(&self) -> Result<Option<Outlet>, MailArgsError> {
        let file = match (&self.mail_host, &self.mail_providers) {
            (Some(host), _) => ProvidersFile::of(SmtpEntry {
                name: MAIN.to_owned(),
                host: host.clone(),
                port: self.mail_port,
                security: self.mail_security,
                credentials: self.mail_credentials.clone(),
                ca: self.mail_ca.clone(),
                connections: self.mail_connections,
                per_second: self.mail_per_second,
            }),
            (None, Some(path)) => ProvidersFile::read(path)?,
            (None, None) => return Ok(None),
        };
        let missing = |what| MailArgsError::Missing { what };
        let from = domain(self.mail_from_domain.as_deref().ok_or(missing("--mail-from-domain"))?)?;
        let bounce = self.mail_bounce_domain.as_deref().map(domain).transpose()?.unwrap_or_else(|| from.clone());
        let public = self.public_url.as_deref().ok_or(missing("--public-url"))?;
        let providers = file.providers(&from)?;
        let signer = match (&self.mail_dkim_key, &self.mail_dkim_selector) {
            (Some(path), Some(selector)) => {
                let key = DkimKey::from_pem(selector, &read(path)?)?;
                Some(Arc::new(Signer::try_new(from.clone(), vec![key])?))
            }
            (Some(_), None) => return Err(missing("--mail-dkim-selector")),
            _ => None,
        };
        let outlet = Outlet::try_new(providers, from, bounce, signer, public)?;
        Ok(Some(outlet.reserving(self.mail_message_connections)?))
    }

    pub fn pace(&self) -> Pace {
        if self.mail_deferrals.is_empty() {
            return Pace::default();
        }
        Pace { lease_seconds: self.mail_lease, deferrals: self.mail_deferrals.as_slice().into() }
    }
}

fn domain(name: &str) -> Result<Domain, MailArgsError> {
    Domain::try_new(name).map_err(|error| MailArgsError::Domain { name: name.to_owned(), why: error.to_string() })
}

fn read(path: &Path) -> Result<Vec<u8>, MailArgsError> {
    let failed = |source| MailArgsError::File { path: path.display().to_string(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_LIMIT {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than a megabyte")));
    }
    fs::read(path).map_err(failed)
}

/// The user and the password; neither is ever shown.
fn credentials(path: &Path) -> Result<Credentials, MailArgsError> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    let mut lines = text.lines();
    let (user, password) = (lines.next().unwrap_or_default().trim(), lines.next().unwrap_or_default().trim_end());
    Credentials::try_new(user, password).ok_or_else(|| MailArgsError::Credentials { path: path.display().to_string() })
}

/// Why the mail provider cannot be used: one sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum MailArgsError {
    #[error("{what} is missing: a mail provider needs it")]
    Missing { what: &'static str },
    #[error("{name} is no domain to send from: {why}")]
    Domain { name: String, why: String },
    #[error("{path} cannot be read: {source}; check its name and who may read it")]
    File { path: String, source: io::Error },
    #[error("{text:?} names no topic: write TENANT=arn:aws:sns:REGION:ACCOUNT:NAME")]
    Topic { text: String },
    #[error("hosts of SNS are asked at their own addresses, or at one of this machine, not at {address}")]
    SnsElsewhere { address: SocketAddr },
    #[error("{path} holds no credentials: the first line is the user, the second the password")]
    Credentials { path: String },
    #[error("{path} does not describe mail providers: {source}; see the runbook sending-stopped.md for its form")]
    ProvidersFile { path: String, source: serde_json::Error },
    #[error("{path} holds no keys of SES: access key, secret key and, if there is one, session token, a line each")]
    Keys { path: String },
    #[error("the mail provider {name}: {source}")]
    Ses { name: String, source: InvalidSes },
    #[error(
        "the mail provider {name} has no credentials: name a file of them (access key, secret key and, if there is one, session \
         token, a line each), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoKeys { name: String },
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Dkim(#[from] DkimError),
    #[error(transparent)]
    Outlet(#[from] OutletError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> MailArgs {
        MailArgs {
            mail_host: Some("127.0.0.1".into()),
            mail_security: MailSecurity::PlainLoopback,
            mail_from_domain: Some("shop.example".into()),
            mail_connections: 8,
            mail_message_connections: 2,
            public_url: Some("https://shop.example".into()),
            ..MailArgs::default()
        }
    }

    #[test]
    fn without_a_host_there_is_no_way_out() {
        assert!(MailArgs::default().outlet().unwrap().is_none());
        assert!(args().outlet().unwrap().is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |args: MailArgs| args.outlet().unwrap_err().to_string();
        assert!(wrong(MailArgs { mail_from_domain: Some("localhost".into()), ..args() }).contains("localhost"));
        assert!(wrong(MailArgs { public_url: Some("http://shop.example".into()), ..args() }).contains("--public-url"));
        let topics = |text: &str| MailArgs { sns_topics: vec![text.into()], ..args() }.sns();
        assert!(topics("demo=arn:aws:sns:eu-west-1:1:mails").unwrap().is_some());
        for bad in ["demo", "demo=x", "De mo=arn:aws:sns:eu-west-1:1:mails", ""] {
            assert!(topics(bad).unwrap_err().to_string().contains("TENANT=arn"), "{bad}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        assert!(wrong(MailArgs { mail_credentials: Some(path.clone()), ..args() }).contains("cannot be read"));
        fs::write(&path, "user\n").unwrap();
        assert!(wrong(MailArgs { mail_credentials: Some(path.clone()), ..args() }).contains("the second the password"));
        fs::write(&path, "user\nsecret\n").unwrap();
        assert!(args().outlet().is_ok());
        let signed = MailArgs { mail_dkim_key: Some(path), mail_dkim_selector: Some("s1".into()), ..args() };
        assert!(wrong(signed).contains("DKIM key"));
    }
}
