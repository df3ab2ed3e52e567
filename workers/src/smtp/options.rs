//! Where a provider is and how it is spoken to.

use super::Roots;
use crate::mail::Domain;
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// How the connection is protected. The first two verify certificate and host name before anything is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte, usually port 465: what RFC 8314 prefers.
    ImplicitTls,
    /// TLS after EHLO, usually port 587. A provider that does not offer it gets nothing.
    StartTls,
    /// No TLS. Refused for any address but this machine's own.
    PlainForLoopbackOnly,
}

/// A provider. Cloned into each connection through an `Arc`.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// A name or an IP address; the certificate must be for it.
    pub host: String,
    pub port: u16,
    pub security: Security,
    /// What this machine calls itself (check 2: a full name).
    pub ehlo_name: Domain,
    pub credentials: Option<Credentials>,
    /// Whose certificates are believed.
    pub roots: Roots,
    pub timeouts: Timeouts,
    pub lifetime: Lifetime,
}

impl SmtpOptions {
    /// With the time limits of RFC 5321, no credentials, and connections that are closed after 100 mails or a minute.
    pub fn new(host: impl Into<String>, port: u16, security: Security, ehlo_name: Domain, roots: Roots) -> Self {
        let (timeouts, lifetime) = (Timeouts::default(), Lifetime::default());
        Self { host: host.into(), port, security, ehlo_name, credentials: None, roots, timeouts, lifetime }
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// The user of a provider. Its `Debug` shows neither part.
#[derive(Clone)]
pub struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Credentials {
    /// `None` when a part holds NUL, which the PLAIN mechanism cannot carry (RFC 4616), or is empty.
    pub fn try_new(user: impl Into<String>, password: impl Into<String>) -> Option<Self> {
        let (user, password) = (Zeroizing::new(user.into()), Zeroizing::new(password.into()));
        let fits = |part: &str| !part.is_empty() && part.len() <= 1024 && !part.contains('\0');
        (fits(&user) && fits(&password)).then_some(Self { user, password })
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// How long each stage may take. The defaults are those of RFC 5321 4.5.3.2; the first two are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Finding the address and connecting, each.
    pub connect: Duration,
    pub tls: Duration,
    pub greeting: Duration,
    /// EHLO, STARTTLS, AUTH, RSET and QUIT.
    pub command: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    pub data: Duration,
    /// Until the provider takes the next piece of the message.
    pub block: Duration,
    /// From the final dot to its answer. A short one makes unknown mails: the provider may still be storing it.
    pub dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            connect: Duration::from_secs(30),
            tls: Duration::from_secs(30),
            greeting: minutes(5),
            command: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
        }
    }
}

/// When a connection is closed although it works (check 10). Providers spread load by connection, and some count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub messages: u32,
    /// Since it was opened.
    pub age: Duration,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self { messages: 100, age: Duration::from_secs(60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_show_nothing_and_hold_no_nul() {
        let credentials = Credentials::try_new("anna", "secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
        assert!(Credentials::try_new("an\0na", "secret").is_none() && Credentials::try_new("anna", "").is_none());
    }
}
