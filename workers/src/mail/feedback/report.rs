//! What a message that came back says (checks 54 and 55).
//!
//! | message                                                          | says                                                        |
//! |------------------------------------------------------------------|-------------------------------------------------------------|
//! | `multipart/report; report-type=delivery-status` (RFC 3464)       | action `failed`: bounced; `delivered`: delivered; else nothing |
//! | `multipart/report; report-type=feedback-report` (RFC 5965)       | `not-spam`: no spam; `virus`, `auth-failure`: nothing; else a complaint |
//! | a header `X-Failed-Recipients` (older Exim), qmail's own form    | bounced                                                     |
//! | anything else: answers, holidays, questions, receipts of reading | nothing                                                     |
//!
//! A status of RFC 3463 says how final a bounce is: what is wrong with the address is permanent, a full or slow mailbox is
//! transient, and what is wrong with the message, the sender or a rule says nothing about the address.

use super::fields::{Fields, untyped};
use crate::mail::{MAIL_HEADER, ReturnAddress, Token};
use bus_schema::mail::feedback::BounceKind;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

/// Bytes of a message that are read.
pub const MAX_MESSAGE: usize = 1 << 20;
/// Mails, and addresses, that a report may name.
const MAX_MAILS: usize = 8;
/// Parts of a message that are looked at.
const MAX_PARTS: usize = 100;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Bounced {
        kind: BounceKind,
        status: Option<String>,
    },
    Delivered,
    /// With the word of RFC 5965.
    Complained {
        kind: String,
    },
    NotSpam,
    /// Nothing about the fate of a mail.
    Nothing,
}

/// What a message says, and the mails it names, the likeliest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub said: Said,
    pub mails: Vec<ReturnAddress>,
    /// Of the mail that came back, when they have the form of ours.
    pub message_ids: Vec<Token>,
    /// Whom it says the mail was for, in small letters.
    pub recipients: Vec<String>,
}

impl Report {
    fn nothing() -> Self {
        Self { said: Said::Nothing, mails: Vec::new(), message_ids: Vec::new(), recipients: Vec::new() }
    }
}

/// Reads a message. One on which the parser of MIME stumbles says nothing.
pub fn read(raw: &[u8]) -> Report {
    let raw = &raw[..raw.len().min(MAX_MESSAGE)];
    // It is not ours, and whoever can reach the server for bounces chooses the bytes.
    std::panic::catch_unwind(|| parsed(raw)).ok().flatten().unwrap_or_else(Report::nothing)
}

/// `None`: it says nothing about the fate of a mail.
fn parsed(raw: &[u8]) -> Option<Report> {
    let message = MessageParser::default().parse(raw)?;
    let header = Fields::header(raw);
    let kind = message.content_type().filter(|kind| {
        kind.ctype().eq_ignore_ascii_case("multipart")
            && kind.subtype().is_some_and(|subtype| subtype.eq_ignore_ascii_case("report"))
    });
    let report_type = kind.and_then(|kind| kind.attribute("report-type")).unwrap_or_default().to_ascii_lowercase();
    let said = match report_type.as_str() {
        "delivery-status" => part(&message, "delivery-status").map_or(Said::Nothing, |part| delivery(&part)),
        "feedback-report" => part(&message, "feedback-report").map_or(Said::Nothing, |part| feedback(&part)),
        "" => informal(&message, &header),
        _ => Said::Nothing,
    };
    if said == Said::Nothing {
        return None;
    }
    let (mails, message_ids) = mails(&message, &header);
    Some(Report { said, mails, message_ids, recipients: recipients(&message, &header) })
}

/// The body of the first part `message/<subtype>`.
fn part(message: &Message<'_>, subtype: &str) -> Option<Vec<u8>> {
    let found = message.parts.iter().take(MAX_PARTS).find(|part| {
        part.content_type().is_some_and(|kind| {
            let named = kind.subtype().unwrap_or_default();
            let global = named.to_ascii_lowercase();
            kind.ctype().eq_ignore_ascii_case("message") && global.strip_prefix("global-").unwrap_or(&global) == subtype
        })
    })?;
    Some(match &found.body {
        PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
        PartType::Message(inner) => inner.raw_message().to_vec(),
        PartType::Multipart(_) => return None,
    })
}

/// The recipients of a delivery status: the gravest of what is said of them.
fn delivery(part: &[u8]) -> Said {
    let mut delivered = false;
    let mut gravest: Option<(BounceKind, Option<String>)> = None;
    for group in Fields::groups(part) {
        let action = group.get("action").unwrap_or_default();
        let action = action.split([' ', '(', ';']).next().unwrap_or_default().to_ascii_lowercase();
        delivered |= action == "delivered";
        if action != "failed" {
            continue;
        }
        let status = group.get("status").and_then(status_in);
        let diagnostic = group.get("diagnostic-code").map(untyped).unwrap_or_default();
        // `5.0.0` says less than what the server answered.
        let detailed = status.clone().filter(|status| !status.ends_with(".0.0"));
        let status = detailed.or_else(|| status_in(&diagnostic)).or(status);
        let kind = degree(status.as_deref());
        if gravest.as_ref().is_none_or(|(known, _)| kind > *known) {
            gravest = Some((kind, status));
        }
    }
    match gravest {
        Some((kind, status)) => Said::Bounced { kind, status },
        None if delivered => Said::Delivered,
        None => Said::Nothing,
    }
}

