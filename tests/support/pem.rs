//! Keys and certificates as text (RFC 7468).

use base64::{Engine, prelude::BASE64_STANDARD};

/// `label` is `CERTIFICATE` or `PRIVATE KEY`.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
