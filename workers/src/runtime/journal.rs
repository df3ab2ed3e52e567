//! What is under way and may end the process: suspects, and parked items that are tried again.
//!
//! It is noted in a file before it begins and struck out at whatever end it comes to. So what a start finds there was under way when
//! the process before it ended.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    io::{Error, ErrorKind},
    path::PathBuf,
};
use uuid::Uuid;

/// A worker's journal.
pub(super) struct Journal {
    path: PathBuf,
    noted: BTreeSet<Entry>,
    /// Of what is noted, what ended a process.
    ended: BTreeSet<Entry>,
}

/// What may end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// An event of the log, by its position.
    Event(u64),
    /// A parked item, by its id.
    ParkedItem(Uuid),
}

impl Journal {
    /// Opens the journal in a file, which need not be there yet. One that cannot be read is begun anew.
    pub(super) async fn open(path: PathBuf) -> Self {
        let read = match tokio::fs::read(&path).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(Error::from),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        };
        let noted: BTreeSet<Entry> = read.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "what was under way at the last end is not known");
            BTreeSet::new()
        });
        Self { path, ended: noted.clone(), noted }
    }

    /// Whether it was under way when a process ended.
    pub(super) fn has_ended_one(&self, entry: Entry) -> bool {
        self.ended.contains(&entry)
    }

    /// To be called before it begins.
    pub(super) async fn begins(&mut self, entry: Entry) {
        if self.noted.insert(entry) {
            self.save().await;
        }
    }

    /// It has come to an end, and the process has not.
    pub(super) async fn ends(&mut self, entry: Entry) {
        self.ended.remove(&entry);
        if self.noted.remove(&entry) {
            self.save().await;
        }
    }

    /// It has ended as if it had taken the process with it.
    pub(super) fn fails(&mut self, entry: Entry) {
        self.ended.insert(entry);
    }

    async fn save(&self) {
        let written = async {
            let beside = self.path.with_extension("new");
            tokio::fs::write(&beside, serde_json::to_vec(&self.noted)?).await?;
            tokio::fs::rename(&beside, &self.path).await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, path = %self.path.display(), "what is under way cannot be noted; if it ends the process, it is not found");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_under_way_is_known_to_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        let (seven, eight, item) = (Entry::Event(7), Entry::Event(8), Entry::ParkedItem(Uuid::from_u128(1)));
        let mut journal = Journal::open(path.clone()).await;
        for entry in [seven, eight, item] {
            journal.begins(entry).await;
            assert!(!journal.has_ended_one(entry));
        }
        journal.ends(seven).await;
        let mut next = Journal::open(path.clone()).await;
        assert_eq!([seven, eight, item].map(|entry| next.has_ended_one(entry)), [false, true, true]);
        next.ends(eight).await;
        let next = Journal::open(path.clone()).await;
        assert_eq!([eight, item].map(|entry| next.has_ended_one(entry)), [false, true], "until it is settled");
        std::fs::write(&path, "{").unwrap();
        assert!(!Journal::open(path).await.has_ended_one(item));
    }
}
