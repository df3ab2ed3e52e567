//! The name of one intent to send: the same for every attempt, different for every recipient (spec/EMAIL.md 5.3, 6).
//!
//! It is the Message-ID, the local part of the bounce address (VERP), the tag at the provider and part of links. It says
//! nothing about the recipient and cannot be made by anybody without the key.

use super::{Domain, MailAddress};
use bus_schema::{TenantId, keys::TenantKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// RFC 4648 base32 in lower case: it survives every mail system, also one that changes the case of a local part.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 160 bits.
const LENGTH: usize = 32;
/// Before the token in a bounce address.
const VERP: &str = "b-";

/// Makes tokens. One per platform or tenant; a change of it makes every pending mail a new one. Its `Debug` hides it.
#[derive(Clone)]
pub struct IntentKey(Zeroizing<[u8; 32]>);

impl IntentKey {
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The one of a tenant: it follows from the tenant's key, so every process makes the same tokens.
    pub fn of(key: &TenantKey) -> Self {
        let mut secret = [0; 32];
        // 32 hexadecimal digits.
        let derived = key.claim("mail.intent", "key").to_string();
        secret.iter_mut().zip(derived.bytes()).for_each(|(to, byte)| *to = byte);
        Self::new(secret)
    }

    /// `generation` changes only when a person asks for a resend.
    pub fn token(&self, tenant: &TenantId, campaign: &str, recipient: &str, generation: u32) -> Token {
        let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0[..]) else {
            return Token("a".repeat(LENGTH));
        };
        let generation = generation.to_be_bytes();
        let parts =
            [b"mail intent 1", tenant.as_str().as_bytes(), campaign.as_bytes(), recipient.as_bytes(), &generation];
        for part in parts {
            // With their lengths, so that no two lists of parts read the same.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Token(base32(&mac.finalize().into_bytes()[..LENGTH * 5 / 8]))
    }
}

impl fmt::Debug for IntentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntentKey(..)")
    }
}

/// 32 characters of base32.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 160 bits.
    pub(super) fn bytes(&self) -> Vec<u8> {
        from_base32(&self.0).unwrap_or_default()
    }

    /// Without angle brackets.
    pub fn message_id(&self, domain: &Domain) -> String {
        format!("{}@{domain}", self.0)
    }

    /// Where a bounce of this mail comes back (check 3).
    pub fn bounce_address(&self, domain: &Domain) -> MailAddress {
        let local = format!("{VERP}{}", self.0);
        MailAddress::of(&local, domain.clone()).expect("34 letters and digits are a local part at every domain")
    }

    /// From a Message-ID or a bounce address, with or without angle brackets. The domain is not looked at.
    pub fn found_in(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('<').to_ascii_lowercase();
        let local = text.split_once('@').map_or(&text[..], |(local, _)| local);
        local.strip_prefix(VERP).unwrap_or(local).parse().ok()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let valid = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        if valid { Ok(Self(text.to_owned())) } else { Err(NotAToken) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token of a mail has {LENGTH} characters of a to z and 2 to 7")]
pub struct NotAToken;

/// Of a multiple of five bytes, so without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5);
    for chunk in bytes.chunks_exact(5) {
        let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        text.extend((0..8).rev().map(|at| char::from(ALPHABET[(bits >> (at * 5) & 31) as usize])));
    }
    text
}

/// The reverse, of lower case; `None`: there is another character, or a piece is missing.
pub(super) fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    for chunk in text.as_bytes().chunks(8) {
        let mut bits = 0u64;
        for byte in chunk {
            let place = ALPHABET.iter().position(|known| known == byte)?;
            bits = bits << 5 | place as u64;
        }
        bytes.extend_from_slice(bits.to_be_bytes().get(3..).filter(|_| chunk.len() == 8)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::try_new(name).unwrap()
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        // RFC 4648 10, in lower case.
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
        assert_eq!(from_base32("mzxw6ytb").as_deref(), Some(&b"fooba"[..]));
        for bad in ["mzxw6yt", "mzxw6yt1", "MZXW6YTB", "mzxw6yt\u{e4}"] {
            assert_eq!(from_base32(bad), None, "{bad}");
        }
    }

    #[test]
    fn check_15_a_token_repeats_for_the_same_intent_only() {
        let key = IntentKey::new([7; 32]);
        let token = key.token(&tenant("acme"), "spring", "r1", 0);
        assert_eq!(token, key.token(&tenant("acme"), "spring", "r1", 0));
        for other in [
            key.token(&tenant("acme"), "spring", "r1", 1),
            key.token(&tenant("acme"), "spring", "r2", 0),
            key.token(&tenant("acme"), "springr", "1", 0),
            key.token(&tenant("acmes"), "pring", "r1", 0),
            IntentKey::new([8; 32]).token(&tenant("acme"), "spring", "r1", 0),
        ] {
            assert_ne!(token, other);
        }
        assert_eq!(format!("{key:?}"), "IntentKey(..)");
    }

    #[test]
    fn check_3_a_token_is_found_again_in_what_comes_back() {
        let token = IntentKey::new([7; 32]).token(&tenant("acme"), "spring", "r1", 0);
        let domain = Domain::try_new("bounce.shop.example").unwrap();
        let address = token.bounce_address(&domain).to_string();
        assert_eq!(address.len(), 34 + 1 + "bounce.shop.example".len());
        for text in [
            address.clone(),
            address.to_uppercase(),
            format!("<{}>", token.message_id(&domain)),
            format!(" <{address}>"),
        ] {
            assert_eq!(Token::found_in(&text), Some(token.clone()), "{text}");
        }
        for text in ["", "@", "anna@x.example", "b-short@x.example", &"1".repeat(32)] {
            assert_eq!(Token::found_in(text), None, "{text}");
        }
    }
}
