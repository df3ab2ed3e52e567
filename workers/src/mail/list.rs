//! The headers of mail to many: how to leave (RFC 2369, 8058), which list it is (RFC 2919), what complaints are about.

use super::{Class, Domain, HeaderError, MailAddress};

const URL_LIMIT: usize = 900;

/// How a receiver of marketing mail leaves. The address takes a POST without a cookie and without a question (check 40).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    one_click: String,
    visible: String,
    mail: Option<MailAddress>,
}

impl Unsubscribe {
    /// `one_click` goes into the header; `visible` is the link that both parts of the mail show (check 45), usually the
    /// preference page. `mail` is for clients without HTTP.
    pub fn try_new(one_click: &str, visible: &str, mail: Option<MailAddress>) -> Result<Self, HeaderError> {
        let fits = |url: &str| {
            let rest = url.strip_prefix("https://").or_else(|| on_this_machine(url)).unwrap_or_default();
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte);
            !rest.is_empty() && !rest.starts_with('/') && url.len() <= URL_LIMIT && url.bytes().all(plain)
        };
        if !fits(one_click) || !fits(visible) {
            return Err(HeaderError::Url);
        }
        Ok(Self { one_click: one_click.to_owned(), visible: visible.to_owned(), mail })
    }

    /// The link is in the text as it is, and in the HTML as it is or with `&amp;`.
    pub(super) fn is_visible(&self, text: &str, html: &str) -> bool {
        let finds = |hay: &str, needle: &str| memchr::memmem::find(hay.as_bytes(), needle.as_bytes()).is_some();
        let escaped = || finds(html, &self.visible.replace('&', "&amp;"));
        finds(text, &self.visible) && (finds(html, &self.visible) || escaped())
    }

    /// One HTTPS URI, then perhaps one mailto (check 38).
    pub(super) fn uris(&self) -> Vec<String> {
        let mail = self.mail.as_ref().map(|address| format!("mailto:{}?subject=unsubscribe", percent_encoded(address)));
        std::iter::once(self.one_click.clone()).chain(mail).collect()
    }
}

/// What follows `http://` in an address of this machine: mails that never leave it need no TLS.
pub fn on_this_machine(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://")?;
    let host = rest.split('/').next().unwrap_or_default();
    let (name, port) = match host.strip_prefix("[::1]") {
        Some(port) => ("localhost", port.strip_prefix(':').unwrap_or("0")),
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    let is_loopback = |name: &str| name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    (port.parse::<u16>().is_ok() && (name == "localhost" || is_loopback(name))).then_some(rest)
}

/// RFC 6068: everything but unreserved characters of the local part.
fn percent_encoded(address: &MailAddress) -> String {
    let mut encoded = String::new();
    for byte in address.local().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    format!("{encoded}@{}", address.domain())
}

/// Names a list for filters and for people: the same for every mail to it (check 43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListId(String);

impl ListId {
    /// `label` within the tenant's domain.
    pub fn try_new(label: &str, domain: &Domain) -> Result<Self, HeaderError> {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if label.is_empty() || label.len() > 63 || !plain {
            return Err(HeaderError::List);
        }
        Ok(Self(format!("{label}.{domain}")))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// By what Gmail groups complaints: `campaign:tenant:class:sender`. It shows sums only, so no part may name a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackId(String);

impl FeedbackId {
    /// `sender` stays the same for all mail of the platform.
    pub fn try_new(campaign: &str, tenant: &str, class: Class, sender: &str) -> Result<Self, HeaderError> {
        let parts = [campaign, tenant, class.word(), sender];
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let fits =
            parts.iter().all(|part| (1..=60).contains(&part.len()) && plain(part)) && (5..=15).contains(&sender.len());
        let distinct = (0..4).all(|one| (0..one).all(|other| parts[one] != parts[other]));
        if fits && distinct { Ok(Self(parts.join(":"))) } else { Err(HeaderError::Feedback) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_38_unsubscribe_takes_https_only() {
        let page = "https://x.example/p";
        assert!(Unsubscribe::try_new("https://x.example/u/t?a=b&c=d", page, None).is_ok());
        let long = format!("https://x.example/{}", "u".repeat(900));
        for bad in [
            "http://x.example/u",
            "https://",
            "https:///u",
            "https://x.example/a b",
            "https://x.example/>,<http://y",
            "https://x.example/\r\nBcc: a",
            "mailto:a@x.example",
            "https://x.example/ü",
            &long,
        ] {
            assert_eq!(Unsubscribe::try_new(bad, page, None), Err(HeaderError::Url), "{bad:?}");
        }
        let mail = MailAddress::try_new("un+sub&x@x.example").unwrap();
        let both = Unsubscribe::try_new("https://x.example/u", page, Some(mail)).unwrap();
        assert_eq!(both.uris(), ["https://x.example/u", "mailto:un%2Bsub%26x@x.example?subject=unsubscribe"]);
    }

    #[test]
    fn check_43_and_44_ids_are_well_formed() {
        let domain = Domain::try_new("shop.example").unwrap();
        assert_eq!(ListId::try_new("news", &domain).unwrap().as_str(), "news.shop.example");
        assert!(ListId::try_new("ne ws", &domain).is_err() && ListId::try_new("", &domain).is_err());
        let id = FeedbackId::try_new("spring", "acme", Class::Marketing, "millrace").unwrap();
        assert_eq!(id.as_str(), "spring:acme:marketing:millrace");
        for (campaign, tenant, sender) in [
            ("a:b", "acme", "millrace"),
            ("acme", "acme", "millrace"),
            ("a", "b", "mill"),
            ("a", "", "millrace"),
            ("a", "b", "sixteen-letters-"),
        ] {
            assert!(
                FeedbackId::try_new(campaign, tenant, Class::Transactional, sender).is_err(),
                "{campaign} {tenant} {sender}"
            );
        }
    }
}
