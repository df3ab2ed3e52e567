//! `millrace restore`

use super::{
    client::CliError,
    position::position,
    source::{OpenSource, SourceArgs, usage},
};
use crate::{
    archive::{KEY_FILE, Restored as RestoreRecord},
    data_dir::DataDir,
    disk,
    nats::{NatsOptions, NatsServer, find_binary},
    platform::CELL,
};
use bus_schema::{
    Cell, Micros, TenantId,
    bus::{Bus, BusOptions, BusUser},
    keys::{KeyDirectory, RootKey},
    subject::Family,
    time::Clock,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeSet,
    fs,
    io::{IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use workers::{
    archive::{
        Hash,
        blobs::{BlobsRestored, restore_blobs},
        publish::log_digest,
        restore::{RestoreError, Restored, Source, Target, restore},
    },
    blob::BlobStore,
};

const EXAMPLES: &str = "Examples:
  millrace restore --from https://s3.example.com/archive?region=eu-central-1 --credentials b.credentials \\
      --archive-key archive.key --root-key root.key --into ./restored
  millrace restore --from data/providers/b --archive-key archive.key --root-key root.key --into ./restored
  millrace restore … --to 48213                      up to this position of the log, included
  millrace restore … --to 2026-11-22T09:30:00Z       everything stored up to this moment

Then: millrace up --data-dir ./restored

Only the named provider is used. Everything is checked before it is written, and the restored log is read back and compared.
What is damaged or missing is named, and the directory is not usable then: run it again with the other provider. Persons
who were erased stay erased, also when the restored point lies before their erasure.

With providers (--archive of millrace up) the restored log goes on in the same archives, behind the restored point; what they
hold behind it stays there and does not count any more. Stop the old platform first.";

/// Made out of the archive of one provider alone.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// The provider: [NAME=]https://HOST/BUCKET[/PREFIX][?region=…], [NAME=]s3://BUCKET[/PREFIX]?endpoint=…&region=…, or
    /// the folder of a local provider
    #[arg(long, value_name = "URL")]
    from: String,
    /// Up to this position of the events, or this moment (RFC 3339); everything when absent
    #[arg(long, value_name = "SEQ|TIME")]
    to: Option<String>,
    /// An empty or new directory that becomes the data directory
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The key that opens personal data (keys/root.key of the platform)
    #[arg(long, env = "MILLRACE_ROOT_KEY", value_name = "FILE")]
    root_key: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
}

pub async fn run(args: RestoreArgs) -> Result<(), CliError> {
    let target = args.to.as_deref().map(target).transpose()?.unwrap_or(Target::End);
    // It would be made when it is missing.
    let root_key = read_key(&args.root_key, "root key")?;
    let source = args.source.open(&args.from, None).await?;
    let outcome = into_directory(&args, &root_key, &source, target).await;
    source.close().await;
    outcome
}

async fn into_directory(
    args: &RestoreArgs,
    root_key: &[u8; 32],
    source: &OpenSource,
    target: Target,
) -> Result<(), CliError> {
    let data = DataDir::open_to_restore(&args.into).map_err(usage)?;
    disk::check(data.root()).map_err(usage)?;
    keep_key(&data.keys().join("root.key"), root_key)?;
    keep_key(&data.keys().join(KEY_FILE), &read_key(&source.key_path, "archive key")?)?;
    say(&format!("restoring from the provider {} into {}", source.store.provider(), data.root().display()));
    let binary = find_binary().map_err(usage)?;
    let nats = NatsServer::start(NatsOptions::new(binary, data.root())).await.map_err(usage)?;
    let outcome = fill(&nats, &data, source, target).await;
    nats.stop().await;
    let record = outcome?;
    record.write(&data.archive()).map_err(usage)?;
    data.restored().map_err(usage)?;
    println!("\nStart it with: millrace up --data-dir {}", args.into.display());
    Ok(())
}

async fn fill(
    nats: &NatsServer,
    data: &DataDir,
    source: &OpenSource,
    target: Target,
) -> Result<RestoreRecord, CliError> {
    let cell = Cell::try_new(CELL).map_err(usage)?;
    let (url, user) = (nats.endpoint().url(), BusUser::Nkey(nats.endpoint().seed.clone()));
    let bus = Bus::connect(BusOptions { url, user, tls: None, cell, replicas: 1 }).await.map_err(usage)?;
    bus.ensure_streams().await.map_err(usage)?;
    let begun = Instant::now();
    let bar = Bar::new();
    let from = Source { store: source.store.clone(), key: source.key.clone() };
    let restored = restore(&from, &bus, target, |done, total| bar.at(done, total)).await;
    bar.end();
    let restored = restored.map_err(refused)?;
    let took = begun.elapsed();
    say("reading back what was written");
    let (facts, facts_digest) = restored.facts.as_ref().map_or((0, None), |facts| (facts.last, Some(facts.digest)));
    compare(&bus, Family::Events, restored.events.last, restored.events.digest).await?;
    let facts_digest = match facts_digest {
        Some(digest) => {
            compare(&bus, Family::Facts, facts, digest).await?;
            digest.to_string()
        }
        None => String::new(),
    };
    let files = restore_blobs(&from, &bus, &BlobStore::folder(data.files()), |_| {}).await.map_err(|error| {
        usage(format!(
            "{error}; the log is restored, its files are not. Try another provider, nothing is served until then"
        ))
    })?;
    let tenants = tenants(&bus).await?;
    root_key_opens(&bus, data, &tenants).await?;
    report(&restored, facts, files, took);
    Ok(RestoreRecord {
        provider: source.store.provider().to_owned(),
        at: Clock::System.now(),
        events: restored.events.last,
        facts,
        events_digest: restored.events.digest.to_string(),
        facts_digest,
        tenants,
    })
}

fn report(restored: &Restored, facts: u64, files: BlobsRestored, took: Duration) {
    let events = restored.events.last;
    println!("restored {events} events and {facts} facts in {:.1} s", took.as_secs_f64());
    println!("  digest of the events   {}", restored.events.digest);
    if let Some(filled) = &restored.facts {
        println!("  digest of the facts    {}", filled.digest);
    }
    println!(
        "  keys                   {}, and {} of erased persons held back",
        restored.keys.restored, restored.keys.withheld
    );
    println!("  files                  {} of {} bytes together", files.blobs, files.bytes);
}

async fn compare(bus: &Bus, family: Family, last: u64, expected: Hash) -> Result<(), CliError> {
    let found = log_digest(bus, family, last).await.map_err(usage)?;
    if found == expected {
        return Ok(());
    }
    let stream = family.stream(bus.cell());
    Err(usage(format!(
        "the restored stream {stream} reads back with the digest {found} and was written with {expected}: the disk or the server is \
         at fault. Nothing of it may be used; restore onto another disk"
    )))
}

/// Those with a key in the restored directory.
async fn tenants(bus: &Bus) -> Result<Vec<String>, CliError> {
    let (mut tenants, mut from) = (BTreeSet::new(), 1);
    loop {
        let (values, more) = bus.latest_from("keys", from, 1_000).await.map_err(usage)?;
        for value in &values {
            if let [_, _, tenant, "tenant"] = value.subject.split('.').collect::<Vec<_>>()[..] {
                tenants.insert(tenant.to_owned());
            }
        }
        match values.last() {
            Some(last) if more => from = last.seq + 1,
            _ => return Ok(tenants.into_iter().collect()),
        }
    }
}

/// A wrong root key would show only when somebody reads.
async fn root_key_opens(bus: &Bus, data: &DataDir, tenants: &[String]) -> Result<(), CliError> {
    let root = RootKey::from_file(&data.keys().join("root.key")).map_err(usage)?;
    let keys = KeyDirectory::new(bus.clone(), root);
    for tenant in tenants {
        let tenant = TenantId::try_new(tenant).map_err(usage)?;
        let opened = keys.tenant(&tenant).await;
        opened.map_err(|error| usage(format!("the root key does not open the restored keys ({error}); give the one of the platform that wrote this archive with --root-key")))?;
    }
    Ok(())
}

fn refused(error: RestoreError) -> CliError {
    let hint = match error.fault() {
        Some(_) => "\nNothing was made usable. Run it again with --from and the other provider; the directory may stay",
        None => "",
    };
    usage(format!("{error}{hint}"))
}

fn target(text: &str) -> Result<Target, CliError> {
    if let Ok(position) = position(text) {
        return Ok(Target::Position(position));
    }
    let time = Micros::parse(text).map(Target::Time);
    time.ok_or_else(|| usage(format!("{text} is neither a position nor a moment like 2026-11-22T09:30:00Z")))
}

fn read_key(path: &Path, what: &str) -> Result<[u8; 32], CliError> {
    let failed = |why: String| usage(format!("the {what} {} cannot be used: {why}", path.display()));
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    bytes.try_into().map_err(|_| failed("it must hold exactly 32 bytes".to_owned()))
}

/// Beside the log it opens, where the platform looks for it. One of an earlier attempt is replaced.
fn keep_key(path: &Path, secret: &[u8; 32]) -> Result<(), CliError> {
    let failed = |source| CliError::File { path: path.display().to_string(), source };
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(secret).and_then(|()| file.sync_all())).map_err(failed)
}

fn say(text: &str) {
    _ = writeln!(std::io::stderr(), "{text}");
}

/// Progress on a terminal as a bar, elsewhere as a line now and then.
struct Bar {
    bar: ProgressBar,
    said: std::sync::Mutex<Instant>,
}

/// Between two lines.
const SAY_EVERY: Duration = Duration::from_secs(2);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} messages  {per_sec}  {eta}") {
            bar.set_style(style);
        }
        Self { bar, said: std::sync::Mutex::new(Instant::now()) }
    }

    fn at(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        if std::io::stderr().is_terminal() {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.elapsed() >= SAY_EVERY || done == total {
            *said = Instant::now();
            say(&format!("{done} of {total} messages"));
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_position_or_a_moment() {
        assert_eq!(target("17").unwrap(), Target::Position(17));
        assert_eq!(target("1970-01-01T00:00:01Z").unwrap(), Target::Time(Micros(1_000_000)));
        assert!(target("yesterday").unwrap_err().to_string().contains("neither a position nor a moment"));
    }
}
