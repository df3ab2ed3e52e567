//! Contacts as the rows need them: as requests, and as the messages a contact's creation becomes.

use crate::{AnyError, log::Log, platform::Platform};
use bus_schema::{
    Actor, CommandId, EventId, StoredEvent, Subject, TenantId,
    bus::Outgoing,
    crm::contact::ContactDetails,
    keys::{KeyDirectory, RootKey},
    subject::Family,
    time::Clock,
};
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;
use writers::{
    EventStore, Meta, Writer,
    backend::nats::{GroupOptions, NatsStore},
    crm::contact::{self, Contact, ContactCommand},
};

/// A number nobody had before in this run.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn details(number: u64) -> ContactDetails {
    ContactDetails {
        email: format!("person-{number:08}@example.org"),
        first_name: Some("Adelheid".into()),
        last_name: Some(format!("Sommer {number:08}")),
        company: Some("Mill and Race".into()),
        city: Some("Regensburg".into()),
        country: Some("DE".into()),
        ..ContactDetails::default()
    }
}

/// Requests that create contacts, each with its own address and idempotency key.
pub(crate) fn requests(platform: &Platform, count: usize) -> Vec<Vec<u8>> {
    let request = |_| {
        let number = next();
        let body = serde_json::to_string(&Body { details: details(number), tags: ["newsletter"] }).unwrap_or_default();
        let key = format!("Idempotency-Key: bench-{number:08}\r\n");
        platform.request("POST", "/v1/contacts", &key, &body)
    };
    (0..count).map(request).collect()
}

#[derive(serde::Serialize)]
struct Body {
    #[serde(flatten)]
    details: ContactDetails,
    tags: [&'static str; 1],
}

/// The message one real creation became; copies of it have the same bytes for a server.
pub(crate) struct Sample(StoredEvent);

impl Sample {
    /// Creates one contact through the writer, as the API does, and reads its message back.
    pub(crate) async fn take(log: &Log) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let keys = KeyDirectory::new(log.bus.clone(), RootKey::from_file(&folder.path().join("root.key"))?);
        let tenant = TenantId::try_new("main")?;
        keys.create_tenant(&tenant).await?;
        let store = EventStore::Nats(NatsStore::new(log.bus.clone(), GroupOptions::default()));
        let writer = Writer::new(log.cell.clone(), store, keys, Clock::System);
        let details = details(next());
        let email = details.email.clone();
        let command = CommandId::random();
        let meta = Meta {
            command,
            actor: Actor::ApiKey(command.0),
            correlation: command.0,
            content: Some(vec![0; 32]),
            if_match: None,
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            at: None,
        };
        let create = ContactCommand::Create { details, tags: vec!["newsletter".into()], import: None };
        let (id, _) = contact::create(&writer, &tenant, &meta, &create, &email).await?;
        let subject = writer.subject::<Contact>(&tenant, id).to_string();
        let stored = log.bus.read_subject(Family::Events, &subject, 0).await?.pop();
        Ok(Self(stored.ok_or("the contact's event is not in the log")?))
    }

    /// Messages like it, each of a contact of its own.
    pub(crate) fn copies(&self, count: usize) -> Vec<Outgoing> {
        let copy = |_| {
            let id = CommandId::random().0;
            let mut envelope = self.0.envelope.clone();
            (envelope.event_id, envelope.cause) = (EventId(id), CommandId(id));
            let subject = self.subject(id).to_string();
            Outgoing { subject, envelope: Some(envelope), body: self.0.body.clone(), expect: Some(0) }
        };
        (0..count).map(copy).collect()
    }

    pub(crate) fn subject(&self, id: Uuid) -> Subject {
        let mut subject = self.0.subject.clone();
        subject.address.id = id.to_string();
        subject
    }

    pub(crate) fn stored(&self) -> &StoredEvent {
        &self.0
    }
}
