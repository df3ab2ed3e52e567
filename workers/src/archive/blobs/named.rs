//! The messages that name a blob.

use super::super::record::header;
use crate::blob::BlobId;
use bus_schema::{
    AnyEvent, Envelope, StoredEvent, Subject, TenantId,
    bus::StoredMessage,
    cms::file::{self, FileEvent},
};
use std::collections::BTreeMap;

/// A blob as an event names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) position: u64,
    pub(super) subject: String,
    pub(super) tenant: TenantId,
    /// The file's id.
    pub(super) file: String,
    pub(super) blob: BlobId,
    pub(super) size: u64,
}

impl Named {
    /// `None`: the message names no blob. `Some(Err)`: it does, and which one cannot be read.
    pub(super) fn of(message: &StoredMessage) -> Option<Result<Self, u64>> {
        let header = |name: &str| header(message, name);
        // Only these few are decoded.
        if header(bus_schema::envelope::header::KIND) != Some(file::UPLOADED) {
            return None;
        }
        Some(Self::read(message).ok_or(message.seq))
    }

    fn read(message: &StoredMessage) -> Option<Self> {
        let subject = Subject::parse(&message.subject).ok()?;
        let envelope = Envelope::from_headers(|name: &str| header(message, name)).ok()?;
        let event = StoredEvent { seq: message.seq, subject, envelope, body: message.body.clone() };
        let Ok(Some(AnyEvent::File(FileEvent::Uploaded(uploaded)))) = event.decode() else { return None };
        Some(Self {
            position: message.seq,
            subject: message.subject.clone(),
            tenant: event.subject.tenant.clone(),
            file: event.subject.address.id.clone(),
            blob: uploaded.blob.parse().ok()?,
            size: uploaded.size,
        })
    }
}

/// The files that messages name and that are not erased, by their subjects.
#[derive(Debug, Default)]
pub(in crate::archive) struct Seen(BTreeMap<String, Named>);

impl Seen {
    /// Takes messages in their order.
    pub(in crate::archive) fn note(&mut self, messages: &[StoredMessage]) {
        for message in messages {
            if header(message, bus_schema::envelope::header::KIND) == Some(file::ERASED) {
                self.0.remove(&message.subject);
            } else if let Some(Ok(named)) = Named::of(message) {
                self.0.insert(named.subject.clone(), named);
            }
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Named> {
        self.0.values()
    }
}
