//! What one event costs, part by part: what `ops/docs/scaling.md` computes cells and nodes from.
//!
//! One process a role over a nats-server and a node of Cassandra, so what each part uses can be told apart. The events are creations of
//! contacts, the dearest of the frequent ones: each seals a person under a key of its own.

use super::{CLIENTS, RAW_BATCH, RAW_IN_FLIGHT, archive, commands, rebuild};
use crate::{
    AnyError, Scale,
    cassandra::{Cassandra, folder_bytes},
    contacts::Sample,
    load,
    log::Log,
    platform::Platform,
    process::processor_time,
    table::Outcome,
};
use bus_schema::subject::Family;
use projectors::{
    backend::fjall::{FjallStore, Options},
    read_store::{ReadStorePort, RowKey, RowOp, TableId},
};
use std::{
    collections::HashSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tests::sizing::{Assumptions, Figures, table};
use workers::archive::{
    ObjectStore, ObjectStorePort,
    backend::s3::{S3Objects, S3Options},
};

const PREFIX: &str = "scale";
const LISTS: usize = 1_000;
/// What runs without being asked is looked at for so long, and taken off.
const IDLE: Duration = Duration::from_secs(5);

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let count = scale.events(20_000, 6_000);
    let mut figures = parts(count).await?;
    figures.archive_bytes = archived(count / 2).await?;
    figures.stream_per_second = stream(count).await?;
    println!("{}\n", serde_json::to_string_pretty(&figures)?);
    println!("{}", table(&figures, &Assumptions::default()));
    Ok(outcomes(&figures))
}

fn outcomes(figures: &Figures) -> Vec<Outcome> {
    let one = |name: &str, value: f64, unit: &str| Outcome::figure(name, format!("{value:.1} {unit}"));
    vec![
        one("an event in the log, one copy", figures.log_bytes, "bytes"),
        one("the keys of an event, one copy", figures.key_bytes, "bytes"),
        one("an event in an archive, keys included", figures.archive_bytes, "bytes"),
        one("rows of an event", figures.rows, "rows"),
        one("a row in Cassandra, one copy", figures.cluster_row_bytes, "bytes"),
        one("a row in a folder", figures.folder_row_bytes, "bytes"),
        one("an event in an index", figures.index_bytes, "bytes"),
        one("CPU of an event: command path", figures.command_us, "µs"),
        one("CPU of an event: nats-server, one copy", figures.log_us, "µs"),
        one("CPU of an event: projector, rows in a cluster", figures.projecting_us, "µs"),
        one("CPU of an event: Cassandra, one copy", figures.database_us, "µs"),
        one("CPU of an event: projecting into a folder", figures.folder_us, "µs"),
        one("CPU of an event: index", figures.index_us, "µs"),
        one("CPU of a list of 50 rows: api", figures.list_us, "µs"),
        one("CPU of a list of 50 rows: Cassandra", figures.list_database_us, "µs"),
        one("messages of one stream", figures.stream_per_second, "messages/s"),
    ]
}

/// Processor time by part: api, nats-server, projector, Cassandra.
type Used = [Duration; 4];

struct Parts {
    api: Platform,
    projector: Platform,
    log: Log,
    cassandra: Cassandra,
}

impl Parts {
    fn used(&self) -> Result<Used, AnyError> {
        Ok([
            self.api.own_processor_time()?,
            self.log.processor_time()?,
            self.projector.own_processor_time()?,
            self.cassandra.processor_time()?,
        ])
    }

    /// Microseconds of each part for one of so many, without what runs anyway.
    async fn each(
        &self,
        idle: [f64; 4],
        count: usize,
        work: impl Future<Output = Result<(), AnyError>>,
    ) -> Result<[f64; 4], AnyError> {
        let (began, before) = (Instant::now(), self.used()?);
        work.await?;
        let (after, took) = (self.used()?, began.elapsed().as_secs_f64());
        Ok(std::array::from_fn(|part| {
            let used = (after[part] - before[part]).as_secs_f64() - idle[part] * took;
            used.max(0.0) * 1e6 / count as f64
        }))
    }
}

