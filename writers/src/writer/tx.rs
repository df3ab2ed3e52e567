//! One attempt at a command: what it read, what it decided, and its commit.

use super::{
    Inner, Meta, WriteError,
    loaded::{self, Loaded},
    snapshot,
};
use crate::{
    decider::{ClaimChange, Ctx, Decider, KeyNeed},
    store::{Commit, StoreError},
};
use bus_schema::{
    Address, AnyEvent, CommandId, Envelope, KeyId, Keyring, Micros, Subject, TenantId,
    bus::Outgoing,
    catalog::Catalogued,
    claim::{ClaimEvent, ClaimReleased, ClaimTaken},
    events::EventSet,
    keys::TenantKey,
};
use std::{any::Any, collections::HashMap, sync::Arc};
use tokio::time::Instant;
use uuid::Uuid;

/// The aggregates of one attempt and what will be appended. See [`super::Writer::transact`].
pub struct Tx<'w> {
    inner: &'w Inner,
    tenant: &'w TenantId,
    tenant_key: Arc<TenantKey>,
    meta: &'w Meta,
    /// Of the content, once an attempt: it is a keyed hash and asked for several times.
    fingerprint: Option<u64>,
    now: Micros,
    /// Earlier attempts met a conflict: nothing may be assumed or taken from the cache unread.
    fresh_only: bool,
    touched: HashMap<Subject, Touched>,
    messages: Vec<Outgoing>,
    claims: Vec<(&'static str, String)>,
    position: u64,
    /// Position of the last event of this command when it was carried out before.
    replayed: Option<u64>,
    /// Something was taken from the cache or assumed to be new, so a rejection may rest on old knowledge.
    assumed: bool,
}

struct Touched {
    /// A `Loaded<D>`; type-erased because one attempt may touch aggregates of several kinds.
    loaded: Box<dyn Any + Send + Sync>,
    keep: fn(&Inner, &Subject, Box<dyn Any + Send + Sync>, &Kept),
    /// Events decided here, and the index of the last one among the messages.
    events: u32,
    last_message: usize,
    /// Position expected of the first message; the later ones of a subject carry none.
    expect: Option<u64>,
    /// It was taken from the cache, or assumed to be new.
    assumed: bool,
}

/// A finished attempt.
pub(super) struct Done {
    pub(super) position: u64,
    pub(super) replayed: bool,
}

impl<'w> Tx<'w> {
    pub(super) fn new(
        inner: &'w Inner,
        tenant: &'w TenantId,
        tenant_key: Arc<TenantKey>,
        meta: &'w Meta,
        fresh_only: bool,
    ) -> Self {
        let fingerprint = meta.content.as_ref().map(|content| tenant_key.fingerprint(content));
        Self {
            inner,
            tenant,
            tenant_key,
            meta,
            fingerprint,
            now: meta.at.unwrap_or_else(|| inner.clock.now()),
            fresh_only,
            touched: HashMap::new(),
            messages: Vec::new(),
            claims: Vec::new(),
            position: 0,
            replayed: None,
            assumed: false,
        }
    }

    /// The state of an aggregate inside this attempt, with what was decided before in it.
    pub async fn load<D: Decider>(&mut self, id: Uuid) -> Result<Loaded<D>, WriteError> {
        let subject = self.subject::<D>(id);
        self.read::<D>(&subject, false).await?;
        self.present(&subject)
    }

    /// Whether this command was carried out before.
    pub fn replayed(&self) -> bool {
        self.replayed.is_some()
    }

    pub fn now(&self) -> Micros {
        self.now
    }

    pub fn tenant_key(&self) -> &TenantKey {
        &self.tenant_key
    }

    /// Opens the aggregate a command of several is really for, before the others, so that it can be decided last and its
    /// event is the last one. Checks `If-Match` against it. `None`: it carried this command out before; then it alone is
    /// to be decided, which gives the answer of that time.
    pub async fn open<D: Decider>(&mut self, id: Uuid) -> Result<Option<Loaded<D>>, WriteError> {
        let present = self.load::<D>(id).await?;
        if present.ledger.find(self.meta.command).is_some() {
            return Ok(None);
        }
        match self.meta.if_match {
            Some(expected) if expected != present.revision => Err(WriteError::Stale { current: present.revision }),
            _ => Ok(Some(present)),
        }
    }

