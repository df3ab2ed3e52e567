//! The links of a mail, found where they stand and replaced one by one; everything else stays byte for byte.
//!
//! In HTML these are the `href` of `a`, `area` and Outlook's `v:` elements, also inside conditional comments, which Outlook
//! shows. Comments, scripts and styles are passed over. A target is what a browser would ask for: the attribute with its
//! character references resolved (HTML 13.2.5.72 and following). Where that needs the long table of named references,
//! the link is left as it is: rather not counted than changed.

use memchr::{memchr, memmem};
use std::borrow::Cow;

/// Links of one mail that are replaced; more are left as they are.
pub const MAX_LINKS: u16 = 500;
/// An element with this attribute is left as it is.
const UNTRACKED: &str = "data-no-track";
/// Elements whose content is no markup.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// Replaces the target of each link for which `each` gives another one.
pub fn in_html(html: &str, mut each: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(html.len() + html.len() / 2);
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = memchr(b'<', &html.as_bytes()[at..]) {
        let begin = at + found;
        let rest = &html[begin..];
        if rest.starts_with("<!--") {
            // What Outlook shows is markup to it.
            let conditional = rest.get(4..).is_some_and(|inner| starts_with(inner.trim_start(), "[if"));
            let end = if conditional { rest.find('>').map(|end| end + 1) } else { rest.find("-->").map(|end| end + 3) };
            at = begin + end.unwrap_or(rest.len());
            continue;
        }
        if !rest.as_bytes().get(1).is_some_and(u8::is_ascii_alphabetic) {
            at = begin + 1;
            continue;
        }
        // A tag without an end takes everything behind it along, as in a browser.
        let Some(tag) = Tag::read(rest) else { break };
        at = begin + tag.length;
        if let Some(href) = tag.href
            && tag.is_link()
            && !tag.untracked
            && let Some(target) = resolved(href.trim_matches(ascii_space))
            && let Some(new) = each(&target)
        {
            let value = begin + (href.as_ptr() as usize - rest.as_ptr() as usize);
            out.push_str(&html[kept..value]);
            // A value without quotes gets them: it may hold what ends one.
            let quote = if tag.quoted { "" } else { "\"" };
            out.push_str(quote);
            escape_into(&mut out, &new);
            out.push_str(quote);
            kept = value + href.len();
        }
        if RAW.iter().any(|name| tag.name.eq_ignore_ascii_case(name)) {
            at += raw_end(&html[at..], tag.name);
        }
    }
    out.push_str(&html[kept..]);
    out
}

/// The same in plain text. A link ends at a space, and without the punctuation of the sentence around it.
pub fn in_text(text: &str, mut each: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = memmem::find(&text.as_bytes()[at..], b"://") {
        let mark = at + found;
        at = mark + 3;
        let scheme = ["https", "http"].into_iter().find(|scheme| {
            let head = mark.checked_sub(scheme.len()).and_then(|start| text.get(start..mark));
            head.is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        });
        let Some(begin) = scheme.map(|scheme| mark - scheme.len()).filter(|begin| *begin >= kept) else { continue };
        let rest = &text[begin..];
        let end = rest.find(|c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c)).unwrap_or(rest.len());
        let url = without_punctuation(&rest[..end]);
        at = (begin + url.len()).max(at);
        if let Some(new) = each(url) {
            out.push_str(&text[kept..begin]);
            out.push_str(&new);
            kept = begin + url.len();
        }
    }
    out.push_str(&text[kept..]);
    out
}

