//! A start says which provider is wrong and what it answered; one that is away does not keep the platform from serving.

use super::{refused, said};
use crate::support::{Archived, Platform, S3Server, eventually, millrace};
use serde_json::json;
use std::process::Output;

fn up(archived: &Archived, name: &str, environment: &[(&str, &str)]) -> Output {
    let data = archived.path(name);
    let arguments = ["up", "--no-demo", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().expect("UTF-8")];
    millrace(&arguments, environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_us_ends_the_start() {
    let archived = Archived::new().await;
    let north = S3Server::north();
    let good = format!("north={}", north.credentials(archived.dir.path()).display());
    let address = format!("north={}", north.address(S3Server::BUCKET));
    let wrong = archived.path("wrong.credentials");
    std::fs::write(&wrong, "archive\nguessed-secret\n").expect("written");
    let wrong = format!("north={}", wrong.display());
    let start = |archive: &str, credentials: &str| {
        up(&archived, "data", &[("MILLRACE_ARCHIVE", archive), ("MILLRACE_ARCHIVE_CREDENTIALS", credentials)])
    };
    let text = refused(&start(&address, &wrong), &["provider north refused", "403 SignatureDoesNotMatch"]);
    assert!(!text.contains("guessed-secret"), "{text}");
    assert!(!archived.path("data/keys/archive.key").exists(), "no key was made for it");
    let nowhere = format!("north={}", north.address("no-such-bucket"));
    refused(&start(&nowhere, &good), &["provider north refused", "404 NoSuchBucket"]);
    refused(&start(&address, "north=/no/such/file"), &["/no/such/file cannot be read"]);
    refused(&start("north=https://example.org", &good), &["names no bucket"]);
    refused(&start(&address, "south=x"), &["names the provider south"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_of_another_key_is_not_continued() {
    let archived = Archived::new().await;
    let platform = archived.platform("one");
    crate::support::all_archived(&platform).await;
    platform.stop();
    let environment = archived.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    refused(&up(&archived, "other", &environment), &["holds the archive of another key", "--archive-key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_does_not_stop_the_platform() {
    let archived = Archived::new().await;
    let credentials = S3Server::north().credentials(archived.dir.path());
    // Nothing listens there.
    let environment = [
        ("MILLRACE_ARCHIVE", "away=http://127.0.0.1:9/archive".to_owned()),
        ("MILLRACE_ARCHIVE_CREDENTIALS", format!("away={}", credentials.display())),
    ];
    let folder = archived.path("one");
    std::fs::create_dir_all(&folder).expect("a folder");
    let platform = Platform::open_with(&folder, &environment);
    let client = platform.client();
    client.make("/v1/contacts", &json!({"email": "a@x.example"})).await;
    let mut status = json!(null);
    eventually("the lag is seen", 30, async || {
        status = client.get("/v1/protection").send().await.expect(200).json();
        status["rpo_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0)
    })
    .await;
    let away = &status["providers"][0];
    assert!(away["provider"] == "away" && away["state"] == "retrying", "{status}");
    assert!(away["rpo_events"].as_u64().is_some_and(|events| events > 0), "{status}");
    let ready = client.ready().await;
    assert_eq!(ready["protection"][0]["state"], "retrying", "informative: it serves");
    assert!(ready["protection"][0].get("error").is_none(), "nothing of the provider is told to everybody");
    let metrics = client.get("/metrics").send().await.text();
    let of = |name: &str| metrics.lines().find(|line| line.starts_with(name)).map(str::to_owned).expect(name);
    assert!(!of("cdp_rpo_seconds{region=\"eu1\",provider=\"away\"}").ends_with(" 0"));
    assert!(of("cdp_gap_total{region=\"eu1\"}").ends_with(" 0"));
    let data_dir = platform.data_dir.to_str().expect("UTF-8");
    let output = millrace(&["protection", "status", "--data-dir", data_dir], &[]);
    let text = said(&output);
    assert!(output.status.success() && text.contains("away") && text.contains("retrying"), "{text}");
    assert!(platform.stop().is_some(), "and it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_sees_the_protection() {
    let owner = crate::scenarios::tenant().await;
    for path in ["/v1/protection", "/v1/protection/digest"] {
        owner.get(path).send().await.expect(403);
        Platform::shared().client().get(path).send().await.expect(200);
        owner.with_key("nothing").get(path).send().await.expect(401);
    }
    let none = Platform::shared().client().get("/v1/protection").send().await.expect(200).json();
    assert_eq!(none["providers"], json!([]));
    let data_dir = Platform::shared().data_dir.to_str().expect("UTF-8").to_owned();
    let output = millrace(&["protection", "status", "--data-dir", &data_dir], &[]);
    assert!(said(&output).contains("exists once"), "{}", said(&output));
}
