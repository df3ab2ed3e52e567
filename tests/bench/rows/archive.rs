//! Copies of the log: how far they are behind, how fast one becomes a log again, and what making them costs.

use super::{CLIENTS, RAW_IN_FLIGHT, commands, ratios};
use crate::{
    AnyError, Scale,
    contacts::{self, Sample},
    http::Connection,
    load,
    log::Log,
    platform::Platform,
    table::{Outcome, Reach, median, quantile_ms},
};
use bus_schema::subject::Family;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use workers::archive::{
    ArchiveKey, Archiver, ArchiverOptions, ObjectStore, ObjectStorePort, Place,
    backend::s3::{S3Objects, S3Options},
    restore::{Source, Target, restore},
};

/// Commands a second while the lag is looked at, by so many clients.
const PACE: f64 = 500.0;
const PACED_CLIENTS: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Two local S3 servers, as `millrace up --local-archives` starts them.
pub(super) fn two() -> [(&'static str, String); 1] {
    [("MILLRACE_LOCAL_ARCHIVES", "true".to_owned())]
}
/// Objects asked for at once by a plain download; a restore does the same.
const AHEAD: usize = 4;
/// The largest batch that the server takes.
const BATCH: usize = 1_000;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let mut outcomes = lag(scale).await?;
    outcomes.push(restoring(scale).await?);
    outcomes.push(cost(scale).await?);
    Ok(outcomes)
}

