//! Opening a directory, and what the errors of the engine mean.

use super::meta::{FORMAT, Meta};
use super::{Options, Shared, unavailable};
use crate::read_store::encoding::CELL_HEAD;
use crate::read_store::ledger::Ledger;
use crate::read_store::types::{MAX_BODY, generation_of};
use crate::read_store::{ReadStoreError, TableId};
use ::fjall::{CompressionType, Database, Error as Engine, Keyspace, KeyspaceCreateOptions, LsmError};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, RwLock};

/// No table has such a name, see `TableId`.
const META: &str = "#meta";
const PAD: &str = "#pad";
const SMALLEST_CACHE: u64 = 1 << 20;
const SMALLEST_MEMTABLES: u64 = 1 << 20;

impl Shared {
    pub(super) fn open(dir: &Path, mut options: Options) -> Result<Self, ReadStoreError> {
        options.memtable_bytes = options.memtable_bytes.max(SMALLEST_MEMTABLES);
        let place = dir.display().to_string();
        clear_interrupted_creation(dir).map_err(|source| unavailable("open", &place, source))?;
        let failed = |error| fault(&place, "open", error);
        let db = Database::builder(dir)
            .cache_size(options.cache_bytes.max(SMALLEST_CACHE))
            .worker_threads(options.worker_threads.max(1))
            // Bodies are small, and the journal is short-lived: the time matters more than the space.
            .journal_compression(CompressionType::None)
            .open()
            .map_err(failed)?;

        let known_before = db.keyspace_exists(META);
        let create = || keyspace_options(options);
        let meta = db.keyspace(META, create).map_err(failed)?;
        let pad = db.keyspace(PAD, create).map_err(failed)?;
        let known = Meta::read(&meta, &place)?;
        match known.format {
            Some(FORMAT) => {}
            Some(other) => return Err(ReadStoreError::UnknownFormat { place, found: format!("row format {other}") }),
            None if known_before && !known.marks.is_empty() => {
                return Err(ReadStoreError::corrupt(&place, "checkpoints without a format number"));
            }
            None => meta.insert("v", [FORMAT]).map_err(failed)?,
        }

        let (tables, known) = finish_drops(&db, &meta, known, &place)?;
        let mut ledger = Ledger::new(known.marks, known.floors);
        for table in tables.keys() {
            let kept = known.highs.get(table.as_str()).copied().unwrap_or_default();
            let promised = ledger.promised(table.generation(), &BTreeMap::new());
            ledger.restore_high(table.as_str(), kept.max(promised));
        }
        Ok(Self {
            place,
            options,
            tables: RwLock::new(tables),
            meta,
            pad,
            published: RwLock::new(ledger.marks.clone()),
            ledger: Mutex::new(ledger),
            unmeasured: AtomicU64::new(0),
            snapshots: RwLock::new(()),
            db,
        })
    }
}

/// The handles of all tables, after the drops that a crash interrupted were completed.
fn finish_drops(
    db: &Database,
    meta: &Keyspace,
    mut known: Meta,
    place: &str,
) -> Result<(BTreeMap<TableId, Keyspace>, Meta), ReadStoreError> {
    let failed = |error| fault(place, "open", error);
    let mut tables = BTreeMap::new();
    for name in db.list_keyspace_names() {
        // Options apply to new keyspaces only; these exist.
        let Ok(table) = TableId::try_new(&name) else { continue };
        let handle = db.keyspace(&name, KeyspaceCreateOptions::default).map_err(failed)?;
        if known.drops.iter().any(|generation| generation == generation_of(&name)) {
            db.delete_keyspace(handle).map_err(failed)?;
        } else {
            tables.insert(table, handle);
        }
    }
    for generation in std::mem::take(&mut known.drops) {
        meta.remove([b"d", generation.as_bytes()].concat()).map_err(failed)?;
    }
    Ok((tables, known))
}

/// Settings of a new keyspace; the engine keeps them, except for the size of the write buffer, which `write` watches.
pub(super) fn keyspace_options(options: Options) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes / 2 + (MAX_BODY + CELL_HEAD) as u64)
}

/// A process killed while it created the directory leaves files without the version marker, which comes last; the
/// engine would then refuse to create them again. Nothing was ever stored in such a directory.
fn clear_interrupted_creation(dir: &Path) -> std::io::Result<()> {
    let journal = dir.join("0.jnl");
    if dir.join("version").try_exists()? || !journal.try_exists()? {
        return Ok(());
    }
    let lock = File::options().read(true).write(true).create(true).truncate(false).open(dir.join("lock"))?;
    if lock.try_lock().is_ok() && !dir.join("version").try_exists()? {
        fs::remove_file(journal)?;
    }
    Ok(())
}

/// What an error of the engine means: damaged data needs a rebuild, everything else may pass.
pub(super) fn fault(place: &str, doing: &'static str, error: Engine) -> ReadStoreError {
    let place = place.to_owned();
    let damaged = match &error {
        Engine::Locked => return ReadStoreError::Locked { place },
        Engine::InvalidVersion(found) => {
            let found =
                found.map_or("a newer engine or not a store".to_owned(), |found| format!("engine format {found}"));
            return ReadStoreError::UnknownFormat { place, found };
        }
        Engine::Storage(LsmError::InvalidVersion(found)) => {
            return ReadStoreError::UnknownFormat { place, found: format!("table format {found}") };
        }
        // The engine only reads files that its own records name: a missing or short one is damage.
        Engine::Io(io) | Engine::Storage(LsmError::Io(io)) => {
            matches!(io.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
        }
        Engine::Poisoned | Engine::KeyspaceDeleted => false,
        _ => true,
    };
    if damaged {
        let what = format!("it could not {doing}");
        return ReadStoreError::Corrupt { place, what, source: Some(Box::new(error)) };
    }
    unavailable(doing, &place, error)
}
