//! The few pages of this platform that people without a login see: plain HTML, readable without style and without scripts.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Nothing may run or load; only the page's own style and its own forms.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;\
    background:#fff}fieldset{border:1px solid #767676;border-radius:4px;margin:0 0 1rem}label{display:block;padding:.25rem 0}\
    input[type=checkbox]{width:1.25rem;height:1.25rem;vertical-align:middle;margin-right:.5rem}button{font:inherit;\
    padding:.5rem 1rem;margin:0 .5rem .5rem 0}[role=status]{border-left:4px solid #1f5fbf;padding-left:1rem}";

/// A page. `title` and `body` are HTML: whatever came from outside was escaped.
pub fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Addresses of these pages hold a proof of who may open them: it goes nowhere else.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, html).into_response()
}

/// Text as HTML.
pub fn escaped(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}

/// Enough of an address to be recognised by its owner: `a***@e***.org`.
pub fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let (host, top) = domain.rsplit_once('.').unwrap_or((domain, ""));
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    format!("{}***@{}***.{top}", first(local), first(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hidden_but_for_its_beginnings() {
        assert_eq!(masked("ada.lovelace@mail.example.org"), "a***@m***.org");
        assert_eq!(masked(""), "***@***.");
        assert_eq!(escaped("<a href='x'>&"), "&lt;a href=&#x27;x&#x27;&gt;&amp;");
    }
}
