//! A rendered page packed for answering: coded bodies and finished headers, made once, shared by every answer.

use std::io::Write;
use std::sync::Arc;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use sha2::{Digest, Sha256};

use super::negotiate::{Accepted, Encoding};
use super::system_pages;
use super::visits::Served;

/// Below this a coded body saves less than a packet.
const MIN_CODED: usize = 1024;
/// Brotli beyond this level costs more time than it saves bytes on a page.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 20;
/// Bytes of a redirect's target.
const MAX_LOCATION: usize = 2048;

/// Scripts, styles and forms of the site itself, pictures and frames from anywhere with TLS. Inline styles are common
/// in authored pages; inline scripts stay out, they are what an injection becomes.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline' https:; img-src 'self' data: https:; \
     font-src 'self' data: https:; media-src 'self' https:; frame-src 'self' https:; object-src 'none'; \
     base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
);
/// Caches may keep a page and ask each time whether it is still current, so a change is seen at once.
const REVALIDATE: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
const BY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// What a page says besides its HTML.
#[derive(Debug, Clone)]
pub struct PageHead<'a> {
    /// A language tag, such as [`super::render::PageFields::language`] returns.
    pub language: &'a str,
    pub last_modified: Option<Timestamp>,
    /// In place of the default `Content-Security-Policy`, for a site that needs another.
    pub policy: Option<HeaderValue>,
}

impl Default for PageHead<'_> {
    fn default() -> Self {
        Self { language: "en", last_modified: None, policy: None }
    }
}

/// One coding of a page.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) body: Bytes,
    pub(super) etag: HeaderValue,
    /// All headers of a full answer, the length included.
    pub(super) headers: HeaderMap,
    /// The headers of a 304.
    pub(super) unchanged: HeaderMap,
}

/// An answer that is ready to be sent any number of times.
#[derive(Debug)]
pub struct CachedPage {
    pub(super) status: StatusCode,
    pub(super) identity: Variant,
    pub(super) gzip: Option<Variant>,
    pub(super) brotli: Option<Variant>,
    pub(super) last_modified: Option<HeaderValue>,
    served: Option<Arc<Served>>,
    weight: usize,
}

/// The target of a redirect is neither a path of the site nor an HTTP address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a redirect must lead to a path that starts with one / or to an http or https address of at most 2048 bytes")]
pub struct InvalidLocation;

impl CachedPage {
    /// A page. Compresses: milliseconds for a large one, so make it where the page is rendered.
    pub fn page(html: impl Into<Bytes>, head: &PageHead<'_>) -> Self {
        Self::build(StatusCode::OK, html.into(), head, None)
    }

    /// The answer where there is no page, with the site's own page or [`system_pages::not_found`].
    pub fn not_found(html: impl Into<Bytes>, head: &PageHead<'_>) -> Self {
        Self::build(StatusCode::NOT_FOUND, html.into(), head, None)
    }

    /// A page that cannot be shown; answered as it is and never cached.
    pub fn failed(status: StatusCode, language: &str, site: &str) -> Self {
        let html = system_pages::failed(status, language, site);
        Self::build(status, html.into(), &PageHead { language, ..PageHead::default() }, None)
    }

    /// A permanent redirect.
    pub fn redirect(location: &str, language: &str, site: &str) -> Result<Self, InvalidLocation> {
        // `//host` and `/\host` leave the site in a browser's eyes.
        let is_path = location.starts_with('/') && !location[1..].starts_with(['/', '\\']);
        let has_scheme = |scheme: &str| {
            location.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
                && location.len() > scheme.len()
        };
        let is_plain = location.bytes().all(|byte| byte.is_ascii_graphic());
        if !(is_path || has_scheme("https://") || has_scheme("http://")) || !is_plain || location.len() > MAX_LOCATION {
            return Err(InvalidLocation);
        }
        let target = HeaderValue::try_from(location).map_err(|_| InvalidLocation)?;
        let html = system_pages::moved(location, language, site);
        let head = PageHead { language, ..PageHead::default() };
        Ok(Self::build(StatusCode::MOVED_PERMANENTLY, html.into(), &head, Some(target)))
    }

