//! The search index: one tantivy index per process with the documents of all tenants and collections.
//!
//! Changes are applied, then committed together with the checkpoints of the cells they came from, in one atomic step:
//! a crash in between loses both and the lane delivers them again. Searches see the last commit and never wait for a
//! writer. Fields, terms and orders are described in `layout`.
//!
//! Space: a text field value is stored once per column dictionary and, if short, once as an exact term; documents are
//! not stored. Memory: [`Options::memory_bytes`] for the writer; the files are memory-mapped.

mod background;
mod collect;
mod columns;
mod folder;
mod layout;
mod order;
mod plan;
mod purge;
mod strings;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::OpenReadError;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyError};

use self::background::Background;
use self::collect::Page;
use self::layout::{FORMAT, Layout, schema};
use self::words::{TOKENIZER, TenantWords};
use crate::search::{Change, Hits, Query, SearchError};

/// tantivy refuses less.
const MIN_MEMORY_BYTES: usize = 15_000_000;
const MAX_MEMORY_BYTES: usize = 2_000_000_000;
/// A segment with more than this share of deleted documents is merged with others of its size or alone.
const DELETED_BEFORE_MERGE: f32 = 0.3;

/// Segments of one size that are merged into one: each document is written anew once per power of this. Merging costs
/// more than all the rest of indexing; a search over twice as many segments costs little.
const SEGMENTS_BEFORE_MERGE: usize = 16;

/// How an index is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Heap of the one writing thread, at least 15 MB; when it is full, a segment is written.
    pub memory_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_bytes: 20_000_000 }
    }
}

/// The open index. Clones share it; one process writes to a folder at a time.
#[derive(Clone)]
pub struct SearchIndex {
    shared: Arc<Shared>,
    background: Background,
}

struct Shared {
    dir: PathBuf,
    index: Index,
    layout: Layout,
    reader: IndexReader,
    /// None after a write failed: what was applied since the last commit is then unknown, so no later commit may
    /// carry a checkpoint that claims it.
    writer: Mutex<Option<IndexWriter>>,
    checkpoints: RwLock<BTreeMap<String, u64>>,
}

/// What a commit stores beside the segments.
#[derive(Default, Serialize, Deserialize)]
struct Payload {
    checkpoints: BTreeMap<String, u64>,
}

impl SearchIndex {
    /// Opens the index in `dir` or creates an empty one.
    ///
    /// # Errors
    /// [`SearchError::NeedsRebuild`] for another format ([`SearchIndex::reset`], then build again),
    /// [`SearchError::Locked`], [`SearchError::Corrupt`], [`SearchError::Fault`].
    pub async fn open(dir: impl Into<PathBuf>, options: Options) -> Result<Self, SearchError> {
        let dir = dir.into();
        let background = Background::start()?;
        let shared = Arc::new(background.run(move || Shared::open(dir, &options)).await?);
        Ok(Self { shared, background })
    }

    /// Removes the index in `dir`, of any format, damaged or not. Nobody may have it open.
    pub async fn reset(dir: impl Into<PathBuf>) -> Result<(), SearchError> {
        let dir = dir.into();
        blocking(move || folder::wipe(&dir)).await
    }

    /// Takes changes in their order. They are seen, and kept, from the next commit on. Nothing is taken if one of
    /// them is malformed.
    ///
    /// # Errors
    /// `bad_document`; after a fault of the writer only [`SearchError::WriterStopped`] until the index is opened again.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<(), SearchError> {
        let shared = Arc::clone(&self.shared);
        self.background.run(move || shared.apply(&changes)).await
    }

    /// Makes everything applied so far durable and visible, together with how far each given cell was applied. Cells
    /// not named keep their checkpoint.
    pub async fn commit(&self, checkpoints: BTreeMap<String, u64>) -> Result<(), SearchError> {
        let shared = Arc::clone(&self.shared);
        self.background.run(move || shared.commit(checkpoints)).await
    }

    /// The committed checkpoint of a cell; None if it never had one.
    pub fn checkpoint(&self, cell: &str) -> Option<u64> {
        self.shared.checkpoints.read().unwrap_or_else(PoisonError::into_inner).get(cell).copied()
    }

    /// Answers a query from the last commit.
    ///
    /// # Errors
    /// Client mistakes (see [`SearchError::is_client_mistake`]) and faults.
    pub async fn search(&self, query: Query) -> Result<Hits, SearchError> {
        query.validate()?;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.search(&query)).await
    }

    /// Committed documents of all tenants.
    pub fn doc_count(&self) -> u64 {
        self.shared.reader.searcher().num_docs()
    }

    /// Rewrites every segment that holds deleted documents, so that their words and values are no longer in any file:
    /// the index's part of erasing a person. Commits what was applied first; costs as much as reading
    /// and writing those segments.
    ///
    /// # Errors
    /// A fault if old files are still held (a search that runs for very long, a merge that fails); calling it again
    /// continues.
    pub async fn purge_deleted(&self) -> Result<(), SearchError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.purge_deleted()).await
    }

    /// Reads all files and compares their checksums.
    ///
    /// # Errors
    /// [`SearchError::Corrupt`] if a file is damaged.
    pub async fn verify(&self) -> Result<(), SearchError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let damaged = shared.index.validate_checksum().map_err(|error| shared.fault("verify its files", error))?;
            if damaged.is_empty() {
                return Ok(());
            }
            Err(SearchError::Corrupt { dir: shared.dir.clone(), source: format!("damaged files: {damaged:?}").into() })
        })
        .await
    }
}

/// Runs on a thread where blocking is allowed. A panic inside the library (it panics on some damaged files) is a fault.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
) -> Result<T, SearchError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(SearchError::Fault { doing: "finish its work", source: Box::new(error) }))
}

