//! The limits of what a page says and where it can stand.

use super::PageRejection as R;
use crate::text;
use bus_schema::cms::page::PageContent;

/// The largest body of a page, in bytes.
pub const MAX_BODY: usize = 512 * 1024;
/// The longest address of a page, in bytes.
pub const MAX_SLUG: usize = 200;
/// First segments that the platform itself answers.
const RESERVED: [&str; 10] =
    ["v1", "docs", "console", "healthz", "readyz", "livez", "metrics", "openapi.json", ".well-known", "assets"];

/// Whether the platform itself answers below this first segment, under every host.
pub fn is_reserved(segment: &str) -> bool {
    RESERVED.contains(&segment)
}

/// An address as it is claimed and stored: segments of a-z, 0-9, '-' and '_', joined by '/'. Empty: the home page.
pub fn valid_slug(slug: &str) -> Result<&str, R> {
    if is_reserved(slug.split('/').next().unwrap_or_default()) {
        return Err(R::ReservedSlug);
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let segment = |segment: &str| !segment.is_empty() && segment.bytes().all(allowed);
    let fits = slug.is_empty() || (slug.len() <= MAX_SLUG && slug.split('/').all(segment));
    if fits { Ok(slug) } else { Err(R::InvalidSlug) }
}

/// A site's name: 1 to 40 of a-z, 0-9 and '-'.
pub(super) fn valid_site(site: &str) -> Result<&str, R> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=40).contains(&site.len()) && site.bytes().all(allowed) { Ok(site) } else { Err(R::InvalidSite) }
}

/// The content with every limit kept. Whether the body is a template is decided where templates are rendered.
pub(super) fn valid_content(content: &PageContent) -> Result<PageContent, R> {
    Ok(PageContent {
        title: text::required_line("title", &content.title, 200)?,
        description: text::line("description", &content.description, 500)?,
        body: text::block("body", &content.body, MAX_BODY)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_one_form_and_not_the_platforms_own() {
        for good in ["", "a", "about/team", "2026/spring-sale_1", "blog/docs", "v10", &"a".repeat(200)] {
            assert_eq!(valid_slug(good), Ok(good));
        }
        for bad in ["/", "/a", "a/", "a//b", "A", "a b", "ä", "..", "a/../b", "a%2fb", "a?b", &"a".repeat(201)] {
            assert_eq!(valid_slug(bad), Err(R::InvalidSlug), "{bad:?} must be refused");
        }
        for reserved in
            ["v1", "v1/contacts", "docs", "console/x", "healthz", "openapi.json", ".well-known/acme", "assets/a"]
        {
            assert_eq!(valid_slug(reserved), Err(R::ReservedSlug), "{reserved:?} must be refused");
        }
    }

    #[test]
    fn the_largest_page_is_one_event() {
        let content =
            PageContent { title: "𝔸".repeat(200), description: "𝔸".repeat(500), body: "x".repeat(MAX_BODY) };
        assert!(bus_schema::codec::encode(&valid_content(&content).unwrap()).is_ok());
        let body = "x".repeat(MAX_BODY + 1);
        assert_eq!(valid_content(&PageContent { body, ..content }), Err(R::TooLong { field: "body", max: MAX_BODY }));
    }
}
