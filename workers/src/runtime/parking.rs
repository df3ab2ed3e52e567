//! Giving an item up for now, and trying it again when somebody says so.

use super::{
    RuntimeParts,
    item::{Failure, Handler, Item},
};
use crate::worker::Stop;
use bus_schema::{EffectId, StoredEvent, platform::parked_item::ItemParked, subject::Family};
use projectors::platform::board::ParkedEntry;
use std::time::Duration;
use writers::{
    Meta, WriteError,
    platform::parked_item::{ItemStanding, ParkedItem, ParkedItemCommand},
};

/// How long to wait after the log did not take it.
const RETRY: Duration = Duration::from_secs(1);
/// Why an item is parked again whose retry never came to an end.
const KILLED: &str = "it was tried again, and that ended in a panic or with the process; the log output may say why";

/// Records that an item is parked, however long that takes. False: the worker is asked to stop before.
pub(super) async fn park(
    parts: &RuntimeParts,
    worker: &'static str,
    item: &Item,
    cause: &str,
    stop: &mut Stop,
) -> bool {
    let (event, effect) = (&item.event, item.effect());
    let parked = ItemParked {
        worker: worker.to_owned(),
        position: event.seq,
        event: event.envelope.event_id,
        kind: event.envelope.kind.clone(),
        subject: event.subject.address.to_string(),
        attempts: u32::try_from(item.attempt).unwrap_or(u32::MAX),
        cause: cause.to_owned(),
    };
    let tenant = &event.subject.tenant;
    tracing::error!(%tenant, worker, position = event.seq, cause, "an item is parked; see `millrace workers parked list`");
    stop.status().failed(format!("event {} is parked: {cause}", event.seq));
    let meta = meta(worker, effect, &format!("park:{}", item.attempt), event);
    loop {
        let command = ParkedItemCommand::Park(parked.clone());
        match parts.writer.execute::<ParkedItem>(tenant, effect.0, &meta, &command).await {
            Ok(_) => return true,
            Err(WriteError::NoTenant(_)) => {
                tracing::error!(%tenant, worker, position = event.seq, "an item of a tenant that is gone is dropped");
                return true;
            }
            Err(error) => {
                tracing::warn!(%tenant, worker, position = event.seq, %error, "an item is not parked yet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.asked() => return false,
        }
    }
}

/// Whether an item was parked before, whatever became of it since; asked until the log answers or the worker is asked to stop.
pub(super) async fn was_parked(
    parts: &RuntimeParts,
    worker: &'static str,
    item: &Item,
    stop: &mut Stop,
) -> Result<bool, WriteError> {
    let (tenant, position) = (&item.event.subject.tenant, item.event.seq);
    loop {
        match parts.writer.load::<ParkedItem>(tenant, item.effect().0).await {
            Ok(loaded) => return Ok(loaded.state.standing().is_some()),
            Err(WriteError::NoTenant(_)) => return Ok(false),
            Err(error) => {
                stop.status().failed(format!("whether event {position} was parked is not known yet: {error}"));
                tracing::warn!(%tenant, worker, position, %error, "whether an item was parked before is not known yet");
                if !error.is_outage() || stop.is_asked() {
                    return Err(error);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.asked() => {}
        }
    }
}

/// Tries a parked item once more, as somebody asked, and records what came of it. One that ended the process when it was tried is
/// parked again instead.
pub(super) async fn retry<H: Handler>(
    parts: &RuntimeParts,
    worker: &'static str,
    handler: &H,
    entry: &ParkedEntry,
    kills: bool,
) -> Result<(), WriteError> {
    let now = parts.writer.load::<ParkedItem>(&entry.tenant, entry.id).await?;
    if now.state.standing() != Some(ItemStanding::Retrying) {
        return Ok(());
    }
    let attempt = u64::from(entry.item.attempts) + 1;
    let (tenant, position, effect) = (&entry.tenant, entry.item.position, EffectId(entry.id));
    let outcome = match read(parts, entry).await {
        _ if kills => Err(Failure::Never(KILLED.to_owned())),
        Ok(event) => handler.handle(&Item::new(worker, event, attempt)).await,
        Err(failure) => Err(failure),
    };
    let (part, command) = match outcome {
        Ok(()) => {
            tracing::info!(%tenant, worker, position, "an item that was parked is done");
            ("handled".to_owned(), ParkedItemCommand::Handled)
        }
        Err(failure) => {
            tracing::error!(%tenant, worker, position, cause = %failure, "an item that was tried again is parked again");
            let attempts = u32::try_from(attempt).unwrap_or(u32::MAX);
            let parked = ItemParked { attempts, cause: failure.to_string(), ..entry.item.clone() };
            (format!("park:{attempt}"), ParkedItemCommand::Park(parked))
        }
    };
    // The same outcome may follow several requests to try again: only within one of them it is the same command.
    let meta = Meta::system(worker, effect.part(&format!("{part}:{}", now.revision)).command());
    parts.writer.execute::<ParkedItem>(tenant, entry.id, &meta, &command).await?;
    Ok(())
}

/// The event of a parked item, out of the log.
async fn read(parts: &RuntimeParts, entry: &ParkedEntry) -> Result<StoredEvent, Failure> {
    let (cell, position) = (parts.bus.cell(), entry.item.position);
    let subject = format!("{}.{cell}.{}.{}", Family::Events.token(), entry.tenant, entry.item.subject);
    let read = parts.bus.read_filtered(Family::Events, &subject, position, 1).await;
    let piece = read.map_err(|error| Failure::Later(error.to_string()))?;
    let found = piece.events.into_iter().next().filter(|event| event.seq == position);
    found.ok_or_else(|| Failure::Never(format!("event {position} of {subject} is not in the log")))
}

fn meta(worker: &'static str, effect: EffectId, part: &str, event: &StoredEvent) -> Meta {
    let correlation = event.envelope.correlation;
    Meta { correlation, ..Meta::system(worker, effect.part(part).command()) }
}
