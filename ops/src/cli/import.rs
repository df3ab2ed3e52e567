//! `millrace import`: files of contacts in, and out again.

use super::client::{CliError, Client, Connection};
use clap::{Subcommand, ValueEnum};
use futures::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Method};
use serde_json::{Map, Value};
use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

/// How often the platform is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes read from the file at a time.
const PIECE: usize = 256 * 1024;
/// Faulty rows shown at the end.
const SHOWN: u64 = 5;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  millrace import contacts people.csv --dry-run\n  millrace import list\n  millrace import undo 0198c0de-7a11-7000-8000-000000000001"
)]
pub struct ImportArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// Import contacts from a CSV or NDJSON file
    #[command(
        after_help = "Examples:\n  millrace import contacts people.csv --dry-run\n  millrace import contacts people.csv --map 'E-Mail privat=email' --map Firma=company --tag fair-2026\n  millrace import contacts people.ndjson --duplicates merge --label 'From the old shop'\n\nFields: email, first_name, last_name, company, phone, city, country, notes, tags.\nWithout --map the columns are matched by their headings (English and German)."
    )]
    Contacts(Contacts),
    /// Take an import back: erase what it made, give back what it changed
    #[command(after_help = "Example:\n  millrace import undo 0198c0de-7a11-7000-8000-000000000001")]
    Undo {
        /// The import, as `millrace import list` names it
        id: Uuid,
    },
    /// Stop a running import; rows that are done stay
    #[command(after_help = "Example:\n  millrace import cancel 0198c0de-7a11-7000-8000-000000000001")]
    Cancel {
        /// The import, as `millrace import list` names it
        id: Uuid,
    },
    /// Print what became of each row, one JSON object a line
    #[command(
        after_help = "Examples:\n  millrace import report ID --only failed\n  millrace import report ID --undo --only kept,partly_reverted"
    )]
    Report {
        /// The import, as `millrace import list` names it
        id: Uuid,
        /// Only these outcomes, separated by commas: created, merged, unchanged, skipped, failed
        #[arg(long)]
        only: Option<String>,
        /// The report of taking it back
        #[arg(long)]
        undo: bool,
    },
    /// List imports, newest first
    #[command(after_help = "Example:\n  millrace import list")]
    List,
}

#[derive(Debug, clap::Args)]
struct Contacts {
    /// CSV with a heading, or NDJSON whose keys are the fields
    file: PathBuf,
    /// Which column fills which field; may be given several times, then only these columns are taken
    #[arg(long = "map", value_name = "COLUMN=FIELD")]
    map: Vec<String>,
    /// What happens to rows whose e-mail address a contact has already
    #[arg(long, value_enum, default_value_t = Duplicates::Skip)]
    duplicates: Duplicates,
    /// Check and count everything, store nothing
    #[arg(long)]
    dry_run: bool,
    /// utf-8 or windows-1252; found out when absent
    #[arg(long)]
    encoding: Option<String>,
    /// csv or ndjson; from the file's name when absent
    #[arg(long)]
    format: Option<String>,
    /// What the import is called; no personal data
    #[arg(long)]
    label: Option<String>,
    /// A tag for every contact of the file; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Duplicates {
    Skip,
    Merge,
}

pub async fn run(args: ImportArgs) -> Result<(), CliError> {
    let client = args.connection.client()?;
    match args.command {
        ImportCommand::Contacts(contacts) => import(&client, &contacts).await,
        ImportCommand::Undo { id } => {
            client.json(Method::POST, &format!("/v1/imports/{id}/undo")).await?;
            follow_undo(&client, id).await
        }
        ImportCommand::Cancel { id } => {
            client.json(Method::POST, &format!("/v1/imports/{id}/cancel")).await?;
            println!("cancelled; `millrace import undo {id}` takes back what was done");
            Ok(())
        }
        ImportCommand::Report { id, only, undo } => report(&client, id, only.as_deref(), undo).await,
        ImportCommand::List => list(&client).await,
    }
}

