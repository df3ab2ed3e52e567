//! Wrapping one key with another, and the root key.

use super::store::KeyError;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use std::path::Path;
use zeroize::Zeroizing;

const NONCE_LEN: usize = 24;

/// The key that wraps the tenants' keys.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// From a file of 32 bytes, made with mode 0600 when it does not exist. Losing it loses every tenant's data.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let failed = |why: String| KeyError::RootFile { path: path.display().to_string(), why };
        match std::fs::read(path) {
            Ok(bytes) => {
                let secret = bytes.try_into().map_err(|_| failed("it must hold exactly 32 bytes".into()))?;
                Ok(Self(Zeroizing::new(secret)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = random_secret()?;
                write_private(path, &secret).map_err(|error| failed(error.to_string()))?;
                Ok(Self(Zeroizing::new(secret)))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    pub(super) fn random() -> Self {
        Self(Zeroizing::new(random_secret().unwrap_or_default()))
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

fn write_private(path: &Path, secret: &[u8; 32]) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret)?;
    file.sync_all()
}

pub(super) fn random_secret() -> Result<[u8; 32], KeyError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| KeyError::Random)?;
    Ok(secret)
}

/// Nonce and ciphertext, bound to the slot's name so that wrapped keys cannot be swapped.
pub(super) fn wrap(with: &[u8; 32], name: &str, secret: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|_| KeyError::Random)?;
    let cipher = XChaCha20Poly1305::new_from_slice(with).map_err(|_| KeyError::Unwrap)?;
    let wrapped = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: name.as_bytes() })
        .map_err(|_| KeyError::Unwrap)?;
    Ok([&nonce[..], &wrapped].concat())
}

pub(super) fn unwrap(with: &[u8; 32], name: &str, wrapped: &[u8]) -> Result<[u8; 32], KeyError> {
    let (nonce, ciphertext) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(KeyError::Unwrap)?;
    let cipher = XChaCha20Poly1305::new_from_slice(with).map_err(|_| KeyError::Unwrap)?;
    let secret = cipher
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: name.as_bytes() })
        .map_err(|_| KeyError::Unwrap)?;
    secret.try_into().map_err(|_| KeyError::Unwrap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_unwraps_only_in_its_own_slot() {
        let (root, secret) = (random_secret().unwrap(), random_secret().unwrap());
        let wrapped = wrap(&root, "demo.a", &secret).unwrap();
        assert_eq!(unwrap(&root, "demo.a", &wrapped).unwrap(), secret);
        assert!(unwrap(&root, "demo.b", &wrapped).is_err());
        assert!(unwrap(&root, "demo.a", &wrapped[..10]).is_err());
    }
}
