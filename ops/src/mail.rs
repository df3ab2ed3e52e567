//! The mail provider of an installation, from flags and the environment.

use bus_schema::TenantId;
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use workers::{
    mail::{
        Domain,
        campaign::{Outlet, OutletError},
        dkim::{DkimError, DkimKey, Signer},
        sns::SnsOptions,
    },
    smtp::{Credentials, Roots, RootsError, Security, SmtpOptions},
};

/// Bytes of a file of credentials, keys or certificates.
const FILE_LIMIT: u64 = 1 << 20;

/// The provider that campaigns are handed to. Without `--mail-host` campaigns stay scheduled.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Mail provider")]
pub struct MailArgs {
    /// Name or IP address of the provider's SMTP server
    #[arg(long, env = "MILLRACE_MAIL_HOST", requires_all = ["mail_from_domain", "public_url"])]
    pub mail_host: Option<String>,
    /// Its port; 465 with implicit TLS and 587 with STARTTLS when absent
    #[arg(long, env = "MILLRACE_MAIL_PORT")]
    pub mail_port: Option<u16>,
    /// How the connection is protected
    #[arg(long, env = "MILLRACE_MAIL_SECURITY", value_enum, default_value_t)]
    pub mail_security: MailSecurity,
    /// A file with the user in its first line and the password in its second
    #[arg(long, env = "MILLRACE_MAIL_CREDENTIALS")]
    pub mail_credentials: Option<PathBuf>,
    /// Certificates to believe instead of the system's (PEM)
    #[arg(long, env = "MILLRACE_MAIL_CA")]
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
    /// Connections at once
    #[arg(long, env = "MILLRACE_MAIL_CONNECTIONS", default_value_t = 8)]
    pub mail_connections: usize,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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
        Ok(Some(SnsOptions { topics, sha1: self.sns_sha1 }).filter(|options| !options.topics.is_empty()))
    }

    /// What the server for bounces calls itself.
    pub fn bounce_name(&self) -> &str {
        self.mail_bounce_domain.as_deref().or(self.mail_from_domain.as_deref()).unwrap_or("localhost")
    }

    /// The way out; `None` when no provider is named.
    pub fn outlet(&self) -> Result<Option<Outlet>, MailArgsError> {
        let Some(host) = &self.mail_host else { return Ok(None) };
        let missing = |what| MailArgsError::Missing { what };
        let from = domain(self.mail_from_domain.as_deref().ok_or(missing("--mail-from-domain"))?)?;
        let bounce = self.mail_bounce_domain.as_deref().map(domain).transpose()?.unwrap_or_else(|| from.clone());
        let public = self.public_url.as_deref().ok_or(missing("--public-url"))?;
        let (security, usual) = match self.mail_security {
            MailSecurity::Tls => (Security::ImplicitTls, 465),
            MailSecurity::Starttls => (Security::StartTls, 587),
            MailSecurity::PlainLoopback => (Security::PlainForLoopbackOnly, 25),
        };
        let roots = match (&self.mail_ca, security) {
            (Some(path), _) => Roots::from_pem(&read(path)?)?,
            (None, Security::PlainForLoopbackOnly) => Roots::none()?,
            (None, _) => Roots::system()?,
        };
        let port = self.mail_port.unwrap_or(usual);
        let mut options = SmtpOptions::new(host.clone(), port, security, from.clone(), roots);
        options.credentials = self.mail_credentials.as_deref().map(credentials).transpose()?;
        let signer = match (&self.mail_dkim_key, &self.mail_dkim_selector) {
            (Some(path), Some(selector)) => {
                let key = DkimKey::from_pem(selector, &read(path)?)?;
                Some(Arc::new(Signer::try_new(from.clone(), vec![key])?))
            }
            (Some(_), None) => return Err(missing("--mail-dkim-selector")),
            _ => None,
        };
        Ok(Some(Outlet::try_new(options, self.mail_connections, from, bounce, signer, public)?))
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
    #[error("{path} holds no credentials: the first line is the user, the second the password")]
    Credentials { path: String },
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
