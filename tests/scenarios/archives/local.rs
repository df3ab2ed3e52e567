//! Two providers on this machine, for a look: children of the platform, gone with it, and good for a restore without it.

use super::{said, work, worked};
use crate::support::{Platform, all_archived, eventually, millrace, only_embedded};
use serde_json::Value;
use std::path::Path;

/// The process of a local provider.
fn server(data: &Path, name: &str) -> Option<u64> {
    let record = std::fs::read(data.join("providers").join(name).join("server.json")).ok()?;
    serde_json::from_slice::<Value>(&record).ok()?["process"]["pid"].as_u64()
}

/// Whether it runs; one that is only waiting to be buried does not.
fn lives(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn local_providers_live_and_die_with_the_platform() {
    if only_embedded("`--local-archives` is of `millrace up`") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let local = [("MILLRACE_LOCAL_ARCHIVES", "true".to_owned())];
    let platform = Platform::open_with(dir.path(), &local);
    let data = platform.data_dir.clone();
    let client = platform.client();
    let work = work(&client).await;
    all_archived(&platform).await;
    let digests = client.get("/v1/protection/digest").send().await.expect(200).json();
    let pids = ["a", "b"].map(|name| server(&data, name).expect("it runs"));
    assert!(pids.iter().all(|pid| lives(*pid)));
    let text = platform.log();
    assert!(text.contains("root.key") && text.contains("archive.key") && text.contains("elsewhere"), "{text}");

    // One of them dies by itself and comes back; what was written meanwhile arrives.
    let killed = std::process::Command::new("kill").args(["-9", &pids[0].to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    client.make("/v1/contacts", &serde_json::json!({"email": format!("late@{}.example", work.word)})).await;
    eventually("it is started again", 30, async || server(&data, "a").is_some_and(|pid| pid != pids[0] && lives(pid)))
        .await;
    all_archived(&platform).await;
    let before = server(&data, "b");
    platform.kill();
    eventually("killed with the platform", 10, async || before.is_none_or(|pid| !lives(pid))).await;

    // Nobody runs: the folder of one provider is enough.
    let (folder, target) = (data.join("providers/b"), dir.path().join("restored"));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let keys = ["archive.key", "root.key"].map(|name| text(&data.join("keys").join(name)));
    let (from, into) = (text(&folder), text(&target));
    let status = ["protection", "status", "--from", &from, "--archive-key", &keys[0]];
    assert!(worked(&millrace(&status, &[])).contains("EV_eu1"));
    let restore =
        ["restore", "--from", &from, "--archive-key", &keys[0], "--root-key", &keys[1], "--into", &into, "--to"];
    let position = digests["events"]["position"].to_string();
    let output = millrace(&[&restore[..], &[&position]].concat(), &[]);
    let printed = worked(&output);
    assert!(printed.contains(digests["events"]["digest"].as_str().expect("a digest")), "{printed}");
    assert!(server(&data, "b").is_none_or(|pid| !lives(pid)), "it was stopped again: {}", said(&output));

    let platform = Platform::open_with(dir.path(), &local);
    all_archived(&platform).await;
    let pids = ["a", "b"].map(|name| server(&data, name).expect("it runs"));
    assert_eq!(platform.stop(), Some(0));
    assert!(pids.iter().all(|pid| !lives(*pid)), "stopped in order");
    assert_eq!(server(&data, "a"), None, "and remembered as stopped");
}