async fn import(client: &Client, args: &Contacts) -> Result<(), CliError> {
    let failed = |source| CliError::File { path: args.file.display().to_string(), source };
    let file = tokio::fs::File::open(&args.file).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let bar = bar(length, "{bar:40} {bytes}/{total_bytes} uploaded");
    let body = Body::wrap_stream(watched(ReaderStream::with_capacity(file, PIECE), bar.clone()));
    let media = match args.format.as_deref().unwrap_or_else(|| extension(&args.file)) {
        "ndjson" | "jsonl" => "application/x-ndjson",
        _ => "text/csv",
    };
    // Should the answer be lost, sending it again does nothing twice.
    let key = bus_schema::CommandId::random().to_string();
    let request = client
        .request(Method::POST, "/v1/imports")
        .query(&query(args)?)
        .header("Content-Type", media)
        .header("Content-Length", length)
        .header("Idempotency-Key", key)
        .body(body);
    let response = client.send(request).await;
    bar.finish_and_clear();
    let receipt: Value = client.parse(response?).await?;
    let id = receipt["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    let id = id.ok_or_else(|| CliError::Usage("the platform gave the import no id".into()))?;
    println!("import {id}");
    if args.no_wait { Ok(()) } else { follow(client, id, length).await }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn query(args: &Contacts) -> Result<Vec<(&'static str, String)>, CliError> {
    let duplicates = match args.duplicates {
        Duplicates::Skip => "skip",
        Duplicates::Merge => "merge",
    };
    let file_name = args.file.file_name().map(|name| name.to_string_lossy().chars().take(100).collect());
    let label = args.label.clone().or(file_name).unwrap_or_default();
    let mut query = vec![("label", label), ("duplicates", duplicates.to_owned())];
    query.extend(args.dry_run.then(|| ("dry_run", "true".to_owned())));
    query.extend(args.encoding.clone().map(|encoding| ("encoding", encoding)));
    query.extend(args.format.clone().map(|format| ("format", format)));
    if !args.tags.is_empty() {
        query.push(("tags", args.tags.join(",")));
    }
    if !args.map.is_empty() {
        let mut mapping = Map::new();
        for pair in &args.map {
            // A column's name may hold `=`, a field's cannot.
            let (column, field) = pair
                .rsplit_once('=')
                .ok_or_else(|| CliError::Usage(format!("--map {pair:?} is not of the form COLUMN=FIELD")))?;
            mapping.insert(column.trim().to_owned(), field.trim().into());
        }
        query.push(("mapping", Value::Object(mapping).to_string()));
    }
    Ok(query)
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Shows on the bar how much of a stream was taken.
fn watched<S, B, E>(stream: S, bar: ProgressBar) -> impl Stream<Item = Result<B, E>>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
{
    stream.inspect(move |piece| {
        if let Ok(piece) = piece {
            bar.inc(piece.as_ref().len() as u64);
        }
    })
}

/// One import; a moment after its start the view may not have it yet.
async fn look(client: &Client, id: Uuid) -> Result<Value, CliError> {
    for _ in 0..20 {
        match client.json(Method::GET, &format!("/v1/imports/{id}")).await {
            Err(CliError::Refused { status: 404, .. }) => tokio::time::sleep(LOOK).await,
            answer => return answer,
        }
    }
    client.json(Method::GET, &format!("/v1/imports/{id}")).await
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

async fn follow(client: &Client, id: Uuid, length: u64) -> Result<(), CliError> {
    let bar = bar(length, "{bar:40} {percent:>3} %  {msg}  {eta}");
    let ended = loop {
        let import = look(client, id).await?;
        let progress = &import["progress"];
        bar.set_position(number(progress, "offset"));
        bar.set_message(format!("{} rows", number(progress, "rows")));
        if import["status"] != "running" {
            break import;
        }
        tokio::time::sleep(LOOK).await;
    };
    bar.finish_and_clear();
    let (progress, status) = (&ended["progress"], ended["status"].as_str().unwrap_or_default());
    let dry_run = ended["dry_run"] == true;
    println!(
        "{status}{}: {} rows",
        if dry_run { " (dry run, nothing is stored)" } else { "" },
        number(progress, "rows")
    );
    for outcome in ["created", "merged", "skipped", "failed"] {
        println!("  {outcome:<8} {:>9}", number(progress, outcome));
    }
    if number(progress, "failed") > 0 {
        show_failed(client, id).await?;
    }
    if let Some(why) = ended["failure"].as_str() {
        return Err(CliError::Usage(format!("the import failed: {why}")));
    }
    if status == "finished" && !dry_run {
        println!("`millrace import undo {id}` takes it back");
    }
    Ok(())
}

async fn show_failed(client: &Client, id: Uuid) -> Result<(), CliError> {
    let page = client.json(Method::GET, &format!("/v1/imports/{id}/report?outcome=failed&limit={SHOWN}")).await?;
    println!("the first faulty rows:");
    for row in page["items"].as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        println!("  row {} (line {}): {} {}", row["row"], row["line"], text("field"), text("message"));
    }
    println!("`millrace import report {id} --only failed` shows all");
    Ok(())
}

async fn follow_undo(client: &Client, id: Uuid) -> Result<(), CliError> {
    let bar = bar(0, "{bar:40} {pos}/{len} contacts  {eta}");
    let ended = loop {
        let import = look(client, id).await?;
        let progress = &import["progress"];
        bar.set_length(number(progress, "created") + number(progress, "merged"));
        bar.set_position(number(&import["undo"], "rows"));
        if import["status"] == "undone" {
            break import;
        }
        tokio::time::sleep(LOOK).await;
    };
    bar.finish_and_clear();
    let undo = &ended["undo"];
    let (rows, removed, kept) = (number(undo, "rows"), number(undo, "removed"), number(undo, "kept"));
    println!(
        "undone: {rows} contacts\n  {:<9}{removed:>9}\n  {:<9}{:>9}\n  {:<9}{kept:>9}",
        "removed",
        "restored",
        rows.saturating_sub(removed + kept),
        "kept"
    );
    if kept > 0 {
        println!("`millrace import report {id} --undo --only kept,partly_reverted,failed` says why");
    }
    Ok(())
}

async fn report(client: &Client, id: Uuid, only: Option<&str>, undo: bool) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let mut query = vec![("limit", "1000".to_owned()), ("of", if undo { "undo" } else { "import" }.to_owned())];
    query.extend(only.map(|only| ("outcome", only.to_owned())));
    loop {
        let request = client.request(Method::GET, &format!("/v1/imports/{id}/report")).query(&query);
        let page: Value = client.parse(client.send(request).await?).await?;
        for row in page["items"].as_array().into_iter().flatten() {
            match writeln!(out, "{row}") {
                // A reader such as `head` has enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|source| CliError::File { path: "output".into(), source })?,
            }
        }
        let Some(next) = page["next"].as_str() else { return Ok(()) };
        query.retain(|(name, _)| *name != "after");
        query.push(("after", next.to_owned()));
    }
}

async fn list(client: &Client) -> Result<(), CliError> {
    let page = client.json(Method::GET, "/v1/imports?limit=50").await?;
    println!(
        "{:<36}  {:<9} {:>9} {:>9} {:>9} {:>9} {:>9}  LABEL",
        "ID", "STATUS", "ROWS", "CREATED", "MERGED", "SKIPPED", "FAILED"
    );
    for import in page["items"].as_array().into_iter().flatten() {
        let text = |name: &str| import[name].as_str().unwrap_or_default();
        let progress = |name: &str| number(&import["progress"], name);
        println!(
            "{:<36}  {:<9} {:>9} {:>9} {:>9} {:>9} {:>9}  {}{}",
            text("id"),
            text("status"),
            progress("rows"),
            progress("created"),
            progress("merged"),
            progress("skipped"),
            progress("failed"),
            text("label"),
            if import["dry_run"] == true { " (dry run)" } else { "" },
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ImportArgs,
    }

    #[test]
    fn the_command_line_becomes_a_query() {
        let line = ["x", "contacts", "a/people.csv", "--map", "A=b=email", "--tag", "x", "--tag", "y", "--dry-run"];
        let ImportCommand::Contacts(contacts) = Cli::parse_from(line).args.command else { panic!("contacts") };
        let query = query(&contacts).unwrap();
        let value = |name: &str| query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!((value("label"), value("duplicates")), (Some("people.csv"), Some("skip")));
        assert_eq!((value("mapping"), value("tags")), (Some("{\"A=b\":\"email\"}"), Some("x,y")));
        assert_eq!((value("dry_run"), value("encoding")), (Some("true"), None));
    }
}
