//! The body of an event: one named MessagePack map.
//!
//! Positional MessagePack (`rmp_serde::to_vec`) is banned by clippy: with it a reordered field would silently change
//! the meaning of stored bytes.

use serde::{Serialize, de::DeserializeOwned};

/// The largest body of one event, in bytes. A JetStream message stays under the server's `max_payload` with it.
pub const MAX_BODY: usize = 1 << 20;

/// The deepest nesting of a body. Far more than any event has; without a bound a forged body would use up the stack.
const MAX_DEPTH: usize = 128;

/// Encodes a value as a named map.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let body = rmp_serde::to_vec_named(value)?;
    if body.len() > MAX_BODY { Err(EncodeError::TooLarge { bytes: body.len() }) } else { Ok(body) }
}

/// Decodes a body; keys this version does not know are passed over.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    if body.len() > MAX_BODY {
        return Err(DecodeError::TooLarge { bytes: body.len() });
    }
    let mut reader = rmp_serde::Deserializer::from_read_ref(body);
    reader.set_max_depth(MAX_DEPTH);
    Ok(T::deserialize(&mut reader)?)
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("an event body of {bytes} bytes is over the limit of {MAX_BODY}")]
    TooLarge { bytes: usize },
    #[error("an event body could not be encoded")]
    MessagePack(#[from] rmp_serde::encode::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("an event body of {bytes} bytes is over the limit of {MAX_BODY}")]
    TooLarge { bytes: usize },
    #[error("an event body is not the MessagePack map its kind promises: {0}")]
    MessagePack(#[from] rmp_serde::decode::Error),
}
