//! Mail addresses and domains, checked before anything is composed or sent (RFC 5321 4.1.2, RFC 6531 3.3).
//!
//! A domain is kept as A-labels, so what is sent never needs more than ASCII there. A local part beyond ASCII stays as
//! it is: the mail then needs a provider with SMTPUTF8.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::{fmt, str::FromStr, sync::Arc};

/// Bytes of a local part (RFC 5321 4.5.3.1.1).
const LOCAL_LIMIT: usize = 64;
/// Bytes of an address: a path of 256 with its angle brackets (RFC 5321 4.5.3.1.3).
const ADDRESS_LIMIT: usize = 254;

/// A fully qualified domain name in lower-case A-labels. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

/// Somebody's mail address. Its `Debug` hides the local part, since it lands in logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress {
    local: Arc<str>,
    domain: Domain,
}

impl Domain {
    /// Takes a name in any script; it has two labels or more, and the last is no number (that would be an IP address).
    pub fn try_new(name: &str) -> Result<Self, AddressError> {
        let ascii = Uts46::new()
            .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| AddressError::Domain("letters, digits and hyphens in labels of at most 63 characters"))?;
        let last = match ascii.rsplit_once('.') {
            Some((_, last)) => last,
            None => return Err(AddressError::Domain("two labels or more: it must be a full name")),
        };
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Domain("a name, not an IP address"));
        }
        Ok(Self(ascii.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MailAddress {
    pub fn try_new(address: &str) -> Result<Self, AddressError> {
        let (local, domain) = address.rsplit_once('@').ok_or(AddressError::NoAt)?;
        Self::of(local, Domain::try_new(domain)?)
    }

    /// An address at a domain that is checked already.
    pub fn of(local: &str, domain: Domain) -> Result<Self, AddressError> {
        check_local(local)?;
        if local.len() > LOCAL_LIMIT || local.len() + 1 + domain.0.len() > ADDRESS_LIMIT {
            return Err(AddressError::TooLong);
        }
        Ok(Self { local: local.into(), domain })
    }

    pub fn local(&self) -> &str {
        &self.local
    }

    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The local part is beyond ASCII: only a provider with SMTPUTF8 can take it.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl FromStr for MailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::try_new(text)
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailAddress(..@{})", self.domain)
    }
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if let Some(quoted) = local.strip_prefix('"') {
        let inner = quoted.strip_suffix('"').ok_or(AddressError::Local("its quotes are not closed"))?;
        return check_quoted(inner);
    }
    if local.is_empty() || local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(AddressError::Local("it is empty, or a dot stands at an end or beside another"));
    }
    let allowed = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => true,
        c if c.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(c),
        c => is_plain(c),
    };
    if local.chars().all(allowed) { Ok(()) } else { Err(AddressError::Local("it has a character that needs quotes")) }
}

fn check_quoted(inner: &str) -> Result<(), AddressError> {
    let mut escaped = false;
    for c in inner.chars() {
        let printable = (' '..='~').contains(&c) || (!c.is_ascii() && is_plain(c));
        if !printable || (c == '"' && !escaped) {
            return Err(AddressError::Local("a control character or a bare quote stands inside its quotes"));
        }
        escaped = c == '\\' && !escaped;
    }
    if escaped || inner.is_empty() {
        return Err(AddressError::Local("nothing is inside its quotes, or the closing quote is escaped"));
    }
    Ok(())
}

/// No control, no white space, nothing that changes the direction of what a person reads.
fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !c.is_whitespace() && !turns
}

/// Why an address is none. The message does not repeat the address, which is personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("a mail address has an @ between its name and its domain")]
    NoAt,
    #[error("the part before the @ of a mail address is not valid: {0}")]
    Local(&'static str),
    #[error("the domain of a mail address is not valid: it needs {0}")]
    Domain(&'static str),
    #[error("a mail address has at most 64 bytes before the @ and 254 in all")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_29_a_domain_is_sent_as_a_labels_and_a_local_part_as_it_is() {
        let address = MailAddress::try_new("Anna@Bücher.example").unwrap();
        assert_eq!(address.to_string(), "Anna@xn--bcher-kva.example");
        assert!(!address.needs_smtputf8());
        let address = MailAddress::try_new("jörg@bücher.example").unwrap();
        assert_eq!(address.to_string(), "jörg@xn--bcher-kva.example");
        assert!(address.needs_smtputf8());
        assert_eq!(format!("{address:?}"), "MailAddress(..@xn--bcher-kva.example)");
    }

    #[test]
    fn addresses_of_the_rules_are_taken() {
        for good in [
            "a@b.cd",
            "a.b+c_d@x.example",
            "\"two words\"@x.example",
            "\"a\\\"b\"@x.example",
            "!#$%&'*+-/=?^_`{|}~@x.example",
        ] {
            assert!(MailAddress::try_new(good).is_ok(), "{good}");
        }
        let longest =
            format!("{}@{}", "l".repeat(64), ["d".repeat(63), "d".repeat(63), "d".repeat(57), "ab".into()].join("."));
        assert!(longest.len() <= 254 && MailAddress::try_new(&longest).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("{}@x.example", "l".repeat(65));
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@x.example",
            "a@localhost",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            ".a@x.example",
            "a..b@x.example",
            "a.@x.example",
            "a b@x.example",
            "a\r\nRCPT TO:<b@x.example>@x.example",
            "a>@x.example",
            "<a@x.example",
            "a@x_y.example",
            "a@-x.example",
            "a@x..example",
            "a@x.example.",
            "\"a@x.example",
            "\"\"@x.example",
            "\"a\\\"@x.example",
            "\"a\rb\"@x.example",
            "a\u{202e}b@x.example",
            "a\u{85}@x.example",
            "a@x.example\r\n",
            "a@x.exa mple",
            &long,
        ] {
            assert!(MailAddress::try_new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// Whatever comes in, nothing that could end a command or a header line comes out.
        #[test]
        fn no_address_breaks_out_of_its_line(text in "\\PC{0,30}[\\x00-\\x7f]{0,20}@?[a-zé.\\-]{0,20}") {
            if let Ok(address) = MailAddress::try_new(&text) {
                let shown = address.to_string();
                prop_assert!(!shown.chars().any(char::is_control));
                prop_assert!(shown.len() <= ADDRESS_LIMIT);
                prop_assert!(address.domain().as_str().is_ascii());
                prop_assert_eq!(MailAddress::try_new(&shown), Ok(address));
            }
        }
    }
}