impl Shared {
    fn open(dir: PathBuf, options: &Options) -> Result<Self, SearchError> {
        let files = folder::prepare(&dir)?;
        let failed = |doing| {
            let dir = dir.clone();
            move |error| classify(&dir, doing, error)
        };
        let (schema, layout) = schema();
        let directory = MmapDirectory::open(files).map_err(|error| failed("open its folder")(error.into()))?;
        let index = Index::builder()
            .schema(schema)
            .settings(IndexSettings::default())
            .open_or_create(directory)
            .map_err(failed("open its files"))?;
        index.tokenizers().register(TOKENIZER, TenantWords::new());
        let meta = index.load_metas().map_err(failed("read its commit"))?;
        let payload: Payload = match meta.payload.as_deref() {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| SearchError::Corrupt { dir: dir.clone(), source: Box::new(error) })?,
            None => Payload::default(),
        };
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(failed("open its segments"))?;
        let writer_options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(options.memory_bytes.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES))
            .build();
        let writer: IndexWriter = index.writer_with_options(writer_options).map_err(failed("start its writer"))?;
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(DELETED_BEFORE_MERGE);
        policy.set_min_num_segments(SEGMENTS_BEFORE_MERGE);
        writer.set_merge_policy(Box::new(policy));
        // The first operation after opening has the stamp of the last commit (tantivy 0.27). A merge that begins before the
        // next commit applies it to some segments only and takes it for applied to all: an old document would stay beside its
        // successor. So the first one deletes nothing.
        writer.delete_term(layout.identity("", "", ""));
        let checkpoints = RwLock::new(payload.checkpoints);
        Ok(Self { index, layout, reader, writer: Mutex::new(Some(writer)), checkpoints, dir })
    }

    /// Works with the writer and gives it up if that fails.
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut IndexWriter) -> tantivy::Result<T>,
    ) -> Result<T, SearchError> {
        let mut slot = self.writer.lock().unwrap_or_else(|poisoned| {
            // A panic while writing leaves the writer in an unknown state, like an error. Dropping it frees the folder.
            let mut slot = poisoned.into_inner();
            *slot = None;
            slot
        });
        let writer = slot.as_mut().ok_or(SearchError::WriterStopped)?;
        work(writer).map_err(|error| {
            *slot = None;
            self.fault(doing, error)
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<(), SearchError> {
        changes.iter().try_for_each(Change::validate)?;
        self.write("take changes", |writer| {
            for change in changes {
                let (tenant, collection, id) = match change {
                    Change::Put(doc) => (&doc.tenant, &doc.collection, &doc.id),
                    Change::Delete { tenant, collection, id } => (tenant, collection, id),
                };
                writer.delete_term(self.layout.identity(tenant, collection, id));
                if let Change::Put(doc) = change {
                    writer.add_document(self.layout.document(doc))?;
                }
            }
            Ok(())
        })
    }

    fn commit(&self, checkpoints: BTreeMap<String, u64>) -> Result<(), SearchError> {
        let merged = self.write("commit", |writer| {
            let mut merged = self.checkpoints.read().unwrap_or_else(PoisonError::into_inner).clone();
            merged.extend(checkpoints);
            let payload = serde_json::to_string(&Payload { checkpoints: merged.clone() })
                .map_err(|error| TantivyError::InternalError(error.to_string()))?;
            let mut prepared = writer.prepare_commit()?;
            prepared.set_payload(&payload);
            prepared.commit()?;
            // Visible before the checkpoint is: who waits for a position then finds its documents.
            self.reader.reload()?;
            // Still under the writer's lock, so that two commits cannot publish their checkpoints in the other order.
            self.checkpoints.write().unwrap_or_else(PoisonError::into_inner).clone_from(&merged);
            Ok(merged)
        })?;
        tracing::debug!(cells = merged.len(), docs = self.reader.searcher().num_docs(), "search index committed");
        Ok(())
    }

    fn search(&self, query: &Query) -> Result<Hits, SearchError> {
        let plan = plan::plan(&self.layout, query)?;
        let searcher = self.reader.searcher();
        searcher.search(&*plan, &Page { query }).map_err(|error| self.fault("search", error))
    }

    fn fault(&self, doing: &'static str, error: TantivyError) -> SearchError {
        classify(&self.dir, doing, error)
    }
}

/// Tells damage, a second process and another layout from other failures.
fn classify(dir: &Path, doing: &'static str, error: TantivyError) -> SearchError {
    let dir = dir.to_owned();
    let io = match &error {
        TantivyError::IoError(io) | TantivyError::OpenReadError(OpenReadError::IoError { io_error: io, .. }) => {
            Some(io)
        }
        _ => None,
    };
    if io.is_some_and(|io| matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)) {
        return SearchError::Corrupt { dir, source: Box::new(error) };
    }
    match error {
        TantivyError::LockFailure(..) => SearchError::Locked { dir },
        TantivyError::SchemaError(_) | TantivyError::IncompatibleIndex(_) => {
            SearchError::NeedsRebuild { dir, found: Some(FORMAT), wanted: FORMAT }
        }
        TantivyError::OpenReadError(OpenReadError::IncompatibleIndex(_)) => {
            SearchError::NeedsRebuild { dir, found: None, wanted: FORMAT }
        }
        error @ (TantivyError::DataCorruption(_)
        | TantivyError::OpenReadError(OpenReadError::FileDoesNotExist(_))
        | TantivyError::DeserializeError(_)) => SearchError::Corrupt { dir, source: Box::new(error) },
        error => SearchError::Fault { doing, source: Box::new(error) },
    }
}
