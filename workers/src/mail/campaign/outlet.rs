//! The way out: the providers campaigns are handed to, and what their mails say of the sender.

use crate::{
    mail::{
        Composer, Domain, Limits, dkim,
        list::on_this_machine,
        providers::{ProviderOptions, Providers, TransportOptions},
    },
    smtp::{Roots, Security, SmtpOptions},
};
use bus_schema::TenantId;
use std::{net::SocketAddr, sync::Arc};

/// To a sink on this machine.
const LOCAL_CONNECTIONS: usize = 4;

/// Connections for mail to one person when nobody says otherwise.
const RESERVED: usize = 2;

/// Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub(super) providers: Providers,
    pub(super) composer: Composer,
    /// Senders are at it or below it.
    pub(super) from: Domain,
    pub(super) public: Arc<str>,
    /// Connections to each provider beside them: see [`Outlet::apart`].
    pub(super) reserved: usize,
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
        Ok(Self::new(providers, from, bounce, signer, public))
    }

    /// A way out that ends on this machine, at a sink: links may then lead to `public`, an `http` address of this machine.
    pub fn on_this_machine(sink: SocketAddr, from: Domain, public: &str) -> Result<Self, OutletError> {
        if !sink.ip().is_loopback() || on_this_machine(public).is_none() {
            return Err(OutletError::Elsewhere);
        }
        let roots = Roots::none().map_err(|_| OutletError::Elsewhere)?;
        let (host, security) = (sink.ip().to_string(), Security::PlainForLoopbackOnly);
        let smtp = SmtpOptions::new(host, sink.port(), security, from.clone(), roots);
        let (name, transport) = ("inbox".to_owned(), TransportOptions::Smtp(smtp));
        let provider = ProviderOptions { name, transport, connections: LOCAL_CONNECTIONS, per_second: None };
        let providers = Providers::try_new(vec![provider], Vec::new()).map_err(|_| OutletError::Elsewhere)?;
        Ok(Self::new(providers, from.clone(), from, None, public))
    }

    fn new(
        providers: Providers,
        from: Domain,
        bounce: Domain,
        signer: Option<Arc<dkim::Signer>>,
        public: &str,
    ) -> Self {
        let composer = Composer::new(bounce, Limits::default(), signer);
        Self { providers, composer, from, public: public.into(), reserved: RESERVED }
    }

    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Whether a sender's domain is this outlet's, or below it.
    pub(super) fn sends_for(&self, domain: &Domain) -> bool {
        let rest = domain.as_str().strip_suffix(self.from.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// A text with addresses of the tenant's site as they stand on its own pages, made to lead there from a mail.
    pub(super) fn absolute(&self, tenant: &TenantId, text: &str) -> String {
        let site = format!("/sites/{tenant}/");
        let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find(&site) {
            let (before, after) = rest.split_at(at);
            whole.push_str(before);
            // Behind a host it is the path of an address that is whole already.
            let behind_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_]~/".contains(byte);
            if !whole.as_bytes().last().is_some_and(behind_host) {
                whole.push_str(&self.public);
            }
            whole.push_str(&site);
            rest = &after[site.len()..];
        }
        whole.push_str(rest);
        whole
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
    #[error("mails that stay on this machine go to a loopback address, and their links to http://localhost or one")]
    Elsewhere,
    #[error("connections for mail to one person are 1 to 100: give --mail-message-connections")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::providers::{ProviderOptions, TransportOptions},
        smtp::{Roots, Security, SmtpOptions},
    };

    #[test]
    fn an_outlet_has_a_public_address_and_a_domain() {
        let domain = Domain::try_new("shop.example").unwrap();
        let outlet = |public: &str| {
            let (security, roots) = (Security::PlainForLoopbackOnly, Roots::none().unwrap());
            let smtp = SmtpOptions::new("127.0.0.1", 25, security, domain.clone(), roots);
            let transport = TransportOptions::Smtp(smtp);
            let provider = ProviderOptions { name: "main".into(), transport, connections: 2, per_second: None };
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
        let demo = TenantId::try_new("demo").unwrap();
        let page =
            "<img src=\"/sites/demo/files/1/a.png\"> url(/sites/demo/b) https://x.example/sites/demo/c /sites/demo2/d";
        assert_eq!(
            good.absolute(&demo, page),
            "<img src=\"https://news.shop.example/sites/demo/files/1/a.png\"> url(https://news.shop.example/sites/demo/b) \
             https://x.example/sites/demo/c /sites/demo2/d"
        );
    }

    #[test]
    fn mails_without_tls_stay_on_this_machine() {
        let outlet = |sink: &str, public: &str| {
            Outlet::on_this_machine(sink.parse().unwrap(), Domain::try_new("demo.example").unwrap(), public)
        };
        for public in ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "http://localhost"] {
            let link = outlet("127.0.0.1:25", public).unwrap().unsubscribe("abc");
            assert!(crate::mail::Unsubscribe::try_new(&link, &link, None).is_ok(), "{link}");
        }
        for (sink, public) in [
            ("192.0.2.1:25", "http://localhost"),
            ("127.0.0.1:25", "http://shop.example"),
            ("127.0.0.1:25", "http://localhost.shop.example"),
            ("127.0.0.1:25", "http://127.0.0.1@shop.example/"),
            ("127.0.0.1:25", "http://localhost:80@shop.example"),
        ] {
            assert_eq!(outlet(sink, public).unwrap_err(), OutletError::Elsewhere, "{sink} {public}");
        }
    }
}
