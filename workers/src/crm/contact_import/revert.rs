//! What taking an import back means for one contact, read from its own history. Pure.

use super::row::Field;
use bus_schema::{
    CommandId, KeyId, Keyring, StoredEvent,
    crm::contact::{ContactDetails, ContactEvent},
    sealed::SealError,
};
use std::collections::BTreeMap;
use uuid::Uuid;
use writers::Decider;

/// One event of a contact.
pub(super) struct Past {
    pub(super) seq: u64,
    pub(super) cause: CommandId,
    /// Caused by the import.
    pub(super) ours: bool,
    pub(super) event: ContactEvent,
}

impl Past {
    pub(super) fn new(stored: &StoredEvent, event: ContactEvent, import: Uuid) -> Self {
        let envelope = &stored.envelope;
        Self { seq: stored.seq, cause: envelope.cause, ours: envelope.correlation == import, event }
    }
}

/// What to do with a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The import made it and nobody else touched it.
    Remove {
        key: KeyId,
    },
    /// Give back what was there. `kept` names what somebody changed since.
    Revert {
        details: Option<Box<ContactDetails>>,
        untag: Vec<String>,
        kept: Vec<Field>,
    },
    /// Somebody built on it, or nothing of the import is left.
    Keep,
    Gone,
}

/// Reads the keys a history needs.
pub(super) fn keys(history: &[Past]) -> Vec<KeyId> {
    let mut keys: Vec<KeyId> = history
        .iter()
        .filter_map(|past| match &past.event {
            ContactEvent::Created(created) => Some(created.details.key()),
            ContactEvent::Changed(changed) => Some(changed.details.key()),
            _ => None,
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Decides on the history before the undoing began.
pub(super) fn plan(history: &[Past], import: Uuid, keyring: &Keyring) -> Result<Plan, SealError> {
    let mut contact = writers::crm::contact::Contact::default();
    history.iter().for_each(|past| contact.evolve(&past.event));
    if !contact.is_living() {
        return Ok(Plan::Gone);
    }
    for past in history {
        if let ContactEvent::Created(created) = &past.event
            && created.import == Some(import)
        {
            let untouched = history.iter().all(|other| other.ours || other.seq < past.seq);
            return Ok(if untouched { Plan::Remove { key: created.details.key() } } else { Plan::Keep });
        }
    }
    let Some((details, kept)) = details_before(history, keyring)? else { return Ok(Plan::Gone) };
    let untag = tags_added(history);
    let details = details.map(Box::new);
    Ok(if details.is_none() && untag.is_empty() { Plan::Keep } else { Plan::Revert { details, untag, kept } })
}

/// The details to give back, if that is a change, and the fields that somebody changed since.
type Reverted = (Option<ContactDetails>, Vec<Field>);

/// The details with every field that still is what the import set taken back to what it was before. Field by field, so
/// that one corrected phone number does not keep the import's other changes. `None` when the person's key is gone.
fn details_before(history: &[Past], keyring: &Keyring) -> Result<Option<Reverted>, SealError> {
    let mut now: Option<ContactDetails> = None;
    let mut steps = Vec::new();
    for past in history {
        let sealed = match &past.event {
            ContactEvent::Created(created) => &created.details,
            ContactEvent::Changed(changed) => &changed.details,
            _ => continue,
        };
        let Some(after) = sealed.open(keyring)?.known() else { return Ok(None) };
        let before = now.replace(after.clone());
        if let (true, Some(before)) = (past.ours, before) {
            steps.push((before, after));
        }
    }
    let Some(now) = now else { return Ok(None) };
    let mut target = now.clone();
    let mut kept = Vec::new();
    for (before, after) in steps.iter().rev() {
        for field in Field::MERGED.into_iter().filter(|field| field.of(before) != field.of(after)) {
            if field.of(&target) == field.of(after) {
                field.set(&mut target, field.of(before).map(str::to_owned));
            } else if !kept.contains(&field) {
                kept.push(field);
            }
        }
    }
    Ok(Some(((target != now).then_some(target), kept)))
}

/// Tags the contact has because of the import and nobody else.
fn tags_added(history: &[Past]) -> Vec<String> {
    let mut by_tag: BTreeMap<&str, bool> = BTreeMap::new();
    for past in history {
        match &past.event {
            ContactEvent::Tagged(tagged) => _ = by_tag.insert(&tagged.tag, past.ours),
            ContactEvent::Untagged(untagged) => _ = by_tag.remove(untagged.tag.as_str()),
            _ => {}
        }
    }
    by_tag.into_iter().filter(|(_, ours)| *ours).map(|(tag, _)| tag.to_owned()).collect()
}
