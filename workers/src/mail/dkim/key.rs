//! Keys that sign, and what is published of them.

use super::DkimError;
use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeySize, PublicKey},
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RsaSha256,
    Ed25519Sha256,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }
}

/// A private key with the name under which its public half is published. Its `Debug` hides it.
pub struct DkimKey {
    selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl DkimKey {
    /// A new one, RSA with 2048 bits.
    pub fn generate(selector: &str, algorithm: Algorithm) -> Result<Self, DkimError> {
        let pair = match algorithm {
            Algorithm::RsaSha256 => {
                Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| DkimError::Sign)?))
            }
            Algorithm::Ed25519Sha256 => {
                Pair::Ed25519(Box::new(Ed25519KeyPair::generate().map_err(|_| DkimError::Sign)?))
            }
        };
        Self::of(selector, pair)
    }

    /// The library takes no RSA key under 2048 bits (check 34). As `openssl genpkey` or `openssl genrsa` write it.
    pub fn from_pem(selector: &str, pem: &[u8]) -> Result<Self, DkimError> {
        match PrivateKeyDer::from_pem_slice(pem).map_err(|_| DkimError::Key)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(selector, der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => {
                let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| DkimError::Key)?;
                Self::of(selector, Pair::Rsa(Box::new(pair)))
            }
            _ => Err(DkimError::Key),
        }
    }

    pub fn from_pkcs8(selector: &str, der: &[u8]) -> Result<Self, DkimError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Self::of(selector, Pair::Rsa(Box::new(pair)));
        }
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| DkimError::Key)?;
        Self::of(selector, Pair::Ed25519(Box::new(pair)))
    }

    fn of(selector: &str, pair: Pair) -> Result<Self, DkimError> {
        let label = |label: &str| {
            let plain = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            !label.is_empty() && plain && !label.starts_with('-') && !label.ends_with('-')
        };
        if selector.len() > 63 || !selector.split('.').all(label) {
            return Err(DkimError::Selector);
        }
        Ok(Self { selector: selector.to_owned(), pair })
    }

    pub fn selector(&self) -> &str {
        &self.selector
    }

    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::RsaSha256,
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The private key, to be sealed and kept.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, DkimError> {
        let der: Pkcs8V1Der<'_> = match &self.pair {
            Pair::Rsa(pair) => pair.as_der(),
            Pair::Ed25519(pair) => pair.as_der(),
        }
        .map_err(|_| DkimError::Sign)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// The value of its TXT record (RFC 6376 3.6.1): for RSA the public key with its kind, for Ed25519 its 32 bytes.
    pub(super) fn record(&self) -> String {
        match &self.pair {
            Pair::Rsa(pair) => {
                let public: &PublicKey = pair.public_key();
                let der: Result<PublicKeyX509Der<'_>, _> = public.as_der();
                let der = der.expect("the public half of a key that was read can be written");
                format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(der.as_ref()))
            }
            Pair::Ed25519(pair) => format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(pair.public_key().as_ref())),
        }
    }

    /// Ed25519 signs the hash (RFC 8463 3).
    pub fn sign(&self, data: &[u8]) -> Result<Vec<u8>, DkimError> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature);
                signed.map(|()| signature).map_err(|_| DkimError::Sign)
            }
            Pair::Ed25519(pair) => {
                let hash = digest::digest(&digest::SHA256, data);
                let signature = pair.try_sign(hash.as_ref()).map_err(|_| DkimError::Sign)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DkimKey({}, {:?})", self.selector, self.algorithm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PKCS#8 RSA key of 1024 bits, made for this test alone.
    const SHORT: &str = "MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBAMs+0bXGFataVRmq+XMcFiNO8TtJ0ngyni4bI1SJxW0GOs4uOOAm\
        h1D4wpo6EbVmy5yXp97qEDR6c7Xf51/i/l4rOqPaJ1LJNCRHsicsURffjyNNz4hDG/2WxYwBKe5mn9Y8P5u4nge/jnzLZ8EAryZ6\
        lcQf8XsvFkvIND3sd/0RAgMBAAECgYEAwrq6ZGWYR2eyF3inrbEgSM4O9JYjUER3J4eazxl9DZslZnwExEZF6b+de/TdGKeXt73Z\
        +graYd1c1cnjvgwXVt2hMtVS3syaAyVsjNRctswByoZ4dK9InGLNjYjj7mw4akzgdNwvXJvbB4ZmTWfHPvOZJZNG6g0fYJINWccF\
        AMECQQD3Q63KiVEFxKN+COgJY/Rlci6kPz29e6yFPMbeWQBFGTBnrUSlrLK8zm0mKwEtXOtQGMA2+7dUtTO3DUf6qPAZAkEA0m0F\
        hNhLpjdiS0AXVkIBUA9zUWLPs/CgikRoyi0BGLyQb+L47dEEurPhqsyPCiA7Ty5cWdvZpgyLy6OtaKmzuQJBAK0An3JcTWI5ySJ/\
        3MnlM7RfBZ9J2ErhYz393i7oGrY9/44qvyMkCBLuY5QW9sXkg4gRKTvPNuB/v+VN15Tb6tECQEDvY8Sa+r1QWgTewlTcCYurOOrk\
        kzP0DZadhbjeKnh3uBrO8AJzfgIfgIQ0m++EAslshRM1xPR46qrs15Z0yAECQQDA2BP6VEem4/y5PGXVkNC89OWktSsGvEqg+9k6\
        lMzpaa7Oc2ZJmlPVXJpMIGNBsrdLxl0jhXsvVGwuuwbYRa1n";

    #[test]
    fn check_34_short_keys_and_odd_selectors_are_refused() {
        let short = STANDARD.decode(SHORT).unwrap();
        assert_eq!(DkimKey::from_pkcs8("s1", &short).unwrap_err(), DkimError::Key);
        for bad in ["", "a b", "A", "a..b", "-a", "a;v=1", "a\r\nb", &"a".repeat(64)] {
            assert_eq!(DkimKey::generate(bad, Algorithm::Ed25519Sha256).unwrap_err(), DkimError::Selector, "{bad:?}");
        }
        assert_eq!(DkimKey::from_pem("s1", b"-----BEGIN").unwrap_err(), DkimError::Key);
        assert_eq!(DkimKey::from_pkcs8("s1", b"0").unwrap_err(), DkimError::Key);
    }

    #[test]
    fn a_key_is_the_same_after_it_was_kept() {
        for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
            let key = DkimKey::generate("s1", algorithm).unwrap();
            let again = DkimKey::from_pkcs8("s1", &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!((again.algorithm(), again.record()), (algorithm, key.record()));
            assert_eq!(again.sign(b"x").unwrap(), key.sign(b"x").unwrap());
            assert_eq!(format!("{key:?}"), format!("DkimKey(s1, {algorithm:?})"));
        }
    }
}
