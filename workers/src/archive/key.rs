//! The archive key: one secret per platform, from which everything the archive needs is derived.
//!
//! Providers hold ciphertext and signatures, never this key. Without it the archive cannot be read and no entry can be
//! forged; losing it loses the archive. It is another secret than the root key of the key directory: with this one alone
//! a thief sees events whose personal data is still sealed.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::{fmt, io::Write, os::unix::fs::OpenOptionsExt, path::Path};
use zeroize::Zeroizing;

/// Bytes that encryption adds to a text.
pub(super) const SEAL_OVERHEAD: usize = 16;

/// What the secret is, derived for each use (BLAKE3's key derivation, so that no use can be turned into another).
pub struct ArchiveKey {
    id: [u8; 8],
    blocks: Zeroizing<[u8; 32]>,
    salts: Zeroizing<[u8; 32]>,
    names: Zeroizing<[u8; 32]>,
    signing: SigningKey,
    verifying: VerifyingKey,
}

impl ArchiveKey {
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let derive = |what: &str| Zeroizing::new(blake3::derive_key(&format!("millrace archive 2026 {what}"), secret));
        let mut id = [0; 8];
        id.copy_from_slice(&derive("key id")[..8]);
        let signing = SigningKey::from_bytes(&derive("ed25519 of manifests"));
        let verifying = signing.verifying_key();
        Self { id, blocks: derive("blocks"), salts: derive("salts"), names: derive("names"), signing, verifying }
    }

    /// From a file of 32 bytes, which must exist: an archive is never read with a key made up on the spot.
    pub fn open(path: &Path) -> Result<Self, ArchiveKeyError> {
        let failed = |why: String| ArchiveKeyError { path: path.display().to_string(), why };
        let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| failed(error.to_string()))?);
        let secret = bytes.as_slice().try_into().map_err(|_| failed("it must hold exactly 32 bytes".into()))?;
        Ok(Self::from_secret(secret))
    }

    /// The same, and makes the file with mode 0600 when it does not exist: for the platform that writes the archive.
    pub fn open_or_create(path: &Path) -> Result<Self, ArchiveKeyError> {
        let failed = |why: String| ArchiveKeyError { path: path.display().to_string(), why };
        if path.exists() {
            return Self::open(path);
        }
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(|error| failed(error.to_string()))?;
        let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written = written.and_then(|mut file| file.write_all(secret.as_slice()).and_then(|()| file.sync_all()));
        written.map_err(|error| failed(error.to_string()))?;
        Ok(Self::from_secret(&secret))
    }

    /// Names the key without telling anything of it.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// A salt that follows from what will be encrypted under it: equal content gives equal bytes, so a segment cut twice
    /// at the same places is the same object, and no nonce ever serves two different texts.
    pub(super) fn salt<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.salts);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// The cipher of one object.
    pub(super) fn cipher(&self, salt: &[u8; 32]) -> ObjectCipher {
        let key = Zeroizing::new(*blake3::keyed_hash(&self.blocks, salt).as_bytes());
        ObjectCipher(ChaCha20Poly1305::new((&*key).into()))
    }

    /// A name as a provider may see it: equal names look equal, and nothing else can be learnt.
    pub fn blinded(&self, name: &str) -> u64 {
        let hash = blake3::keyed_hash(&self.names, name.as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |blind, byte| blind << 8 | u64::from(*byte))
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(bytes).to_bytes()
    }

    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.verifying.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for ArchiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchiveKey({})", hex(&self.id))
    }
}

/// Encrypts the parts of one object, each under its number.
pub(super) struct ObjectCipher(ChaCha20Poly1305);

impl ObjectCipher {
    /// `None` only for a text of 256 GiB.
    pub(super) fn seal(&self, part: u64, aad: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(&nonce(part), Payload { msg: text, aad }).ok()
    }

    /// `None` when a single bit of it, of `aad` or of the part's number is another.
    pub(super) fn open(&self, part: u64, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(&nonce(part), Payload { msg: sealed, aad }).ok()
    }
}

fn nonce(part: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&part.to_le_bytes());
    nonce.into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug, thiserror::Error)]
#[error("the archive key {path} cannot be used: {why}; it is the file that the platform which wrote the archive has")]
pub struct ArchiveKeyError {
    path: String,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_from_its_file_and_never_made_up_for_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.key");
        assert!(ArchiveKey::open(&path).is_err() && !path.exists());
        let made = ArchiveKey::open_or_create(&path).unwrap();
        assert_eq!(ArchiveKey::open(&path).unwrap().id(), made.id());
        assert_eq!(ArchiveKey::open_or_create(&path).unwrap().id(), made.id());
        std::fs::write(&path, [1; 31]).unwrap();
        assert!(ArchiveKey::open(&path).unwrap_err().to_string().contains("exactly 32 bytes"));
    }

    #[test]
    fn parts_open_only_in_their_place() {
        let key = ArchiveKey::from_secret(&[7; 32]);
        let salt = key.salt([&b"a"[..], b"b"]);
        assert_ne!(salt, key.salt([&b"ab"[..], b""]), "parts are kept apart");
        let sealed = key.cipher(&salt).seal(3, b"head", b"text").unwrap();
        assert_eq!(key.cipher(&salt).open(3, b"head", &sealed).unwrap(), b"text");
        assert!(key.cipher(&salt).open(4, b"head", &sealed).is_none());
        assert!(key.cipher(&salt).open(3, b"tail", &sealed).is_none());
        assert!(ArchiveKey::from_secret(&[8; 32]).cipher(&salt).open(3, b"head", &sealed).is_none());
        let signature = key.sign(b"entry");
        assert!(key.verify(b"entry", &signature) && !key.verify(b"entrx", &signature));
    }
}
