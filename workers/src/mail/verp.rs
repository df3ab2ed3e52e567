//! The address a campaign's mail comes back to: which mail it was, and a proof (check 3).
//!
//! 56 characters of base32: campaign (16 bytes), number of the chunk (3), place in it (2), the first 112 bits of the mail's
//! [`Token`]. With `b-` before it that is a local part every server takes (at most 64 characters, RFC 5321 4.5.3.1.1), in
//! either case. The same stands in a header of the mail, for reports that were sent elsewhere.

use super::{Domain, MailAddress, Token, token};
use bus_schema::mail::response::Seat;
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The header of a mail that repeats its address for bounces.
pub const MAIL_HEADER: &str = "X-Millrace-Mail";
const PREFIX: &str = "b-";
const LENGTH: usize = 56;
const PROOF: usize = 14;
/// The chunks that have a number of three bytes: campaigns to eight thousand million.
const MAX_CHUNK: u32 = 0x00ff_ffff;
/// Characters of a text in which addresses are looked for.
const MAX_TEXT: usize = 4_096;

/// The address of one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verp {
    pub campaign: Uuid,
    pub seat: Seat,
    proof: [u8; PROOF],
}

impl Verp {
    /// `None` for a place beyond what can be written.
    pub fn of(token: &Token, campaign: Uuid, seat: Seat) -> Option<Self> {
        let proof = token.bytes().first_chunk().copied().filter(|_| seat.chunk <= MAX_CHUNK)?;
        Some(Self { campaign, seat, proof })
    }

    pub fn address(&self, domain: &Domain) -> MailAddress {
        let local = format!("{PREFIX}{self}");
        MailAddress::of(&local, domain.clone()).expect("58 letters and digits are a local part at every domain")
    }

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

    /// Whether it is this mail's.
    pub fn proves(&self, token: &Token) -> bool {
        token.bytes().get(..PROOF).is_some_and(|bytes| bool::from(bytes.ct_eq(&self.proof)))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = token::from_base32(text).filter(|_| text.len() == LENGTH)?;
        let (campaign, rest) = bytes.split_at_checked(16)?;
        let [high, middle, low, index @ ..] = rest.get(..5)? else { return None };
        let seat = Seat {
            chunk: u32::from_be_bytes([0, *high, *middle, *low]),
            index: u16::from_be_bytes(index.try_into().ok()?),
        };
        Some(Self { campaign: Uuid::from_slice(campaign).ok()?, seat, proof: rest.get(5..)?.try_into().ok()? })
    }
}

impl fmt::Display for Verp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, chunk @ ..] = self.seat.chunk.to_be_bytes();
        let bytes = [&self.campaign.as_bytes()[..], &chunk, &self.seat.index.to_be_bytes(), &self.proof].concat();
        f.write_str(&token::base32(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::IntentKey;
    use bus_schema::TenantId;

    fn token(recipient: &str) -> Token {
        IntentKey::new([7; 32]).token(&TenantId::try_new("acme").unwrap(), "spring", recipient, 0)
    }

    #[test]
    fn check_3_an_address_says_which_mail_it_was_and_proves_it() {
        let seat = Seat { chunk: 70_000, index: 499 };
        let verp = Verp::of(&token("r1"), Uuid::from_u128(9), seat).unwrap();
        let address = verp.address(&Domain::try_new("bounce.shop.example").unwrap()).to_string();
        assert_eq!(address.split('@').next().map(str::len), Some(58));
        for text in [address.clone(), address.to_uppercase(), format!("<{address}>"), format!(" {address} ")] {
            assert_eq!(Verp::of_address(&text), Some(verp), "{text}");
        }
        assert!(verp.proves(&token("r1")) && !verp.proves(&token("r2")));
        let inside = format!("rfc822; prvs=1234={address}, <{address}>");
        assert_eq!(Verp::all_in(&inside), [verp, verp]);
        for text in ["", "b-", "anna@x.example", &address[2..], "b-short@x.example", &format!("b-{}@x", "1".repeat(56))]
        {
            assert_eq!(Verp::of_address(text), None, "{text}");
        }
        assert_eq!(Verp::of(&token("r1"), Uuid::nil(), Seat { chunk: MAX_CHUNK + 1, index: 0 }), None);
    }
}
