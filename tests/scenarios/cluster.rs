//! The platform with its views in a cluster: the answers it gives with its views in a folder, a rebuild beside live traffic, and what
//! happens while the cluster is away.

use super::unique;
use crate::support::{Cassandra, Client, Platform, eventually, millrace, only_embedded, skip_cassandra, skip_slow};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What people see of the demo, beside the single records.
const LISTS: [&str; 17] = [
    "/v1/contacts?limit=100",
    "/v1/contacts?limit=50&sort=last_name",
    "/v1/contacts?limit=20&filter[tags][_eq]=vip&total=true",
    "/v1/products?limit=100",
    "/v1/orders?limit=100",
    "/v1/orders?limit=30&sort=-placed_at",
    "/v1/courses?limit=100",
    "/v1/enrolments?limit=100",
    "/v1/pages?limit=100",
    "/v1/campaigns?limit=100",
    "/v1/segments?limit=100",
    "/v1/suppressions?limit=100",
    "/v1/files?limit=100",
    "/v1/imports?limit=100",
    "/v1/accounts?limit=100",
    "/v1/api-keys?limit=100",
    "/v1/messages?limit=100",
];

/// Answers of all lists, of each first record, of its history, and of the site.
async fn answers(client: &Client) -> Vec<(String, u16, Value)> {
    let mut out = Vec::new();
    let mut paths: Vec<String> = LISTS.map(str::to_owned).to_vec();
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        let answer = client.read(&path).await;
        if next < LISTS.len() {
            let (collection, _) = path.split_once('?').unwrap_or((&path, ""));
            let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
            for id in items.iter().take(2).filter_map(|item| item["id"].as_str()) {
                paths.push(format!("{collection}/{id}"));
                paths.push(format!("{collection}/{id}/history"));
                if collection == "/v1/contacts" {
                    paths.push(format!("{collection}/{id}/timeline"));
                }
            }
        }
        out.push((path, answer.status, answer.json()));
        next += 1;
    }
    out
}

