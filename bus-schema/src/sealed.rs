//! Personal data inside events: encrypted under a per-person key that can be destroyed.
//!
//! `Sealed<T>` is XChaCha20-Poly1305 over the MessagePack of `T`; the associated data binds it to its key and to what
//! it is. Destroying the key erases the person from the log, its replicas and its backups (NIST SP 800-88,
//! cryptographic erase). Opening a value whose key is gone gives [`Revealed::Erased`], which every reader handles.

use crate::{codec, ids::KeyId};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use sha2::Sha256;
use std::{cell::RefCell, collections::HashMap, fmt, marker::PhantomData, sync::Arc};
use uuid::Uuid;
use zeroize::Zeroizing;

const KEY_LEN: usize = 16;
const NONCE_LEN: usize = 24;

/// Data about a person. `LABEL` is part of the encryption's associated data, so a value cannot be passed off as
/// another kind of value; it never changes once released.
pub trait Personal: Serialize + DeserializeOwned {
    const LABEL: &'static str;

    /// A secret (a password's hash) is never shown, not even to those who may read events.
    const SECRET: bool = false;
}

/// A key of the key directory, in memory only.
#[derive(Clone)]
pub struct SealingKey {
    pub id: KeyId,
    secret: Zeroizing<[u8; 32]>,
}

impl SealingKey {
    pub fn new(id: KeyId, secret: [u8; 32]) -> Self {
        Self { id, secret: Zeroizing::new(secret) }
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// The keys at hand for one piece of work. A missing key means: destroyed.
#[derive(Clone, Debug, Default)]
pub struct Keyring(HashMap<KeyId, Arc<SealingKey>>);

impl Keyring {
    pub fn with(mut self, key: Arc<SealingKey>) -> Self {
        self.insert(key);
        self
    }

    pub fn insert(&mut self, key: Arc<SealingKey>) {
        self.0.insert(key.id, key);
    }

    pub fn get(&self, id: KeyId) -> Option<&Arc<SealingKey>> {
        self.0.get(&id)
    }

    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.keys().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A sealed value opened: known, or gone for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revealed<T> {
    Known(T),
    Erased,
}

impl<T> Revealed<T> {
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Erased => None,
        }
    }
}

/// A value of `T` under a person's key. Stored as one binary: key id (16), nonce (24), ciphertext with tag.
pub struct Sealed<T> {
    key: KeyId,
    sealed: Arc<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T: Personal> Sealed<T> {
    /// Seals a value. `salt` names the command and the place in it: the nonce follows from key, salt and value, so the
    /// same command sealed again gives the same bytes and no nonce ever serves two different values.
    pub fn seal(key: &SealingKey, salt: &str, value: &T) -> Result<Self, SealError> {
        let plain = Zeroizing::new(codec::encode(value)?);
        let nonce = derive_nonce(key, T::LABEL, salt, &plain);
        let aad = associated_data::<T>(key.id);
        let cipher = XChaCha20Poly1305::new_from_slice(key.secret()).map_err(|_| SealError::Cipher)?;
        let nonce_ref = XNonce::try_from(&nonce[..]).map_err(|_| SealError::Cipher)?;
        let ciphertext =
            cipher.encrypt(&nonce_ref, Payload { msg: &plain, aad: &aad }).map_err(|_| SealError::Cipher)?;
        Ok(Self::from_parts(key.id, [&nonce[..], &ciphertext].concat()))
    }

    /// Opens the value with the keys at hand.
    pub fn open(&self, keys: &Keyring) -> Result<Revealed<T>, SealError> {
        let Some(key) = keys.get(self.key) else { return Ok(Revealed::Erased) };
        let Some((nonce, ciphertext)) = self.sealed.split_at_checked(NONCE_LEN) else { return Err(SealError::Forged) };
        let cipher = XChaCha20Poly1305::new_from_slice(key.secret()).map_err(|_| SealError::Cipher)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError::Cipher)?;
        let plain = cipher
            .decrypt(&nonce, Payload { msg: ciphertext, aad: &associated_data::<T>(self.key) })
            .map_err(|_| SealError::Forged)?;
        let plain = Zeroizing::new(plain);
        Ok(Revealed::Known(codec::decode(&plain)?))
    }
}

impl<T> Sealed<T> {
    fn from_parts(key: KeyId, sealed: Vec<u8>) -> Self {
        Self { key, sealed: sealed.into(), of: PhantomData }
    }

    /// The key that opens it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    fn to_bytes(&self) -> Vec<u8> {
        [self.key.0.as_bytes().as_slice(), &self.sealed].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, sealed) = bytes.split_at_checked(KEY_LEN)?;
        (sealed.len() >= NONCE_LEN).then_some(())?;
        Some(Self::from_parts(KeyId(Uuid::from_slice(key).ok()?), sealed.to_vec()))
    }
}

fn associated_data<T: Personal>(key: KeyId) -> Vec<u8> {
    [key.0.as_bytes().as_slice(), T::LABEL.as_bytes()].concat()
}

fn derive_nonce(key: &SealingKey, label: &str, salt: &str, plain: &[u8]) -> [u8; NONCE_LEN] {
    let mac = keyed_hash(key.secret(), &[b"nonce", label.as_bytes(), salt.as_bytes(), plain]);
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&mac[..NONCE_LEN]);
    nonce
}

