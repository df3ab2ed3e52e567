//! `millrace events`: what analysts and operators read from the log.

use super::{
    client::{CliError, Client, Connection},
    position::position,
    replay::{self, ReplayArgs},
};
use clap::{Args, Subcommand};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  millrace events tail --context shop\n  millrace events show 1742\n  millrace events export --out events.ndjson\n  millrace events replay contacts --until 2026-06-30T23:59:59Z"
)]
pub struct EventsArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    /// Print events as they happen, one JSON object a line
    #[command(
        after_help = "Examples:\n  millrace events tail\n  millrace events tail --context shop --kind order.paid,order.refunded"
    )]
    Tail {
        #[command(flatten)]
        which: Which,
        /// Begin this many positions back
        #[arg(long, default_value_t = 10)]
        last: u64,
    },
    /// Print one event in full
    #[command(after_help = "Example:\n  millrace events show 1742")]
    Show {
        /// Position in the log
        #[arg(value_parser = position)]
        position: u64,
    },
    /// Write a bounded part of the log as NDJSON
    #[command(
        after_help = "Examples:\n  millrace events export --out events.ndjson\n  millrace events export --context crm --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z"
    )]
    Export {
        #[command(flatten)]
        which: Which,
        /// File to write; standard output when absent
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    /// Build a view once more beside the live ones, up to any point of the past, and query it
    Replay(ReplayArgs),
}

/// Which part of the log.
#[derive(Debug, Args)]
struct Which {
    /// Only this context: identity, cms, crm, shop, learning, mail, platform; analytics and mail with --facts
    #[arg(long)]
    context: Option<String>,
    /// Only this kind of aggregate, for example contact
    #[arg(long, requires = "context")]
    aggregate: Option<String>,
    /// Only this aggregate
    #[arg(long, requires = "aggregate")]
    id: Option<String>,
    /// Only these kinds, separated by commas
    #[arg(long)]
    kind: Option<String>,
    /// From this position or time (RFC 3339) on
    #[arg(long)]
    from: Option<String>,
    /// Up to this position or time
    #[arg(long)]
    to: Option<String>,
    /// Facts (page visits, opens and clicks) instead of events
    #[arg(long)]
    facts: bool,
}

impl Which {
    fn query(&self) -> Vec<(&'static str, String)> {
        let optional = [
            ("context", &self.context),
            ("aggregate", &self.aggregate),
            ("id", &self.id),
            ("kind", &self.kind),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let mut query: Vec<_> = optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        if self.facts {
            query.push(("family", "facts".into()));
        }
        query
    }
}

pub async fn run(args: EventsArgs) -> Result<(), CliError> {
    let client = args.connection.client()?;
    match args.command {
        EventsCommand::Tail { which, last } => {
            let mut query = which.query();
            if which.from.is_none() {
                let end = log_position(&client, which.facts).await?;
                query.push(("from", end.saturating_sub(last).max(1).to_string()));
            }
            query.push(("follow", "true".into()));
            copy(&client, &query, &mut std::io::stdout(), None).await
        }
        EventsCommand::Replay(args) => replay::run(&client, args).await,
        EventsCommand::Show { position } => {
            let (from, to) = (position.to_string(), position.to_string());
            let request = client.request(Method::GET, "/v1/events").query(&[("from", from), ("to", to)]);
            let page: Value = parse(client.send(request).await?).await?;
            match page["items"].as_array().and_then(|items| items.first()) {
                Some(event) => println!("{event:#}"),
                None => return Err(CliError::Usage(format!("there is no event of this tenant at {position}"))),
            }
            Ok(())
        }
        EventsCommand::Export { which, out } => {
            let end = log_position(&client, which.facts).await?;
            let bar = (std::io::stderr().is_terminal()).then(|| progress(end));
            match out {
                Some(path) => {
                    let failed = |source| CliError::File { path: path.display().to_string(), source };
                    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).map_err(failed)?);
                    copy(&client, &which.query(), &mut file, bar).await?;
                    file.flush().map_err(failed)
                }
                None => copy(&client, &which.query(), &mut std::io::stdout(), bar).await,
            }
        }
    }
}

async fn parse(response: reqwest::Response) -> Result<Value, CliError> {
    response.json().await.map_err(|source| CliError::Http { url: "the platform".into(), source })
}

async fn log_position(client: &Client, facts: bool) -> Result<u64, CliError> {
    let ready = parse(client.send(client.request(Method::GET, "/readyz")).await?).await?;
    Ok(ready[if facts { "facts_position" } else { "log_position" }].as_u64().unwrap_or(0))
}

fn progress(end: u64) -> ProgressBar {
    let bar = ProgressBar::new(end);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Copies the feed line by line. When the connection breaks it goes on behind the last event it has.
async fn copy(
    client: &Client,
    query: &[(&'static str, String)],
    out: &mut dyn Write,
    bar: Option<ProgressBar>,
) -> Result<(), CliError> {
    let written = |source| CliError::File { path: "output".into(), source };
    let mut query = query.to_vec();
    let mut broken = 0;
    loop {
        let request = client.request(Method::GET, "/v1/events").query(&query).header("Accept", "application/x-ndjson");
        let mut stream = client.send(request).await?.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        let mut ended_well = true;
        while let Some(chunk) = stream.next().await {
            let Ok(chunk) = chunk else {
                ended_well = false;
                break;
            };
            rest.extend_from_slice(&chunk);
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let lines: Vec<u8> = rest.drain(..=end).collect();
            if let Err(error) = out.write_all(&lines).and_then(|()| out.flush()) {
                // A reader such as `head` has enough.
                return if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(written(error)) };
            }
            let last = lines[..end].rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            let position = serde_json::from_slice::<Value>(last)
                .ok()
                .and_then(|event| event["position"].as_str()?.rsplit_once(':')?.1.parse::<u64>().ok());
            if let Some(position) = position {
                broken = 0;
                query.retain(|(name, _)| *name != "from" && *name != "since");
                query.push(("since", position.to_string()));
                if let Some(bar) = &bar {
                    bar.set_position(position);
                }
            }
        }
        if ended_well {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(());
        }
        broken += 1;
        if broken > 20 {
            return Err(CliError::Usage("the feed broke off again and again; see the platform's output".into()));
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
