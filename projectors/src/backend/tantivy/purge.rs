//! Making deleted documents disappear from disk, not only from answers.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use tantivy::index::SegmentId;

use super::Shared;
use super::folder::{self, fault};
use crate::search::SearchError;

/// How often a merge in the way, or a search that still holds old files, is waited for.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

impl Shared {
    pub(super) fn purge_deleted(&self) -> Result<(), SearchError> {
        self.commit(BTreeMap::new())?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let dirty = self.segments_with_deletions()?;
            if dirty.is_empty() {
                break;
            }
            for id in dirty {
                // A segment that is being merged already cannot be taken; that merge drops its deleted documents too.
                last = self.merging(id)?.wait().err().or(last);
            }
            if !self.segments_with_deletions()?.is_empty() {
                sleep(PAUSE);
            }
        }
        if !self.segments_with_deletions()?.is_empty() {
            let error = last.map_or_else(|| "segments with deletions remain".to_owned(), |error| error.to_string());
            return Err(SearchError::Fault { doing: "rewrite segments with deletions", source: error.into() });
        }
        self.drop_old_files()
    }

    fn segments_with_deletions(&self) -> Result<Vec<SegmentId>, SearchError> {
        let metas = self.index.searchable_segment_metas().map_err(|error| self.fault("list its segments", error))?;
        Ok(metas.iter().filter(|meta| meta.num_deleted_docs() > 0).map(tantivy::SegmentMeta::id).collect())
    }

    /// Starts the merge; the lock is not held while it runs, so changes go on.
    fn merging(&self, id: SegmentId) -> Result<tantivy::FutureResult<Option<tantivy::SegmentMeta>>, SearchError> {
        self.write("start a merge", |writer| Ok(writer.merge(&[id])))
    }

    /// Files go when no search that started before holds them.
    fn drop_old_files(&self) -> Result<(), SearchError> {
        for _ in 0..ATTEMPTS {
            // Also makes segments that are being written part of the commit, so that they are not taken for old ones.
            self.commit(BTreeMap::new())?;
            let collecting = self.write("collect old files", |writer| Ok(writer.garbage_collect_files()))?;
            collecting.wait().map_err(|error| self.fault("collect old files", error))?;
            if !self.has_old_files()? {
                return Ok(());
            }
            sleep(PAUSE);
        }
        Err(SearchError::Fault { doing: "collect old files", source: "they are still in use; purge again".into() })
    }

    /// Is there a file of a segment that the last commit does not name?
    fn has_old_files(&self) -> Result<bool, SearchError> {
        let ids = self.index.searchable_segment_ids().map_err(|error| self.fault("list its segments", error))?;
        let living: HashSet<String> = ids.iter().map(SegmentId::uuid_string).collect();
        for entry in fs::read_dir(folder::files(&self.dir)).map_err(fault("list its files"))? {
            let name = entry.map_err(fault("list its files"))?.file_name();
            // Files of segments are named `<32 hexadecimal digits>.<what>`.
            let segment = name.to_str().and_then(|name| name.split('.').next()).unwrap_or_default();
            let is_segment = segment.len() == 32 && segment.bytes().all(|b| b.is_ascii_hexdigit());
            if is_segment && !living.contains(segment) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