fn feedback(part: &[u8]) -> Said {
    let fields = Fields::header(part);
    let kind = fields.get("feedback-type").unwrap_or_default().to_ascii_lowercase();
    match kind.as_str() {
        "not-spam" => Said::NotSpam,
        "" | "virus" | "auth-failure" => Said::Nothing,
        _ => {
            let word = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
            Said::Complained { kind: kind.chars().filter(word).take(40).collect() }
        }
    }
}

/// Bounces in forms older than RFC 3464.
fn informal(message: &Message<'_>, header: &Fields) -> Said {
    let text = message.body_text(0).unwrap_or_default();
    let text = &text[..text.floor_char_boundary(8_192)];
    let exim = header.get("x-failed-recipients").is_some();
    let qmail = text.trim_start().starts_with("Hi. This is the ") && text.contains("permanent error");
    if !exim && !qmail {
        return Said::Nothing;
    }
    let status = status_in(text);
    Said::Bounced { kind: degree(status.as_deref()), status }
}

/// The first status of class 4 or 5 in a text.
fn status_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|word| word.trim_matches('.'));
    let status = |word: &&str| word.starts_with(['4', '5']) && writers::mail::feedback::is_status(word);
    words.filter(|word| word.len() <= 9).find(status).map(str::to_owned)
}

/// How final a failure with this status is (RFC 3463, with the registry's later codes).
pub fn degree(status: Option<&str>) -> BounceKind {
    let Some((class, rest)) = status.and_then(|status| status.split_once('.')) else { return BounceKind::Undetermined };
    match (class, rest) {
        // Given up after it was tried for long.
        ("4", _) => BounceKind::Transient,
        // No such mailbox, domain or form of address; it has moved; its domain takes no mail (RFC 7505).
        ("5", "1.1" | "1.2" | "1.3" | "1.6" | "1.10") => BounceKind::Permanent,
        // It is closed; no way leads to its host.
        ("5", "2.1" | "4.4") => BounceKind::Permanent,
        ("5", "2.2" | "4.1" | "4.7" | "3.2") => BounceKind::Transient,
        _ => BounceKind::Undetermined,
    }
}

/// The mails a report names: by the address it went to, then by the header of the mail that came back.
fn mails(message: &Message<'_>, header: &Fields) -> (Vec<ReturnAddress>, Vec<Token>) {
    let (mut found, mut ids): (Vec<ReturnAddress>, Vec<Token>) = (Vec::new(), Vec::new());
    for name in ["x-original-to", "delivered-to", "envelope-to", "to"] {
        header.all(name).for_each(|text| add(&mut found, text));
    }
    for part in message.parts.iter().take(MAX_PARTS) {
        let subtype = part.content_type().and_then(|kind| kind.subtype()).unwrap_or_default().to_ascii_lowercase();
        let bytes = match &part.body {
            PartType::Message(inner) => inner.raw_message(),
            PartType::Text(text) if subtype == "rfc822-headers" || subtype.ends_with("-report") => text.as_bytes(),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes,
            _ => continue,
        };
        let fields = Fields::header(bytes);
        for name in [MAIL_HEADER, "return-path", "original-mail-from", "original-envelope-id"] {
            fields.all(name).for_each(|text| add(&mut found, text));
        }
        ids.extend(fields.all("message-id").filter_map(Token::found_in));
    }
    if found.is_empty()
        && let Some(text) = message.body_text(0)
    {
        // Older forms have the message in their text.
        let text = &text[..text.floor_char_boundary(MAX_MESSAGE / 8)];
        let named =
            |name: &str| [MAIL_HEADER, "return-path"].iter().any(|known| name.trim().eq_ignore_ascii_case(known));
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(name, _)| named(name)).for_each(|(_, value)| add(&mut found, value));
    }
    found.truncate(MAX_MAILS);
    ids.dedup();
    ids.truncate(MAX_MAILS);
    (found, ids)
}

fn add(found: &mut Vec<ReturnAddress>, text: &str) {
    for address in ReturnAddress::all_in(text) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
}

/// The addresses a report says it is about.
fn recipients(message: &Message<'_>, header: &Fields) -> Vec<String> {
    let parts = ["delivery-status", "feedback-report"].into_iter().filter_map(|subtype| part(message, subtype));
    let mut groups: Vec<Fields> = parts.flat_map(|part| Fields::groups(&part)).collect();
    groups.push(header.clone());
    let names = ["final-recipient", "original-recipient", "original-rcpt-to", "x-failed-recipients"];
    let mut found: Vec<String> = Vec::new();
    for text in groups.iter().flat_map(|group| names.iter().flat_map(move |name| group.all(name))) {
        let address = untyped(text).trim().trim_matches(['<', '>']).to_lowercase();
        if address.contains('@') && address.len() <= 254 && !found.contains(&address) {
            found.push(address);
        }
    }
    found.truncate(MAX_MAILS);
    found
}

#[cfg(test)]
mod tests;
