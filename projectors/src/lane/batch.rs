//! One batch of events into one view.

use super::slot::{Pause, Progress, Slot};
use crate::{
    projection::{Overlay, RowName, Rows},
    read_store::{MAX_PAGE, ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, Seen, TableId, last_ts},
};
use bus_schema::{Address, AnyEvent, Recorded, Subject, bus::Followed};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A message of the log as views see it.
pub(super) enum Item {
    Event(Box<Recorded<AnyEvent>>),
    /// A kind or schema number of a later version: passed over and counted.
    Unknown {
        seq: u64,
        address: Address,
    },
    /// Cannot be read. Without an address it concerns every view.
    Bad {
        seq: u64,
        address: Option<Address>,
        pause: Pause,
    },
}

/// Decodes a batch once for all views.
pub(super) fn items(batch: Vec<Followed>) -> Vec<Item> {
    batch.into_iter().map(item).collect()
}

fn item(followed: Followed) -> Item {
    let stored = match followed {
        Ok(stored) => stored,
        Err(malformed) => {
            let address = Subject::parse(&malformed.subject).ok().map(|subject| subject.address);
            let error = malformed.why.to_string();
            let pause = Pause { seq: malformed.seq, event_id: None, kind: None, subject: malformed.subject, error };
            return Item::Bad { seq: malformed.seq, address, pause };
        }
    };
    match stored.decode() {
        Ok(Some(event)) => Item::Event(Box::new(Recorded {
            seq: stored.seq,
            subject: stored.subject,
            envelope: stored.envelope,
            event,
        })),
        Ok(None) => Item::Unknown { seq: stored.seq, address: stored.subject.address },
        Err(error) => {
            let pause = Pause {
                seq: stored.seq,
                event_id: Some(stored.envelope.event_id.to_string()),
                kind: Some(stored.envelope.kind),
                subject: stored.subject.to_string(),
                error: error.to_string(),
            };
            Item::Bad { seq: stored.seq, address: Some(stored.subject.address), pause }
        }
    }
}

pub(super) struct Outcome {
    pub(super) ops: Vec<RowOp>,
    /// What its events looked at, before it.
    pub(super) seen: Vec<Seen>,
    pub(super) progress: Progress,
}

/// Why a batch was not applied to a view.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Store(#[from] ReadStoreError),
    /// Another process carries the same view and was here already, or rows were written that nobody noted.
    #[error("{table} holds a row of position {at}, ahead of this lane")]
    Ahead { table: TableId, at: u64 },
}

/// Applies what concerns the view and lies behind its checkpoint, up to the first event it cannot take.
pub(super) async fn apply(store: &ReadStore, slot: &Slot, items: &[Item]) -> Result<Outcome, ApplyError> {
    let projection = slot.projection();
    let position = slot.stands();
    let mut tables = Tables { slot, known: HashMap::new() };
    let mut overlay = Overlay::default();
    let mut seen = prefetch(store, slot, items, &mut overlay, &mut tables).await?;
    let mut progress = Progress { upto: position, pause: None, applied: 0, unknown: 0, tenants: BTreeMap::new() };
    for item in items.iter().filter(|item| item.seq() > position) {
        let concerned = match item {
            Item::Event(event) => projection.follows(&event.subject.address),
            Item::Unknown { address, .. } => projection.follows(address),
            Item::Bad { address, .. } => address.as_ref().is_none_or(|address| projection.follows(address)),
        };
        if concerned && !slot.skips(item.seq()) {
            match item {
                Item::Unknown { .. } => progress.unknown += 1,
                Item::Bad { pause, .. } => {
                    progress.pause = Some(pause.clone());
                    break;
                }
                Item::Event(event) => {
                    let tenant = event.subject.tenant.shared();
                    let further = projection.reads_further(event, &Rows::new(tenant.clone(), &mut overlay));
                    let further = further.into_iter().map(|name| (tenant.clone(), name)).collect();
                    seen.extend(fetch(store, further, &mut overlay, &mut tables).await?);
                    let mut rows = Rows::new(tenant.clone(), &mut overlay);
                    let outcome = projection.apply(event, &mut rows).and_then(|()| rows.accept(event.seq));
                    if let Err(error) = outcome {
                        progress.pause = Some(Pause {
                            seq: event.seq,
                            event_id: Some(event.envelope.event_id.to_string()),
                            kind: Some(event.envelope.kind.clone()),
                            subject: event.subject.to_string(),
                            error: error.to_string(),
                        });
                        break;
                    }
                    progress.applied += 1;
                    progress.tenants.insert(tenant, event.seq);
                }
            }
        }
        progress.upto = item.seq();
    }
    let mut ops = Vec::new();
    for (tenant, name, ts, body) in overlay.into_changes() {
        let key = RowKey { table: tables.id(name.table)?, tenant, partition: name.partition, sort: name.sort };
        ops.push(match body {
            Some(body) => RowOp::Put { key, ts, body },
            None => RowOp::Delete { key, ts },
        });
    }
    Ok(Outcome { ops, seen, progress })
}

