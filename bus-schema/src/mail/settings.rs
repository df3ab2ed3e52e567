//! How a tenant writes to one person: from which address, for which reasons, in which words. One per tenant.

use super::message::{MessageKind, MessageSender, MessageWords};
use crate::{events, time::Micros};
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a tenant's settings.
    pub enum MailSettingsEvent {
        SenderSet(SenderSet) = "settings.sender_set" @ 1,
        ReasonSwitched(ReasonSwitched) = "settings.reason_switched" @ 1,
        TemplateSet(TemplateSet) = "settings.template_set" @ 1,
        TemplateRemoved(TemplateRemoved) = "settings.template_removed" @ 1,
    }
}

/// Messages come from this sender, or from the platform when there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SenderSet {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<MessageSender>,
    /// What happened before is no reason to write to anybody.
    pub at: Micros,
}

/// Messages of this kind are sent by themselves from now on, or not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonSwitched {
    pub kind: MessageKind,
    pub on: bool,
    pub at: Micros,
}

/// A template is now this, whole: that of a kind by its word, or one of the tenant's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateSet {
    pub name: String,
    pub words: MessageWords,
}

/// A kind has its built-in words again, or a template of the tenant is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateRemoved {
    pub name: String,
}
