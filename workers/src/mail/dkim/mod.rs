//! DKIM signatures (RFC 6376, with Ed25519 of RFC 8463): relaxed/relaxed, rsa-sha256, perhaps a second one.
//!
//! Written here and not taken from a library for two reasons: RSA is what bounds the rate of sending, and aws-lc signs in
//! half of the time; and the list of signed headers is a rule of ours (check 33). The verifier in the tests is another
//! implementation, mail-auth.

mod canonical;
mod key;

pub use key::{Algorithm, DkimKey};

use super::Domain;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bus_schema::Micros;
use canonical::Fields;

/// Every header of these that is there is signed, and listed once more than it is there: one that is added on the way,
/// as a second From, breaks the signature.
const SIGNED: [&str; 12] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-id",
    "feedback-id",
];
/// Columns of a folded line.
const WIDTH: usize = 72;

/// Signs mails of one domain with one key, or with one of each algorithm.
#[derive(Debug)]
pub struct Signer {
    domain: Domain,
    keys: Vec<DkimKey>,
}

impl Signer {
    /// The keys have different algorithms and different selectors; one is RSA, since not every receiver knows Ed25519.
    pub fn try_new(domain: Domain, keys: Vec<DkimKey>) -> Result<Self, DkimError> {
        let rsa = keys.iter().filter(|key| key.algorithm() == Algorithm::RsaSha256).count();
        let distinct = keys.len() == 1 || (keys.len() == 2 && keys[0].selector() != keys[1].selector());
        if rsa != 1 || !distinct {
            return Err(DkimError::Keys);
        }
        Ok(Self { domain, keys })
    }

    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The name and the value of each TXT record that receivers look for.
    pub fn records(&self) -> Vec<(String, String)> {
        let record = |key: &DkimKey| (format!("{}._domainkey.{}", key.selector(), self.domain), key.record());
        self.keys.iter().map(record).collect()
    }

    /// The sender's domain is that of the signature or below it (DMARC's relaxed alignment, check 32).
    pub fn is_aligned(&self, from: &Domain) -> bool {
        let (from, own) = (from.as_str(), self.domain.as_str());
        from.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The headers to put before the message, whole lines.
    pub fn sign(&self, message: &[u8], at: Micros) -> Result<String, DkimError> {
        let (header, body) = canonical::split(message).ok_or(DkimError::NoHeader)?;
        let fields = Fields::of(header);
        let body_hash = STANDARD.encode(digest::digest(&digest::SHA256, &canonical::body(body)));
        let names: Vec<&str> =
            SIGNED.iter().flat_map(|name| std::iter::repeat_n(*name, fields.count(name) + 1)).collect();
        let signed = fields.canonical(&names);
        let mut headers = String::new();
        for key in &self.keys {
            let start = self.unsigned(key, &names, &body_hash, at);
            let mut data = signed.clone();
            // The signature's own header counts without its value and without its end.
            canonical::field("DKIM-Signature", &start, &mut data);
            let signature = STANDARD.encode(key.sign(&data)?);
            headers += "DKIM-Signature:";
            headers += &start;
            for (at, chunk) in signature.as_bytes().chunks(WIDTH).enumerate() {
                headers += if at == 0 { "" } else { "\r\n\t" };
                // Base64 is ASCII, so any cut is between characters.
                headers += std::str::from_utf8(chunk).unwrap_or_default();
            }
            headers += "\r\n";
        }
        Ok(headers)
    }

    /// The value of the header up to `b=`, folded. No `l=`: it would let anybody add to the message (check 34).
    fn unsigned(&self, key: &DkimKey, names: &[&str], body_hash: &str, at: Micros) -> String {
        let (algorithm, seconds) = (key.algorithm().name(), at.0.div_euclid(1_000_000));
        let mut value = format!(
            " v=1; a={algorithm}; c=relaxed/relaxed; d={};\r\n\ts={}; t={seconds};\r\n\th=",
            self.domain,
            key.selector()
        );
        let mut column = 3;
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                value.push(':');
            }
            if column + name.len() > WIDTH {
                value += "\r\n\t ";
                column = 2;
            }
            value += name;
            column += name.len() + 1;
        }
        value + &format!(";\r\n\tbh={body_hash};\r\n\tb=")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DkimError {
    #[error("a domain signs with one RSA key, and perhaps one Ed25519 key with another selector")]
    Keys,
    #[error("a DKIM selector has letters, digits and hyphens, in labels with dots between them, 63 characters at most")]
    Selector,
    #[error("the DKIM key is no RSA key of 2048 to 8192 bits and no Ed25519 key, in PEM or PKCS#8; make one with 2048")]
    Key,
    #[error("the message has no end of its header")]
    NoHeader,
    #[error("the cryptography library refused to sign")]
    Sign,
}
