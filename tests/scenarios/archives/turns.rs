//! Several processes that could archive: one does at a time, and what they leave at the providers is one unbroken log.

use super::worked;
use crate::{
    scenarios::unique,
    support::{
        Archived, Cassandra, Client, Member, NatsCluster, archived_by, cluster_environment, eventually, only_embedded,
        skip_cassandra, skip_slow,
    },
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// How often it was a process's turn to archive.
fn turns(member: &Member) -> usize {
    let log = member.log();
    log.lines().filter(|line| line.contains("it is this process's turn") && line.contains("archivers")).count()
}

async fn has_turn(member: &Member, count: usize) {
    eventually("the other one archives", 60, async || turns(member) >= count).await;
}

/// Makes contacts until it is told to stop; those that were acknowledged.
async fn commands(client: Client, stop: Arc<AtomicBool>) -> Vec<Uuid> {
    let mut made = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let contact = json!({"email": format!("{}@x.example", unique("t"))});
        made.push(client.make("/v1/contacts", &contact).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_does_not_write_beside_its_successor() {
    if only_embedded("it has several processes of its own") || skip_slow() || skip_cassandra() {
        return;
    }
    let archived = Archived::new().await;
    let nats = NatsCluster::serve();
    let keys = archived.path("one/data/keys");
    std::fs::create_dir_all(&keys).expect("a folder");
    let mut environment = cluster_environment(&nats, Cassandra::shared(), archived.dir.path());
    std::fs::copy(archived.path("root.key"), keys.join("root.key")).expect("copied");
    environment.extend(archived.environment());
    environment.push(("MILLRACE_ARCHIVE_KEY", keys.join("archive.key").display().to_string()));
    environment.push(("MILLRACE_LOG", "warn,workers=info,millrace=info".into()));
    let begin = |role: &str, name: &str| Member::begin(role, &archived.path(name), &environment);
    let mut members = [begin("api,projector", "api"), begin("worker", "worker-1"), begin("worker", "worker-2")];
    let client = members[0].client();
    members.iter_mut().for_each(|member| drop(member.wait()));
    let archives = async || (1..=2).find(|at| turns(&members[*at]) == 1);
    eventually("one archives", 60, async || archives().await.is_some()).await;
    let first = archives().await.expect("one");
    let second = 3 - first;
    let stop = Arc::new(AtomicBool::new(false));
    let going = tokio::spawn(commands(client.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(3)).await;

    // It stands still in the middle of its work, another goes on, and it wakes up beside it.
    members[first].signal("STOP");
    has_turn(&members[second], 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(turns(&members[first]), 1);
    members[first].signal("CONT");
    tokio::time::sleep(Duration::from_secs(4)).await;
    // The successor dies in the middle of its own.
    members[second].kill();
    has_turn(&members[first], 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::SeqCst);
    let acknowledged = going.await.expect("every command is acknowledged");
    archived_by(&client).await;
    let digests = client.get("/v1/protection/digest").send().await.expect(200).json();
    let digest = digests["events"]["digest"].as_str().expect("a digest");
    println!(
        "archives: {} commands, taken over from one that stood still and from one that was killed",
        acknowledged.len()
    );
    for (server, into) in Archived::servers().into_iter().zip(["two", "three"]) {
        worked(&archived.ask(server, "one", &["protection", "verify"]));
        let restored = worked(&archived.restore(server, "one", into, &[]));
        assert!(restored.contains(digest), "{restored}");
    }
    assert_eq!(client.all("/v1/contacts").await.len(), acknowledged.len());
}
