//! What stands below a mail when its author did not place it: whose mail it is, and where to leave (spec/EMAIL.md 3.1,
//! check 45).

use super::merge::{Around, insert};
use minijinja::HtmlEscape;

/// The postal address as HTML: its lines, escaped.
pub(super) fn address_html(around: &Around<'_>) -> String {
    around.postal_address.iter().map(|line| HtmlEscape(line).to_string()).collect::<Vec<_>>().join("<br>")
}

/// The HTML with what is not in it yet, before its end.
pub(super) fn below_html(html: String, around: &Around<'_>) -> String {
    let address = address_html(around);
    let mut lines = Vec::new();
    if !address.is_empty() && !html.contains(&address) {
        lines.push(address);
    }
    if let Some(url) = around.unsubscribe.filter(|url| !html.contains(url)) {
        lines.push(format!("<a href=\"{url}\">Unsubscribe</a>: {url}"));
    }
    if let Some(url) = around.preferences.filter(|url| !html.contains(url)) {
        lines.push(format!("<a href=\"{url}\">Choose what you receive</a>"));
    }
    if lines.is_empty() {
        return html;
    }
    let end = html.to_ascii_lowercase().rfind("</body").unwrap_or(html.len());
    insert(&html, end, &format!("<p style=\"font-size:12px;color:#555555\">{}</p>", lines.join("<br>")))
}

/// The plain part with what is not in it yet, behind the mark of a signature (RFC 3676, 4.3).
pub(super) fn below_text(mut text: String, around: &Around<'_>) -> String {
    let address = around.postal_address.join("\n");
    let mut lines = Vec::new();
    if !address.is_empty() && !text.replace("\r\n", "\n").contains(&address) {
        lines.push(address);
    }
    lines.extend(around.unsubscribe.filter(|url| !text.contains(url)).map(|url| format!("Unsubscribe: {url}")));
    let choose = |url| format!("Choose what you receive: {url}");
    lines.extend(around.preferences.filter(|url| !text.contains(url)).map(choose));
    if !lines.is_empty() {
        text.push_str(&format!("\n\n-- \n{}\n", lines.join("\n")));
    }
    text
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
        let html = below_html("<body><p>Hi</p></BODY></html>".into(), &around);
        assert!(
            html.contains("Smith &amp; Sons<br>1 Example Street<br><a href=") && html.ends_with("</p></BODY></html>")
        );
        assert!(html.contains(LEAVE) && html.contains(CHOOSE), "{html}");
        assert_eq!(below_html(html.clone(), &around), html, "all of it is there");
        let text = below_text("Hi".into(), &around);
        assert!(text.starts_with("Hi\n\n-- \nSmith & Sons\n1 Example Street\nUnsubscribe: https://"), "{text}");
        assert_eq!(below_text(text.clone(), &around), text);
        let own = format!("<p>{LEAVE} {CHOOSE}</p>");
        assert_eq!(below_html(own.clone(), &around).matches(LEAVE).count(), 1);
        assert_eq!(below_html(own.clone(), &Around::default()), own, "mail to one person has no footer");
    }
}