/// What each view holds; all of them at the end of the log.
async fn digests(client: &Client) -> Vec<(String, String)> {
    eventually("all views stand at the end of the log", 60, async || {
        let ready = client.get("/readyz").send().await.json();
        let views = ready["views"].as_array().cloned().unwrap_or_default();
        let at_end = |view: &Value| match view["stream"].as_str() {
            Some("fx") => view["position"] == ready["facts_position"],
            _ => view["position"] == ready["log_position"],
        };
        !views.is_empty() && views.iter().all(at_end) && ready["search_position"] == ready["log_position"]
    })
    .await;
    let found = client.get("/v1/views/digests").send().await.expect(200).json();
    let text = |view: &Value, name: &str| view[name].as_str().expect("a text").to_owned();
    let items = found["items"].as_array().expect("items");
    items.iter().map(|view| (text(view, "generation"), text(view, "digest"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_as_a_folder_does() {
    if only_embedded("it is about `millrace up` over a cluster of views") {
        return;
    }
    if skip_slow() || skip_cassandra() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let platform = Platform::open_with(dir.path(), &Cassandra::shared().environment(dir.path()));
    let client = platform.client();
    let connection = [("MILLRACE_URL", platform.ready.url.as_str()), ("MILLRACE_API_KEY", &platform.ready.api_key)];
    // It goes on where it was cut off.
    eventually("the demo is complete", 240, async || {
        tokio::task::block_in_place(|| millrace(&["demo"], &connection)).status.success()
    })
    .await;
    let of_cluster = (digests(&client).await, answers(&client).await);
    let in_folder = std::fs::read_dir(dir.path().join("data/views")).map_or(0, Iterator::count);
    assert_eq!(in_folder, 0, "no views in the folder");
    assert_eq!(platform.stop(), Some(0), "{}", platform.log());

    let platform = Platform::open(dir.path());
    let client = client.at(&platform.ready.url);
    let of_folder = (digests(&client).await, answers(&client).await);
    assert_eq!(of_cluster.0, of_folder.0, "the views hold the same rows");
    assert_eq!(of_cluster.1.len(), of_folder.1.len());
    for (cluster, folder) in of_cluster.1.iter().zip(&of_folder.1) {
        assert_eq!(cluster, folder);
    }
    let found = |path: &str| of_folder.1.iter().find(|(known, ..)| known == path).map(|(_, status, _)| *status);
    for path in LISTS {
        assert_eq!(found(path), Some(200), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_fit_is_refused_at_the_start() {
    if only_embedded("it is about `millrace up` over a cluster of views") {
        return;
    }
    if skip_cassandra() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Cassandra::shared();
    // The keyspace is there.
    drop(node.store().await);
    let mut environment = node.environment(dir.path());
    let data = dir.path().join("data").display().to_string();
    let mut said = |change: &[(&'static str, String)]| {
        for (name, value) in change {
            environment.retain(|(known, _)| known != name);
            environment.push((name, value.clone()));
        }
        let given: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = millrace(&["up", "--no-demo", "--listen", "127.0.0.1:0", "--data-dir", &data], &given);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = said(&[("MILLRACE_READ_STORE", "scylla://me:secret@db/x".into())]);
    assert!(text.contains("credentials do not belong in an address") && !text.contains("secret"), "{text}");
    let text = said(&[("MILLRACE_READ_STORE", node.url().replace("replication=1", "replication=3"))]);
    assert!(text.contains("keeps 1 copies of each row, 3 were asked for"), "{text}");
    let wrong = dir.path().join("wrong");
    std::fs::write(&wrong, "cassandra\nguess\n").expect("written");
    let wrong = ("MILLRACE_READ_STORE_CREDENTIALS", wrong.display().to_string());
    let text = said(&[("MILLRACE_READ_STORE", node.url()), wrong]);
    assert!(text.contains("the user or the password was refused") && !text.contains("guess"), "{text}");
}

/// Makes contacts and reads them until it is told to stop; every request succeeds.
async fn traffic(client: Client, stop: Arc<AtomicBool>) -> usize {
    let mut made = 0;
    while !stop.load(Ordering::SeqCst) {
        let id = client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await;
        client.read(&format!("/v1/contacts/{id}")).await.expect(200);
        client.read("/v1/contacts?limit=5").await.expect(200);
        made += 1;
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_and_the_loss_of_the_cluster_stop_no_command() {
    if only_embedded("it is about `millrace up` over a cluster of views") {
        return;
    }
    if skip_slow() || skip_cassandra() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Cassandra::serve(&["--nodes", "1"]);
    let platform = Platform::open_with(dir.path(), &node.environment(dir.path()));
    let client = platform.client();
    let contact = || json!({"email": format!("{}@x.example", unique("c"))});
    let first = client.make("/v1/contacts", &contact()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let going = tokio::spawn(traffic(client.clone(), stop.clone()));
    let call = async |path: &str| client.ask(Method::POST, path).send().await;
    let built = call("/v1/views/contacts/build").await.expect(200).json()["generation"].clone();
    eventually("the new generation serves", 60, async || call("/v1/views/contacts/switch").await.status == 200).await;
    let views = client.get("/v1/views").send().await.expect(200).json();
    let stage = |name: &Value| {
        let items = views["items"].as_array().cloned().unwrap_or_default();
        items.iter().find(|view| view["generation"] == *name).map(|view| view["stage"].clone())
    };
    assert_eq!(stage(&built), Some(json!("serving")));
    let old = views["items"].as_array().expect("items").iter().find(|view| view["stage"] == "replaced");
    let old = old.and_then(|view| view["generation"].as_str()).expect("the one before").to_owned();
    client.delete(&format!("/v1/views/generations/{old}")).send().await.expect(200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::SeqCst);
    let made = going.await.expect("no request failed") + 1;
    assert_eq!(client.all("/v1/contacts").await.len(), made, "everybody is in the new generation");

    node.kill(1);
    let during = client.make("/v1/contacts", &contact()).await;
    eventually("reads say that they cannot be answered now", 30, async || {
        let answer = client.get(&format!("/v1/contacts/{first}")).send().await;
        answer.status == 503 && answer.header("retry-after").is_some() && answer.code() == "unavailable"
    })
    .await;
    let interrupted = format!("{} is interrupted", built.as_str().expect("a name"));
    eventually("the platform says why", 30, async || {
        let ready = client.get("/readyz").send().await;
        let text = ready.text();
        ready.status == 503 && text.contains(&interrupted) && text.contains("read store could not")
    })
    .await;
    let later = client.make("/v1/contacts", &contact()).await;
    node.start(1);
    for id in [first, during, later] {
        client.read_soon(&format!("/v1/contacts/{id}")).await.expect(200);
    }
    eventually("it is ready again", 60, async || client.get("/readyz").send().await.status == 200).await;
    assert_eq!(client.all("/v1/contacts").await.len(), made + 2);
}
