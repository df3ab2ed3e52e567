//! `millrace workers`

mod parked;

use super::client::{CliError, Client, Connection};
use clap::Subcommand;
use parked::ParkedCommand;
use reqwest::Method;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  millrace workers\n  millrace workers pause campaigns --reason \"new provider\"\n  millrace workers parked list\n  millrace workers parked retry --all"
)]
pub struct WorkersArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Option<WorkersCommand>,
}

#[derive(Debug, Subcommand)]
enum WorkersCommand {
    /// Every worker: whether it runs, how far it is, what went wrong last (also without any command)
    #[command(after_help = "Examples:\n  millrace workers\n  millrace workers list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Begin nothing new, also after a restart; what has begun comes to a safe end
    #[command(after_help = "Example:\n  millrace workers pause campaigns --reason \"the provider is being changed\"")]
    Pause {
        /// The worker, as `millrace workers` names it
        worker: String,
        /// For those who find it paused; no personal data
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a paused worker go on
    #[command(after_help = "Example:\n  millrace workers resume campaigns")]
    Resume {
        /// The worker, as `millrace workers` names it
        worker: String,
    },
    /// Items a worker has given up: list, show, retry, drop
    #[command(
        subcommand,
        after_help = "Examples:\n  millrace workers parked list\n  millrace workers parked show 0195f6c2-3b92-70c4-8f5a-000000000001\n  millrace workers parked retry --all"
    )]
    Parked(ParkedCommand),
    /// What needs a person
    #[command(after_help = "Example:\n  millrace workers alarms")]
    Alarms {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(args: WorkersArgs) -> Result<(), CliError> {
    let client = args.connection.client()?;
    match args.command {
        None => list(&client, false).await,
        Some(WorkersCommand::List { json }) => list(&client, json).await,
        Some(WorkersCommand::Pause { worker, reason }) => {
            let request = client.request(Method::POST, &format!("/v1/workers/{worker}/pause"));
            client.send(request.json(&json!({ "reason": reason }))).await?;
            println!("{worker} is paused; `millrace workers resume {worker}` lets it go on");
            Ok(())
        }
        Some(WorkersCommand::Resume { worker }) => {
            client.json(Method::POST, &format!("/v1/workers/{worker}/resume")).await?;
            println!("{worker} goes on");
            Ok(())
        }
        Some(WorkersCommand::Parked(command)) => parked::run(&client, command).await,
        Some(WorkersCommand::Alarms { json }) => alarms(&client, json).await,
    }
}

async fn list(client: &Client, json: bool) -> Result<(), CliError> {
    let workers = client.json(Method::GET, "/v1/workers").await?;
    if json {
        println!("{workers:#}");
        return Ok(());
    }
    println!(
        "{:<14} {:<8} {:>10} {:>7} {:>9} {:>8} {:>7}  last error",
        "WORKER", "STATE", "POSITION", "LAG", "IN FLIGHT", "DONE", "PARKED"
    );
    for worker in workers["items"].as_array().into_iter().flatten() {
        println!("{}", line(worker));
    }
    Ok(())
}

async fn alarms(client: &Client, json: bool) -> Result<(), CliError> {
    let alarms = client.json(Method::GET, "/v1/alarms").await?;
    if json {
        println!("{alarms:#}");
        return Ok(());
    }
    let items = alarms["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    for alarm in items {
        let text = |name: &str| alarm[name].as_str().unwrap_or_default();
        println!("{}  {}  {}  {}", short(&alarm["raised_at"]), text("tenant"), text("about"), text("text"));
    }
    if items.is_empty() {
        println!("no alarm is raised");
    }
    Ok(())
}

fn line(worker: &Value) -> String {
    let text = |name: &str| worker[name].as_str().unwrap_or_default();
    let number = |name: &str| worker[name].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
    let error = match worker["last_error"].as_object() {
        Some(error) => format!("{}  {}", short(&error["at"]), error["why"].as_str().unwrap_or_default()),
        None => "-".to_owned(),
    };
    let in_flight = format!("{}/{}", number("in_flight"), number("concurrency"));
    format!(
        "{:<14} {:<8} {:>10} {:>7} {:>9} {:>8} {:>7}  {error}",
        text("name"),
        text("state"),
        number("position"),
        number("lag"),
        in_flight,
        number("done"),
        number("parked"),
    )
}

/// A time to the second.
fn short(time: &Value) -> String {
    time.as_str().unwrap_or_default().chars().take(19).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_shows_what_is_known() {
        let mut worker = json!({"name": "imports", "state": "running", "position": 12, "in_flight": 1, "concurrency": 4,
            "done": 7, "parked": 0});
        assert!(line(&worker).ends_with("12       -       1/4        7       0  -"), "{}", line(&worker));
        worker["last_error"] = json!({"at": "2026-11-22T10:00:00.123456Z", "why": "the log does not answer"});
        assert!(line(&worker).ends_with("2026-11-22T10:00:00  the log does not answer"), "{}", line(&worker));
    }
}
