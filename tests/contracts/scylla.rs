//! The read store over a real server of the Scylla protocol: the same contract as memory and fjall, and what only a
//! cluster has.

use crate::support::{
    Cassandra,
    cassandra::{open, patiently},
    skip_cassandra, skip_slow,
};
use bytes::Bytes;
use projectors::{
    backend::scylla::{Credentials, LogIdentity, Options, ScyllaStore},
    read_store::{
        Mark, ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, Scan, Severity, TableId, WriteBatch,
        contract::{self, Tombstones},
    },
};
use std::time::Duration;
use workers::smtp::Roots;

fn put(table: &str, sort: u32, ts: u64, body: &str) -> RowOp {
    let table = TableId::try_new(table).expect("a name");
    let key = RowKey { table, tenant: "acme".into(), partition: "all".into(), sort: sort.to_be_bytes().to_vec() };
    RowOp::Put { key, ts, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn mark(seq: u64) -> Mark {
    Mark { view: "v_v1_g0".into(), cell: "eu1".into(), seq }
}

/// Why a cluster that answers is not taken.
async fn refusal(options: Options) -> ReadStoreError {
    patiently(async || match ScyllaStore::open(options.clone()).await {
        Ok(_) => panic!("it is not refused"),
        Err(error) if error.severity() == Severity::Transient => Err(error),
        Err(error) => Ok(error),
    })
    .await
}

async fn silence(options: Options) -> ReadStoreError {
    ScyllaStore::open(options).await.expect_err("it is refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    if skip_cassandra() {
        return;
    }
    let node = Cassandra::shared();
    contract::run_all(async || node.store().await, Tombstones::LeftToServers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_write_the_same_end_in_the_same_rows() {
    if skip_cassandra() {
        return;
    }
    let options = Cassandra::shared().options();
    let (one, other) = (open(options.clone()).await, open(options).await);
    let (one, other) = (ReadStore::Scylla(one), ReadStore::Scylla(other));
    let batch = |from: u32, seq: u64| WriteBatch {
        ops: (from..from + 50)
            .map(|n| put("v_v1_g0.x", n, u64::from(n) << 8 | seq, &format!("{n} at {seq}")))
            .collect(),
        marks: vec![mark(seq)],
    };
    // One is ahead of the other, and both write all of it. A table that the other one has just made may not take rows yet.
    let write = async |store: &ReadStore, seq: u64| patiently(|| store.write(batch(seq as u32 * 25, seq))).await;
    let ahead = async {
        for seq in 1..=6 {
            write(&one, seq).await;
        }
    };
    let behind = async {
        for seq in 1..=6 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            write(&other, seq).await;
        }
    };
    tokio::join!(ahead, behind);
    let scan = Scan::new(TableId::try_new("v_v1_g0.x").expect("a name"), "acme".into(), "all", 1_000);
    let (rows, others) = (patiently(|| one.scan(&scan)).await, patiently(|| other.scan(&scan)).await);
    assert_eq!(rows, others);
    assert_eq!(rows.rows.len(), 175);
    assert_eq!(patiently(|| other.mark("v_v1_g0", "eu1")).await, Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_begins_where_every_row_is_on_disk() {
    if skip_cassandra() {
        return;
    }
    let mut options = Cassandra::shared().options();
    options.safety_window = Duration::from_secs(2);
    let store = ReadStore::Scylla(open(options).await);
    let write = async |seq: u64| {
        let batch = WriteBatch { ops: vec![put("v_v1_g0.x", 1, seq << 8, "x")], marks: vec![mark(seq)] };
        patiently(|| store.write(batch.clone())).await;
    };
    let begins = async || {
        let resume = patiently(|| store.resume("v_v1_g0", "eu1")).await.expect("a mark");
        (resume.seq, resume.until)
    };
    write(3).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    write(9).await;
    assert_eq!(begins().await, (3, 9), "a moment ago is not yet safe");
    assert_eq!(patiently(|| store.mark("v_v1_g0", "eu1")).await, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_cluster_is_said_at_the_start() {
    if skip_cassandra() {
        return;
    }
    let node = Cassandra::shared();
    drop(node.store().await);
    let mut wrong = node.options();
    wrong.credentials = Some(Credentials { user: "cassandra".into(), password: "guess".into() });
    let error = refusal(wrong).await;
    assert!(error.to_string().contains("the user or the password was refused"), "{error}");
    assert_eq!(error.severity(), Severity::Permanent);
    let mut wrong = node.options();
    wrong.replication = 2;
    let error = refusal(wrong).await;
    assert!(error.to_string().contains("keeps 1 copies of each row, 2 were asked for"), "{error}");
    let mut wrong = node.options();
    (wrong.keyspace, wrong.replication) = ("another".into(), 3);
    let error = refusal(wrong).await;
    assert!(error.to_string().contains("3 copies of each row need as many nodes"), "{error}");
    let mut wrong = node.options();
    wrong.keyspace = "Bad-Name".into();
    assert!(refusal(wrong).await.to_string().contains("is no name of a keyspace"));
    let mut wrong = node.options();
    wrong.datacenter = Some("mars".into());
    let error = refusal(wrong).await;
    assert!(
        error.to_string().contains("no node is in the datacenter \"mars\"; name one of the cluster's: datacenter1"),
        "{error}"
    );
    let mut away = node.options();
    away.nodes = vec!["127.0.0.1:1".into()];
    let error = silence(away).await;
    assert!(matches!(error, ReadStoreError::Unavailable { .. }) && error.severity() == Severity::Transient, "{error}");
}

/// A newer release wrote here: nothing of it is read or changed.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_an_unknown_version_are_never_touched() {
    if skip_cassandra() {
        return;
    }
    let mut newer = Cassandra::shared().options();
    newer.format = "99";
    let theirs = ReadStore::Scylla(open(newer.clone()).await);
    let table = TableId::try_new("v_v1_g0.x").expect("a name");
    patiently(|| theirs.write(WriteBatch { ops: vec![put("v_v1_g0.x", 1, 1, "x")], marks: vec![mark(1)] })).await;
    let digest = patiently(|| theirs.digest(&table)).await;
    let mut ours = newer.clone();
    ours.format = Cassandra::shared().options().format;
    let error = refusal(ours).await;
    assert!(matches!(&error, ReadStoreError::UnknownFormat { found, .. } if found == "99"), "{error}");
    assert_eq!(error.severity(), Severity::Permanent);
    assert_eq!(patiently(|| theirs.digest(&table)).await, digest);
    assert_eq!(patiently(|| theirs.mark("v_v1_g0", "eu1")).await, Some(1));
}

/// Two installations that were given one keyspace by mistake, and a log that lost its end.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_log_are_not_shown_beside_this_one() {
    if skip_cassandra() {
        return;
    }
    let store = open(Cassandra::shared().options()).await;
    let log = |first: Option<&str>, last: u64| LogIdentity {
        first_event: first.map(str::to_owned),
        last: vec![("eu1".into(), last)],
    };
    let found = async || patiently(|| store.belonging("eu1")).await;
    store.belongs_to(found().await, &log(None, 0)).await.expect("nothing is there yet");
    store.belongs_to(found().await, &log(Some("a"), 7)).await.expect("it becomes its");
    // A start beside others: between the look at the rows and the one at the log both went on.
    let before = found().await;
    patiently(|| store.write(WriteBatch { ops: vec![], marks: vec![mark(7)] })).await;
    store.belongs_to(before, &log(Some("a"), 6)).await.expect("it was not ahead when it was looked at");
    store.belongs_to(found().await, &log(Some("a"), 9)).await.expect("it went on");
    for (other, said) in [
        (log(Some("b"), 9), "its views are of another log"),
        (log(None, 0), "this one is empty"),
        (log(Some("a"), 6), "is at position 7, but the log ends at 6"),
    ] {
        let error = store.belongs_to(found().await, &other).await.expect_err("it is refused");
        assert!(error.to_string().contains(said) && error.severity() == Severity::Permanent, "{error}");
    }
}

/// Three nodes that speak TLS only: whichever is killed, reads and writes go on, and nothing acknowledged is missing afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn rows_outlive_the_loss_of_a_node() {
    if skip_slow() || skip_cassandra() {
        return;
    }
    let cluster = Cassandra::serve(&["--nodes", "3", "--tls"]);
    let mut strangers = cluster.options();
    strangers.tls = Some(Roots::none().expect("roots that believe nobody").config());
    let mut open = cluster.options();
    open.tls = None;
    for mut wrong in [strangers, open] {
        wrong.nodes.truncate(1);
        let error = silence(wrong).await;
        assert!(matches!(error, ReadStoreError::Unavailable { .. }), "{error}");
    }
    let store = cluster.store().await;
    let write = async |n: u32| {
        let ts = u64::from(n) << 8;
        let batch = || WriteBatch { ops: vec![put("v_v1_g0.x", n, ts, "x")], marks: vec![mark(u64::from(n))] };
        patiently(|| store.write(batch())).await;
    };
    let mut written = 0;
    for victim in [1, 3] {
        for _ in 0..20 {
            written += 1;
            write(written).await;
        }
        cluster.kill(victim);
        for _ in 0..20 {
            written += 1;
            write(written).await;
        }
        let scan = Scan::new(TableId::try_new("v_v1_g0.x").expect("a name"), "acme".into(), "all", 1_000);
        let rows = patiently(|| store.scan(&scan)).await;
        assert_eq!(rows.rows.len(), written as usize, "after the loss of node {victim}");
        if victim == 1 {
            cluster.start(victim);
        }
    }
    let marked = patiently(|| store.mark("v_v1_g0", "eu1")).await;
    assert_eq!(marked, Some(u64::from(written)));
}
