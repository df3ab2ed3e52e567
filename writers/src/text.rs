//! Limits of texts from outside, the same for every aggregate: trimmed, bounded, without control characters.

/// What is wrong with a text. Each aggregate turns it into a rejection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFault {
    Missing {
        field: &'static str,
    },
    /// `max` is in characters for a line, in bytes for a block.
    TooLong {
        field: &'static str,
        max: usize,
    },
    Control {
        field: &'static str,
    },
}

/// The form in which two spellings of an e-mail address are the same: trimmed and lower case. `None`: it is none (RFC 5321
/// and 6531: `name@domain`, at most 254 characters; quoted names and literal addresses are refused).
pub fn normal_email(email: &str) -> Option<String> {
    let email = email.trim();
    let (local, domain) = email.rsplit_once('@')?;
    let fits = email.len() <= 254 && (1..=64).contains(&local.len()) && (3..=253).contains(&domain.len());
    let in_atom = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
    let local_ok = local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(in_atom));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let domain_ok = domain.contains('.') && domain.split('.').all(label_ok);
    (fits && local_ok && domain_ok).then(|| email.to_lowercase())
}

/// The name under which ids follow from the normal form of an e-mail address: that of a contact's home, and of the
/// address on the list of those that get no mail, so that who is at home is looked up there without the address.
pub const ADDRESS_ID: &str = "contact.email";

/// One line of at most `max` characters, trimmed; may be empty. Line breaks are refused, those of Unicode too, so a line
/// can stand in a mail header.
pub fn line(field: &'static str, text: &str, max: usize) -> Result<String, TextFault> {
    let text = text.trim();
    if text.chars().count() > max {
        return Err(TextFault::TooLong { field, max });
    }
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if text.chars().any(breaks) { Err(TextFault::Control { field }) } else { Ok(text.to_owned()) }
}

/// A line that says something.
pub fn required_line(field: &'static str, text: &str, max: usize) -> Result<String, TextFault> {
    let text = line(field, text, max)?;
    if text.is_empty() { Err(TextFault::Missing { field }) } else { Ok(text) }
}

/// A text of many lines and at most `max` bytes, kept as it is; may be empty.
pub fn block(field: &'static str, text: &str, max: usize) -> Result<String, TextFault> {
    if text.len() > max {
        return Err(TextFault::TooLong { field, max });
    }
    let refused = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(refused) { Err(TextFault::Control { field }) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_hold_no_break() {
        assert_eq!(line("title", "  Grüße ", 5), Ok("Grüße".into()));
        assert_eq!(line("title", "abcdef", 5), Err(TextFault::TooLong { field: "title", max: 5 }));
        assert_eq!(required_line("title", " \t", 5), Err(TextFault::Missing { field: "title" }));
        for bad in ["a\r\nb", "a\nb", "a\u{0}b", "a\u{85}b", "a\u{2028}b"] {
            assert_eq!(line("title", bad, 5), Err(TextFault::Control { field: "title" }), "{bad:?} must be refused");
        }
    }

    #[test]
    fn blocks_keep_their_lines() {
        assert_eq!(block("body", " a\r\n\tb\n", 10), Ok(" a\r\n\tb\n".into()));
        assert_eq!(block("body", "ää", 3), Err(TextFault::TooLong { field: "body", max: 3 }));
        assert_eq!(block("body", "a\u{0}", 3), Err(TextFault::Control { field: "body" }));
    }
}
