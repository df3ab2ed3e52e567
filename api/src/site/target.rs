//! Whether a request is for a site, and for which page of which tenant. Looks at every request, so it allocates nothing
//! in the usual case.

use axum::http::{Request, header::HOST};
use std::borrow::Cow;
use writers::cms::page::is_reserved;

/// Where the path form begins: `/sites/<tenant>/<slug>`.
const PATH_FORM: &str = "/sites/";

/// How a site was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `http://<tenant>.<anything>/<slug>`
    Host,
    /// `http://<anything>/sites/<tenant>/<slug>`
    Path,
}

impl Form {
    /// Tells the two apart in the cache: their redirects lead to different places.
    pub fn cache_site(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
        }
    }

    /// The address of a page in this form.
    pub fn location(self, tenant: &str, slug: &str) -> String {
        match self {
            Self::Host => format!("/{slug}"),
            Self::Path => format!("{PATH_FORM}{tenant}/{slug}"),
        }
    }
}

/// What may be the page of a tenant; whether there is such a tenant is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub form: Form,
    pub tenant: Cow<'a, str>,
    /// The path below the site, without the first slash.
    pub slug: &'a str,
    /// The host as asked for.
    pub host: &'a str,
}

impl<'a> Target<'a> {
    pub fn of<B>(request: &'a Request<B>) -> Option<Self> {
        // An absolute address (HTTP/2 has no other) names the host before the header does.
        let host = match request.uri().host() {
            Some(host) => host,
            None => request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        };
        Self::parse(host, request.uri().path())
    }

    fn parse(host: &'a str, path: &'a str) -> Option<Self> {
        let below = path.strip_prefix('/')?;
        if let Some(tenant) = label(host)
            && !is_reserved(below.split('/').next().unwrap_or_default())
        {
            return Some(Self { form: Form::Host, tenant, slug: below, host });
        }
        let rest = path.strip_prefix(PATH_FORM)?;
        let (tenant, slug) = rest.split_once('/').unwrap_or((rest, ""));
        is_name(tenant).then_some(Self { form: Form::Path, tenant: Cow::Borrowed(tenant), slug, host })
    }
}

/// The first label of a host name that has more of them; an address of digits has none.
fn label(host: &str) -> Option<Cow<'_, str>> {
    let (label, rest) = host.split_once('.')?;
    if rest.is_empty() {
        return None;
    }
    if is_name(label) {
        return Some(Cow::Borrowed(label));
    }
    let lower = label.to_ascii_lowercase();
    is_name(&lower).then_some(Cow::Owned(lower))
}

/// Whether a text can name a tenant.
fn is_name(text: &str) -> bool {
    let starts_well = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    starts_well && text.len() <= 40 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(host: &'static str, path: &'static str) -> Option<(Form, String, &'static str)> {
        Target::parse(host, path).map(|target| (target.form, target.tenant.into_owned(), target.slug))
    }

    #[test]
    fn hosts_and_paths_lead_to_sites() {
        for (host, path, expected) in [
            ("demo.localhost:8080", "/", Some((Form::Host, "demo", ""))),
            ("Demo.Example.org", "/about/team", Some((Form::Host, "demo", "about/team"))),
            ("demo.localhost", "/sites/x/y", Some((Form::Host, "demo", "sites/x/y"))),
            ("localhost:8080", "/sites/demo", Some((Form::Path, "demo", ""))),
            ("127.0.0.1:8080", "/sites/demo/", Some((Form::Path, "demo", ""))),
            ("", "/sites/demo/about/team", Some((Form::Path, "demo", "about/team"))),
            // What the platform answers itself stays its own under every host.
            ("demo.localhost", "/v1/pages", None),
            ("demo.localhost", "/docs", None),
            ("127.0.0.1:8080", "/", None),
            ("localhost", "/about", None),
            ("localhost.", "/about", None),
            ("[::1]:80", "/about", None),
            ("de_mo.localhost", "/", None),
            ("127.0.0.1", "/sites/De/x", None),
            ("127.0.0.1", "/sites/", None),
            ("demo.localhost", "*", None),
        ] {
            let expected = expected.map(|(form, tenant, slug)| (form, tenant.to_owned(), slug));
            assert_eq!(parsed(host, path), expected, "{host} {path}");
        }
    }

    #[test]
    fn locations_keep_the_form() {
        assert_eq!(Form::Host.location("demo", ""), "/");
        assert_eq!(Form::Path.location("demo", "a/b"), "/sites/demo/a/b");
    }
}
