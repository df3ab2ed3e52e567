//! Which server leads the streams that commands need, as the servers' own monitoring says.

use super::crew::Death;
use serde_json::Value;
use std::time::{Duration, Instant};

/// What a command is written to.
const STREAMS: [&str; 2] = ["EV_eu1", "KEYS_eu1"];
/// More than an election takes at worst.
const PATIENCE: Duration = Duration::from_secs(30);

/// The leader of each of [`STREAMS`] as one server knows it; empty where it knows none.
async fn leaders(http: &reqwest::Client, monitor: &str) -> Vec<String> {
    let ask = http.get(format!("{monitor}/jsz?accounts=true&streams=true")).send();
    let said: Value = match ask.await {
        Ok(answer) => answer.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let accounts = said["account_details"].as_array().cloned().unwrap_or_default();
    let streams: Vec<Value> =
        accounts.iter().flat_map(|one| one["stream_detail"].as_array().cloned().unwrap_or_default()).collect();
    let leader = |name: &&str| {
        let stream = streams.iter().find(|stream| stream["name"] == **name);
        stream.and_then(|stream| stream["cluster"]["leader"].as_str()).unwrap_or_default().to_owned()
    };
    STREAMS.iter().map(leader).collect()
}

/// Names of the streams that a server leads.
pub(super) async fn led(monitor: &str, server: &str) -> Vec<&'static str> {
    let leaders = leaders(&reqwest::Client::new(), monitor).await;
    STREAMS.into_iter().zip(leaders).filter(|(_, leader)| leader == server).map(|(name, _)| name).collect()
}

/// Waits until the survivors have elected leaders for what the dead server led; how long that took. `None`: it led nothing.
pub(super) async fn elected(death: &Death) -> Option<Duration> {
    let (server, monitor) = death.led_by.as_ref()?;
    let (http, end) = (reqwest::Client::new(), Instant::now() + PATIENCE);
    loop {
        let leaders = leaders(&http, monitor).await;
        if leaders.iter().all(|leader| !leader.is_empty() && leader != server) {
            return Some(death.at.elapsed());
        }
        assert!(Instant::now() < end, "no leader within {PATIENCE:?}: {leaders:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
