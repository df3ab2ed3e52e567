//! Bytes in MessagePack as `bin`, not as lists of numbers.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::{borrow::Cow, fmt};

/// Bytes of any length, borrowed from what they are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary<'a>(pub &'a [u8]);

/// A hash or a salt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Binary32(pub [u8; 32]);

/// A set of small numbers: bit `n % 8` of byte `n / 8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap(Vec<u8>);

impl Bitmap {
    pub fn set(&mut self, number: usize) {
        if self.0.len() <= number / 8 {
            self.0.resize(number / 8 + 1, 0);
        }
        self.0[number / 8] |= 1 << (number % 8);
    }

    pub fn has(&self, number: usize) -> bool {
        self.0.get(number / 8).is_some_and(|byte| byte & (1 << (number % 8)) != 0)
    }
}

impl fmt::Debug for Binary32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::key::hex(&self.0))
    }
}

impl From<blake3::Hash> for Binary32 {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl Serialize for Binary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Binary<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_bytes(BinaryVisitor)? {
            Cow::Borrowed(bytes) => Ok(Self(bytes)),
            Cow::Owned(_) => Err(D::Error::custom("the bytes are not in one piece")),
        }
    }
}

impl Serialize for Binary32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Binary32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_bytes(BinaryVisitor)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_ref());
        bytes.map(Self).map_err(|_| D::Error::custom("it must have 32 bytes"))
    }
}

impl Serialize for Bitmap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bitmap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BinaryVisitor).map(|bytes| Self(bytes.into_owned()))
    }
}

struct BinaryVisitor;

impl<'de> Visitor<'de> for BinaryVisitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_own_length_and_no_other() {
        let hash = Binary32([0xff; 32]);
        let bytes = rmp_serde::to_vec_named(&hash).unwrap();
        assert_eq!(bytes.len(), 2 + 32, "bin 8 with its length");
        assert_eq!(rmp_serde::from_slice::<Binary32>(&bytes).unwrap(), hash);
        let short = rmp_serde::to_vec_named(&Binary(b"short")).unwrap();
        assert!(rmp_serde::from_slice::<Binary32>(&short).is_err());
        assert_eq!(rmp_serde::from_slice::<Binary<'_>>(&short).unwrap(), Binary(b"short"));
    }

    #[test]
    fn a_bitmap_has_what_was_set() {
        let mut bitmap = Bitmap::default();
        for number in [0, 9, 64] {
            bitmap.set(number);
        }
        let back: Bitmap = rmp_serde::from_slice(&rmp_serde::to_vec_named(&bitmap).unwrap()).unwrap();
        let set: Vec<_> = (0..100).filter(|number| back.has(*number)).collect();
        assert_eq!(set, [0, 9, 64]);
    }
}
