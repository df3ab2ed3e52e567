//! Bringing copied keys back into an empty key directory, without those of persons who were erased.

use super::{
    ArchiveError, ArchiveKey, ObjectError, ObjectStore, ObjectStorePort,
    key_copies::{CHUNK, Chunk, LARGEST, open, place_of},
    layout::{key_chunk, key_chunks},
    manifest::{Fault, Wrong},
    object_store::{Listed, MAX_LISTING},
    publish::NotFilled,
};
use crate::crm::eraser;
use bus_schema::{
    Envelope, StoredEvent, Subject,
    bus::{Bus, Outgoing, StoredMessage},
    ids::Cell,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, HashSet};

const AHEAD: usize = 8;
/// Keys of one append.
const BATCH: usize = 500;

/// What became of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysRestored {
    pub restored: u64,
    /// Held back, because their persons were erased.
    pub withheld: u64,
}

/// Places of the key directory whose keys must not come back.
#[derive(Debug, Default)]
pub(super) struct Destroyed(HashSet<String>);

impl Destroyed {
    /// Notes the key that a message says is destroyed.
    pub(super) fn note(&mut self, message: &StoredMessage) {
        let header = |name: &str| super::record::header(message, name);
        // Only these few are decoded.
        if !header(bus_schema::envelope::header::KIND).is_some_and(|kind| kind.ends_with("erased")) {
            return;
        }
        let parsed = Subject::parse(&message.subject).ok().zip(Envelope::from_headers(header).ok());
        let Some((subject, envelope)) = parsed else { return };
        let event = StoredEvent { seq: message.seq, subject, envelope, body: message.body.clone() };
        if let Some(key) = eraser::destroyed(&event) {
            self.0.insert(format!("keys.{}.{}.{key}", event.subject.cell, event.subject.tenant));
        }
    }
}

/// Every copied key by its place in the directory. `needed`: epoch to the position of the key stream up to which its copies
/// must reach.
pub(super) async fn read(
    store: &ObjectStore,
    key: &ArchiveKey,
    cell: &Cell,
    needed: &BTreeMap<u32, u64>,
) -> Result<BTreeMap<String, Bytes>, ArchiveError> {
    let provider = store.provider();
    let fault =
        |object: &str, wrong| ArchiveError::Fault { provider: provider.to_owned(), fault: Fault::new(object, wrong) };
    let objects = list(store, cell).await?;
    let fetch = |object: Listed| async move {
        match store.get(&object.key, LARGEST).await {
            Ok(found) => open(key, &object.key, &found.bytes).ok_or_else(|| fault(&object.key, Wrong::Keys)),
            Err(ObjectError::NotFound { .. }) => Err(fault(&object.key, Wrong::Missing)),
            Err(ObjectError::TooLarge { .. }) => Err(fault(&object.key, Wrong::Keys)),
            Err(error) => Err(error.into()),
        }
    };
    let known = objects.into_iter().filter(|object| place_of(cell, &object.key).is_some());
    let mut chunks = stream::iter(known).map(fetch).buffered(AHEAD);
    let (mut keys, mut reached) = (BTreeMap::new(), BTreeMap::<(u32, u64), u64>::new());
    while let Some(Chunk { epoch, number, upto, keys: copies, .. }) = chunks.try_next().await? {
        reached.insert((epoch, number), upto);
        keys.extend(copies.into_iter().map(|copy| (copy.s, Bytes::from(copy.b))));
    }
    for (epoch, needed) in needed.iter().filter(|(_, needed)| **needed > 0) {
        for number in 0..needed.div_ceil(CHUNK) {
            let object = key_chunk(cell, *epoch, number);
            let upto = *reached.get(&(*epoch, number)).ok_or_else(|| fault(&object, Wrong::Missing))?;
            let needed = (*needed).min((number + 1) * CHUNK);
            if upto < needed {
                return Err(fault(&object, Wrong::KeysBehind { needed, found: upto }));
            }
        }
    }
    Ok(keys)
}

async fn list(store: &ObjectStore, cell: &Cell) -> Result<Vec<Listed>, ObjectError> {
    let (prefix, mut all, mut after) = (key_chunks(cell), Vec::<Listed>::new(), None::<String>);
    loop {
        let listing = store.list(&prefix, after.as_deref(), MAX_LISTING).await?;
        all.extend(listing.objects);
        after = all.last().map(|object| object.key.clone());
        if !listing.more || after.is_none() {
            return Ok(all);
        }
    }
}

/// Writes the keys that may come back.
pub(super) async fn write(
    bus: &Bus,
    keys: BTreeMap<String, Bytes>,
    destroyed: &Destroyed,
) -> Result<KeysRestored, NotFilled> {
    let all = keys.len() as u64;
    let kept = keys.into_iter().filter(|(subject, _)| !destroyed.0.contains(subject));
    let kept: Vec<Outgoing> =
        kept.map(|(subject, body)| Outgoing { subject, envelope: None, body, expect: Some(0) }).collect();
    for (index, batch) in kept.chunks(BATCH).enumerate() {
        let position = (index * BATCH) as u64 + 1;
        bus.publish_batch(batch.to_vec()).await.map_err(|error| NotFilled::Append { position, error })?;
    }
    Ok(KeysRestored { restored: kept.len() as u64, withheld: all - kept.len() as u64 })
}