/// Reads all rows the batch will look at in one go.
async fn prefetch(
    store: &ReadStore,
    slot: &Slot,
    items: &[Item],
    overlay: &mut Overlay,
    tables: &mut Tables<'_>,
) -> Result<Vec<Seen>, ApplyError> {
    let mut names = Vec::new();
    for item in items.iter().filter(|item| item.seq() > slot.stands()) {
        let Item::Event(event) = item else { continue };
        if slot.projection().follows(&event.subject.address) {
            let tenant = event.subject.tenant.shared();
            names.extend(slot.projection().reads(event).into_iter().map(|name| (tenant.clone(), name)));
        }
    }
    fetch(store, names, overlay, tables).await
}

/// Reads those rows that the batch does not know yet, as they are at the slot's position.
async fn fetch(
    store: &ReadStore,
    wanted: Vec<(Arc<str>, RowName)>,
    overlay: &mut Overlay,
    tables: &mut Tables<'_>,
) -> Result<Vec<Seen>, ApplyError> {
    let slot = tables.slot;
    let (mut keys, mut names, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, name) in wanted {
        if overlay.knows(&tenant, &name) {
            continue;
        }
        let table = tables.id(name.table)?;
        let (partition, sort) = (name.partition.clone(), name.sort.clone());
        let key = RowKey { table, tenant: tenant.clone(), partition, sort };
        match slot.known(&key) {
            Some(body) => {
                overlay.remember(tenant, name, body.clone());
                seen.push(Seen { key, body });
            }
            None => {
                overlay.remember(tenant.clone(), name.clone(), None);
                keys.push(key);
                names.push((tenant, name));
            }
        }
    }
    let ahead = store.runs_ahead().then(|| last_ts(slot.may_be_ahead()));
    let mut left = keys.into_iter().zip(names);
    // A page of the store at a time.
    loop {
        let (keys, names): (Vec<_>, Vec<_>) = left.by_ref().take(MAX_PAGE).unzip();
        if keys.is_empty() {
            return Ok(seen);
        }
        let rows = store.get_many(&keys).await?;
        for ((key, (tenant, name)), row) in keys.into_iter().zip(names).zip(rows) {
            if let Some(row) = row.as_ref().filter(|row| ahead.is_some_and(|last| row.ts > last)) {
                return Err(ApplyError::Ahead { table: key.table, at: row.ts >> 8 });
            }
            let body = row.map(|row| row.body);
            overlay.remember(tenant, name, body.clone());
            seen.push(Seen { key, body });
        }
    }
}

/// The full names of a generation's tables, made once a batch.
struct Tables<'a> {
    slot: &'a Slot,
    known: HashMap<&'static str, TableId>,
}

impl Tables<'_> {
    fn id(&mut self, table: &'static str) -> Result<TableId, ReadStoreError> {
        if let Some(id) = self.known.get(table) {
            return Ok(id.clone());
        }
        let id = self.slot.generation().table(table)?;
        self.known.insert(table, id.clone());
        Ok(id)
    }
}
