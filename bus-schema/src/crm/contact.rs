//! A contact: a person the tenant knows. Everything personal is sealed under the contact's own key.

use crate::{
    events,
    ids::KeyId,
    sealed::{Personal, Sealed},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a contact.
    pub enum ContactEvent {
        Created(ContactCreated) = "contact.created" @ 1,
        Changed(ContactChanged) = "contact.changed" @ 1,
        Tagged(ContactTagged) = "contact.tagged" @ 1,
        Untagged(ContactUntagged) = "contact.untagged" @ 1,
        ConsentAsked(ConsentAsked) = "contact.consent_asked" @ 1,
        ConsentGiven(ConsentGiven) = "contact.consent_given" @ 1,
        ConsentWithdrawn(ConsentWithdrawn) = "contact.consent_withdrawn" @ 1,
        Erased(ContactErased) = "contact.erased" @ 1,
        AddressTaken(AddressTaken) = "contact.address_taken" @ 1,
        AddressReleased(AddressReleased) = "contact.address_released" @ 1,
    }
}

/// What a tenant knows of a person. Empty fields are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactDetails {
    /// As the person writes it; uniqueness is decided on its normal form.
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Personal for ContactDetails {
    const LABEL: &'static str = "crm.contact.details";
}

/// A person became known. The details are whole: a reader never needs an earlier event to show them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactCreated {
    pub details: Sealed<ContactDetails>,
    /// The home of its e-mail address: the id that follows from the address (see the decider).
    pub home: Uuid,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The import that brought this contact, so that it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Uuid>,
}

/// The details are now these, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactChanged {
    pub details: Sealed<ContactDetails>,
    pub home: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactTagged {
    pub tag: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactUntagged {
    pub tag: String,
}

/// What a person agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Messages about a service the person uses.
    Service,
    Marketing,
}

/// How we know. Sealed, because an address identifies a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentEvidence {
    /// Where it was given: a form, a phone call, a contract.
    pub source: String,
    /// The version of the text the person saw.
    pub text_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// When the person gave it, which may be before it was recorded.
    pub given_at: Micros,
}

impl Personal for ConsentEvidence {
    const LABEL: &'static str = "crm.contact.consent";
}

/// What somebody asked for at a form. Sealed under the contact's key, so it is gone with the contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRequest {
    /// Where it was asked for.
    pub source: String,
    /// The version of the text the person saw.
    pub text_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Given to the contact with the consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Personal for ConsentRequest {
    const LABEL: &'static str = "crm.contact.consent_request";
}

/// Somebody asked for mail to the contact's address. A mail asks its owner whether that was them (double opt-in); until
/// they say so there is no consent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsentAsked {
    pub purpose: Purpose,
    /// Counts the questions to this contact, from 1; the link of the mail names it.
    pub round: u32,
    pub request: Sealed<ConsentRequest>,
    pub at: Micros,
    /// The link is of no use after this.
    pub expires_at: Micros,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsentGiven {
    pub purpose: Purpose,
    pub evidence: Sealed<ConsentEvidence>,
}

/// There is no such consent any more, nor a question for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsentWithdrawn {
    pub purpose: Purpose,
    /// Where it was withdrawn, no personal data.
    pub source: String,
}

/// The person asked to be forgotten: the key is destroyed, every sealed value of it is unreadable from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactErased {
    pub key: KeyId,
}

/// Recorded at the home of an e-mail address: this contact, which lives elsewhere, has the address now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressTaken {
    pub by: Uuid,
}

/// Recorded at the home of an e-mail address: this contact does not have the address any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressReleased {
    pub by: Uuid,
}
