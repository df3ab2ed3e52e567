//! Which account of SES, and how it is reached.

use std::{fmt, time::Duration};
use zeroize::Zeroizing;

const MAX_NAME: usize = 64;

/// An account in a region. Its `Debug` shows no credentials.
#[derive(Clone)]
pub struct SesOptions {
    /// `eu-west-1`
    pub region: String,
    /// Instead of Amazon's own: `https://…`, or `http://` at a loopback address.
    endpoint: Option<String>,
    pub credentials: SesCredentials,
    /// Without one SES sends no notifications of it and drops the tags.
    pub configuration_set: Option<String>,
    /// Certificates in PEM to trust instead of the system's.
    pub trusted: Option<Vec<u8>>,
    /// For finding the address, connecting and TLS together.
    pub connect: Duration,
    /// For the answer after that. A short one makes unknown mails.
    pub answer: Duration,
}

/// Who we are there.
#[derive(Clone)]
pub struct SesCredentials {
    pub access_key: String,
    pub secret_key: Zeroizing<String>,
    /// Of credentials that end after a while.
    pub session_token: Option<Zeroizing<String>>,
}

impl SesOptions {
    pub fn try_new(
        region: &str,
        endpoint: Option<&str>,
        configuration_set: Option<&str>,
        credentials: SesCredentials,
    ) -> Result<Self, InvalidSes> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > MAX_NAME || !region.bytes().all(plain) {
            return Err(InvalidSes::Region(shown(region)));
        }
        if endpoint.is_some_and(|endpoint| !is_endpoint(endpoint)) {
            return Err(InvalidSes::Endpoint(shown(endpoint.unwrap_or_default())));
        }
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if let Some(name) = configuration_set
            && (name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(word))
        {
            return Err(InvalidSes::ConfigurationSet(shown(name)));
        }
        let key = |text: &str| (1..=4_096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let SesCredentials { access_key, secret_key, session_token } = &credentials;
        if !key(access_key) || !key(secret_key) || !session_token.as_ref().is_none_or(|token| key(token)) {
            return Err(InvalidSes::Credentials);
        }
        Ok(Self {
            region: region.to_owned(),
            endpoint: endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            credentials,
            configuration_set: configuration_set.map(str::to_owned),
            trusted: None,
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
        })
    }

    /// Where it is asked.
    pub fn address(&self) -> String {
        let china = if self.region.starts_with("cn-") { ".cn" } else { "" };
        let usual = || format!("https://email.{}.amazonaws.com{china}", self.region);
        self.endpoint.clone().unwrap_or_else(usual)
    }
}

impl fmt::Debug for SesOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SesOptions({}, {})", self.region, self.address())
    }
}

impl fmt::Debug for SesCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SesCredentials(..)")
    }
}

/// `https://host[:port]`, or `http://` at an address of this machine.
fn is_endpoint(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let host = host.trim_end_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let here =
        name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let fits = !name.is_empty() && host.len() <= 255 && host.bytes().all(plain);
    fits && (scheme == "https" || (scheme == "http" && here))
}

/// Not more of it than a line, and nothing of a password in an address.
fn shown(text: &str) -> String {
    let text = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => text.to_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// What does not name an account: one sentence that says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSes {
    #[error("{0:?} is no region of Amazon; write one as eu-west-1")]
    Region(String),
    #[error(
        "{0:?} is no endpoint of SES: use https://host[:port] (http:// only on a loopback address, because mails would travel \
         readable), or leave it out for Amazon's own"
    )]
    Endpoint(String),
    #[error("{0:?} is no name of a configuration set: 1 to 64 letters, digits, hyphens and underscores")]
    ConfigurationSet(String),
    #[error("the credentials of SES are an access key and a secret key without spaces, and at most a session token")]
    Credentials,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(region: &str, endpoint: Option<&str>, set: Option<&str>) -> Result<SesOptions, InvalidSes> {
        let secret_key = Zeroizing::new("geheim".to_owned());
        let credentials = SesCredentials { access_key: "AKID".into(), secret_key, session_token: None };
        SesOptions::try_new(region, endpoint, set, credentials)
    }

    #[test]
    fn an_account_is_named_by_its_region() {
        let options = |region: &str, endpoint| options(region, endpoint, Some("mails_1")).unwrap();
        assert_eq!(options("eu-west-1", None).address(), "https://email.eu-west-1.amazonaws.com");
        assert_eq!(options("cn-north-1", None).address(), "https://email.cn-north-1.amazonaws.com.cn");
        assert_eq!(options("x", Some("http://127.0.0.1:9/")).address(), "http://127.0.0.1:9");
        assert_eq!(options("x", Some("https://[::1]:9")).address(), "https://[::1]:9");
        let shown = format!("{:?} {:?}", options("x", None), options("x", None).credentials);
        assert!(!shown.contains("geheim") && !shown.contains("AKID"), "{shown}");
    }

    #[test]
    fn what_names_none_is_said_without_secrets() {
        for bad in ["", "EU", "eu west", &"a".repeat(65)] {
            assert!(matches!(options(bad, None, None), Err(InvalidSes::Region(_))), "{bad}");
        }
        for bad in [
            "",
            "email.example",
            "http://email.example",
            "ftp://127.0.0.1",
            "https://",
            "https://a/b",
            "http://127.0.0.1@x",
        ] {
            assert!(matches!(options("x", Some(bad), None), Err(InvalidSes::Endpoint(_))), "{bad}");
        }
        let secret = options("x", Some("https://id:geheim@h.example"), None).unwrap_err().to_string();
        assert!(secret.contains("…@h.example") && !secret.contains("geheim"), "{secret}");
        assert!(matches!(options("x", None, Some("a b")), Err(InvalidSes::ConfigurationSet(_))));
        let secret_key = Zeroizing::new("two words".to_owned());
        let credentials = SesCredentials { access_key: "AKID".into(), secret_key, session_token: None };
        assert_eq!(SesOptions::try_new("x", None, None, credentials).unwrap_err(), InvalidSes::Credentials);
    }
}
