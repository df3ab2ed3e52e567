//! What stands below a mail when its author did not place it: whose mail it is, and where to leave (spec/EMAIL.md 3.1,
//! check 45).

use super::merge::Around;
use memchr::{memchr_iter, memmem, memrchr_iter};
use minijinja::HtmlEscape;

/// The sender's postal address.
pub(super) struct Address {
    /// Its lines, escaped.
    pub(super) html: String,
    pub(super) text: String,
}

impl Address {
    pub(super) fn of(around: &Around<'_>) -> Self {
        let lines: Vec<String> = around.postal_address.iter().map(|line| HtmlEscape(line).to_string()).collect();
        Self { html: lines.join("<br>"), text: around.postal_address.join("\n") }
    }
}

/// The HTML with what is not in it yet, before its end.
pub(super) fn below_html(mut html: String, around: &Around<'_>, address: &Address) -> String {
    let mut lines = Vec::new();
    if !address.html.is_empty() && !has(&html, &address.html) {
        lines.push(address.html.clone());
    }
    if let Some(url) = around.unsubscribe.filter(|url| !has(&html, url)) {
        lines.push(format!("<a href=\"{url}\">Unsubscribe</a>: {url}"));
    }
    if let Some(url) = around.preferences.filter(|url| !has(&html, url)) {
        lines.push(format!("<a href=\"{url}\">Choose what you receive</a>"));
    }
    if !lines.is_empty() {
        let footer = format!("<p style=\"font-size:12px;color:#555555\">{}</p>", lines.join("<br>"));
        html.insert_str(end_of_body(&html), &footer);
    }
    html
}

/// The plain part with what is not in it yet, behind the mark of a signature (RFC 3676, 4.3).
pub(super) fn below_text(mut text: String, around: &Around<'_>, address: &Address) -> String {
    let mut lines = Vec::new();
    let has_address = |text: &str| has(text, &address.text) || has(&text.replace("\r\n", "\n"), &address.text);
    if !address.text.is_empty() && !has_address(&text) {
        lines.push(address.text.clone());
    }
    lines.extend(around.unsubscribe.filter(|url| !has(&text, url)).map(|url| format!("Unsubscribe: {url}")));
    let choose = |url| format!("Choose what you receive: {url}");
    lines.extend(around.preferences.filter(|url| !has(&text, url)).map(choose));
    if !lines.is_empty() {
        text.push_str(&format!("\n\n-- \n{}\n", lines.join("\n")));
    }
    text
}

/// As [`str::contains`], and faster where a mail is searched for a link.
fn has(text: &str, what: &str) -> bool {
    memmem::find(text.as_bytes(), what.as_bytes()).is_some()
}

/// Where the last end tag of a body begins, in either case; the end of the HTML when there is none.
pub(super) fn end_of_body(html: &str) -> usize {
    let bytes = html.as_bytes();
    memrchr_iter(b'<', bytes).find(|at| begins(&bytes[*at..], b"</body")).unwrap_or(bytes.len())
}

/// Behind the first start tag of a body.
pub(super) fn begin_of_body(html: &str) -> Option<usize> {
    let bytes = html.as_bytes();
    let begin = memchr_iter(b'<', bytes).find(|at| begins(&bytes[*at..], b"<body"))?;
    Some(begin + html[begin..].find('>')? + 1)
}

fn begins(bytes: &[u8], tag: &[u8]) -> bool {
    bytes.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAVE: &str = "https://x.example/v1/unsubscribe/abc";
    const CHOOSE: &str = "https://x.example/v1/preferences/abc";

    #[test]
    fn check_45_only_what_is_missing_is_added() {
        let lines = ["Smith & Sons".to_owned(), "1 Example Street".to_owned()];
        let around =
            Around { unsubscribe: Some(LEAVE), preferences: Some(CHOOSE), sender: "Smith", postal_address: &lines };
        let address = Address::of(&around);
        let html = below_html("<body><p>Hi</p></BODY></html>".into(), &around, &address);
        assert!(
            html.contains("Smith &amp; Sons<br>1 Example Street<br><a href=") && html.ends_with("</p></BODY></html>")
        );
        assert!(html.contains(LEAVE) && html.contains(CHOOSE), "{html}");
        assert_eq!(below_html(html.clone(), &around, &address), html, "all of it is there");
        let text = below_text("Hi".into(), &around, &address);
        assert!(text.starts_with("Hi\n\n-- \nSmith & Sons\n1 Example Street\nUnsubscribe: https://"), "{text}");
        assert_eq!(below_text(text.clone(), &around, &address), text);
        let windows = text.replace('\n', "\r\n");
        assert_eq!(below_text(windows.clone(), &around, &address), windows, "with the lines of another system");
        let own = format!("<p>{LEAVE} {CHOOSE}</p>");
        assert_eq!(below_html(own.clone(), &around, &address).matches(LEAVE).count(), 1);
        let nobody = Around::default();
        let none = below_html(own.clone(), &nobody, &Address::of(&nobody));
        assert_eq!(none, own, "mail to one person has no footer");
    }

    #[test]
    fn a_body_begins_and_ends_in_either_case() {
        let table = [
            ("<body>a</body>", Some(6), 7),
            ("ü<BoDy class='<'>a</BODY ><p></body", Some(18), 30),
            ("</body></html></", None, 0),
            ("<bod>ü</bod", None, 12),
            ("<body", None, 5),
            ("", None, 0),
        ];
        for (html, begin, end) in table {
            assert_eq!((begin_of_body(html), end_of_body(html)), (begin, end), "{html}");
            let lower = html.to_ascii_lowercase();
            assert_eq!(end, lower.rfind("</body").unwrap_or(html.len()), "{html}");
        }
    }
}
