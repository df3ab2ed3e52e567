//! The archive key of a platform: made on first use, and what is said then.

use std::path::Path;

/// Its name in the folder of secrets.
pub const KEY_FILE: &str = "archive.key";

/// What a person has to do before the archive is worth anything. Said once, when the key is made.
pub fn announce(archive_key: &Path, root_key: &Path) -> String {
    format!(
        "A new archive key was made. Copies of the log can be read with these two files only; keep both of them elsewhere,
neither on this machine nor at a provider that holds an archive:
  {}   opens the archive
  {}   opens the personal data in it",
        archive_key.display(),
        root_key.display()
    )
}
