//! Text that becomes part of a header. What could begin a line of its own is refused (checks 17 to 19).

use super::MailAddress;
use std::fmt;

/// Bytes of one value. Longer subjects and names are mistakes or attacks.
const TEXT_LIMIT: usize = 900;
const NAME_LIMIT: usize = 76;

/// One line of text for a header: a subject, a display name, a custom value. Any script; encoded when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderText {
    /// White space at both ends is cut. A line break or another control character is an error, not cleaned away: whoever
    /// sends one should hear of it.
    pub fn try_new(text: &str) -> Result<Self, HeaderError> {
        let text = text.trim_matches([' ', '\t']);
        // The last two end a line for some readers.
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(HeaderError::Control);
        }
        if text.len() > TEXT_LIMIT {
            return Err(HeaderError::TooLong { limit: TEXT_LIMIT });
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name of a custom header: printable ASCII, and none that the composer writes or that a server adds on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(String);

/// Names that are not for authors: in lower case, an ending `-` stands for all names that begin so.
const RESERVED: [&str; 25] = [
    "arc-",
    "authentication-results",
    "auto-submitted",
    "bcc",
    "cc",
    "content-",
    "date",
    "delivered-to",
    "dkim-",
    "dkim2-",
    "feedback-id",
    "from",
    "list-",
    "message-id",
    "mime-version",
    "precedence",
    "received",
    "received-",
    "reply-to",
    "resent-",
    "return-path",
    "sender",
    "subject",
    "to",
    "x-ses-",
];

impl HeaderName {
    pub fn try_new(name: &str) -> Result<Self, HeaderError> {
        if name.is_empty()
            || name.len() > NAME_LIMIT
            || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
        {
            return Err(HeaderError::Name);
        }
        let lower = name.to_ascii_lowercase();
        let taken = |reserved: &str| lower == reserved || (reserved.ends_with('-') && lower.starts_with(reserved));
        if RESERVED.into_iter().any(taken) {
            return Err(HeaderError::Reserved);
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person or a service with an address. Its `Debug` shows neither name nor address.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Empty for none.
    pub name: HeaderText,
    pub address: MailAddress,
}

impl Mailbox {
    pub fn new(name: HeaderText, address: MailAddress) -> Self {
        Self { name, address }
    }
}

impl From<MailAddress> for Mailbox {
    fn from(address: MailAddress) -> Self {
        Self { name: HeaderText(String::new()), address }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({:?})", self.address)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("a subject, a name or a header has a line break or another control character; remove it")]
    Control,
    #[error("a subject, a name or a header has more than {limit} bytes; shorten it")]
    TooLong { limit: usize },
    #[error("the name of a header has 1 to {NAME_LIMIT} printable ASCII characters and no colon")]
    Name,
    #[error("this header is written by the platform or by servers on the way; choose another name, as X-Something")]
    Reserved,
    #[error(
        "an unsubscribe address is one HTTPS URL of at most 900 printable ASCII characters, without <, > or quotes"
    )]
    Url,
    #[error("a Feedback-ID has four different parts of 1 to 60 letters, digits, - or _; the last has 5 to 15")]
    Feedback,
    #[error("a List-Id has 1 to 63 letters, digits or - before its domain")]
    List,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_17_a_line_break_in_a_header_is_refused() {
        for bad in ["a\r\nBcc: b@c.example", "a\nb", "a\rb", "a\0b", "a\u{85}b", "a\u{2028}b", "\u{7f}"] {
            assert_eq!(HeaderText::try_new(bad), Err(HeaderError::Control), "{bad:?}");
        }
        assert_eq!(HeaderText::try_new("  Grüße, 世界 ").unwrap().as_str(), "Grüße, 世界");
        assert!(HeaderText::try_new(&"x".repeat(901)).is_err());
    }

    #[test]
    fn check_19_names_are_printable_ascii_and_not_reserved() {
        assert!(HeaderName::try_new("X-Campaign").is_ok());
        for bad in ["", "X Y", "X:", "X\r\nBcc", "Grüße", "a\t"] {
            assert_eq!(HeaderName::try_new(bad), Err(HeaderError::Name), "{bad:?}");
        }
        for reserved in
            ["bcc", "FROM", "Content-Type", "List-Unsubscribe", "DKIM-Signature", "ARC-Seal", "X-SES-Whatever"]
        {
            assert_eq!(HeaderName::try_new(reserved), Err(HeaderError::Reserved), "{reserved}");
        }
    }
}