/// HMAC-SHA-256 over length-prefixed parts.
pub fn keyed_hash(secret: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length; the error arm cannot be reached with 32 bytes.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret) else { return [0; 32] };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self { key: self.key, sealed: self.sealed.clone(), of: PhantomData }
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.sealed == other.sealed
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes under {})", self.sealed.len(), self.key)
    }
}

thread_local! {
    /// The keys of the [`revealing`] call that runs on this thread.
    static REVEALING: RefCell<Option<Keyring>> = const { RefCell::new(None) };
}

/// Runs `write` so that human-readable serialisation inside it shows what sealed values hold instead of their
/// ciphertext; a value whose key is gone shows as `{"erased": true}`. For showing events to those who may read them;
/// stored forms (MessagePack) are never affected.
pub fn revealing<T>(keys: &Keyring, write: impl FnOnce() -> T) -> T {
    let outer = REVEALING.replace(Some(keys.clone()));
    let written = write();
    REVEALING.set(outer);
    written
}

impl<T: Personal> Serialize for Sealed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.to_bytes();
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&bytes);
        }
        let revealed = REVEALING.with_borrow(|keys| keys.as_ref().map(|keys| self.open(keys)));
        match revealed {
            None => hex(&bytes).serialize(serializer),
            Some(Ok(Revealed::Known(value))) if !T::SECRET => value.serialize(serializer),
            Some(revealed) => {
                use serde::ser::SerializeMap;
                let why = if matches!(revealed, Ok(Revealed::Known(_))) { "secret" } else { "erased" };
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(why, &true)?;
                map.end()
            }
        }
    }
}

impl<'de, T> Deserialize<'de> for Sealed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            unhex(&text).ok_or_else(|| serde::de::Error::custom("a sealed value is written in hexadecimal"))?
        } else {
            deserializer.deserialize_bytes(BytesVisitor)?
        };
        Self::from_bytes(&bytes).ok_or_else(|| serde::de::Error::custom("a sealed value is shorter than its header"))
    }
}

struct BytesVisitor;

impl serde::de::Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a sealed value")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("a sealed value does not open with its own key: the stored bytes were changed")]
    Forged,
    #[error("the cipher refused its input")]
    Cipher,
    #[error("personal data could not be encoded")]
    Encode(#[from] codec::EncodeError),
    #[error("opened personal data is not what its label promises")]
    Decode(#[from] codec::DecodeError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Name(String);
    impl Personal for Name {
        const LABEL: &'static str = "test.name";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Phone(String);
    impl Personal for Phone {
        const LABEL: &'static str = "test.phone";
    }

    fn key(n: u8) -> Arc<SealingKey> {
        Arc::new(SealingKey::new(KeyId(Uuid::from_u128(n.into())), [n; 32]))
    }

    #[test]
    fn opens_with_its_key_and_is_erased_without() {
        let sealed = Sealed::seal(&key(1), "c:0", &Name("Ada".into())).unwrap();
        let ring = Keyring::default().with(key(1));
        assert_eq!(sealed.open(&ring).unwrap(), Revealed::Known(Name("Ada".into())));
        assert_eq!(sealed.open(&Keyring::default()).unwrap(), Revealed::Erased);
        assert_eq!(sealed.open(&Keyring::default().with(key(2))).unwrap(), Revealed::Erased);
    }

    #[test]
    fn changed_or_relabelled_bytes_do_not_open() {
        let sealed = Sealed::seal(&key(1), "c:0", &Name("Ada".into())).unwrap();
        let ring = Keyring::default().with(key(1));
        let mut bytes = sealed.to_bytes();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(Sealed::<Name>::from_bytes(&bytes).unwrap().open(&ring), Err(SealError::Forged)));
        let relabelled = Sealed::<Phone>::from_bytes(&sealed.to_bytes()).unwrap();
        assert!(matches!(relabelled.open(&ring), Err(SealError::Forged)));
        assert!(Sealed::<Name>::from_bytes(&[0; 20]).is_none());
    }

    #[test]
    fn a_nonce_never_serves_two_values() {
        let one = Sealed::seal(&key(1), "c:0", &Name("Ada".into())).unwrap();
        let again = Sealed::seal(&key(1), "c:0", &Name("Ada".into())).unwrap();
        let other = Sealed::seal(&key(1), "c:0", &Name("Bob".into())).unwrap();
        assert_eq!(one, again);
        assert_ne!(one.sealed[..NONCE_LEN], other.sealed[..NONCE_LEN]);
    }

    #[test]
    fn revealing_shows_the_value_only_inside() {
        let sealed = Sealed::seal(&key(1), "c:0", &Name("Ada".into())).unwrap();
        let json = || serde_json::to_string(&sealed).unwrap();
        assert_eq!(revealing(&Keyring::default().with(key(1)), json), "\"Ada\"");
        assert_eq!(revealing(&Keyring::default(), json), "{\"erased\":true}");
        assert!(!json().contains("Ada"));
    }

    #[test]
    fn both_formats_round_trip_and_hide_the_value() {
        let sealed = Sealed::seal(&key(1), "c:0", &Name("Ada Lovelace".into())).unwrap();
        let json = serde_json::to_string(&sealed).unwrap();
        assert_eq!(serde_json::from_str::<Sealed<Name>>(&json).unwrap(), sealed);
        let pack = codec::encode(&sealed).unwrap();
        assert_eq!(codec::decode::<Sealed<Name>>(&pack).unwrap(), sealed);
        assert!(!pack.windows(3).any(|w| w == b"Ada") && !format!("{sealed:?}").contains("Ada"));
    }
}
