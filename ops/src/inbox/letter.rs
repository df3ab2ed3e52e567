//! A mail as the inbox shows it. Mails come from outside: nothing in them is believed, everything is bounded.

use mail_parser::{Address, MessageParser, PartType};
use workers::smtp::sink::Kept;

/// Characters of a line of the list.
const LINE: usize = 200;
/// Bytes of a part that are shown; the raw mail has the rest.
const PART: usize = 4 << 20;
const HEADERS: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) number: u64,
    /// When it was taken.
    pub(super) at: String,
    /// To whom it was handed over, whatever it says itself.
    pub(super) receivers: Vec<String>,
    pub(super) from: String,
    pub(super) subject: String,
    pub(super) bytes: usize,
    /// All of them, as they came.
    pub(super) headers: Vec<(String, String)>,
    pub(super) html: Option<String>,
    pub(super) text: Option<String>,
    /// Names of the other parts.
    pub(super) attachments: Vec<String>,
}

impl Letter {
    /// What the list shows.
    pub(super) fn summary(mail: &Kept) -> Self {
        let parsed = MessageParser::default().parse_headers(&mail.message);
        let mut letter = Self::enveloped(mail);
        if let Some(message) = parsed {
            letter.from = message.from().map(first).unwrap_or_default();
            letter.subject = shortened(message.subject().unwrap_or_default());
        }
        letter
    }

    pub(super) fn whole(mail: &Kept) -> Self {
        let mut letter = Self::summary(mail);
        let Some(message) = MessageParser::default().parse(&mail.message) else { return letter };
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
        letter.headers = message.headers_raw().take(HEADERS).map(pair).collect();
        let html = message.parts.iter().find_map(|part| match &part.body {
            PartType::Html(html) => Some(bounded(html)),
            _ => None,
        });
        let text = message.parts.iter().find_map(|part| match &part.body {
            PartType::Text(text) => Some(bounded(text)),
            _ => None,
        });
        (letter.html, letter.text) = (html, text);
        letter.attachments = (0..message.attachment_count()).map(|number| format!("part {}", number + 1)).collect();
        letter
    }

    fn enveloped(mail: &Kept) -> Self {
        Self {
            number: mail.number,
            at: mail.envelope.first().map(|taken| taken.at.to_string()).unwrap_or_default(),
            receivers: mail.envelope.iter().map(|taken| shortened(&taken.recipient)).collect(),
            bytes: mail.message.len(),
            ..Self::default()
        }
    }
}

fn first(address: &Address<'_>) -> String {
    let Some(first) = address.first() else { return String::new() };
    let mail = first.address().unwrap_or_default();
    shortened(&first.name().map_or_else(|| mail.to_owned(), |name| format!("{name} <{mail}>")))
}

fn shortened(line: &str) -> String {
    line.chars().take(LINE).collect()
}

fn bounded(part: &str) -> String {
    let mut end = part.len().min(PART);
    while !part.is_char_boundary(end) {
        end -= 1;
    }
    part[..end].to_owned()
}