/// The lag to both providers while commands come at a steady pace.
async fn lag(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let platform = Platform::start_with(false, &two())?;
    commands::round(&platform, scale.of(5_000, 2_000)).await?;
    platform.settle().await?;
    let seconds = scale.of(30.0, 10.0);
    let clients = load::deal(contacts::requests(&platform, (PACE * seconds) as usize), PACED_CLIENTS);
    let (address, began) = (platform.address(), Instant::now());
    let sending = tokio::spawn(load::on_one_thread(async move {
        let pace = Duration::from_secs_f64(PACED_CLIENTS as f64 / PACE);
        let clients = clients.into_iter().map(|requests| async move {
            let mut connection = Connection::open(address).await?;
            let mut clock = tokio::time::interval(pace);
            for request in &requests {
                clock.tick().await;
                connection.send(request).await?.expect(201)?;
            }
            Ok::<usize, AnyError>(requests.len())
        });
        Ok(futures::future::try_join_all(clients).await?.into_iter().sum::<usize>())
    }));
    let (mut lags, mut connection) = (Vec::new(), platform.connect().await?);
    let request = platform.request("GET", "/v1/protection", "", "");
    let mut clock = tokio::time::interval(LOOK_EVERY);
    while !sending.is_finished() {
        clock.tick().await;
        let answer = connection.send(&request).await?;
        let status: Value = serde_json::from_slice(answer.expect(200)?)?;
        let providers = status["providers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let worst = providers.iter().filter_map(|one| one["rpo_seconds"].as_f64()).reduce(f64::max);
        lags.push(Duration::from_secs_f64(worst.ok_or("no provider says how far it is")?));
    }
    let sent = sending.await??;
    let rate = sent as f64 / began.elapsed().as_secs_f64();
    let row = |part: f64, bound: f64| {
        let lag = quantile_ms(&lags, part) / 1e3;
        let measured = format!("{lag:.2} s ({} looks, {rate:.0} commands/s)", lags.len());
        Outcome::bounded(&format!("lag to both providers, p{}", (part * 100.0) as u32), measured, lag, bound, "s")
    };
    Ok(vec![row(0.5, 1.0), row(0.99, 1.5)])
}

/// One provider's archive into an empty log, against fetching its bytes and publishing the same messages.
async fn restoring(scale: Scale) -> Result<Outcome, AnyError> {
    let (count, turns) = (scale.events(100_000, 20_000), scale.of(3, 2));
    let provider = Platform::start_with(false, &two())?;
    let (address, access, secret) = provider.local_provider("b")?;
    let options = S3Options { prefix: "bench".into(), ..S3Options::parse("b", &address, &access, &secret)? };
    let store = ObjectStore::s3(S3Objects::try_new(options)?);
    let source_log = Log::start().await?;
    let sample = Sample::take(&source_log).await?;
    source_log.batches(sample.copies(count), BATCH, RAW_IN_FLIGHT).await?;
    let last = source_log.bus.last_seq(Family::Events).await?;
    let (key, folder) = (Arc::new(ArchiveKey::from_secret(&[7; 32])), tempfile::tempdir()?);
    let bus = source_log.bus.clone();
    let options = ArchiverOptions::new(bus, Family::Events, store.clone(), key.clone(), folder.path().to_owned());
    let archiver = Archiver::start(options);
    let mut progress = archiver.progress();
    progress.wait_for(|now| now.archived >= last || now.is_halted()).await?;
    archiver.stop().await;
    let source = Source { store: store.clone(), key };
    let segments = Place::new(&source_log.cell, Family::Events).segments(1);
    let (mut restores, mut ceilings, mut downloads, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..turns {
        let began = Instant::now();
        bytes = download(&store, &segments).await?;
        let download = began.elapsed().as_secs_f64();
        let raw = Log::start().await?;
        let began = Instant::now();
        raw.batches(sample.copies(count), BATCH, 1).await?;
        downloads.push(download);
        ceilings.push(download + began.elapsed().as_secs_f64());
        let target = Log::start().await?;
        let began = Instant::now();
        let restored = restore(&source, &target.bus, Target::End, |_, _| {}).await?;
        restores.push(began.elapsed().as_secs_f64());
        if restored.events.last != last {
            return Err(format!("{} events came back of {last}", restored.events.last).into());
        }
    }
    let measured = format!("{:.2} s ({:.0} events/s)", median(&restores), last as f64 / median(&restores));
    let ceiling =
        format!("{:.2} s ({:.1} MB fetched in {:.2})", median(&ceilings), bytes as f64 / 1e6, median(&downloads));
    let name = format!("restore of {last} events from one provider");
    Ok(Outcome::of(&name, measured, ceiling, &ratios(&ceilings, &restores), Reach::AtLeast(0.5)))
}

/// Fetches everything under a prefix and gives its bytes.
async fn download(store: &ObjectStore, prefix: &str) -> Result<usize, AnyError> {
    let (mut after, mut total) = (None::<String>, 0);
    loop {
        let listing = store.list(prefix, after.as_deref(), BATCH).await?;
        let fetches = listing.objects.iter().map(|object| store.get(&object.key, 64 << 20));
        let sizes: Vec<usize> =
            stream::iter(fetches).buffered(AHEAD).map_ok(|object| object.bytes.len()).try_collect().await?;
        total += sizes.iter().sum::<usize>();
        after = listing.objects.last().map(|object| object.key.clone());
        if !listing.more || after.is_none() {
            return Ok(total);
        }
    }
}

/// Processor time of a platform that archives to two providers, against one that does not, for the same commands.
async fn cost(scale: Scale) -> Result<Outcome, AnyError> {
    let (turns, count) = (scale.of(5, 3), scale.of(20_000, 8_000));
    let (plain, archived) = (Platform::start(false)?, Platform::start_with(false, &two())?);
    for platform in [&plain, &archived] {
        commands::round(platform, count / 4).await?;
        platform.settle().await?;
    }
    let (mut shares, mut without, mut with) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        let mut used = Vec::new();
        for platform in [&plain, &archived] {
            let before = platform.processor_time()?;
            let clients = load::deal(contacts::requests(platform, count), CLIENTS);
            load::run(platform.address(), clients, 201).await?;
            platform.settle().await?;
            platform.archived().await?;
            let after = platform.processor_time()?;
            let both = (after.0 - before.0) + (after.1 - before.1);
            used.push(both.as_secs_f64() * 1e6 / count as f64);
        }
        shares.push(used[1] / used[0] - 1.0);
        without.push(used[0]);
        with.push(used[1]);
    }
    let measured = format!("{:.0} µs CPU a command with two providers", median(&with));
    let ceiling = format!("{:.0} µs without (platform + nats-server)", median(&without));
    Ok(Outcome::of("archivers' share of the command path's CPU", measured, ceiling, &shares, Reach::AtMost(0.15)))
}
