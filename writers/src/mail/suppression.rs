//! The list of addresses that get no mail.
//!
//! An address's id follows from it (keyed), so putting it on the list is one durable write, twice changes nothing, and whether
//! it is there can be asked without the list. Each reason holds by itself: a complaint that is taken back does not lift a
//! bounce. An addition never shortens what holds already; to shorten it, lift it first.

mod service;

use crate::{
    decider::{Ctx, Decider, Decision, KeyNeed},
    rejections,
    text::{self, TextFault},
};
use bus_schema::{
    Micros, Sealed,
    mail::suppression::{
        SuppressedAddressErased, SuppressedPerson, SuppressionAdded, SuppressionEvent, SuppressionLifted,
        SuppressionReason,
    },
};
use serde::{Deserialize, Serialize};
pub use service::{Suppress, address_id, erase_address, held, lift, suppress};
use std::collections::BTreeMap;

/// Characters of a note.
pub const MAX_NOTE: usize = 500;
/// Characters of a source.
pub const MAX_SOURCE: usize = 200;

/// An address on the list, or one that was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Suppression {
    person: Option<Sealed<SuppressedPerson>>,
    /// The reasons that were not lifted; those that ended by themselves too.
    holds: BTreeMap<SuppressionReason, Hold>,
    known: bool,
}

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub expires_at: Option<Micros>,
}

impl Hold {
    pub fn is_active(self, now: Micros) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }

    /// Whether it lasts at least as long as another one would.
    fn outlasts(self, expires_at: Option<Micros>) -> bool {
        match (self.expires_at, expires_at) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(held), Some(asked)) => held >= asked,
        }
    }
}

/// What can be asked of the list.
#[derive(Clone, Debug)]
pub enum SuppressionCommand {
    Suppress {
        email: String,
        reason: SuppressionReason,
        source: String,
        expires_at: Option<Micros>,
        note: Option<String>,
    },
    /// Takes one reason back, or all of them.
    Lift { reason: Option<SuppressionReason>, source: String },
    /// The person was erased: their address is not to be read any more.
    EraseAddress,
}

rejections! {
    /// Why a command to the list of suppressed addresses is refused.
    pub enum SuppressionRejection {
        Unknown: Missing, "suppression_not_found", "", "the address is not on the list";
        InvalidEmail: Invalid, "invalid_email", "/email", "an e-mail address has the form name@domain (RFC 5321), at most 254 characters";
        OtherAddress: Invalid, "other_address", "/email", "the address is not the one this entry is for";
        Past: Invalid, "time_past", "/expires_at", "the end must be in the future";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters are allowed";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters and line breaks are not allowed";
        Sealing: State, "key_destroyed", "", "the key of this address is destroyed";
    }
}

impl From<TextFault> for SuppressionRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Suppression {
    /// The address, sealed; `None` when it was never here or its person was erased.
    pub fn person(&self) -> Option<&Sealed<SuppressedPerson>> {
        self.person.as_ref()
    }

    /// The reasons that hold now, the gravest first.
    pub fn reasons(&self, now: Micros) -> impl Iterator<Item = SuppressionReason> {
        self.holds.iter().filter(move |(_, hold)| hold.is_active(now)).map(|(reason, _)| *reason)
    }

    fn suppress(
        &self,
        command: &SuppressionCommand,
        ctx: &Ctx,
    ) -> Result<Decision<SuppressionEvent>, SuppressionRejection> {
        use SuppressionRejection as R;
        let SuppressionCommand::Suppress { email, reason, source, expires_at, note } = command else {
            return Ok(Decision::nothing());
        };
        let normal = text::normal_email(email).ok_or(R::InvalidEmail)?;
        if ctx.derived_id(text::ADDRESS_ID, &normal) != ctx.id {
            return Err(R::OtherAddress);
        }
        if expires_at.is_some_and(|end| end <= ctx.now) {
            return Err(R::Past);
        }
        let source = text::required_line("source", source, MAX_SOURCE)?;
        let note = note.as_deref().map(|note| text::line("note", note, MAX_NOTE)).transpose()?;
        let note = note.filter(|note| !note.is_empty());
        let held = self.holds.get(reason).is_some_and(|hold| hold.is_active(ctx.now) && hold.outlasts(*expires_at));
        if held {
            return Ok(Decision::nothing());
        }
        let (key, before) = match &self.person {
            Some(person) => (person.key(), ctx.open(person).map_err(|_| R::Sealing)?.known()),
            None => (ctx.fresh_key().map_err(|_| R::Sealing)?, None),
        };
        let note = note.or_else(|| before.and_then(|before| before.note));
        let person = SuppressedPerson { email: email.trim().to_owned(), note };
        let person = ctx.seal(key, &person).map_err(|_| R::Sealing)?;
        Ok(Decision::event(SuppressionAdded { person, reason: *reason, source, expires_at: *expires_at }))
    }
}

impl Decider for Suppression {
    type Event = SuppressionEvent;
    type Command = SuppressionCommand;
    type Rejection = SuppressionRejection;

    fn decide(
        &self,
        command: &SuppressionCommand,
        ctx: &Ctx,
    ) -> Result<Decision<SuppressionEvent>, SuppressionRejection> {
        match command {
            SuppressionCommand::Suppress { .. } => self.suppress(command, ctx),
            _ if !self.known => Err(SuppressionRejection::Unknown),
            SuppressionCommand::Lift { reason, source } => {
                let source = text::required_line("source", source, MAX_SOURCE)?;
                let lifted = self.holds.keys().filter(|held| reason.is_none_or(|reason| reason == **held));
                let lifted = lifted.map(|held| SuppressionLifted { reason: *held, source: source.clone() });
                Ok(lifted.fold(Decision::nothing(), Decision::and))
            }
            SuppressionCommand::EraseAddress => Ok(match &self.person {
                Some(person) => Decision::event(SuppressedAddressErased { key: person.key() }),
                None => Decision::nothing(),
            }),
        }
    }

    fn evolve(&mut self, event: &SuppressionEvent) {
        self.known = true;
        match event {
            SuppressionEvent::Added(added) => {
                self.person = Some(added.person.clone());
                self.holds.insert(added.reason, Hold { expires_at: added.expires_at });
            }
            SuppressionEvent::Lifted(lifted) => _ = self.holds.remove(&lifted.reason),
            SuppressionEvent::AddressErased(_) => self.person = None,
        }
    }

    fn keys(&self, command: &SuppressionCommand) -> KeyNeed {
        match (command, &self.person) {
            (SuppressionCommand::Suppress { .. }, Some(person)) => KeyNeed::Existing(vec![person.key()]),
            (SuppressionCommand::Suppress { .. }, None) => KeyNeed::Fresh,
            _ => KeyNeed::None,
        }
    }

    fn creates(command: &SuppressionCommand) -> bool {
        matches!(command, SuppressionCommand::Suppress { .. })
    }

    /// The list claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> SuppressionRejection {
        SuppressionRejection::OtherAddress
    }
}

#[cfg(test)]
mod tests;
