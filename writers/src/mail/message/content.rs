//! The limits of what a message says and to whom.

use super::MessageRejection as R;
use crate::text;
use bus_schema::mail::message::{MessageContent, MessageSender, MessageWords};
use serde_json::{Map, Value};

/// The largest fields of a template, as JSON, in bytes.
pub const MAX_FIELDS: usize = 64 * 1024;
/// The largest HTML part, in bytes: Gmail shows the first 102 kB of a mail.
pub const MAX_HTML: usize = 256 * 1024;
/// The largest plain part, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Bytes of a template's name.
const MAX_NAME: usize = 64;

/// The content with every limit kept.
pub(super) fn valid(content: &MessageContent) -> Result<MessageContent, R> {
    text::normal_email(&content.email).ok_or(R::InvalidAddress)?;
    let name = content.name.as_deref().map(|name| text::line("name", name, 200)).transpose()?;
    let fields = content.fields.trim();
    let is_object = fields.is_empty() || serde_json::from_str::<Map<String, Value>>(fields).is_ok();
    if fields.len() > MAX_FIELDS || !is_object {
        return Err(R::InvalidFields);
    }
    Ok(MessageContent {
        email: content.email.trim().to_owned(),
        name: name.filter(|name| !name.is_empty()),
        fields: fields.to_owned(),
        words: content.words.as_ref().map(valid_words).transpose()?,
    })
}

/// Words that can be a mail as far as their form goes. A subject is one line, so nobody adds headers with it.
pub fn valid_words(words: &MessageWords) -> Result<MessageWords, R> {
    let plain = words.text.as_deref().map(|plain| text::block("text", plain, MAX_TEXT)).transpose()?;
    let html = text::block("html", &words.html, MAX_HTML)?;
    if html.trim().is_empty() {
        return Err(R::Required { field: "html" });
    }
    Ok(MessageWords {
        subject: text::required_line("subject", &words.subject, 200)?,
        html,
        text: plain.filter(|plain| !plain.trim().is_empty()),
    })
}

/// A sender every server on the way can read: ASCII addresses, a name of one line.
pub fn valid_sender(sender: &MessageSender) -> Result<MessageSender, R> {
    let address = |address: &str| {
        let address = address.trim();
        let fits = address.is_ascii() && text::normal_email(address).is_some();
        fits.then(|| address.to_owned()).ok_or(R::InvalidSender)
    };
    Ok(MessageSender {
        name: text::required_line("from_name", &sender.name, 100)?,
        email: address(&sender.email)?,
        reply_to: sender.reply_to.as_deref().map(address).transpose()?,
    })
}

/// Whether a text can name a template.
pub fn is_template_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    starts
        && name.len() <= MAX_NAME
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_17_nobody_adds_headers() {
        let words = |subject: &str| MessageWords { subject: subject.into(), html: "<p>Hi</p>".into(), text: None };
        assert!(valid_words(&words("Grüße {{ name }}")).is_ok());
        for bad in ["a\r\nBcc: b@c.example", "a\nb", "a\u{0}b", "a\u{2028}b"] {
            assert_eq!(valid_words(&words(bad)), Err(R::InvalidText { field: "subject" }), "{bad:?}");
        }
        let sender = |name: &str, email: &str| {
            valid_sender(&MessageSender { name: name.into(), email: email.into(), reply_to: None })
        };
        assert!(sender("Garden", "shop@garden.example").is_ok());
        assert_eq!(sender("Gar\r\nden", "shop@garden.example"), Err(R::InvalidText { field: "from_name" }));
        for bad in ["shop", "shöp@garden.example", "shop@garden.example\r\nBcc: x@y.example", "a@b@c.de", ""] {
            assert_eq!(sender("Garden", bad), Err(R::InvalidSender), "{bad:?}");
        }
    }

    #[test]
    fn templates_have_plain_names() {
        assert!(is_template_name("order-ready_2"));
        for bad in ["", "Order", "2nd", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(!is_template_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_largest_message_is_one_event() {
        let words = MessageWords { subject: "x".into(), html: "x".repeat(MAX_HTML), text: Some("x".repeat(MAX_TEXT)) };
        let fields = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_FIELDS - 8));
        let content = MessageContent { email: "a@b.example".into(), name: None, fields, words: Some(words) };
        let content = valid(&content).unwrap();
        assert!(bus_schema::codec::encode(&content).is_ok_and(|bytes| bytes.len() < 900 * 1024));
    }
}
