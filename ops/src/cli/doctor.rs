//! `millrace doctor`: this machine, a data directory, and what the platform running in it says.

use crate::{
    doctor::{Check, DoctorArgs, Report},
    ready::{self, Ready},
};
use serde_json::Value;
use std::{process::ExitCode, time::Duration};

pub async fn run(args: DoctorArgs) -> ExitCode {
    let ready = Ready::read(&args.data_dir.join(ready::FILE)).ok();
    let json = args.json;
    let report = tokio::task::spawn_blocking(move || Report::of_this_machine(&args)).await;
    let mut report = report.unwrap_or_default();
    if let Some(ready) = ready {
        report.add(running(&ready.url).await);
    }
    report.print(json)
}

async fn running(url: &str) -> Vec<Check> {
    let request = reqwest::Client::new().get(format!("{url}/readyz")).timeout(Duration::from_secs(5));
    let readiness: Value = match request.send().await {
        Ok(response) => response.json().await.unwrap_or_default(),
        Err(error) => {
            let fix = "look at the output of `millrace up`; if it was killed, start it again";
            return vec![Check::fail("platform", format!("{url} does not answer: {error}"), fix)];
        }
    };
    let problems: Vec<&str> =
        readiness["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if problems.is_empty() {
        let serves = Check::ok("platform", format!("serves at {url}, log at {}", readiness["log_position"]));
        let notes = readiness["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|note| {
            // What to do comes behind the last semicolon, when there is something.
            let (what, fix) = note.rsplit_once("; ").unwrap_or((note, "see the runbooks, ops/docs/runbooks"));
            Check::warn("platform", format!("{what}."), fix)
        });
        return std::iter::once(serves).chain(notes).collect();
    }
    let fix = "see `millrace views list`; a view is rebuilt with `millrace views build NAME`";
    problems.into_iter().map(|problem| Check::fail("platform", problem.to_owned(), fix)).collect()
}
