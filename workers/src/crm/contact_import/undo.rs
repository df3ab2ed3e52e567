//! Taking an import back.
//!
//! A contact the import made is erased, as long as nobody else did anything with it: it leaves every list, its address is
//! free again and its key is destroyed, which is what should happen to data that were not meant to be here. A contact it
//! changed gets back what it had, field by field where the field still holds what the import set, and loses the tags
//! the import added. Everything else is kept and the report says why.
//!
//! The report must be whole: an import that was cut short by a crash had rows under way that its report does not have
//! yet, so it is carried on to its end (or until it stops by itself) before it is taken back.
//!
//! One command per contact, its id follows from import and contact: stopping and starting again does nothing twice.

use super::{
    apply::failed,
    checkpoint::{Checkpoint, Progress, Summary},
    conveyor::{Conveyor, ImportError, Item},
    patience::persevere,
    report::{Outcome, ReportReader, ReportRow, ReportWriter},
    revert::{self, Past, Plan},
    source::Position,
};
use bus_schema::{
    Actor, CommandId, KeyId, TenantId,
    catalog::Catalogued,
    crm::contact::{ContactDetails, ContactEvent},
};
use futures::future::BoxFuture;
use std::{path::Path, time::Duration};
use tokio::sync::mpsc;
use uuid::Uuid;
use writers::{
    Meta, WriteError, Writer,
    crm::contact::{self, Contact, ContactCommand, ContactRejection},
    mail::suppression,
};

/// Attempts to act on a contact that others change meanwhile.
const ATTEMPTS: usize = 5;

/// How to take an import back.
#[derive(Clone, Debug)]
pub struct UndoOptions {
    pub import: Uuid,
    pub actor: Actor,
    /// Rows under way at once.
    pub in_flight: usize,
    /// Rows between two checkpoints.
    pub every: u64,
    /// How long one row waits for a log that cannot be reached before the undoing ends with an error.
    pub patience: Duration,
}

impl UndoOptions {
    pub fn new(import: Uuid, actor: Actor) -> Self {
        Self { import, actor, in_flight: 256, every: 500, patience: Duration::from_secs(60) }
    }
}

/// Knows whether something outside the contact's own history hangs on it: an order, an enrolment.
pub trait InUse: Sync {
    /// What hangs on the contact, in words for the report; `None` when it may go.
    fn in_use(&self, contact: Uuid) -> impl Future<Output = Result<Option<String>, WriteError>> + Send;
}

/// Nothing but its own history keeps a contact.
pub struct Unused;

impl InUse for Unused {
    async fn in_use(&self, _contact: Uuid) -> Result<Option<String>, WriteError> {
        Ok(None)
    }
}

/// Takes back what the import's report at `imported` says was done, and writes `report`, opened at `from.report`.
/// Errors and starting again are as for [`super::engine::run`]; `from.position` is a place in the import's report.
#[expect(clippy::too_many_arguments, reason = "each is one part of the world it acts on")]
pub async fn undo<U, P>(
    writer: &Writer,
    tenant: &TenantId,
    options: &UndoOptions,
    imported: &Path,
    report: ReportWriter,
    from: Checkpoint,
    in_use: &U,
    progress: &mut P,
) -> Result<Summary, ImportError>
where
    U: InUse,
    P: Progress,
{
    let mut source = ReportReader::open(imported, from.position.offset).await?;
    let (sender, items) = mpsc::channel(options.in_flight.max(1));
    let reading = tokio::spawn(async move {
        loop {
            let item = match source.next().await {
                Ok(Some((row, offset))) => {
                    let after = Position { offset, row: row.row, line: row.line };
                    let work = row.contact.filter(|_| matches!(row.outcome, Outcome::Created | Outcome::Merged));
                    Ok(Item { after, touches: work, work: (row.row, row.line, work) })
                }
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            let ended = item.is_err();
            if sender.send(item).await.is_err() || ended {
                break;
            }
        }
    });
    let undoing = &Undoing { writer, tenant, options, in_use };
    let conveyor = Conveyor { report, checkpoint: from, progress, every: options.every, in_flight: options.in_flight };
    let summary = conveyor
        .run(items, |(row, line, contact)| match contact {
            Some(contact) => undoing.row(row, line, contact),
            None => Box::pin(std::future::ready(Ok(None))),
        })
        .await?;
    reading.await.map_err(|_| ImportError::Reader)?;
    Ok(summary)
}

struct Undoing<'a, U> {
    writer: &'a Writer,
    tenant: &'a TenantId,
    options: &'a UndoOptions,
    in_use: &'a U,
}