    fn build(status: StatusCode, html: Bytes, head: &PageHead<'_>, location: Option<HeaderValue>) -> Self {
        let mut common = HeaderMap::with_capacity(14);
        // An error is of the moment; everything else may be kept and asked about.
        let errs = status.is_server_error() || matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
        common.insert(CACHE_CONTROL, if errs { HeaderValue::from_static("no-store") } else { REVALIDATE });
        common.insert(CONTENT_SECURITY_POLICY, head.policy.clone().unwrap_or(POLICY));
        common.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        common.insert(REFERRER_POLICY, REFERRER);
        let last_modified = head.last_modified.and_then(http_date);
        if let Some(at) = &last_modified {
            common.insert(LAST_MODIFIED, at.clone());
        }
        let mut full = common.clone();
        full.insert(CONTENT_TYPE, HTML);
        if let Ok(language) = HeaderValue::try_from(head.language) {
            full.insert(CONTENT_LANGUAGE, language);
        }
        if let Some(target) = &location {
            full.insert(LOCATION, target.clone());
        }
        let hash = fingerprint(status, &html, location.as_ref());
        let gzip = coded(&html, gzip);
        let brotli = coded(&html, brotli);
        let varies = gzip.is_some() || brotli.is_some();
        let variant = |body: Bytes, coding: Option<&'static str>, suffix: &str| {
            let (mut headers, mut unchanged) = (full.clone(), common.clone());
            let etag = HeaderValue::try_from(format!("\"{hash}{suffix}\"")).unwrap_or(HeaderValue::from_static("\"\""));
            for headers in [&mut headers, &mut unchanged] {
                headers.insert(ETAG, etag.clone());
                if varies {
                    headers.insert(VARY, BY_ENCODING);
                }
            }
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            if let Some(coding) = coding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            Variant { body, etag, headers, unchanged }
        };
        let gzip = gzip.map(|body| variant(body, Some("gzip"), "-gz"));
        let brotli = brotli.map(|body| variant(body, Some("br"), "-br"));
        let identity = variant(html, None, "");
        let bodies = [Some(&identity), gzip.as_ref(), brotli.as_ref()].into_iter().flatten();
        // Two maps of about 14 headers for each coding take about 1.5 KiB.
        let weight = bodies.map(|variant| variant.body.len() + 1536).sum();
        Self { status, identity, gzip, brotli, last_modified, served: None, weight }
    }

    /// Names the page, so that its visits can be counted.
    pub fn serving(mut self, served: Served) -> Self {
        self.weight += served.site.len() + served.path.len() + std::mem::size_of::<Served>();
        self.served = Some(Arc::new(served));
        self
    }

    /// Which page this is; `None` for redirects and the site's own messages.
    pub fn served(&self) -> Option<&Arc<Served>> {
        self.served.as_ref()
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The HTML as it is.
    pub fn html(&self) -> &Bytes {
        &self.identity.body
    }

    /// About how many bytes of memory this takes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn variant(&self, accepted: Accepted) -> &Variant {
        let chosen = match accepted.choose(self.brotli.is_some(), self.gzip.is_some()) {
            Encoding::Brotli => self.brotli.as_ref(),
            Encoding::Gzip => self.gzip.as_ref(),
            Encoding::Identity => None,
        };
        chosen.unwrap_or(&self.identity)
    }
}

fn http_date(at: Timestamp) -> Option<HeaderValue> {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::try_from(text).ok()
}

/// 128 bits are enough for a tag: it guards against a mix-up, not an attacker.
fn fingerprint(status: StatusCode, html: &[u8], location: Option<&HeaderValue>) -> String {
    let mut hash = Sha256::new();
    hash.update(status.as_u16().to_be_bytes());
    hash.update(location.map_or(&b""[..], |target| target.as_bytes()));
    hash.update([0]);
    hash.update(html);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A coded body, when it is worth having.
fn coded(html: &Bytes, code: fn(&[u8]) -> std::io::Result<Vec<u8>>) -> Option<Bytes> {
    if html.len() <= MIN_CODED {
        return None;
    }
    code(html).ok().filter(|coded| coded.len() < html.len()).map(Bytes::from)
}

fn gzip(html: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(html.len() / 3), flate2::Compression::new(6));
    encoder.write_all(html)?;
    encoder.finish()
}

fn brotli(html: &[u8]) -> std::io::Result<Vec<u8>> {
    let coded = Vec::with_capacity(html.len() / 3);
    let mut encoder = brotli::CompressorWriter::new(coded, 4096, BROTLI_QUALITY, BROTLI_WINDOW);
    encoder.write_all(html)?;
    encoder.flush()?;
    Ok(encoder.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn coded_bodies_decode_to_the_page() {
        let html = "<p>All work and no play</p>\n".repeat(400);
        let page = CachedPage::page(html.clone(), &PageHead::default());
        let mut back = String::new();
        flate2::read::GzDecoder::new(&page.gzip.as_ref().unwrap().body[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, html);
        back.clear();
        brotli::Decompressor::new(&page.brotli.as_ref().unwrap().body[..], 4096).read_to_string(&mut back).unwrap();
        assert_eq!(back, html);
        assert!(page.weight() > html.len());
        let again = CachedPage::page(html, &PageHead::default());
        assert_eq!(again.identity.etag, page.identity.etag);
        assert_ne!(page.gzip.unwrap().etag, page.brotli.unwrap().etag);
    }

    #[test]
    fn short_and_incompressible_pages_stay_plain() {
        let short = CachedPage::page("x".repeat(MIN_CODED), &PageHead::default());
        assert!(short.gzip.is_none() && short.brotli.is_none());
        assert!(!short.identity.headers.contains_key(VARY));
    }

    #[test]
    fn redirects_lead_only_to_pages() {
        for location in ["/new", "/", "/a?b=c#d", "https://shop.example/x", "HTTP://example.org"] {
            let page = CachedPage::redirect(location, "en", "Shop").unwrap();
            assert_eq!(page.identity.headers[LOCATION], location);
        }
        let long = format!("/{}", "a".repeat(MAX_LOCATION));
        for location in [
            "",
            "new",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "https://",
            "/a b",
            "/\r\nX: y",
            "/é",
            &long,
        ] {
            assert_eq!(CachedPage::redirect(location, "en", "Shop").err(), Some(InvalidLocation), "{location}");
        }
        let page = CachedPage::redirect("/?a=\"><script>", "en", "<Shop>").unwrap();
        let html = std::str::from_utf8(page.html()).unwrap();
        assert!(!html.contains("<script>") && !html.contains("<Shop>"), "{html}");
    }
}
