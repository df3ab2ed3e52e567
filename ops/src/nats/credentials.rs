//! The key with which the platform signs in to its own server.
//!
//! A static nkey instead of a password: the server's configuration then holds only the public half, and a command line
//! tool of the same user can sign in to a platform that is already running.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nkeys::KeyPair;

use super::error::NatsError;

/// A NATS user: the seed is secret, the public key is its name.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) seed: String,
    pub(super) public_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the seed, or makes one and stores it with mode 0600. Its folder has to exist.
    pub(super) fn load_or_create(path: &Path) -> Result<Self, NatsError> {
        match Self::load(path) {
            Err(NatsError::NotWritable { source: Some(error), .. }) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let unreadable = |_| NatsError::KeyUnreadable { path: path.to_owned() };
        let seed = KeyPair::new_user().seed().map_err(unreadable)?;
        store(path, &seed).map_err(|error| NatsError::writing(path, error))?;
        Self::from_seed(path, seed)
    }

    /// Reads the seed of a key that exists.
    pub(super) fn load(path: &Path) -> Result<Self, NatsError> {
        let text = fs::read_to_string(path)
            .map_err(|error| NatsError::NotWritable { path: path.to_owned(), source: Some(error) })?;
        Self::from_seed(path, text.trim().to_owned())
    }

    fn from_seed(path: &Path, seed: String) -> Result<Self, NatsError> {
        let pair = KeyPair::from_seed(&seed).map_err(|_| NatsError::KeyUnreadable { path: path.to_owned() })?;
        Ok(Self { public_key: pair.public_key(), seed })
    }
}

fn store(path: &Path, seed: &str) -> io::Result<()> {
    let side = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&side)?;
    writeln!(file, "{seed}")?;
    file.sync_all()?;
    fs::rename(&side, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.seed");
        let made = Credentials::load_or_create(&path).unwrap();
        assert!(made.public_key.starts_with('U') && made.seed.starts_with("SU"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Credentials::load_or_create(&path).unwrap().seed, made.seed);
        assert!(!format!("{made:?}").contains(&made.seed));
    }

    #[test]
    fn a_damaged_key_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.seed");
        fs::write(&path, "SUnonsense").unwrap();
        assert!(matches!(Credentials::load_or_create(&path), Err(NatsError::KeyUnreadable { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "SUnonsense");
    }
}
