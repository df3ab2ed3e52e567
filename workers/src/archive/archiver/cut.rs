//! A cut on disk: what is about to be put, kept until the next one, so that a key that was tried once is only ever tried
//! again with the same bytes.

use crate::archive::{ArchiveKey, binary::Binary, manifest, manifest::Entry};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

const MAGIC: &[u8; 8] = b"MRCUT\0\0\x01";
const HASH: usize = 32;

/// A segment and its entry with their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) segment_key: String,
    pub(super) segment: Bytes,
    pub(super) entry_key: String,
    pub(super) entry_bytes: Bytes,
    pub(super) entry: Entry,
}

#[derive(Serialize, Deserialize)]
struct OnDisk<'a> {
    segment_key: &'a str,
    #[serde(borrow)]
    segment: Binary<'a>,
    entry_key: &'a str,
    #[serde(borrow)]
    entry: Binary<'a>,
}

/// Where the cut of one provider and stream is kept.
#[derive(Clone, Debug)]
pub(super) struct CutFile(Arc<Path>);

impl CutFile {
    pub(super) fn new(folder: &Path, provider: &str, stream: &str) -> Self {
        Self(folder.join(format!("{provider}-{stream}.cut")).into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Durable when this returns; the cut before it is gone.
    pub(super) async fn save(&self, cut: &Cut) -> std::io::Result<()> {
        let on_disk = OnDisk {
            segment_key: &cut.segment_key,
            segment: Binary(&cut.segment),
            entry_key: &cut.entry_key,
            entry: Binary(&cut.entry_bytes),
        };
        let body = rmp_serde::to_vec_named(&on_disk).map_err(std::io::Error::other)?;
        let path = self.0.clone();
        blocking(move || write(&path, &body)).await
    }

    /// The cut that was saved last. A file that is not whole is an error: it may have been tried.
    pub(super) async fn load(&self, key: &Arc<ArchiveKey>) -> Result<Option<Cut>, DamagedCut> {
        let (path, key) = (self.0.clone(), key.clone());
        let damaged = |why: String| DamagedCut { path: self.0.to_path_buf(), why };
        let read = blocking(move || match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(bytes) => parse(&key, &bytes).map(Some).map_err(std::io::Error::other),
        });
        read.await.map_err(|error| damaged(error.to_string()))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)))
}

fn write(path: &Path, body: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(MAGIC)?;
    file.write_all(blake3::hash(body).as_bytes())?;
    file.write_all(body)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(folder)?.sync_all()
}

fn parse(key: &ArchiveKey, bytes: &[u8]) -> Result<Cut, &'static str> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no cut")?;
    let (hash, body) = rest.split_first_chunk::<HASH>().ok_or("it is cut off")?;
    if blake3::hash(body) != *hash {
        return Err("its hash does not match");
    }
    let on_disk: OnDisk<'_> = rmp_serde::from_slice(body).map_err(|_| "it cannot be read")?;
    let entry = manifest::open(key, on_disk.entry.0).map_err(|_| "its entry was not signed with the archive key")?;
    Ok(Cut {
        segment_key: on_disk.segment_key.to_owned(),
        segment: Bytes::copy_from_slice(on_disk.segment.0),
        entry_key: on_disk.entry_key.to_owned(),
        entry_bytes: Bytes::copy_from_slice(on_disk.entry.0),
        entry,
    })
}

#[derive(Debug, thiserror::Error)]
#[error("the saved cut {path} cannot be used: {why}", path = path.display())]
pub(super) struct DamagedCut {
    pub(super) path: PathBuf,
    pub(super) why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Place, manifest::Chain, manifest::EpochStart, record::sample, segment};
    use bus_schema::{ids::Cell, subject::Family};

    fn cut(key: &ArchiveKey) -> Cut {
        let place = Place::new(&Cell::try_new("eu1").unwrap(), Family::Events);
        let written = segment::write(key, &place, 1, &[sample(1, "demo", b"x")]).unwrap();
        let start = EpochStart {
            cell: "eu1".into(),
            stream: "EV_eu1".into(),
            epoch: 1,
            cut: 0,
            cut_identity: crate::archive::binary::Binary32([0; 32]),
            latest: 0,
            parent: None,
            signer: crate::archive::key::hex(&key.id()),
        };
        let chain = Chain::start(&place, &start, blake3::hash(b""));
        let (entry, entry_key, entry_bytes) = chain.extend(key, &written, 0).unwrap();
        Cut { segment_key: entry.segment.clone(), segment: written.bytes, entry_key, entry_bytes, entry }
    }

    #[tokio::test]
    async fn a_cut_is_kept_and_a_damaged_one_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let key = Arc::new(ArchiveKey::from_secret(&[7; 32]));
        let file = CutFile::new(&folder.path().join("made"), "north", "EV_eu1");
        assert_eq!(file.load(&key).await.unwrap(), None);
        let cut = cut(&key);
        file.save(&cut).await.unwrap();
        file.save(&cut).await.unwrap();
        assert_eq!(file.load(&key).await.unwrap(), Some(cut));
        let mut bytes = std::fs::read(file.path()).unwrap();
        bytes.truncate(bytes.len() - 1);
        std::fs::write(file.path(), &bytes).unwrap();
        assert!(file.load(&key).await.unwrap_err().to_string().contains("hash"));
    }
}