/// Without what belongs to the sentence: a closing bracket stays when the link has its opening one.
fn without_punctuation(mut url: &str) -> &str {
    loop {
        let Some(last) = url.chars().next_back() else { return url };
        let open = match last {
            ')' => Some('('),
            ']' => Some('['),
            '}' => Some('{'),
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' => None,
            _ => return url,
        };
        if open.is_some_and(|open| url.matches(open).count() >= url.matches(last).count()) {
            return url;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
}

/// A start tag.
struct Tag<'a> {
    name: &'a str,
    /// As it stands, between its quotes.
    href: Option<&'a str>,
    quoted: bool,
    untracked: bool,
    /// With its brackets.
    length: usize,
}

impl<'a> Tag<'a> {
    /// The start tag at the beginning of a text, which is a bracket and a letter; `None`: it has no end.
    fn read(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let name_end = bytes.iter().position(|byte| ascii_space(char::from(*byte)) || b"/>".contains(byte))?;
        let mut tag = Self { name: &text[1..name_end], href: None, quoted: true, untracked: false, length: 0 };
        let mut at = name_end;
        loop {
            at += bytes[at..].iter().position(|byte| !ascii_space(char::from(*byte)) && *byte != b'/')?;
            if bytes[at] == b'>' {
                tag.length = at + 1;
                return Some(tag);
            }
            let begin = at;
            // An attribute's name may begin with anything, also with an equals sign.
            at += 1;
            at += bytes[at..].iter().position(|byte| ascii_space(char::from(*byte)) || b"/>=".contains(byte))?;
            let name = &text[begin..at];
            let after = at + bytes[at..].iter().position(|byte| !ascii_space(char::from(*byte)))?;
            if name.eq_ignore_ascii_case(UNTRACKED) {
                tag.untracked = true;
            }
            if bytes[after] != b'=' {
                continue;
            }
            let value = after + 1 + bytes[after + 1..].iter().position(|byte| !ascii_space(char::from(*byte)))?;
            let (value, quoted) = match bytes[value] {
                quote @ (b'"' | b'\'') => {
                    let end = value + 1 + memchr(quote, &bytes[value + 1..])?;
                    at = end + 1;
                    (&text[value + 1..end], true)
                }
                b'>' => {
                    at = value;
                    ("", true)
                }
                _ => {
                    let end = bytes[value..].iter().position(|byte| ascii_space(char::from(*byte)) || *byte == b'>')?;
                    at = value + end;
                    (&text[value..at], false)
                }
            };
            // The first of two counts, as in a browser.
            if tag.href.is_none() && name.eq_ignore_ascii_case("href") {
                (tag.href, tag.quoted) = (Some(value), quoted);
            }
        }
    }

    fn is_link(&self) -> bool {
        ["a", "area"].iter().any(|name| self.name.eq_ignore_ascii_case(name)) || starts_with(self.name, "v:")
    }
}

/// Up to where the content of an element that holds no markup goes.
fn raw_end(rest: &str, name: &str) -> usize {
    let mut at = 0;
    while let Some(found) = memmem::find(&rest.as_bytes()[at..], b"</") {
        at += found;
        if starts_with(&rest[at + 2..], name) {
            return at;
        }
        at += 2;
    }
    rest.len()
}

fn starts_with(text: &str, head: &str) -> bool {
    text.as_bytes().get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head.as_bytes()))
}

fn ascii_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// An attribute's value with its character references resolved; `None` when that needs more than is known here.
fn resolved(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('&') {
        return Some(Cow::Borrowed(value));
    }
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(number) = rest.strip_prefix('#') {
            let (radix, digits) = match number.strip_prefix(['x', 'X']) {
                Some(hex) => (16, hex),
                None => (10, number),
            };
            let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
            if end == 0 {
                text.push('&');
                continue;
            }
            // Controls and what is no character are replaced by a browser; a link with such a thing is nobody's.
            let code = u32::from_str_radix(&digits[..end], radix).ok().filter(|code| (0x20..0x7f).contains(code))?;
            text.push(char::from_u32(code)?);
            rest = digits[end..].strip_prefix(';').unwrap_or(&digits[end..]);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let known = match name {
            "amp" | "AMP" => Some('&'),
            "lt" | "LT" => Some('<'),
            "gt" | "GT" => Some('>'),
            "quot" | "QUOT" => Some('"'),
            "apos" if after.starts_with(';') => Some('\''),
            _ => None,
        };
        match (known, after.strip_prefix(';')) {
            (Some(c), Some(after)) => {
                text.push(c);
                rest = after;
            }
            // Without its semicolon and before an equals sign it is the name of a parameter.
            (_, None) if after.starts_with('=') => text.push('&'),
            (Some(c), None) => {
                text.push(c);
                rest = after;
            }
            (None, None) if LEGACY.binary_search(&name).is_err() => text.push('&'),
            (None, Some(_)) if name.is_empty() => text.push('&'),
            (None, _) => return None,
        }
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// Into an attribute's value in either kind of quotes.
fn escape_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
}

/// Named references that a browser resolves without a semicolon, in order, beside those that are resolved here.
const LEGACY: [&str; 98] = [
    "AElig", "Aacute", "Acirc", "Agrave", "Aring", "Atilde", "Auml", "COPY", "Ccedil", "ETH", "Eacute", "Ecirc",
    "Egrave", "Euml", "Iacute", "Icirc", "Igrave", "Iuml", "Ntilde", "Oacute", "Ocirc", "Ograve", "Oslash", "Otilde",
    "Ouml", "REG", "THORN", "Uacute", "Ucirc", "Ugrave", "Uuml", "Yacute", "aacute", "acirc", "acute", "aelig",
    "agrave", "aring", "atilde", "auml", "brvbar", "ccedil", "cedil", "cent", "copy", "curren", "deg", "divide",
    "eacute", "ecirc", "egrave", "eth", "euml", "frac12", "frac14", "frac34", "iacute", "icirc", "iexcl", "igrave",
    "iquest", "iuml", "laquo", "macr", "micro", "middot", "nbsp", "not", "ntilde", "oacute", "ocirc", "ograve", "ordf",
    "ordm", "oslash", "otilde", "ouml", "para", "plusmn", "pound", "raquo", "reg", "sect", "shy", "sup1", "sup2",
    "sup3", "szlig", "thorn", "times", "uacute", "ucirc", "ugrave", "uml", "uuml", "yacute", "yen", "yuml",
];

#[cfg(test)]
mod tests;