impl<U: InUse> Undoing<'_, U> {
    /// Boxed: its being `Send` is then known here, where the lifetimes are.
    fn row(&self, row: u64, line: u64, id: Uuid) -> BoxFuture<'_, Result<Option<ReportRow>, WriteError>> {
        Box::pin(async move {
            let (outcome, reason) = match persevere(self.options.patience, || self.contact(id)).await {
                Ok(done) => done,
                Err(error) => return Ok(Some(ReportRow { contact: Some(id), ..failed(row, line, error)? })),
            };
            let report = ReportRow::new(row, line, outcome, Some(id));
            Ok(Some(match reason {
                Some((code, message)) => report.because(code, message),
                None => report,
            }))
        })
    }

    async fn contact(&self, id: Uuid) -> Result<(Outcome, Option<Reason>), WriteError> {
        for _ in 0..ATTEMPTS {
            match self.attempt(id).await {
                Err(WriteError::Stale { .. }) => {}
                answer => return answer,
            }
        }
        Err(WriteError::Conflict)
    }

    /// Plans on the contact's history and acts only if that is still all of it.
    async fn attempt(&self, id: Uuid) -> Result<(Outcome, Option<Reason>), WriteError> {
        let mut history = self.history(id).await?;
        let revision = history.last().map_or(0, |past| past.seq);
        let command = self.command(id);
        let begun = history.iter().position(|past| past.cause == command);
        history.truncate(begun.unwrap_or(history.len()));
        let keys = self.writer.keys().load(self.tenant, &revert::keys(&history)).await?;
        let plan = revert::plan(&history, self.options.import, &keys).map_err(|_| ContactRejection::Sealing)?;
        let meta = Meta {
            command,
            actor: self.options.actor.clone(),
            correlation: CommandId::derived(&["import-undo", &self.options.import.to_string()]).0,
            content: None,
            if_match: Some(revision),
            trace: None,
            at: None,
        };
        match plan {
            Plan::Remove { key } => self.remove(id, key, &meta, begun.is_some()).await,
            Plan::Revert { details, untag, kept } => {
                if begun.is_none() {
                    self.revert(id, &meta, details, untag).await?;
                }
                let names: Vec<&str> = kept.iter().map(|field| field.name()).collect();
                let reason = || ("changed_since", format!("changed since and kept: {}", names.join(", ")));
                Ok(if names.is_empty() { (Outcome::Reverted, None) } else { (Outcome::PartlyReverted, Some(reason())) })
            }
            Plan::Keep => {
                let message = "the contact was changed since the import, so it stays as it is".to_owned();
                Ok((Outcome::Kept, Some(("changed_since", message))))
            }
            // After an undoing that was cut short, the key may be gone before its report was saved.
            Plan::Gone if begun.is_some() => Ok((Outcome::Reverted, None)),
            Plan::Gone => Ok((Outcome::Gone, Some(("contact_erased", "the contact was erased since".to_owned())))),
        }
    }

    async fn remove(
        &self,
        id: Uuid,
        key: KeyId,
        meta: &Meta,
        done: bool,
    ) -> Result<(Outcome, Option<Reason>), WriteError> {
        if done {
            // A crash may have come between the event and the key.
            self.writer.keys().destroy(self.tenant, key).await?;
        } else {
            if let Some(why) = self.in_use.in_use(id).await? {
                return Ok((Outcome::Kept, Some(("in_use", why))));
            }
            if let Some(home) = self.writer.load::<Contact>(self.tenant, id).await?.state.address_home() {
                let meta = Meta { command: meta.command.step("suppressed address"), ..meta.clone() };
                suppression::erase_address(self.writer, self.tenant, &meta, home).await?;
            }
            contact::erase(self.writer, self.tenant, id, meta).await?;
        }
        Ok((Outcome::Removed, None))
    }

    async fn revert(
        &self,
        id: Uuid,
        meta: &Meta,
        details: Option<Box<ContactDetails>>,
        untag: Vec<String>,
    ) -> Result<(), WriteError> {
        let subjects = [self.writer.subject::<Contact>(self.tenant, id)];
        let (details, untag) = (&details, &untag);
        let back = self.writer.transact(self.tenant, meta, &subjects, |tx| {
            Box::pin(async move {
                if let Some(details) = details {
                    let change = ContactCommand::Change { details: (**details).clone(), import: None };
                    tx.decide::<Contact>(id, &change).await?;
                }
                for tag in untag {
                    tx.decide::<Contact>(id, &ContactCommand::Untag { tag: tag.clone() }).await?;
                }
                Ok(())
            })
        });
        back.await.map(|_| ())
    }

    async fn history(&self, id: Uuid) -> Result<Vec<Past>, WriteError> {
        let subject = self.writer.subject::<Contact>(self.tenant, id);
        let mut history = Vec::new();
        for stored in self.writer.store().load(&subject, 0).await? {
            let place = || (stored.subject.to_string(), stored.seq);
            let event = stored.decode().map_err(|source| {
                let (subject, seq) = place();
                WriteError::Decode { subject, seq, source }
            })?;
            let Some(event) = event.as_ref().and_then(ContactEvent::from_any) else {
                let (subject, seq) = place();
                return Err(WriteError::UnknownKind { subject, seq, kind: stored.envelope.kind.clone() });
            };
            history.push(Past::new(&stored, event.clone(), self.options.import));
        }
        Ok(history)
    }

    fn command(&self, id: Uuid) -> CommandId {
        CommandId::derived(&["import-undo", &self.options.import.to_string(), &id.to_string()])
    }
}

/// A stable code and a message.
type Reason = (&'static str, String);
