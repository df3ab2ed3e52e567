//! `millrace workers parked`

use super::short;
use crate::cli::client::{CliError, Client};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// What workers have given up, the oldest first
    #[command(after_help = "Example:\n  millrace workers parked list --worker fulfilments")]
    List {
        /// Only those of this worker
        #[arg(long)]
        worker: Option<String>,
        /// Only those of this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON, one item a line
        #[arg(long)]
        json: bool,
    },
    /// One item with its event and its cause
    #[command(after_help = "Example:\n  millrace workers parked show 0195f6c2-3b92-70c4-8f5a-000000000001")]
    Show {
        /// The item, as `millrace workers parked list` names it
        id: Uuid,
    },
    /// Let the worker try again
    #[command(
        after_help = "Examples:\n  millrace workers parked retry 0195f6c2-3b92-70c4-8f5a-000000000001\n  millrace workers parked retry --all --worker fulfilments"
    )]
    Retry {
        /// The items, as `millrace workers parked list` names them
        #[arg(required_unless_present = "all")]
        ids: Vec<Uuid>,
        /// Everything that is parked
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// With --all: only those of this worker
        #[arg(long, requires = "all")]
        worker: Option<String>,
    },
    /// Drop items: their effect will never happen
    #[command(
        after_help = "Example:\n  millrace workers parked drop 0195f6c2-3b92-70c4-8f5a-000000000001 --reason \"a test order\""
    )]
    Drop {
        /// The items, as `millrace workers parked list` names them
        #[arg(required = true)]
        ids: Vec<Uuid>,
        /// For the log; no personal data
        #[arg(long, default_value = "")]
        reason: String,
    },
}

pub async fn run(client: &Client, command: ParkedCommand) -> Result<(), CliError> {
    match command {
        ParkedCommand::List { worker, tenant, json } => list(client, worker, tenant, json).await,
        ParkedCommand::Show { id } => {
            println!("{:#}", client.json(Method::GET, &format!("/v1/parked-items/{id}")).await?);
            Ok(())
        }
        ParkedCommand::Retry { ids, all, worker } => {
            let ids = if all { known(client, worker.as_deref()).await? } else { ids };
            for id in &ids {
                client.json(Method::POST, &format!("/v1/parked-items/{id}/retry")).await?;
                println!("{id} is tried again");
            }
            if ids.is_empty() {
                println!("nothing is parked");
            }
            Ok(())
        }
        ParkedCommand::Drop { ids, reason } => {
            for id in ids {
                let request = client.request(Method::POST, &format!("/v1/parked-items/{id}/drop"));
                client.send(request.json(&json!({ "reason": reason }))).await?;
                println!("{id} is dropped");
            }
            Ok(())
        }
    }
}

async fn pages(client: &Client, worker: Option<&str>, tenant: Option<&str>) -> Result<Vec<Value>, CliError> {
    let (mut items, mut after) = (Vec::new(), None::<String>);
    loop {
        let filters = [("worker", worker), ("tenant", tenant), ("after", after.as_deref()), ("limit", Some("1000"))];
        let wanted: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let request = client.request(Method::GET, "/v1/parked-items").query(&wanted);
        let page = client.parse(client.send(request).await?).await?;
        items.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(items),
        }
    }
}

async fn known(client: &Client, worker: Option<&str>) -> Result<Vec<Uuid>, CliError> {
    let items = pages(client, worker, None).await?;
    Ok(items.iter().filter_map(|item| item["id"].as_str()?.parse().ok()).collect())
}

async fn list(client: &Client, worker: Option<String>, tenant: Option<String>, json: bool) -> Result<(), CliError> {
    let items = pages(client, worker.as_deref(), tenant.as_deref()).await?;
    if json {
        items.iter().for_each(|item| println!("{item}"));
        return Ok(());
    }
    if items.is_empty() {
        println!("nothing is parked");
        return Ok(());
    }
    println!("{:<36} {:<14} {:<14} {:<20} {:>6}  cause", "ITEM", "WORKER", "TENANT", "EVENT", "TRIED");
    items.iter().for_each(|item| println!("{}", line(item)));
    Ok(())
}

fn line(item: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cause = if item["state"] == "retrying" {
        "is being tried again".to_owned()
    } else {
        format!("{}  {}", short(&item["parked_at"]), text(&item["cause"]))
    };
    format!(
        "{:<36} {:<14} {:<14} {:<20} {:>6}  {cause}",
        text(&item["id"]),
        text(&item["worker"]),
        text(&item["tenant"]),
        text(&item["event"]["kind"]),
        item["attempts"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_cause_or_that_it_is_tried_again() {
        let mut item = json!({"id": "x", "worker": "letters", "tenant": "demo", "event": {"kind": "order.paid"},
            "attempts": 8, "cause": "no provider", "state": "parked", "parked_at": "2026-11-22T10:00:00.5Z"});
        assert!(line(&item).ends_with("8  2026-11-22T10:00:00  no provider"), "{}", line(&item));
        item["state"] = json!("retrying");
        assert!(line(&item).ends_with("is being tried again"));
    }
}
