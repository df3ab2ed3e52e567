//! The pages a site shows when it has none of its own: plain, accessible, without a script.

use axum::http::StatusCode;
use minijinja::HtmlEscape;

use super::layout::document;

/// There is no page at this address.
pub fn not_found(language: &str, site: &str) -> String {
    let body = "<h1>Page not found</h1>\n<p>There is no page at this address. It may have moved or been removed.</p>\n\
                <p><a href=\"/\">Go to the start page</a></p>";
    document(language, "<title>Page not found</title>\n<meta name=\"robots\" content=\"noindex\">\n", site, body)
}

/// The page exists and could not be shown. Says nothing about the cause: that is for the site's people.
pub fn failed(status: StatusCode, language: &str, site: &str) -> String {
    let (title, advice) = match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            ("This site is busy", "Please try again in a moment.")
        }
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            ("This page is not open to you", "Sign in with an account that may see it.")
        }
        _ => ("This page cannot be shown", "Something went wrong on our side. Please try again later."),
    };
    let head = format!("<title>{title}</title>\n<meta name=\"robots\" content=\"noindex\">\n");
    let body = format!("<h1>{title}</h1>\n<p>{advice}</p>\n<p><a href=\"/\">Go to the start page</a></p>");
    document(language, &head, site, &body)
}

/// The body of a redirect, for whoever does not follow it.
pub fn moved(location: &str, language: &str, site: &str) -> String {
    let body =
        format!("<h1>This page has moved</h1>\n<p><a href=\"{}\">Go to its new address</a></p>", HtmlEscape(location));
    document(language, "<title>This page has moved</title>\n", site, &body)
}
