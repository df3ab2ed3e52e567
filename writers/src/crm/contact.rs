//! Contacts: an e-mail address belongs to one living contact of a tenant.
//!
//! **Whose is an address?** A contact's id follows from its e-mail address (keyed, see `TenantKey::derived_id`), so its
//! creation, expected at position 0, is its own claim and costs one durable write. The subject of that id is the
//! address's *home*: whoever holds the address is found there. When a contact moves to another address, the new home
//! records the holder; when somebody new comes to an address whose home is occupied by a contact that has left it, the
//! newcomer gets another id and the home records that.

mod asks;
mod details;
mod service;

use crate::{
    decider::{Ctx, Decider, Decision, KeyNeed},
    rejections,
};
use asks::Asks;
pub use asks::{Ask, CONFIRMATION_LIFE, LinkState};
use bus_schema::{
    KeyId, Micros, Sealed,
    crm::contact::{
        AddressReleased, AddressTaken, ConsentAsked, ConsentEvidence, ConsentGiven, ConsentRequest, ConsentWithdrawn,
        ContactChanged, ContactCreated, ContactDetails, ContactErased, ContactEvent, ContactTagged, ContactUntagged,
        Purpose,
    },
};
pub use details::{MAX_ASKED_TAGS, MAX_TAGS, normal_email, normal_tag, valid_details, valid_request};
use serde::{Deserialize, Serialize};
pub use service::{change, create, erase, home};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A contact, or the home of an address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Contact {
    person: Option<Person>,
    /// The key under which the data of a contact that was erased is sealed.
    erased: Option<KeyId>,
    /// Who holds this home's address, when it is not the contact that lives here.
    guest: Option<Uuid>,
    /// Whether anything ever happened here.
    used: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Person {
    details: Sealed<ContactDetails>,
    /// The home of the address it has now.
    home: Uuid,
    tags: BTreeSet<String>,
    consents: BTreeMap<Purpose, ()>,
    #[serde(default)]
    asks: Asks,
}

/// What can be asked of a contact. [`create`], [`change`] and [`erase`] also keep the addresses' homes.
#[derive(Clone, Debug)]
pub enum ContactCommand {
    Create {
        details: ContactDetails,
        tags: Vec<String>,
        import: Option<Uuid>,
    },
    Change {
        details: ContactDetails,
        import: Option<Uuid>,
    },
    Tag {
        tag: String,
    },
    Untag {
        tag: String,
    },
    GiveConsent {
        purpose: Purpose,
        evidence: ConsentEvidence,
    },
    /// Takes a consent back, and a question for it that waits for its answer.
    WithdrawConsent {
        purpose: Purpose,
        source: String,
    },
    /// A mail is to ask the contact for a consent. Nothing follows while the last question is too young, or when the consent is
    /// in force already, unless mail is stopped `although` it is.
    AskConsent {
        purpose: Purpose,
        request: ConsentRequest,
        although: bool,
    },
    /// The contact says yes to a question; `ip` is where that came from.
    ConfirmConsent {
        purpose: Purpose,
        round: u32,
        ip: Option<String>,
    },
    Erase,
    /// To a home: its address now belongs to this contact.
    TakeAddress {
        by: Uuid,
    },
    /// To a home: this contact no longer has its address.
    ReleaseAddress {
        by: Uuid,
    },
}

rejections! {
    /// Why a command to a contact is refused.
    pub enum ContactRejection {
        Unknown: Missing, "contact_not_found", "", "there is no such contact";
        Erased: State, "contact_erased", "", "the contact was erased and cannot be used any more";
        EmailTaken: State, "email_taken", "/email", "another contact has this e-mail address";
        HomeOccupied: State, "home_occupied", "/email", "the address was held by another contact before";
        InvalidEmail: Invalid, "invalid_email", "/email", "an e-mail address has the form name@domain (RFC 5321), at most 254 characters";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters are allowed";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed";
        InvalidCountry: Invalid, "invalid_country", "/country", "a country is two upper-case letters of ISO 3166-1, for example DE";
        InvalidTag: Invalid, "invalid_tag", "/tag", "a tag has 1 to 60 characters of a-z, 0-9, space, '-', '_', '.', ':' and letters of other scripts";
        TooManyAsked: Invalid, "too_many_tags", "/tags", "at most 10 tags can be asked for at once";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooManyTags: Invalid, "too_many_tags", "/tags", "a contact has at most 100 tags";
        NoConsent { purpose: &'static str }: State, "no_consent", "/purpose", "the contact has not consented to {purpose}";
        LinkExpired: State, "confirmation_expired", "", "the time of the link is over; ask for another one at the form";
        LinkClosed: State, "confirmation_closed", "", "the link was withdrawn, or a later one took its place";
        Sealing: State, "key_destroyed", "", "the contact's key is destroyed";
    }
}

impl Contact {
    /// Whether the address that has its home here belongs to anybody, seen from the contact `id` that lives here.
    fn address_held(&self, id: Uuid) -> bool {
        self.guest.is_some() || self.person.as_ref().is_some_and(|person| person.home == id)
    }

    fn person(&self) -> Result<&Person, ContactRejection> {
        match (&self.person, self.erased) {
            (Some(person), _) => Ok(person),
            (None, Some(_)) => Err(ContactRejection::Erased),
            (None, None) => Err(ContactRejection::Unknown),
        }
    }

    /// The details as they are now, sealed; `None` for a home without contact and after erasure.
    pub fn details(&self) -> Option<&Sealed<ContactDetails>> {
        self.person.as_ref().map(|person| &person.details)
    }

    /// The home of the address it has now; `None` for a home without contact and after erasure.
    pub fn address_home(&self) -> Option<Uuid> {
        self.person.as_ref().map(|person| person.home)
    }

    /// Whether somebody lives here now.
    pub fn is_living(&self) -> bool {
        self.person.is_some()
    }

    /// Who holds the address of this home without living here.
    pub fn guest(&self) -> Option<Uuid> {
        self.guest
    }

    /// Who has the address whose home this is, seen from the id of this home.
    pub fn holder(&self, home: Uuid) -> Option<Uuid> {
        self.guest.or_else(|| self.address_held(home).then_some(home))
    }

    /// The tags, in order; none when nobody lives here.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.person.iter().flat_map(|person| person.tags.iter().map(String::as_str))
    }

    pub fn is_erased(&self) -> bool {
        self.erased.is_some()
    }

    /// Whether the person agreed to a purpose and has not taken that back.
    pub fn consents_to(&self, purpose: Purpose) -> bool {
        self.person.as_ref().is_some_and(|person| person.consents.contains_key(&purpose))
    }

    /// The question for a consent that was not answered; it may have expired.
    pub fn asked(&self, purpose: Purpose) -> Option<&Ask> {
        self.person.as_ref()?.asks.open(purpose)
    }

    /// What the link of a question is good for now.
    pub fn link(&self, purpose: Purpose, round: u32, now: Micros) -> LinkState {
        let Some(person) = &self.person else { return LinkState::Closed };
        match person.asks.link(purpose, round, now) {
            LinkState::Confirmed if !person.consents.contains_key(&purpose) => LinkState::Closed,
            state => state,
        }
    }

    fn ask(
        &self,
        purpose: Purpose,
        request: &ConsentRequest,
        although: bool,
        ctx: &Ctx,
    ) -> Result<Decision<ContactEvent>, ContactRejection> {
        let person = self.person()?;
        let request = valid_request(request)?;
        if (person.consents.contains_key(&purpose) && !although) || !person.asks.is_due(ctx.now) {
            return Ok(Decision::nothing());
        }
        let request = ctx.seal(person.details.key(), &request).map_err(|_| ContactRejection::Sealing)?;
        let (round, expires_at) = (person.asks.next_round(), ctx.now.plus_seconds(CONFIRMATION_LIFE));
        Ok(Decision::event(ConsentAsked { purpose, round, request, at: ctx.now, expires_at }))
    }

    fn confirm(
        &self,
        purpose: Purpose,
        round: u32,
        ip: Option<&str>,
        ctx: &Ctx,
    ) -> Result<Decision<ContactEvent>, ContactRejection> {
        use ContactRejection as R;
        let person = self.person()?;
        let ask = match (self.link(purpose, round, ctx.now), person.asks.open(purpose)) {
            (LinkState::Open, Some(ask)) => ask,
            (LinkState::Confirmed, _) => return Ok(Decision::nothing()),
            (LinkState::Expired, _) => return Err(R::LinkExpired),
            (LinkState::Open | LinkState::Closed, _) => return Err(R::LinkClosed),
        };
        let request = ctx.open(&ask.request).map_err(|_| R::Sealing)?.known().ok_or(R::Sealing)?;
        let evidence = details::valid_evidence(&ConsentEvidence {
            source: format!("double opt-in: {}", request.source),
            text_version: request.text_version,
            ip: ip.map(str::to_owned),
            given_at: ctx.now,
        })?;
        let evidence = ctx.seal(person.details.key(), &evidence).map_err(|_| R::Sealing)?;
        let decision = Decision::event(ConsentGiven { purpose, evidence });
        let new = request.tags.into_iter().filter(|tag| !person.tags.contains(tag));
        // What a contact has no room for is not worth losing the consent.
        let room = MAX_TAGS.saturating_sub(person.tags.len());
        Ok(new.take(room).fold(decision, |decision, tag| decision.and(ContactTagged { tag })))
    }

    fn key(&self) -> Option<KeyId> {
        self.details().map(Sealed::key)
    }
}

impl Decider for Contact {
    type Event = ContactEvent;
    type Command = ContactCommand;
    type Rejection = ContactRejection;

    fn decide(&self, command: &ContactCommand, ctx: &Ctx) -> Result<Decision<ContactEvent>, ContactRejection> {
        use ContactRejection as R;
        let seal_failed = |_| R::Sealing;
        match command {
            ContactCommand::Create { details, tags, import } => {
                let details = valid_details(details)?;
                let home = ctx.derived_id(EMAIL, &normal_email(&details.email)?);
                if home == ctx.id && self.address_held(ctx.id) {
                    return Err(R::EmailTaken);
                }
                if self.used {
                    return Err(R::HomeOccupied);
                }
                let tags: BTreeSet<String> = tags.iter().map(|tag| normal_tag(tag)).collect::<Result<_, _>>()?;
                if tags.len() > MAX_TAGS {
                    return Err(R::TooManyTags);
                }
                let details = ctx.seal(ctx.fresh_key().map_err(seal_failed)?, &details).map_err(seal_failed)?;
                let tags = tags.into_iter().collect();
                Ok(Decision::event(ContactCreated { details, home, tags, import: *import }))
            }
            ContactCommand::Change { details, import } => {
                let person = self.person()?;
                let details = valid_details(details)?;
                let home = ctx.derived_id(EMAIL, &normal_email(&details.email)?);
                if home == ctx.id && self.guest.is_some() {
                    return Err(R::EmailTaken);
                }
                if ctx.open(&person.details).map_err(seal_failed)?.known().as_ref() == Some(&details) {
                    return Ok(Decision::nothing());
                }
                let details = ctx.seal(person.details.key(), &details).map_err(seal_failed)?;
                Ok(Decision::event(ContactChanged { details, home, import: *import }))
            }
            ContactCommand::Tag { tag } => {
                let (person, tag) = (self.person()?, normal_tag(tag)?);
                if person.tags.contains(&tag) {
                    return Ok(Decision::nothing());
                }
                if person.tags.len() >= MAX_TAGS {
                    return Err(R::TooManyTags);
                }
                Ok(Decision::event(ContactTagged { tag }))
            }
            ContactCommand::Untag { tag } => {
                let (person, tag) = (self.person()?, normal_tag(tag)?);
                if !person.tags.contains(&tag) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(ContactUntagged { tag }))
            }
            ContactCommand::GiveConsent { purpose, evidence } => {
                let person = self.person()?;
                if person.consents.contains_key(purpose) {
                    return Ok(Decision::nothing());
                }
                let evidence = details::valid_evidence(evidence)?;
                let evidence = ctx.seal(person.details.key(), &evidence).map_err(seal_failed)?;
                Ok(Decision::event(ConsentGiven { purpose: *purpose, evidence }))
            }
            ContactCommand::WithdrawConsent { purpose, source } => {
                let person = self.person()?;
                if !person.consents.contains_key(purpose) && person.asks.open(*purpose).is_none() {
                    return Ok(Decision::nothing());
                }
                let source = details::valid_source(source)?;
                Ok(Decision::event(ConsentWithdrawn { purpose: *purpose, source }))
            }
            ContactCommand::AskConsent { purpose, request, although } => self.ask(*purpose, request, *although, ctx),
            ContactCommand::ConfirmConsent { purpose, round, ip } => self.confirm(*purpose, *round, ip.as_deref(), ctx),
            ContactCommand::Erase => match (&self.person, self.erased) {
                (Some(person), _) => Ok(Decision::event(ContactErased { key: person.details.key() })),
                (None, Some(_)) => Ok(Decision::nothing()),
                (None, None) => Err(R::Unknown),
            },
            ContactCommand::TakeAddress { by } => {
                if self.guest == Some(*by) {
                    return Ok(Decision::nothing());
                }
                if self.address_held(ctx.id) {
                    return Err(R::EmailTaken);
                }
                Ok(Decision::event(AddressTaken { by: *by }))
            }
            ContactCommand::ReleaseAddress { by } => {
                if self.guest != Some(*by) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(AddressReleased { by: *by }))
            }
        }
    }

    fn evolve(&mut self, event: &ContactEvent) {
        self.used = true;
        match (event, &mut self.person) {
            (ContactEvent::Created(created), _) => {
                self.person = Some(Person {
                    details: created.details.clone(),
                    home: created.home,
                    tags: created.tags.iter().cloned().collect(),
                    consents: BTreeMap::new(),
                    asks: Asks::default(),
                });
            }
            (ContactEvent::Changed(changed), Some(person)) => {
                person.details = changed.details.clone();
                person.home = changed.home;
            }
            (ContactEvent::Tagged(tagged), Some(person)) => _ = person.tags.insert(tagged.tag.clone()),
            (ContactEvent::Untagged(untagged), Some(person)) => _ = person.tags.remove(&untagged.tag),
            (ContactEvent::ConsentAsked(asked), Some(person)) => person.asks.asked(asked),
            (ContactEvent::ConsentGiven(given), Some(person)) => {
                person.consents.insert(given.purpose, ());
                person.asks.given(given.purpose);
            }
            (ContactEvent::ConsentWithdrawn(taken), Some(person)) => {
                person.consents.remove(&taken.purpose);
                person.asks.withdrawn(taken.purpose);
            }
            (ContactEvent::Erased(erased), _) => {
                self.person = None;
                self.erased = Some(erased.key);
            }
            (ContactEvent::AddressTaken(taken), _) => self.guest = Some(taken.by),
            (ContactEvent::AddressReleased(_), _) => self.guest = None,
            // Nothing else can be recorded of somebody who is not there.
            (_, None) => {}
        }
    }

    fn keys(&self, command: &ContactCommand) -> KeyNeed {
        match (command, self.key()) {
            (ContactCommand::Create { .. }, _) => KeyNeed::Fresh,
            (
                ContactCommand::Change { .. }
                | ContactCommand::GiveConsent { .. }
                | ContactCommand::AskConsent { .. }
                | ContactCommand::ConfirmConsent { .. },
                Some(key),
            ) => KeyNeed::Existing(vec![key]),
            _ => KeyNeed::None,
        }
    }

    fn creates(command: &ContactCommand) -> bool {
        matches!(command, ContactCommand::Create { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> ContactRejection {
        ContactRejection::EmailTaken
    }
}

/// The name under which ids follow from e-mail addresses.
const EMAIL: &str = crate::text::ADDRESS_ID;

#[cfg(test)]
mod ask_tests;
#[cfg(test)]
mod tests;
