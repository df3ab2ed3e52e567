//! What a sink took: one line of JSON for each mail, durable before its client hears 250.
//!
//! One thread writes. It gathers what waits at this moment, writes it, and syncs once for all of it, so that many
//! connections share the price of one sync.

use super::mailbox::{Keeper, Parcel};
use bus_schema::Micros;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use tokio::sync::{mpsc, oneshot};

const FILE: &str = "taken.ndjson";
/// Mails that wait for the thread; more make their connections wait.
const QUEUE: usize = 4096;
/// Bytes of the ledger, after which a sink takes nothing more: about fifteen million mails.
const LIMIT: u64 = 4 << 30;
/// Mails of one sync.
const GROUP: usize = 512;

/// One mail for one recipient that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub at: Micros,
    /// Without angle brackets; empty when the message has none.
    pub message_id: String,
    /// Empty for the null sender.
    pub sender: String,
    pub recipient: String,
    pub bytes: u64,
    /// The version of TLS it came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    queue: mpsc::Sender<Entry>,
}

struct Entry {
    parcel: Parcel,
    done: oneshot::Sender<bool>,
}

impl Ledger {
    pub(super) fn open(folder: &Path, keep: (usize, u64)) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        // A line that was cut by a power loss was never confirmed; the next must not grow onto it.
        let torn = std::fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|byte| *byte != b'\n'));
        if torn {
            (&file).write_all(b"\n")?;
        }
        File::open(folder)?.sync_all()?;
        let keeper = Keeper::open(folder, keep)?;
        let (queue, entries) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("sink-ledger".to_owned()).spawn(move || write(file, keeper, entries))?;
        Ok(Self { queue })
    }

    /// True when the mail stands in the ledger, for good.
    pub(super) async fn record(&self, parcel: Parcel) -> bool {
        let (done, written) = oneshot::channel();
        self.queue.send(Entry { parcel, done }).await.is_ok() && written.await.unwrap_or(false)
    }
}

/// Runs until the sink and its last connection are gone.
fn write(file: File, mut keeper: Keeper, mut entries: mpsc::Receiver<Entry>) {
    let mut group = Vec::with_capacity(GROUP);
    while let Some(first) = entries.blocking_recv() {
        group.push(first);
        while group.len() < GROUP
            && let Ok(next) = entries.try_recv()
        {
            group.push(next);
        }
        let mut lines = Vec::with_capacity(group.len() * 256);
        for taken in group.iter().flat_map(|entry| &entry.parcel.taken) {
            if serde_json::to_writer(&mut lines, taken).is_ok() {
                lines.push(b'\n');
            }
        }
        let written = append(&file, &lines);
        if let Err(error) = &written {
            tracing::error!(%error, "the mail sink cannot write its ledger and refuses mails; check its free space");
        }
        for Entry { parcel, done } in group.drain(..) {
            if written.is_ok() {
                keeper.keep(&parcel);
            }
            // Its connection may be gone.
            _ = done.send(written.is_ok());
        }
    }
}

fn append(mut file: &File, lines: &[u8]) -> io::Result<()> {
    if file.metadata()?.len() > LIMIT {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the ledger is full; begin with another folder"));
    }
    file.write_all(lines)?;
    file.sync_data()
}

/// Everything in the ledger of a sink's folder, in order. A torn last line was never confirmed and is passed over.
pub fn read_ledger(folder: &Path) -> io::Result<Vec<Taken>> {
    let mut all = Vec::new();
    for line in BufReader::new(File::open(folder.join(FILE))?).lines() {
        if let Ok(taken) = serde_json::from_str(&line?) {
            all.push(taken);
        }
    }
    Ok(all)
}
