//! What is kept beside an import: its report, the report of its undoing, and how far both have come.
//!
//! `<root>/<tenant>/<import>/{report,undo}.ndjson` and `state.json`. All of it can be made again from the file and the
//! log as long as nothing was taken back: the commands' ids follow from the import's id and the rows.

use super::super::contact_import::Checkpoint;
use bus_schema::TenantId;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt,
};
use uuid::Uuid;

/// The folder of a platform's imports. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ImportFiles(Arc<Path>);

/// The files of one import.
#[derive(Clone, Debug)]
pub struct ImportPaths(PathBuf);

impl ImportFiles {
    pub fn new(root: PathBuf) -> Self {
        Self(root.into())
    }

    pub fn of(&self, tenant: &TenantId, import: Uuid) -> ImportPaths {
        ImportPaths(self.0.join(tenant.as_str()).join(import.to_string()))
    }
}

/// How far an import and its undoing have come on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) import: Option<Stage>,
    pub(super) undo: Option<Stage>,
}

/// Saved before the first row starts, so no stage means that nothing was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) checkpoint: Checkpoint,
    /// No row is under way and none will be: the report is whole.
    pub(super) ended: bool,
    /// Why it ended before its last row; no personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl ImportPaths {
    pub fn report(&self) -> PathBuf {
        self.0.join("report.ndjson")
    }

    pub fn undo_report(&self) -> PathBuf {
        self.0.join("undo.ndjson")
    }

    /// What was saved; one that cannot be read counts as none, which only costs time.
    pub(super) async fn load(&self) -> Result<State, std::io::Error> {
        match fs::read(self.0.join("state.json")).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %self.0.display(), "the state of an import cannot be read; it begins anew");
                State::default()
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn save(&self, state: &State) -> Result<(), std::io::Error> {
        fs::create_dir_all(&self.0).await?;
        let (path, beside) = (self.0.join("state.json"), self.0.join("state.new"));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).await?;
        file.write_all(&serde_json::to_vec(state)?).await?;
        file.flush().await?;
        file.sync_data().await?;
        fs::rename(beside, path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_state_is_kept_and_a_torn_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = ImportFiles::new(folder.path().to_owned());
        let paths = files.of(&TenantId::try_new("demo").unwrap(), Uuid::from_u128(7));
        assert_eq!(paths.load().await.unwrap(), State::default());
        let checkpoint = Checkpoint { report: 9, ..Checkpoint::default() };
        let stage = Stage { checkpoint, ended: true, failure: Some("why".into()) };
        let state = State { import: Some(stage), undo: Some(Stage::default()) };
        paths.save(&state).await.unwrap();
        assert_eq!(paths.load().await.unwrap(), state);
        std::fs::write(paths.0.join("state.json"), "{\"impo").unwrap();
        assert_eq!(paths.load().await.unwrap(), State::default());
    }
}