    /// Lets an aggregate decide and stages what it decided. Gives its state afterwards. If this command was carried
    /// out before, gives the state it led to then and stages nothing.
    pub async fn decide<D: Decider>(&mut self, id: Uuid, command: &D::Command) -> Result<Loaded<D>, WriteError> {
        let subject = self.subject::<D>(id);
        self.read::<D>(&subject, D::creates(command)).await?;
        let present: Loaded<D> = self.present(&subject)?;
        let fingerprint = self.fingerprint;
        if self.touched.get(&subject).is_some_and(|touched| touched.events == 0)
            && let Some(entry) = present.ledger.find(self.meta.command)
        {
            if entry.fingerprint != fingerprint {
                return Err(WriteError::KeyReused);
            }
            self.replayed = self.replayed.max(Some(entry.last));
            if entry.last == present.revision {
                return Ok(present);
            }
            return loaded::load_until(self.inner, &subject, entry.last).await;
        }
        let primary = self.touched.len() == 1 && self.messages.is_empty();
        if primary && self.meta.if_match.is_some_and(|expected| expected != present.revision) {
            return Err(WriteError::Stale { current: present.revision });
        }
        let (ring, fresh) = match present.state.keys(command) {
            KeyNeed::None => (Keyring::default(), None),
            KeyNeed::Fresh => (Keyring::default(), Some(self.inner.keys.fresh(self.tenant).await?)),
            KeyNeed::Existing(ids) => (self.inner.keys.load(self.tenant, &ids).await?, None),
        };
        let key = fresh.as_ref().map(|key| key.id).or_else(|| ring.ids().next());
        let ctx = Ctx::new(self.now, id, self.meta.command, &self.tenant_key, &ring, fresh.as_ref());
        let decision = present.state.decide(command, &ctx)?;
        for change in decision.claims {
            self.stage_claim::<D>(change, &subject).await?;
        }
        for event in decision.events {
            self.stage_event::<D>(&subject, event, key)?;
        }
        self.present(&subject)
    }

    fn subject<D: Decider>(&self, id: Uuid) -> Subject {
        let address = Address::new(D::Event::CONTEXT, D::Event::AGGREGATE, id);
        Subject::event(&self.inner.cell, self.tenant, address)
    }

    fn present<D: Decider>(&self, subject: &Subject) -> Result<Loaded<D>, WriteError> {
        let touched = self.touched.get(subject).and_then(|touched| touched.loaded.downcast_ref::<Loaded<D>>());
        touched.cloned().ok_or_else(|| StoreError::Misuse(format!("{subject} was read as another aggregate")).into())
    }

    /// Brings an aggregate into this attempt. `assume_new`: nothing is read, the log will refuse if that is wrong.
    async fn read<D: Decider>(&mut self, subject: &Subject, assume_new: bool) -> Result<(), WriteError> {
        if self.touched.contains_key(subject) {
            return Ok(());
        }
        let cached = self.inner.cache.get::<D>(subject).filter(|_| !self.fresh_only);
        let assumed = cached.is_some() || (assume_new && !self.fresh_only);
        self.assumed |= assumed;
        let loaded = match cached {
            Some(cached) => (*cached).clone(),
            None if assume_new && !self.fresh_only => Loaded::default(),
            None => (*loaded::load::<D>(self.inner, subject).await?).clone(),
        };
        self.position = self.position.max(loaded.revision);
        let expect = Some(loaded.revision);
        let touched =
            Touched { loaded: Box::new(loaded), keep: keep_in_cache::<D>, events: 0, last_message: 0, expect, assumed };
        self.touched.insert(subject.clone(), touched);
        Ok(())
    }

    fn stage_event<D: Decider>(
        &mut self,
        subject: &Subject,
        event: D::Event,
        key: Option<KeyId>,
    ) -> Result<(), WriteError> {
        let body = event.encode()?;
        let envelope = self.envelope(event.kind(), event.schema(), key);
        let index = self.messages.len();
        let expect = match self.touched.get_mut(subject) {
            Some(touched) => {
                if let Some(loaded) = touched.loaded.downcast_mut::<Loaded<D>>() {
                    loaded.state.evolve(&event);
                }
                touched.events += 1;
                touched.last_message = index;
                touched.expect.take()
            }
            None => None,
        };
        let subject = subject.to_string();
        self.messages.push(Outgoing { subject, envelope: Some(envelope), body: body.into(), expect });
        Ok(())
    }

