//! A claim holds a unique value (an e-mail, a slug, a SKU) for one owner: `ev.<cell>.<tenant>.claim.<what>.<hash>`.
//!
//! It is taken in the same atomic batch as the event that needs it, with the claim's own expected sequence, so two
//! owners cannot both have it. The hash is an HMAC under the tenant's secret: a plain hash of an e-mail could be
//! guessed back after the person was erased.

use crate::events;
use serde::{Deserialize, Serialize};
use std::fmt;

events! {
    /// What can happen to a claim.
    pub enum ClaimEvent {
        Taken(ClaimTaken) = "claim.taken" @ 1,
        Released(ClaimReleased) = "claim.released" @ 1,
    }
}

/// The value belongs to `owner` until it is released.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimTaken {
    /// `context.aggregate.id` of the owner.
    pub owner: String,
}

/// The value is free again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimReleased {
    pub owner: String,
}

/// A claimed value after hashing: safe in events, useless without the tenant's secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimHash(pub String);

impl fmt::Display for ClaimHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
