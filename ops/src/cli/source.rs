//! One provider's archive, named on the command line, without a platform.

use super::client::CliError;
use crate::{
    archive::{KEY_FILE, ProviderAddress, open_store},
    local_s3::{LocalServer, is_folder_of_one},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use workers::archive::{ArchiveKey, ObjectStore};

/// Which archive, and how it is opened.
#[derive(Clone, Debug, clap::Args)]
pub struct SourceArgs {
    /// A file with the access key in its first line and the secret key in its second
    #[arg(long, env = "MILLRACE_ARCHIVE_CREDENTIALS_FILE", value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Certificates to believe instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The key that the archive was written with [default: keys/archive.key of the data directory]
    #[arg(long, env = "MILLRACE_ARCHIVE_KEY", value_name = "FILE")]
    pub archive_key: Option<PathBuf>,
}

/// An archive that can be read.
pub struct OpenSource {
    pub store: ObjectStore,
    pub key: Arc<ArchiveKey>,
    pub key_path: PathBuf,
    /// Started for this command, because nobody runs it.
    local: Option<LocalServer>,
}

impl SourceArgs {
    /// `from` is an address, or the folder of a local provider. `data_dir` is where keys are when they are not given.
    pub async fn open(&self, from: &str, data_dir: Option<&Path>) -> Result<OpenSource, CliError> {
        let usual = data_dir.map(|data_dir| data_dir.join("keys").join(KEY_FILE));
        let key_path = self.archive_key.clone().or(usual).ok_or_else(|| {
            usage("the archive key is needed: give its file with --archive-key (keys/archive.key of the platform)")
        })?;
        let key = Arc::new(ArchiveKey::open(&key_path).map_err(usage)?);
        let (store, local) = self.store(from).await?;
        store.check().await.map_err(usage)?;
        Ok(OpenSource { store, key, key_path, local })
    }

    async fn store(&self, from: &str) -> Result<(ObjectStore, Option<LocalServer>), CliError> {
        let folder = Path::new(from);
        if !from.contains("://") && !folder.is_dir() {
            let why = format!(
                "{from} is neither an address like https://s3.example.com/archive nor a local provider's folder"
            );
            return Err(usage(why));
        }
        if folder.is_dir() {
            if !is_folder_of_one(folder) {
                let why = format!(
                    "{from} is no folder of a local provider: such a one is at providers/a of a data directory"
                );
                return Err(usage(why));
            }
            let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
            let name =
                folder.file_name().map_or_else(|| "local".to_owned(), |name| name.to_string_lossy().into_owned());
            if let Some(address) = LocalServer::address_of_running(&folder) {
                return Ok((LocalServer::store_at(&folder, &name, &address).map_err(usage)?, None));
            }
            let local = LocalServer::start(&folder, &name).await.map_err(usage)?;
            return Ok((local.store().map_err(usage)?, Some(local)));
        }
        let address = ProviderAddress::parse(from).map_err(usage)?;
        let missing = || usage("the provider's credentials are needed: give a file with them with --credentials");
        let credentials = self.credentials.as_deref().ok_or_else(missing)?;
        Ok((open_store(&address, credentials, self.ca.as_deref()).map_err(usage)?.store, None))
    }
}

impl OpenSource {
    /// Ends a server that was started for this command.
    pub async fn close(self) {
        if let Some(local) = self.local {
            local.stop().await;
        }
    }
}

pub(super) fn usage(why: impl ToString) -> CliError {
    CliError::Usage(why.to_string())
}
