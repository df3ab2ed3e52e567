//! An import of contacts against atomic batches of the events it makes.

use super::{RAW_BATCH, RAW_IN_FLIGHT, rate, ratios};
use crate::{
    AnyError, Scale,
    contacts::Sample,
    log::Log,
    platform::Platform,
    table::{Outcome, Reach},
};
use serde_json::Value;
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let rows = scale.of(100_000, 20_000);
    let name = format!("import of {rows} contacts");
    let log = Log::start().await?;
    let sample = Sample::take(&log).await?;
    let platform = Platform::start(false)?;
    let (mut imports, mut batches) = (Vec::new(), Vec::new());
    for turn in 0..scale.of(2, 2) {
        batches.push(log.batches(sample.copies(rows / 4), RAW_BATCH, RAW_IN_FLIGHT).await?);
        match import(&platform, turn, rows).await? {
            Some(rate) => imports.push(rate),
            None => return Ok(vec![Outcome::skipped(&name, "this build has no imports (POST /v1/imports is 404)")]),
        }
    }
    let ratios = ratios(&imports, &batches);
    Ok(vec![Outcome::of(&name, rate(&imports, "contacts"), rate(&batches, "messages"), &ratios, Reach::AtLeast(0.4))])
}

/// Contacts a second from the first byte of the file to the import's end.
async fn import(platform: &Platform, turn: usize, rows: usize) -> Result<Option<f64>, AnyError> {
    let mut file = String::from("email,first_name,last_name,company,city,country\n");
    for row in 0..rows {
        writeln!(file, "import-{turn}-{row:07}@example.org,Adelheid,Sommer {row:08},Mill and Race,Regensburg,DE")?;
    }
    let target = format!("/v1/imports?label=bench-{turn}&duplicates=skip&format=csv");
    let request = platform.request("POST", &target, "", &file);
    // The body is a CSV file here.
    let head = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
    let text = String::from_utf8_lossy(&request[..head]).replace("application/json", "text/csv");
    let request = [text.as_bytes(), &request[head..]].concat();
    let mut connection = platform.connect().await?;
    let began = Instant::now();
    let answer = connection.send(&request).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    if answer.status >= 300 {
        answer.expect(202)?;
    }
    let made: Value = serde_json::from_slice(answer.body)?;
    let id = made["id"].as_str().ok_or("an import without an id")?.to_owned();
    loop {
        let answer = connection.send(&platform.request("GET", &format!("/v1/imports/{id}"), "", "")).await?;
        // The record itself may be a moment behind the answer that named it.
        let state: Value =
            if answer.status == 404 { Value::Null } else { serde_json::from_slice(answer.expect(200)?)? };
        match state["status"].as_str().or_else(|| state["state"].as_str()) {
            Some("finished" | "completed" | "done") => break,
            Some("failed" | "cancelled") => return Err(format!("the import ended: {state}").into()),
            _ if began.elapsed() > Duration::from_secs(300) => return Err(format!("the import hangs: {state}").into()),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(Some(rows as f64 / began.elapsed().as_secs_f64()))
}
