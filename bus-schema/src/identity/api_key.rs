//! A key with which a program calls the API. Only the hash of its secret is stored; the secret has 256 random bits, so
//! the hash cannot be guessed back.

use super::scope::Scopes;
use crate::{events, time::Micros};
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a key.
    pub enum ApiKeyEvent {
        Created(ApiKeyCreated) = "api_key.created" @ 1,
        Revoked(ApiKeyRevoked) = "api_key.revoked" @ 1,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// What the key is for, no personal data.
    pub name: String,
    pub scopes: Scopes,
    /// SHA-256 of the secret, 64 lower-case hexadecimal digits.
    pub secret_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Micros>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {}
