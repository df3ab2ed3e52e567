//! What an author should know of the HTML before it goes out; nothing of it keeps a mail from being sent.

/// Gmail shows no more than this of a mail's HTML, in bytes (spec/EMAIL.md 3.1, check 30).
pub const HTML_SHOWN: usize = 102_000;
/// Cautions of one mail.
const MOST: usize = 50;
/// Characters of an address that are shown.
const SHOWN: usize = 120;

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caution {
    /// Stable: `html_too_large`, `insecure_link`, `insecure_image`, `image_without_alt`, `empty_link`, …
    pub code: &'static str,
    pub message: String,
}

impl Caution {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What can be said of HTML as a receiver gets it.
pub(super) fn of_html(html: &str) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if html.len() > HTML_SHOWN {
        let bytes = html.len();
        let message = format!("the HTML has {bytes} bytes; Gmail shows the first {HTML_SHOWN} and hides the rest");
        cautions.push(Caution::new("html_too_large", message));
    }
    for tag in tags(html).take(10_000) {
        let shown = |value: &str| value.chars().take(SHOWN).collect::<String>();
        let insecure = |value: &str| value.trim_start().get(..5).is_some_and(|head| head.eq_ignore_ascii_case("http:"));
        match &*tag.name {
            "a" => match tag.attribute("href") {
                Some(href) if insecure(href) => {
                    let message = format!("the link {} is not https: browsers warn of it", shown(href));
                    cautions.push(Caution::new("insecure_link", message));
                }
                Some(href) if href.trim().is_empty() || href.trim() == "#" => {
                    cautions.push(Caution::new("empty_link", "a link leads nowhere"));
                }
                _ => {}
            },
            "img" => {
                let source = tag.attribute("src").unwrap_or_default();
                if insecure(source) {
                    let message = format!("the image {} is not https: many mailboxes do not show it", shown(source));
                    cautions.push(Caution::new("insecure_image", message));
                }
                if tag.attribute("alt").is_none() {
                    let message = format!(
                        "the image {} has no alt text: whoever does not see it learns nothing; alt=\"\" if it is decoration",
                        shown(source)
                    );
                    cautions.push(Caution::new("image_without_alt", message));
                }
            }
            "script" | "form" | "iframe" => {
                let message = format!("mailboxes take <{}> out or refuse mail that has it", tag.name);
                cautions.push(Caution::new("unsupported_element", message));
            }
            _ => {}
        }
        if cautions.len() >= MOST {
            break;
        }
    }
    cautions
}

/// A start tag.
struct Tag<'a> {
    name: String,
    attributes: Vec<(String, &'a str)>,
}

impl Tag<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// The start tags of a text, comments passed over. What is no HTML gives fewer of them, never an error.
fn tags(html: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('<')? + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            if end == 0 {
                continue;
            }
            let name = rest[..end].to_ascii_lowercase();
            let (attributes, behind) = attributes(&rest[end..]);
            rest = behind;
            return Some(Tag { name, attributes });
        }
    })
}

/// The attributes up to the end of the tag, and what is behind it.
fn attributes(mut rest: &str) -> (Vec<(String, &str)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(behind) = rest.strip_prefix('>') {
            return (found, behind);
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || "=>/".contains(c)).unwrap_or(rest.len());
        // Nothing that could be a name, as a lone `=`: one character on.
        let end = if end == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { end };
        if end == 0 {
            return (found, "");
        }
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            found.push((name, ""));
            continue;
        };
        let value = value.trim_start();
        let (value, behind) = match value.chars().next().filter(|c| "\"'".contains(*c)) {
            Some(quote) => {
                let value = &value[1..];
                value.split_once(quote).unwrap_or((value, ""))
            }
            None => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        found.push((name, value));
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes(html: &str) -> Vec<&'static str> {
        of_html(html).into_iter().map(|caution| caution.code).collect()
    }

    #[test]
    fn check_30_and_52_authors_hear_of_size_links_and_images() {
        assert_eq!(codes(&"x".repeat(HTML_SHOWN + 1)), ["html_too_large"]);
        assert_eq!(codes("<A HREF='HTTP://x.example'>x</A><a href=https://x.example/>y</a>"), ["insecure_link"]);
        assert_eq!(codes("<img src=\"http://x.example/a.png\">"), ["insecure_image", "image_without_alt"]);
        assert_eq!(
            codes("<img src=\"https://x.example/a.png\" alt=\"\"/><!-- <img> --><a href=\"#\">x</a>"),
            ["empty_link"]
        );
        assert_eq!(codes("<a href=\"mailto:a@x.example\">x</a><a name=top></a>"), Vec::<&str>::new());
        assert_eq!(codes("<script>1</script>"), ["unsupported_element"]);
        assert_eq!(codes(&"<img>".repeat(100)).len(), MOST);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(html in "(<(/?(a|img|p)|!--)?|href=|[ '\"=/>a-z é]){0,40}") {
            prop_assert!(of_html(&html).len() <= MOST);
        }
    }
}
