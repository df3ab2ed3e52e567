//! The way out: the providers campaigns are handed to, and what their mails say of the sender.

use crate::mail::{Composer, Domain, Limits, dkim, providers::Providers};
use std::sync::Arc;

/// Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub(super) providers: Providers,
    pub(super) composer: Composer,
    /// Senders are at it or below it.
    pub(super) from: Domain,
    pub(super) public: Arc<str>,
}

impl Outlet {
    /// Senders' addresses are in `from`, bounces come back to `bounce`, and receivers reach this platform at `public` (an
    /// HTTPS address, as they type it).
    pub fn try_new(
        providers: Providers,
        from: Domain,
        bounce: Domain,
        signer: Option<Arc<dkim::Signer>>,
        public: &str,
    ) -> Result<Self, OutletError> {
        let public = public.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"'\\&?#".contains(&byte);
        let host = public.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || host.starts_with('/') || public.len() > 300 || !public.bytes().all(plain) {
            return Err(OutletError::Public);
        }
        let composer = Composer::new(bounce, Limits::default(), signer);
        Ok(Self { providers, composer, from, public: public.into() })
    }

    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Whether a sender's domain is this outlet's, or below it.
    pub(super) fn sends_for(&self, domain: &Domain) -> bool {
        let rest = domain.as_str().strip_suffix(self.from.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Where a receiver leaves.
    pub(super) fn unsubscribe(&self, token: &str) -> String {
        format!("{}/v1/unsubscribe/{token}", self.public)
    }

    /// Where a receiver chooses what to get.
    pub(super) fn preferences(&self, token: &str) -> String {
        format!("{}/v1/preferences/{token}", self.public)
    }
}

/// What does not make an outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutletError {
    #[error("receivers need an address to unsubscribe at: give --public-url, as https://news.example.com")]
    Public,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::providers::ProviderOptions,
        smtp::{Roots, Security, SmtpOptions},
    };

    #[test]
    fn an_outlet_has_a_public_address_and_a_domain() {
        let domain = Domain::try_new("shop.example").unwrap();
        let outlet = |public: &str| {
            let (security, roots) = (Security::PlainForLoopbackOnly, Roots::none().unwrap());
            let smtp = SmtpOptions::new("127.0.0.1", 25, security, domain.clone(), roots);
            let provider = ProviderOptions { name: "main".into(), smtp, connections: 2, per_second: None };
            let providers = Providers::try_new(vec![provider], Vec::new()).unwrap();
            Outlet::try_new(providers, domain.clone(), domain.clone(), None, public)
        };
        let good = outlet("https://news.shop.example/").unwrap();
        assert_eq!(good.unsubscribe("abc"), "https://news.shop.example/v1/unsubscribe/abc");
        for (name, expected) in [("shop.example", true), ("news.shop.example", true), ("myshop.example", false)] {
            assert_eq!(good.sends_for(&Domain::try_new(name).unwrap()), expected, "{name}");
        }
        for bad in ["", "http://a.example", "https://", "https:///x", "https://a.example/\"x", "https://a.example/?b"] {
            assert_eq!(outlet(bad).unwrap_err(), OutletError::Public, "{bad}");
        }
    }
}
