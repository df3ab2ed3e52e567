//! `millrace protection`

use super::{
    client::{CliError, Connection},
    position::position,
    source::{OpenSource, SourceArgs, usage},
};
use crate::platform::CELL;
use bus_schema::{Cell, subject::Family, time::Clock};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;
use workers::archive::{
    ArchiveError, Ledger, Place,
    verify::{Depth, Report, VerifyOptions, verify},
};

/// A share of the segments that is read when none is given: all of them.
const ALL: &str = "all";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  millrace protection status\n  millrace protection digest\n  millrace protection verify --from data/providers/b"
)]
pub struct ProtectionArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ProtectionCommand,
}

#[derive(Debug, Subcommand)]
enum ProtectionCommand {
    /// How far each provider is behind the log; from a running platform, or from a provider alone with --from
    #[command(
        after_help = "Examples:\n  millrace protection status\n  millrace protection status --from https://s3.example.com/archive --credentials b.credentials --archive-key archive.key"
    )]
    Status {
        /// Ask this provider instead of a platform
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        #[command(flatten)]
        source: SourceArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What the running platform's log holds, in one number a stream, to be compared with what `millrace restore` prints
    #[command(after_help = "Example:\n  millrace protection digest --events 48213")]
    Digest {
        /// The last position of the events in it; all of them when absent
        #[arg(long, value_name = "SEQ", value_parser = position)]
        events: Option<u64>,
        /// The last position of the facts in it; all of them when absent
        #[arg(long, value_name = "SEQ")]
        facts: Option<u64>,
    },
    /// Whether a provider's archive is whole: chain, gaps, checksums. Ends with 0 when it is, with 2 when it is not
    #[command(
        after_help = "Examples:\n  millrace protection verify --from https://s3.example.com/archive --credentials b.credentials --archive-key archive.key\n  millrace protection verify --from data/providers/b --bytes none      the chain and the lengths only\n  millrace protection verify --from data/providers/b --bytes 10        and a tenth of the segments, others each time\n  millrace protection verify --from data/providers/b --at-least 48213  and that everything up to there is in it"
    )]
    Verify {
        /// The provider, or the folder of a local one
        #[arg(long, value_name = "URL")]
        from: String,
        #[command(flatten)]
        source: SourceArgs,
        /// Segments to read back and check byte by byte: all, none, or a share in percent
        #[arg(long, default_value = ALL, value_name = "all|none|PERCENT")]
        bytes: String,
        /// A position of the events that must be in it: without one, missing newest entries cannot be noticed
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        at_least: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a verification ends with when something is wrong.
const NOT_WHOLE: u8 = 2;

pub async fn run(args: ProtectionArgs) -> Result<ExitCode, CliError> {
    let data_dir = args.connection.data_dir.clone();
    match args.command {
        ProtectionCommand::Status { from: None, json, .. } => {
            let client = args.connection.client()?;
            let status = client.json(Method::GET, "/v1/protection").await?;
            if json {
                println!("{status:#}");
            } else {
                print_status(&status);
            }
            Ok(ExitCode::SUCCESS)
        }
        ProtectionCommand::Status { from: Some(from), source, json } => {
            let source = source.open(&from, Some(&data_dir)).await?;
            let found = newest(&source).await;
            source.close().await;
            print_newest(&found?, json);
            Ok(ExitCode::SUCCESS)
        }
        ProtectionCommand::Digest { events, facts } => {
            let client = args.connection.client()?;
            let bound = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
            let bounds: Vec<String> = [bound("events", events), bound("facts", facts)].into_iter().flatten().collect();
            let digests = client.json(Method::GET, &format!("/v1/protection/digest?{}", bounds.join("&"))).await?;
            for stream in ["events", "facts"] {
                let (position, digest) = (&digests[stream]["position"], digests[stream]["digest"].as_str());
                println!("{stream:<8} up to {position:<12} {}", digest.unwrap_or("-"));
            }
            Ok(ExitCode::SUCCESS)
        }
        ProtectionCommand::Verify { from, source, bytes, at_least, json } => {
            let depth = depth(&bytes)?;
            let source = source.open(&from, Some(&data_dir)).await?;
            let reports = verified(&source, depth, at_least).await;
            source.close().await;
            let reports = reports?;
            if json {
                println!("{:#}", json!({ "whole": reports.iter().all(Report::is_whole), "streams": reports }));
            } else {
                reports.iter().for_each(print_report);
            }
            Ok(if reports.iter().all(Report::is_whole) { ExitCode::SUCCESS } else { ExitCode::from(NOT_WHOLE) })
        }
    }
}

fn ledgers(source: &OpenSource) -> Result<Vec<(Family, Ledger)>, CliError> {
    let cell = Cell::try_new(CELL).map_err(usage)?;
    let ledger = |family| (family, Ledger::new(source.store.clone(), source.key.clone(), Place::new(&cell, family)));
    Ok([Family::Events, Family::Facts].into_iter().map(ledger).collect())
}

async fn verified(source: &OpenSource, depth: Depth, at_least: u64) -> Result<Vec<Report>, CliError> {
    let mut reports = Vec::new();
    for (family, ledger) in ledgers(source)? {
        if family == Family::Events && ledger.epochs().await.map_err(usage)?.is_empty() {
            let (provider, place) = (source.store.provider().to_owned(), ledger.place.to_string());
            return Err(usage(ArchiveError::Empty { provider, place }));
        }
        let at_least = if family == Family::Events { at_least } else { 0 };
        reports.push(verify(&ledger, VerifyOptions { depth, at_least }).await.map_err(usage)?);
    }
    Ok(reports)
}

fn depth(text: &str) -> Result<Depth, CliError> {
    match text {
        ALL => Ok(Depth::Bytes),
        "none" => Ok(Depth::Chain),
        percent => match percent.trim_end_matches('%').parse() {
            Ok(percent @ 1..=100) => Ok(Depth::Share { percent, seed: Clock::System.now().0.unsigned_abs() }),
            _ => Err(usage(format!("--bytes {text}: use all, none or a share of 1 to 100 percent"))),
        },
    }
}

fn print_report(report: &Report) {
    let verdict = if report.is_whole() { "whole" } else { "NOT WHOLE" };
    println!("{} at {}: {verdict}", report.stream, report.provider);
    println!("  archived up to   {}", report.archived);
    if let Some(latest) = report.latest {
        println!("  newest message   {latest}");
    }
    println!("  segments found   {}, of which read back {}", report.found, report.read);
    println!("  delayed          {}", report.delayed);
    println!("  missing          {}", report.missing);
    println!("  corrupt          {}", report.corrupt);
    if report.unreferenced > 0 {
        println!("  unreferenced     {} (left by a writer that lost its disk; harmless)", report.unreferenced);
    }
    for fault in &report.faults {
        println!("  ! {fault}");
    }
}

/// Stream, epoch, entries, position, store time of the newest message.
type Newest = (String, u32, u64, u64, String);

async fn newest(source: &OpenSource) -> Result<Vec<Newest>, CliError> {
    let mut found = Vec::new();
    for (_, ledger) in ledgers(source)? {
        let Some(epoch) = ledger.epochs().await.map_err(usage)?.last().copied() else { continue };
        let stream = ledger.place.stream().to_owned();
        found.push(match ledger.newest(epoch).await.map_err(usage)? {
            Some((entry, _)) => (stream, epoch, entry.idx, entry.last, bus_schema::Micros(entry.latest).to_string()),
            None => {
                let cut = ledger.start_of(epoch).await.map_err(usage)?.map_or(0, |(start, _)| start.cut);
                (stream, epoch, 0, cut, "-".to_owned())
            }
        });
    }
    if found.is_empty() {
        let provider = source.store.provider().to_owned();
        return Err(usage(ArchiveError::Empty { provider, place: format!("the cell {CELL}") }));
    }
    Ok(found)
}

fn print_newest(found: &[Newest], json: bool) {
    if json {
        let streams: Vec<Value> = found
            .iter()
            .map(|(stream, epoch, segments, archived, latest)| {
                json!({ "stream": stream, "epoch": epoch, "segments": segments, "archived": archived, "latest": latest })
            })
            .collect();
        println!("{:#}", json!({ "streams": streams }));
        return;
    }
    println!("{:<10} {:>6} {:>10} {:>12}  newest message", "STREAM", "EPOCH", "SEGMENTS", "ARCHIVED");
    for (stream, epoch, segments, archived, latest) in found {
        println!("{stream:<10} {epoch:>6} {segments:>10} {archived:>12}  {latest}");
    }
}

fn print_status(status: &Value) {
    let providers = status["providers"].as_array().cloned().unwrap_or_default();
    if providers.is_empty() {
        println!("the log is archived nowhere: it exists once. Name providers with --archive of `millrace up`");
        return;
    }
    println!(
        "{:<12} {:<10} {:<9} {:>12} {:>12} {:>12} {:>10} {:>10}",
        "PROVIDER", "STREAM", "STATE", "LOG", "ARCHIVED", "CONFIRMED", "LAG", "SECONDS"
    );
    for provider in &providers {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
        let name = text(&provider["provider"]);
        let streams = provider["streams"].as_array().cloned().unwrap_or_default();
        if streams.is_empty() {
            println!("{name:<12} {:<10} {:<9}", "-", text(&provider["state"]));
        }
        for stream in &streams {
            println!(
                "{name:<12} {:<10} {:<9} {:>12} {:>12} {:>12} {:>10} {:>10.3}",
                text(&stream["stream"]),
                text(&stream["state"]),
                number(&stream["log"]),
                number(&stream["archived"]),
                number(&stream["confirmed"]),
                number(&stream["lag_events"]),
                stream["lag_seconds"].as_f64().unwrap_or(0.0),
            );
        }
        if let Some(error) = provider["error"].as_str() {
            println!("  {name}: {error}");
        }
    }
    println!("would be lost with this machine now: {:.3} s of the log", status["rpo_seconds"].as_f64().unwrap_or(0.0));
}
