//! What a running platform tells other programs: a file of mode 0600, written when requests are served.

use crate::platform::StartError;
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Name of the file a platform always keeps in its own data directory.
pub const FILE: &str = "ready.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    pub url: String,
    pub tenant: String,
    pub email: String,
    pub password: String,
    pub api_key: String,
    pub pid: u32,
    pub nats_pid: Option<u32>,
    /// Where mails are looked at that do not leave this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<String>,
}

impl Ready {
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

/// Writes what a process says of itself (JSON), beside and renamed, so a reader never sees half of it.
pub fn write(path: &Path, what: &impl Serialize) -> Result<(), StartError> {
    let written = || {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let beside = PathBuf::from(name);
        _ = std::fs::remove_file(&beside);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(what)?)?;
        file.write_all(b"\n")?;
        std::fs::rename(&beside, path)
    };
    written().map_err(|source| StartError::ReadyFile { path: path.display().to_string(), source })
}
