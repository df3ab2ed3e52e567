//! `millrace demo`: a believable, deterministic tenant, made through the API like everything else.
//!
//! Every request has an idempotency key of its own, so a demo that was cut off goes on where it stopped, and a second
//! one changes nothing.

mod courses;
mod mail;
mod pages;
mod people;
mod rng;
mod shop;

use super::client::{CliError, Client, Connection};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
pub use rng::Rng;
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  millrace demo
  millrace demo --scale 10     ten times as many contacts and orders
  millrace demo --send         with a campaign to look at in the local inbox")]
pub struct DemoArgs {
    #[command(flatten)]
    connection: Connection,
    /// Multiplies contacts and orders
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: u32,
    /// Also send the demo's campaign, to addresses nobody has: for a platform with a local inbox
    #[arg(long)]
    send: bool,
}

/// Requests under way at once.
const AT_ONCE: usize = 64;

/// Two years of the demo's history end at this day, so that its data never depends on the day it is made.
pub const LAST_DAY: i64 = 1_793_404_800; // 2026-10-31T00:00:00Z
pub const DAYS: u64 = 730;

/// What the parts of the demo share.
#[derive(Clone)]
pub struct Demo {
    client: Client,
    pub scale: usize,
    bar: ProgressBar,
}

/// One command of the demo.
pub struct Step {
    pub key: String,
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// Seconds since 1970, for history.
    pub at: Option<i64>,
    /// Whether the command changes a record that must not have changed meanwhile.
    pub if_match: bool,
}

impl Step {
    pub fn post(key: String, path: impl Into<String>, body: Value) -> Self {
        Self { key, method: Method::POST, path: path.into(), body: Some(body), at: None, if_match: false }
    }

    pub fn act(key: String, path: impl Into<String>) -> Self {
        Self { key, method: Method::POST, path: path.into(), body: None, at: None, if_match: false }
    }

    pub fn put(key: String, path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PUT, ..Self::post(key, path, body) }
    }

    pub fn on(self, at: i64) -> Self {
        Self { at: Some(at), ..self }
    }
}

impl Demo {
    /// Sends one command and gives the id it answers with. A demo on top of a demo meets records that are there.
    pub async fn run(&self, step: Step) -> Result<String, CliError> {
        let mut request = self.client.request(step.method, &step.path).header("Idempotency-Key", &step.key);
        if let Some(at) = step.at {
            request = request.header("Millrace-Happened-At", bus_schema::Micros(at * 1_000_000).to_string());
        }
        if step.if_match {
            request = request.header("If-Match", "*");
        }
        if let Some(body) = &step.body {
            request = request.json(body);
        }
        let answer = self.client.send_retrying(request).await?;
        self.bar.inc(1);
        Ok(answer["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Reads one record, as the commands before left it.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        let ready = self.client.json(Method::GET, "/readyz").await?;
        let token = format!("{}:{}", ready["cell"].as_str().unwrap_or_default(), ready["log_position"]);
        let request = self.client.request(Method::GET, path).header("Consistency-Token", token);
        self.client.send_retrying(request).await
    }

    /// Runs many independent chains of commands, a bounded number at once, and keeps their order in the answers.
    pub async fn all<T, F>(&self, chains: impl IntoIterator<Item = F>) -> Result<Vec<T>, CliError>
    where
        F: Future<Output = Result<T, CliError>>,
    {
        stream::iter(chains).buffered(AT_ONCE).try_collect().await
    }

    fn says(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }
}

pub async fn run(args: DemoArgs) -> Result<(), CliError> {
    fill(args.connection.client()?, args.scale as usize, args.send).await
}

/// Fills the client's tenant; `send`: its campaign goes out too.
pub async fn fill(client: Client, scale: usize, send: bool) -> Result<(), CliError> {
    let started = Instant::now();
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {pos} commands  {per_sec}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let demo = Demo { client, scale, bar };
    demo.says("contacts");
    let contacts = Arc::new(people::fill(&demo).await?);
    demo.says("pages");
    let pages = pages::fill(&demo).await?;
    demo.says("products");
    let products = shop::products(&demo).await?;
    demo.says("orders");
    let orders = shop::orders(&demo, &contacts, &products).await?;
    demo.says("courses");
    let (courses, enrolments) = courses::fill(&demo, &contacts).await?;
    demo.says("campaign");
    let sent = match mail::fill(&demo, send).await? {
        mail::Sent::Draft => "a campaign as a draft".to_owned(),
        mail::Sent::Running => "a campaign on its way".to_owned(),
        mail::Sent::Mails(count) => format!("a campaign of {count} mails"),
    };
    let commands = demo.bar.position();
    demo.bar.finish_and_clear();
    eprintln!(
        "demo data: {} contacts, {pages} pages, {} products, {orders} orders, {courses} courses, {enrolments} \
         enrolments, {sent} ({commands} commands in {:.1} s)",
        contacts.len(),
        products.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
