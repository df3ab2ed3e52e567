//! Tokens that callers present: `ms_<tenant>_<secret>` for a session, `mr_<tenant>_<key id>_<secret>` for a program's
//! key. A secret is 256 random bits in base64url. Only hashes of secrets are stored, and a token never shows itself in
//! a debug print.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::TenantId;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

const SESSION: &str = "ms_";
const KEY: &str = "mr_";
const SECRET_LEN: usize = 32;
/// Bytes of a secret in base64url without padding.
const SECRET_TEXT: usize = 43;

/// 256 random bits.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_LEN]>);

impl Secret {
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| NoRandomness(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// SHA-256: enough for a secret that cannot be guessed.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != SECRET_TEXT {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The token of a session.
#[derive(Clone, Debug)]
pub struct SessionToken {
    pub tenant: TenantId,
    secret: Secret,
}

impl SessionToken {
    pub fn random(tenant: &TenantId) -> Result<Self, NoRandomness> {
        Ok(Self { tenant: tenant.clone(), secret: Secret::random()? })
    }

    /// Reads a token from outside; anything but the exact form is nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, secret) = text.strip_prefix(SESSION)?.split_once('_')?;
        Some(Self { tenant: TenantId::try_new(tenant).ok()?, secret: Secret::parse(secret)? })
    }

    /// The token as its holder gets it. Named, not `Display`, so that it does not end up in a log by accident.
    pub fn expose(&self) -> String {
        format!("{SESSION}{}_{}", self.tenant, self.secret.text())
    }

    pub fn hash(&self) -> [u8; 32] {
        self.secret.hash()
    }
}

/// The token of a program's key.
#[derive(Clone, Debug)]
pub struct KeyToken {
    pub tenant: TenantId,
    pub key: Uuid,
    secret: Secret,
}

impl KeyToken {
    pub fn random(tenant: &TenantId, key: Uuid) -> Result<Self, NoRandomness> {
        Ok(Self { tenant: tenant.clone(), key, secret: Secret::random()? })
    }

    /// Reads a token from outside; anything but the exact form is nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, rest) = text.strip_prefix(KEY)?.split_once('_')?;
        let (key, secret) = rest.split_once('_')?;
        let exact = key.len() == 32 && key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let key = exact.then(|| Uuid::try_parse(key).ok()).flatten()?;
        Some(Self { tenant: TenantId::try_new(tenant).ok()?, key, secret: Secret::parse(secret)? })
    }

    /// The token as its holder gets it, once.
    pub fn expose(&self) -> String {
        format!("{KEY}{}_{}_{}", self.tenant, self.key.simple(), self.secret.text())
    }

    pub fn hash(&self) -> [u8; 32] {
        self.secret.hash()
    }
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub fn same_hash(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The 32 bytes of a hash written in hexadecimal.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The machine gave no random bytes; nothing may be made without them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::try_new("demo-2").unwrap()
    }

    #[test]
    fn tokens_round_trip() {
        for _ in 0..200 {
            // Secrets with '_' and '-' come up too.
            let token = SessionToken::random(&tenant()).unwrap();
            let back = SessionToken::parse(&token.expose()).unwrap();
            assert_eq!((back.tenant.clone(), back.hash()), (tenant(), token.hash()));
            let token = KeyToken::random(&tenant(), Uuid::from_u128(77)).unwrap();
            let back = KeyToken::parse(&token.expose()).unwrap();
            assert_eq!((back.key, back.hash()), (Uuid::from_u128(77), token.hash()));
            assert!(same_hash(&back.hash(), &token.hash()));
        }
    }

    #[test]
    fn a_token_shows_itself_only_when_asked() {
        let token = KeyToken::random(&tenant(), Uuid::from_u128(77)).unwrap();
        assert!(!format!("{token:?}").contains(&token.secret.text()));
        assert_ne!(SessionToken::random(&tenant()).unwrap().hash(), SessionToken::random(&tenant()).unwrap().hash());
    }

    #[test]
    fn anything_but_the_exact_form_is_nothing() {
        let (key, secret) = ("0".repeat(32), "A".repeat(43));
        let good = format!("mr_demo_{key}_{secret}");
        assert!(KeyToken::parse(&good).is_some());
        assert!(SessionToken::parse(&good).is_none());
        let other_bits = format!("{}B", "A".repeat(42));
        for bad in [
            String::new(),
            "mr_".into(),
            "mr___".into(),
            format!(" {good}"),
            format!("{good} "),
            format!("{good}="),
            format!("mr_Demo_{key}_{secret}"),
            format!("mr_demo_{}_{secret}", "0".repeat(31)),
            format!("mr_demo_{}_{secret}", "A".repeat(32)),
            format!("mr_demo_{{{}}}_{secret}", "0".repeat(30)),
            format!("mr_demo_{key}_{}", "A".repeat(42)),
            format!("mr_demo_{key}_{other_bits}"),
            format!("mr_demo_{key}_{}", "+".repeat(43)),
            format!("mr_demo_{key}_{}é", "A".repeat(41)),
            format!("mr_{}_{key}_{secret}", "a".repeat(41)),
            "é".repeat(50),
        ] {
            assert!(KeyToken::parse(&bad).is_none(), "{bad:?}");
            assert!(SessionToken::parse(&bad.replacen("mr_", "ms_", 1)).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn hashes_are_written_in_hexadecimal() {
        let hash: [u8; 32] = std::array::from_fn(|i| i as u8 * 8);
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        for bad in ["", "zz", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert_eq!(unhex(bad), None, "{bad:?}");
        }
    }
}
