//! A suppression: an address that gets no mail, whatever else is known of it.
//!
//! Its id is the keyed hash of the address, so it is found without the address and stays when the person behind it is erased.
//! The address itself is sealed under a key of its own, for the people who look after the list; erasing the person
//! destroys that key.

use crate::{
    events,
    ids::KeyId,
    sealed::{Personal, Sealed},
    time::Micros,
};
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to an address on the list.
    pub enum SuppressionEvent {
        Added(SuppressionAdded) = "suppression.added" @ 1,
        Lifted(SuppressionLifted) = "suppression.lifted" @ 1,
        AddressErased(SuppressedAddressErased) = "suppression.address_erased" @ 1,
    }
}

/// Why an address gets no mail. Several may hold at once; each is lifted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    /// The mailbox does not exist.
    HardBounce,
    /// Its owner called a mail spam.
    Complaint,
    /// Its owner wants no mail to many any more.
    UnsubscribeAll,
    /// Somebody of the tenant put it on the list.
    Manual,
}

impl SuppressionReason {
    pub const ALL: [Self; 4] = [Self::HardBounce, Self::Complaint, Self::UnsubscribeAll, Self::Manual];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hard_bounce",
            Self::Complaint => "complaint",
            Self::UnsubscribeAll => "unsubscribe_all",
            Self::Manual => "manual",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Whether it also stops mail to one person because of something they did (a receipt, a password reset). Mail to many is
    /// stopped by every reason (spec/EMAIL.md 3.1, check 59).
    pub fn stops_transactional(self) -> bool {
        match self {
            Self::HardBounce | Self::Complaint | Self::Manual => true,
            Self::UnsubscribeAll => false,
        }
    }
}

/// The address and what was noted about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressedPerson {
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Personal for SuppressedPerson {
    const LABEL: &'static str = "mail.suppression.person";
}

/// The address gets no mail for this reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuppressionAdded {
    pub person: Sealed<SuppressedPerson>,
    pub reason: SuppressionReason,
    /// What said so: a provider's report, an import, a page. No personal data.
    pub source: String,
    /// When this reason ends by itself; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Micros>,
}

/// This reason holds no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuppressionLifted {
    pub reason: SuppressionReason,
    /// What said so. No personal data.
    pub source: String,
}

/// The person behind the address was erased: the key is destroyed, the reasons stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuppressedAddressErased {
    pub key: KeyId,
}
