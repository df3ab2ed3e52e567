//! The plain part of a mail, made from its HTML when its author gave none (check 21).
//!
//! Links stand as numbers in the text and whole below it: a URL that is broken over lines is no link any more.

const WIDTH: usize = 76;
/// HTML that is turned into text. Mails are far smaller; Gmail cuts them at 102 kB.
const HTML_LIMIT: usize = 1 << 20;
/// Elements inside each other. The converter needs memory for each level, and nobody can read such a page.
const DEPTH_LIMIT: usize = 200;

/// Text of at most 76 columns with links as footnotes. Make it once per template, not once per recipient.
pub fn plain_text(html: &str) -> Result<String, PlainTextError> {
    if html.len() > HTML_LIMIT {
        return Err(PlainTextError::TooLarge);
    }
    if depth(html) > DEPTH_LIMIT {
        return Err(PlainTextError::TooDeep);
    }
    let config = html2text::config::plain_no_decorate().link_footnotes(true).no_link_wrapping().no_table_borders();
    let text = config.allow_width_overflow().string_from_read(html.as_bytes(), WIDTH);
    let text = text.map_err(|error| PlainTextError::Html { reason: error.to_string() })?;
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    if lines.iter().all(|line| line.is_empty()) { Err(PlainTextError::Empty) } else { Ok(lines.join("\n") + "\n") }
}

/// An upper bound of how deep elements stand inside each other: a start tag counts unless an end tag took it back.
fn depth(html: &str) -> usize {
    let (mut open, mut most) = (0usize, 0);
    let bytes = html.as_bytes();
    for at in memchr::memchr_iter(b'<', bytes) {
        match bytes.get(at + 1) {
            Some(b'/') => open = open.saturating_sub(1),
            Some(next) if next.is_ascii_alphabetic() && !is_void(&bytes[at + 1..]) => open += 1,
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Elements without an end tag, and those whose end tag is usually left out.
fn is_void(rest: &[u8]) -> bool {
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let name = rest[..end].to_ascii_lowercase();
    [&b"br"[..], b"img", b"hr", b"meta", b"link", b"input", b"col", b"wbr", b"p", b"li", b"td", b"tr", b"th"]
        .contains(&&name[..])
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainTextError {
    #[error("the HTML has more than {HTML_LIMIT} bytes; a mail is far smaller")]
    TooLarge,
    #[error("more than {DEPTH_LIMIT} elements of the HTML stand inside each other; close them, or simplify it")]
    TooDeep,
    #[error("the HTML has no text, as when all of it is one picture; write the plain part yourself")]
    Empty,
    #[error("the HTML cannot be turned into text: {reason}; write the plain part yourself")]
    Html { reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_21_text_keeps_every_link_whole() {
        let url = format!("https://x.example/{}?a=1&b=2#c", "path/".repeat(30));
        let html = format!(
            "<html><head><title>no</title><style>p {{}}</style></head><body><h1>Hello &amp; welcome</h1>\
             <p>Read <a href=\"{}\">this page</a> or <a href=\"https://x.example/u\">leave</a>.</p><br></body></html>",
            url.replace('&', "&amp;")
        );
        let text = plain_text(&html).unwrap();
        println!("{text}");
        assert!(
            text.contains("Hello & welcome") && text.contains(&url) && text.contains("https://x.example/u"),
            "{text}"
        );
        assert!(!text.contains("<p>") && !text.contains("p {"), "{text}");
    }

    #[test]
    fn html_without_text_or_without_end_is_refused() {
        assert_eq!(plain_text("<img src=\"https://x.example/a.png\">"), Err(PlainTextError::Empty));
        assert_eq!(plain_text(&"<div>".repeat(100_000)), Err(PlainTextError::TooDeep));
        assert_eq!(plain_text(&" ".repeat(HTML_LIMIT + 1)), Err(PlainTextError::TooLarge));
        assert!(plain_text(&"<p>line<br>".repeat(5000)).is_ok());
    }

    proptest! {
        #[test]
        fn any_html_is_turned_or_refused(html in "(<(/?(p|b|a|table|tr|td|ul|li|pre)|a href='|!--)?>?|[a-z é&;]{0,8}){0,60}") {
            if let Ok(text) = plain_text(&html) {
                prop_assert!(!text.trim().is_empty());
            }
        }
    }
}
