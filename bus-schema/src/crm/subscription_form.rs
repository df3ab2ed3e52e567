//! A tenant's public form: where strangers ask for its mail. One per tenant.

use crate::events;
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a tenant's form.
    pub enum SubscriptionFormEvent {
        Set(SubscriptionFormSet) = "subscription_form.set" @ 1,
    }
}

/// The form is now this, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionFormSet {
    /// Whether it takes anything.
    pub open: bool,
    /// Whether a mail asks the owner of the address first.
    pub double_opt_in: bool,
    /// The tags a stranger may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What people agree to.
    pub text: String,
    /// Names that text in the evidence of a consent.
    pub text_version: String,
}
