//! Room on the disk of the data directory. Whatever meets a full disk in the middle of a write stops writing for good (the
//! log's stream, the read store, the index), so the platform ends in order before that, and does not start without room.

use std::{path::Path, time::Duration};

/// Bytes that stay free. More than everything writes between two looks, and enough to end in order.
const RESERVE: u64 = 64 << 20;
const EVERY: Duration = Duration::from_millis(500);

/// The disk has no room to go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the disk of {path} is full, {} MB are left and at least {} MB are needed: free some space, then start again",
    .free / 1_000_000,
    RESERVE.div_ceil(1_000_000)
)]
pub struct DiskFull {
    path: String,
    free: u64,
}

/// Whether there is room to begin or to go on. A disk that does not tell counts as one with room: writes will say so.
pub fn check(folder: &Path) -> Result<(), DiskFull> {
    let free = rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if free >= RESERVE { Ok(()) } else { Err(DiskFull { path: folder.display().to_string(), free }) }
}

/// Returns when the room is gone.
pub async fn until_full(folder: &Path) -> DiskFull {
    loop {
        if let Err(full) = check(folder) {
            return full;
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_to_do() {
        let full = DiskFull { path: "data".into(), free: 12_300_000 };
        let sentence = full.to_string();
        assert!(sentence.contains("12 MB are left and at least 68 MB") && sentence.contains("free some space"));
        assert!(check(Path::new("/proc/no-such-folder")).is_ok());
    }
}