    /// A claim is taken on the assumption that it is free; after a conflict its last event is read.
    async fn stage_claim<D: Decider>(&mut self, change: ClaimChange, owner: &Subject) -> Result<(), WriteError> {
        let (what, hash, release) = match change {
            ClaimChange::Take { what, hash } => (what, hash, false),
            ClaimChange::Release { what, hash } => (what, hash, true),
        };
        let subject = Subject::event(&self.inner.cell, self.tenant, Address::new("claim", what, &hash));
        let owner = owner.address.to_string();
        let last = if release || self.fresh_only {
            self.inner.store.last_events(std::slice::from_ref(&subject)).await?.pop()
        } else {
            None
        };
        let held_by = match last.as_ref().map(|stored| (stored, stored.decode())) {
            Some((_, Ok(Some(AnyEvent::Claim(ClaimEvent::Taken(taken)))))) => Some(taken.owner),
            Some((stored, Err(source))) => {
                return Err(WriteError::Decode { subject: subject.to_string(), seq: stored.seq, source });
            }
            _ => None,
        };
        let event: ClaimEvent = match (release, held_by) {
            (false, Some(other)) if other != owner => {
                return Err(WriteError::Rejected(D::claim_taken(what, &other).into()));
            }
            // Taken by us already, or not ours to release: nothing changes.
            (false, Some(_)) | (true, None) => return Ok(()),
            (true, Some(other)) if other != owner => return Ok(()),
            (false, None) => ClaimTaken { owner }.into(),
            (true, Some(_)) => ClaimReleased { owner }.into(),
        };
        let subject = subject.to_string();
        if self.claims.iter().any(|(_, staged)| *staged == subject) {
            return Err(StoreError::Misuse(format!("{subject} is changed twice by one command")).into());
        }
        self.claims.push((what, subject.clone()));
        let envelope = self.envelope(event.kind(), event.schema(), None);
        let expect = Some(last.map_or(0, |stored| stored.seq));
        self.messages.push(Outgoing { subject, envelope: Some(envelope), body: event.encode()?.into(), expect });
        Ok(())
    }

    fn envelope(&self, kind: &str, schema: u16, key: Option<KeyId>) -> Envelope {
        Envelope {
            event_id: self.meta.command.event(self.messages.len()),
            kind: kind.to_owned(),
            schema,
            at: self.now,
            actor: self.meta.actor.clone(),
            correlation: self.meta.correlation,
            cause: self.meta.command,
            fingerprint: self.fingerprint,
            key,
            trace: self.meta.trace.clone(),
        }
    }

    /// Whether an answer may rest on old knowledge without the log noticing, and should be given again on its word: nothing is appended,
    /// or nothing to something that was not read. Another process may have changed that, and only an event carries an expectation.
    pub(super) fn is_doubtful(&self) -> bool {
        let unnoticed = self.touched.values().any(|touched| touched.assumed && touched.events == 0);
        (unnoticed || (self.assumed && self.messages.is_empty())) && self.replayed.is_none()
    }

    /// Whether a refusal may rest on old knowledge: what other aggregates decided before it does not make it safer.
    pub(super) fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// Appends what was staged. On any doubt the cache forgets what this attempt touched.
    pub(super) async fn commit(self) -> Result<Done, WriteError> {
        let Self { inner, meta, fingerprint, touched, messages, position, replayed, .. } = self;
        if messages.is_empty() {
            // The answer of that time stands where it stood, whatever happened to its aggregate since.
            return Ok(Done { position: replayed.unwrap_or(position), replayed: replayed.is_some() });
        }
        let count = messages.len() as u64;
        let began = Instant::now();
        match inner.store.commit(Commit { messages }).await {
            Ok(first) => {
                for (subject, touched) in touched.into_iter().filter(|(_, touched)| touched.events > 0) {
                    let revision = first + touched.last_message as u64;
                    let kept = Kept { revision, command: meta.command, fingerprint, began };
                    (touched.keep)(inner, &subject, touched.loaded, &kept);
                }
                Ok(Done { position: first + count - 1, replayed: false })
            }
            Err(error) => {
                touched.keys().for_each(|subject| inner.cache.forget(subject));
                Err(error.into())
            }
        }
    }
}

/// What is known of an aggregate after its commit beside its state.
struct Kept {
    revision: u64,
    command: CommandId,
    fingerprint: Option<u64>,
    /// When the commit began: the log had nothing else then, or it would have refused.
    began: Instant,
}

fn keep_in_cache<D: Decider>(inner: &Inner, subject: &Subject, loaded: Box<dyn Any + Send + Sync>, kept: &Kept) {
    let Ok(mut loaded) = loaded.downcast::<Loaded<D>>() else { return };
    loaded.unsaved += 1;
    loaded.revision = kept.revision;
    loaded.ledger.record(kept.command, kept.fingerprint, kept.revision);
    snapshot::keep(inner, subject, &mut loaded);
    inner.cache.put(subject, Arc::new(*loaded), kept.began);
}
