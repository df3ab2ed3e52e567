//! A published page on a running platform.

use crate::{AnyError, platform::Platform};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Makes and publishes a page; gives its path and its bytes as a visitor gets them. `None`: this build has no pages.
pub(crate) async fn publish(platform: &Platform) -> Result<Option<(String, Vec<u8>)>, AnyError> {
    let paragraph = "<p>Water over the wheel, grain between the stones, flour in the sack: every step is an event.</p>";
    let page = json!({"slug": "bench", "title": "A page to measure", "body": paragraph.repeat(60)}).to_string();
    let mut connection = platform.connect().await?;
    let answer = connection.send(&platform.request("POST", "/v1/pages", "", &page)).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    let made: Value = serde_json::from_slice(answer.expect(201)?)?;
    let id = made["id"].as_str().ok_or("a page without an id")?;
    let target = format!("/v1/pages/{id}/publish");
    connection.send(&platform.request("POST", &target, "", "")).await?.expect(200)?;
    platform.settle().await?;
    let path = format!("/sites/{}/bench", platform.tenant());
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = connection.send(&platform.request("GET", &path, "", "")).await?;
        if answer.status == 200 {
            return Ok(Some((path, answer.body.to_vec())));
        }
        if Instant::now() > end {
            answer.expect(200)?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
