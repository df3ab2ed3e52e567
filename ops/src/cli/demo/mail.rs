//! A picture among the files and a campaign that shows it, to everybody who asked for letters.

use super::{Demo, Step};
use crate::cli::client::CliError;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const PICTURE: &[u8] = include_bytes!("hills.png");
const LETTER: &str = include_str!("letter.html");
/// How long the mails may take.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(500);

/// What became of the campaign.
pub enum Sent {
    /// It is a draft: nobody asked for sending.
    Draft,
    /// Mails that were handed over.
    Mails(u64),
    /// It is on its way still.
    Running,
}

pub async fn fill(demo: &Demo, send: bool) -> Result<Sent, CliError> {
    let picture = picture(demo).await?;
    let lines = json!({ "lines": ["Trailhead", "Am Bergsteig 7", "87527 Sonthofen"] });
    demo.run(Step::put("demo-postal-address".into(), "/v1/tenant/postal-address", lines)).await?;
    let create = json!({ "name": "Autumn letter" });
    let campaign = demo.run(Step::post("demo-campaign-create".into(), "/v1/campaigns", create)).await?;
    let path = format!("/v1/campaigns/{campaign}");
    let status = async || Ok::<_, CliError>(text(&demo.get(&path).await?, "status"));
    if status().await? == "draft" {
        let segment = json!({ "segment": { "filter": {}, "purpose": "marketing" } });
        demo.run(Step::put("demo-campaign-audience".into(), format!("{path}/audience"), segment)).await?;
        // The picture's address begins as those of the site do.
        let site = picture.split("files/").next().unwrap_or_default();
        let content = json!({
            "subject": "Autumn on the trail, {{ first_name | default('friend') }}",
            "preheader": "Layers, quiet huts and two hundred mended tents",
            "from_name": "Trailhead", "from_email": "letters@demo.example",
            "html": LETTER.replace("{PICTURE}", &picture).replace("{SITE}", site),
        });
        demo.run(Step::put("demo-campaign-content".into(), format!("{path}/content"), content)).await?;
        if !send {
            return Ok(Sent::Draft);
        }
        let at = bus_schema::time::Clock::System.now().plus_seconds(2).to_string();
        let departure = json!({ "at": at, "time_zone": "Europe/Berlin" });
        demo.run(Step::post(format!("demo-campaign-{at}"), format!("{path}/schedule"), departure)).await?;
    }
    let started = std::time::Instant::now();
    while send && started.elapsed() < PATIENCE {
        let progress = demo.get(&format!("{path}/progress")).await?;
        if text(&progress, "status") == "finished" {
            return Ok(Sent::Mails(progress["counts"]["accepted"].as_u64().unwrap_or(0)));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(if send { Sent::Running } else { Sent::Draft })
}

/// Uploads the picture; its public address.
async fn picture(demo: &Demo) -> Result<String, CliError> {
    let path = "/v1/files?name=hills.png&alt=A%20tent%20between%20evening%20hills";
    let request = demo.client.request(Method::POST, path).header("Idempotency-Key", "demo-file-hills");
    let request = request.header("Content-Type", "image/png").body(PICTURE);
    let made = demo.client.send_retrying(request).await?;
    demo.bar.inc(1);
    let file = demo.get(&format!("/v1/files/{}", text(&made, "id"))).await?;
    Ok(text(&file, "url"))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
