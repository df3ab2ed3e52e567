//! `millrace events replay`: a view of the past, built beside the live one and queried.

use super::client::{CliError, Client};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  millrace events replay contacts --until 2026-06-30T23:59:59Z --limit 5
  millrace events replay orders --until 12000 --filter 'filter[status][_eq]=paid' --sort=-total.amount")]
pub struct ReplayArgs {
    /// The collection: contacts, pages, products, orders, courses, enrolments, campaigns
    view: String,
    /// Up to this time (RFC 3339) or position; everything when absent
    #[arg(long)]
    until: Option<String>,
    /// A filter as in the API, may be given several times: 'filter[country][_eq]=DE'
    #[arg(long)]
    filter: Vec<String>,
    /// Order, as in the API: --sort=-created_at
    #[arg(long)]
    sort: Option<String>,
    /// Records printed
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

pub async fn run(client: &Client, args: ReplayArgs) -> Result<(), CliError> {
    let body = json!({ "view": args.view, "until": args.until });
    let begun = client.send(client.request(Method::POST, "/v1/replays").json(&body)).await?;
    let begun: Value = begun.json().await.map_err(|source| CliError::Http { url: "the platform".into(), source })?;
    let path = format!("/v1/replays/{}", begun["id"].as_str().unwrap_or_default());
    let outcome = ask(client, &path, &args).await;
    // The scratch tables are of no use to anybody else.
    client.send(client.request(Method::DELETE, &path)).await?;
    outcome
}

async fn ask(client: &Client, path: &str, args: &ReplayArgs) -> Result<(), CliError> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} events folded  {per_sec}") {
        bar.set_style(style);
    }
    loop {
        let status = client.json(Method::GET, path).await?;
        bar.set_position(status["events"].as_u64().unwrap_or(0));
        match status["state"].as_str() {
            Some("done") => break,
            Some("failed") => {
                bar.abandon();
                return Err(CliError::Usage(format!("the replay failed: {}", status["error"])));
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let events = bar.position();
    bar.finish_and_clear();
    let mut query = vec![("limit".to_owned(), args.limit.to_string())];
    query.extend(args.sort.clone().map(|sort| ("sort".to_owned(), sort)));
    for filter in &args.filter {
        let (name, value) = filter
            .split_once('=')
            .ok_or_else(|| CliError::Usage(format!("{filter:?} is no filter; write filter[field][_op]=value")))?;
        query.push((name.to_owned(), value.to_owned()));
    }
    let request = client.request(Method::GET, &format!("{path}/records")).query(&query);
    let page = client.send(request).await?.json::<Value>().await;
    let page = page.map_err(|source| CliError::Http { url: "the platform".into(), source })?;
    for item in page["items"].as_array().into_iter().flatten() {
        println!("{item}");
    }
    eprintln!("{} matching {} after {events} events", page["total"], args.view);
    Ok(())
}
