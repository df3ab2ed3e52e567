//! The address a mail to one person comes back to: a message's, or one mail of a test.
//!
//! 48 characters of base32: id of the message or test (16 bytes), which mail of it (2), the first 96 bits of that mail's
//! [`Token`]. What [`Verp`] is for a campaign's mails; the two differ in length.

use super::{Domain, MailAddress, Token, Verp, token};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

const PREFIX: &str = "b-";
const LENGTH: usize = 48;
const PROOF: usize = 12;
/// Characters of a text in which addresses are looked for.
const MAX_TEXT: usize = 4_096;

/// The address of one mail to one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SingleVerp {
    /// Of a message or a test.
    pub id: Uuid,
    /// The generation of a message; the place of the address in a test.
    pub number: u16,
    proof: [u8; PROOF],
}

impl SingleVerp {
    /// `None` for a number beyond what can be written.
    pub fn of(token: &Token, id: Uuid, number: u32) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        Some(Self { id, number, proof: token.bytes().first_chunk().copied()? })
    }

    pub fn address(&self, domain: &Domain) -> MailAddress {
        let local = format!("{PREFIX}{self}");
        MailAddress::of(&local, domain.clone()).expect("50 letters and digits are a local part at every domain")
    }

    /// Whether it is this mail's.
    pub fn proves(&self, token: &Token) -> bool {
        token.bytes().get(..PROOF).is_some_and(|bytes| bool::from(bytes.ct_eq(&self.proof)))
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = token::from_base32(text).filter(|_| text.len() == LENGTH)?;
        let (id, rest) = bytes.split_at_checked(16)?;
        let (number, proof) = rest.split_at_checked(2)?;
        let number = u16::from_be_bytes(number.try_into().ok()?);
        Some(Self { id: Uuid::from_slice(id).ok()?, number, proof: proof.try_into().ok()? })
    }
}

impl fmt::Display for SingleVerp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.as_bytes()[..], &self.number.to_be_bytes(), &self.proof].concat();
        f.write_str(&token::base32(&bytes))
    }
}

/// An address of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnAddress {
    Campaign(Verp),
    Single(SingleVerp),
}

impl ReturnAddress {
    /// From the address a message came to. The domain is not looked at: this server is asked for its own only.
    pub fn of_address(address: &str) -> Option<Self> {
        let local = address.trim().trim_start_matches('<').split('@').next()?.to_ascii_lowercase();
        Self::read(local.strip_prefix(PREFIX)?)
    }

    /// Every one in a text, with or without what surrounds it.
    pub fn all_in(text: &str) -> Vec<Self> {
        let text = text[..text.floor_char_boundary(MAX_TEXT)].to_ascii_lowercase();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter_map(Self::read).collect()
    }

    pub fn address(&self, domain: &Domain) -> MailAddress {
        match self {
            Self::Campaign(verp) => verp.address(domain),
            Self::Single(verp) => verp.address(domain),
        }
    }

    fn read(word: &str) -> Option<Self> {
        Verp::read(word).map(Self::Campaign).or_else(|| SingleVerp::read(word).map(Self::Single))
    }
}

impl fmt::Display for ReturnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Campaign(verp) => verp.fmt(f),
            Self::Single(verp) => verp.fmt(f),
        }
    }
}

impl From<Verp> for ReturnAddress {
    fn from(verp: Verp) -> Self {
        Self::Campaign(verp)
    }
}

impl From<SingleVerp> for ReturnAddress {
    fn from(verp: SingleVerp) -> Self {
        Self::Single(verp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::IntentKey;
    use bus_schema::{TenantId, mail::response::Seat};

    fn token(recipient: &str) -> Token {
        IntentKey::new([7; 32]).token(&TenantId::try_new("acme").unwrap(), "message", recipient, 0)
    }

    #[test]
    fn check_3_an_address_says_which_mail_it_was_and_proves_it() {
        let single = SingleVerp::of(&token("m1"), Uuid::from_u128(9), 20).unwrap();
        let address = single.address(&Domain::try_new("bounce.shop.example").unwrap()).to_string();
        assert_eq!(address.split('@').next().map(str::len), Some(50));
        for text in [address.clone(), address.to_uppercase(), format!("<{address}>"), format!(" {address} ")] {
            assert_eq!(ReturnAddress::of_address(&text), Some(single.into()), "{text}");
        }
        assert!(single.proves(&token("m1")) && !single.proves(&token("m2")));
        assert_eq!(SingleVerp::of(&token("m1"), Uuid::nil(), 65_536), None);
        for text in ["", "b-", "anna@x.example", &address[2..], "b-short@x.example", &format!("b-{}@x", "1".repeat(48))]
        {
            assert_eq!(ReturnAddress::of_address(text), None, "{text}");
        }
    }

    #[test]
    fn both_kinds_are_told_apart() {
        let single = SingleVerp::of(&token("m1"), Uuid::from_u128(9), 0).unwrap();
        let verp = Verp::of(&token("r1"), Uuid::from_u128(8), Seat { chunk: 1, index: 2 }).unwrap();
        let text = format!("rfc822; <b-{single}@b.example>, prvs=1=b-{verp}@b.example {}", token("m1"));
        assert_eq!(ReturnAddress::all_in(&text), [single.into(), verp.into()]);
    }
}
