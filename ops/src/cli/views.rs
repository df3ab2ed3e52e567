//! `millrace views`

use super::{
    client::{CliError, Client, Connection},
    position::position,
};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  millrace views list\n  millrace views build contacts && millrace views switch contacts\n  millrace views retire contacts_v2_g0"
)]
pub struct ViewsArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ViewsCommand,
}

#[derive(Debug, Subcommand)]
enum ViewsCommand {
    /// Where every generation of every view stands
    #[command(after_help = "Example:\n  millrace views list")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What each serving view holds, in one number: to compare two platforms that stand at the same position
    #[command(after_help = "Example:\n  millrace views digest")]
    Digest,
    /// Build a new generation beside the serving one, and wait until it has caught up
    #[command(after_help = "Example:\n  millrace views build contacts && millrace views switch contacts")]
    Build {
        /// The view, without version and generation: contacts
        view: String,
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// Let the built generation serve
    #[command(after_help = "Example:\n  millrace views switch contacts")]
    Switch {
        /// The view, without version and generation: contacts
        view: String,
    },
    /// Drop the tables of a generation that no longer serves
    #[command(after_help = "Example:\n  millrace views retire contacts_v2_g0")]
    Retire {
        /// The generation, as `millrace views list` names it: contacts_v2_g0
        generation: String,
    },
    /// Try a paused view again
    #[command(after_help = "Examples:\n  millrace views resume contacts\n  millrace views resume contacts --skip 8")]
    Resume {
        /// The view, without version and generation: contacts
        view: String,
        /// Pass over this event for good
        #[arg(long, value_parser = position)]
        skip: Option<u64>,
    },
}

pub async fn run(args: ViewsArgs) -> Result<(), CliError> {
    let client = args.connection.client()?;
    match args.command {
        ViewsCommand::List { json } => list(&client, json).await,
        ViewsCommand::Digest => {
            let digests = client.json(Method::GET, "/v1/views/digests").await?;
            for view in digests["items"].as_array().into_iter().flatten() {
                println!("{:<28} {:>10}  {}", text(view, "generation"), view["position"], text(view, "digest"));
            }
            Ok(())
        }
        ViewsCommand::Build { view, no_wait } => build(&client, &view, no_wait).await,
        ViewsCommand::Switch { view } => {
            let done = client.json(Method::POST, &format!("/v1/views/{view}/switch")).await?;
            println!("{} serves now", text(&done, "generation"));
            Ok(())
        }
        ViewsCommand::Retire { generation } => {
            client.json(Method::DELETE, &format!("/v1/views/generations/{generation}")).await?;
            println!("{generation} is gone");
            Ok(())
        }
        ViewsCommand::Resume { view, skip } => {
            let request = client.request(Method::POST, &format!("/v1/views/{view}/resume"));
            client.send(request.json(&json!({ "skip": skip }))).await?;
            println!("{view} goes on");
            Ok(())
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

async fn list(client: &Client, json: bool) -> Result<(), CliError> {
    let views = client.json(Method::GET, "/v1/views").await?;
    if json {
        println!("{views:#}");
        return Ok(());
    }
    let log = views["log_position"].as_u64().unwrap_or(0);
    println!("{:<24} {:<9} {:>10} {:>10} {:>8}  state", "GENERATION", "STAGE", "POSITION", "APPLIED", "UNKNOWN");
    for view in views["items"].as_array().into_iter().flatten() {
        let number = |name: &str| view[name].as_u64().unwrap_or(0);
        let state = match view["paused"].as_object() {
            Some(pause) => format!("paused before {}: {}", pause["seq"], pause["error"]),
            None => match view["interrupted"].as_str() {
                Some(why) => format!("interrupted, trying again: {why}"),
                None => "following".to_owned(),
            },
        };
        println!(
            "{:<24} {:<9} {:>10} {:>10} {:>8}  {state}",
            text(view, "generation"),
            text(view, "stage"),
            number("position"),
            number("applied"),
            number("unknown"),
        );
    }
    println!("the log is at {log}");
    Ok(())
}

async fn build(client: &Client, view: &str, no_wait: bool) -> Result<(), CliError> {
    let started = client.json(Method::POST, &format!("/v1/views/{view}/build")).await?;
    let generation = text(&started, "generation").to_owned();
    println!("{generation} is being built");
    if no_wait {
        return Ok(());
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events  {per_sec}  {eta}") {
        bar.set_style(style);
    }
    loop {
        let views = client.json(Method::GET, "/v1/views").await?;
        let mine = |view: &&Value| text(view, "generation") == generation;
        let found = views["items"].as_array().into_iter().flatten().find(mine).cloned().unwrap_or_default();
        if let Some(pause) = found["paused"].as_object() {
            bar.abandon();
            return Err(CliError::Usage(format!("{generation} is paused before {}: {}", pause["seq"], pause["error"])));
        }
        let (position, log) = (found["position"].as_u64().unwrap_or(0), views["log_position"].as_u64().unwrap_or(0));
        bar.set_length(log);
        bar.set_position(position);
        if position >= log {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bar.finish_and_clear();
    println!("{generation} has caught up; `millrace views switch {view}` lets it serve");
    Ok(())
}