async fn parts(count: usize) -> Result<Figures, AnyError> {
    let (cassandra, log, shared) = (Cassandra::start(1)?, Log::start().await?, tempfile::tempdir()?);
    let key = shared.path().join("root.key");
    fs::write(&key, [7; 32])?;
    let files = shared.path().join("files");
    fs::create_dir(&files)?;
    let mut environment = cassandra.environment(PREFIX);
    environment.push(("MILLRACE_NATS", log.url().to_owned()));
    environment.push(("MILLRACE_NATS_REPLICAS", "1".into()));
    environment.push(("MILLRACE_ROOT_KEY", key.display().to_string()));
    environment.push(("MILLRACE_SHARED_DIR", files.display().to_string()));
    let projector = Platform::join("projector", &environment)?;
    let api = Platform::join("api", &environment)?;
    let began_with = api.own_processor_time()?;
    let parts = Parts { api, projector, log, cassandra };
    let (api, log) = (&parts.api, &parts.log);
    // Tables come into being, and the node compiles what it runs often.
    commands::round(api, count / 2).await?;
    api.settle().await?;
    let before = parts.used()?;
    tokio::time::sleep(IDLE).await;
    let after = parts.used()?;
    let idle = std::array::from_fn(|part| (after[part] - before[part]).as_secs_f64() / IDLE.as_secs_f64());

    let (first, stored) = (log.bus.last_seq(Family::Events).await?, log_bytes(log)?);
    let used = parts.each(idle, count, async {
        commands::round(api, count).await?;
        api.settle().await
    });
    let [serving_us, log_us, projecting_us, database_us] = used.await?;
    let last = log.bus.last_seq(Family::Events).await?;
    let (events, now) = ((last - first) as f64, log_bytes(log)?);
    let request = api.request("GET", "/v1/contacts?limit=50", "", "");
    let read = parts.each(idle, LISTS, async {
        load::run(api.address(), vec![vec![request; LISTS]], 200).await?;
        Ok(())
    });
    let [list_us, _, _, list_database_us] = read.await?;

    // Another process that has nothing to do but to make its index.
    let second = Platform::join("api", &environment)?;
    second.settle().await?;
    let index_us = (second.own_processor_time()?.saturating_sub(began_with)).as_secs_f64() * 1e6 / last as f64;
    let index_bytes = folder_bytes(&second.data_dir().join("search"))? as f64 / last as f64;
    drop(second);

    let batches = rebuild::rows(log, last).await?;
    let (mut rows, mut tables): (HashSet<RowKey>, HashSet<TableId>) = Default::default();
    for op in batches.iter().flat_map(|batch| &batch.ops) {
        tables.insert(op.key().table.clone());
        match op {
            RowOp::Put { key, .. } => _ = rows.insert(key.clone()),
            RowOp::Delete { key, .. } => _ = rows.remove(key),
        }
    }
    let driver = parts.cassandra.driver(1).await?;
    let names = driver.tables(PREFIX).await?;
    let names: Vec<&str> = tables.iter().filter_map(|table| names.get(table.as_str()).map(String::as_str)).collect();
    let in_cluster = parts.cassandra.bytes_on_disk(&driver, &names).await?;

    let own = || processor_time(std::process::id());
    let before = own()?;
    rebuild::rebuild(log, last).await?;
    let folder_us = (own()? - before).as_secs_f64() * 1e6 / last as f64;
    let folder = tempfile::tempdir()?;
    let store = FjallStore::open(folder.path(), Options::default()).await?;
    for batch in batches {
        store.write(batch).await?;
    }
    store.purge_deleted(&tables.into_iter().collect::<Vec<_>>()).await?;
    Ok(Figures {
        log_bytes: (now.0 - stored.0) as f64 / events,
        key_bytes: (now.1 - stored.1) as f64 / events,
        archive_bytes: 0.0,
        rows: rows.len() as f64 / last as f64,
        cluster_row_bytes: in_cluster as f64 / rows.len() as f64,
        folder_row_bytes: store.size_bytes().await? as f64 / rows.len() as f64,
        index_bytes,
        command_us: (serving_us - index_us).max(0.0),
        log_us,
        projecting_us,
        database_us,
        folder_us,
        index_us,
        list_us,
        list_database_us,
        stream_per_second: 0.0,
    })
}

/// Bytes of the events, and of everything else that nats-server keeps: the keys.
fn log_bytes(log: &Log) -> Result<(u64, u64), AnyError> {
    fn of_events(folder: &Path) -> Result<u64, AnyError> {
        let mut bytes = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let is_log = entry.file_name().to_str().is_some_and(|name| name.starts_with("EV_"));
                bytes += if is_log { folder_bytes(&entry.path())? } else { of_events(&entry.path())? };
            }
        }
        Ok(bytes)
    }
    let (events, all) = (of_events(log.folder())?, folder_bytes(log.folder())?);
    Ok((events, all - events))
}

/// Bytes of one provider's archive for each event.
async fn archived(count: usize) -> Result<f64, AnyError> {
    let platform = Platform::start_with(false, &archive::two())?;
    commands::round(&platform, count.max(CLIENTS)).await?;
    platform.settle().await?;
    platform.archived().await?;
    let (address, access, secret) = platform.local_provider("b")?;
    let store = ObjectStore::s3(S3Objects::try_new(S3Options::parse("b", &address, &access, &secret)?)?);
    let (mut after, mut bytes) = (None::<String>, 0);
    loop {
        let listing = store.list("", after.as_deref(), 1_000).await?;
        bytes += listing.objects.iter().map(|object| object.length).sum::<u64>();
        after = listing.objects.last().map(|object| object.key.clone());
        if !listing.more || after.is_none() {
            return Ok(bytes as f64 / count as f64);
        }
    }
}

/// Messages a second that one stream takes.
async fn stream(count: usize) -> Result<f64, AnyError> {
    let log = Log::start().await?;
    let sample = Sample::take(&log).await?;
    log.batches(sample.copies(count / 4), RAW_BATCH, RAW_IN_FLIGHT).await?;
    log.batches(sample.copies(count), RAW_BATCH, RAW_IN_FLIGHT).await
}
