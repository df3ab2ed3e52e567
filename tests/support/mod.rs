//! What tests run against: a real log (one nats-server per test process, one cell per test) and a real platform.

mod archived;
pub(crate) mod cassandra;
mod client;
mod deployment;
mod fault_proxy;
pub(crate) mod mailing;
mod member;
mod nats_cluster;
mod pem;
mod platform;
pub(crate) mod posting;
mod s3;
mod sender;
mod served;
mod server;
pub(crate) mod ses;
pub(crate) mod sns;
mod world;

pub(crate) use archived::{Archived, all_archived, archived_by};
pub(crate) use cassandra::Cassandra;
pub(crate) use client::{Answer, Ask, Client};
pub(crate) use deployment::{on_cluster, only_embedded};
pub(crate) use fault_proxy::{FaultProxy, Spoil};
pub(crate) use member::Member;
pub(crate) use nats_cluster::{NatsCluster, cluster_environment};
pub(crate) use pem::pem;
pub(crate) use platform::{Platform, Ready, binary, millrace};
pub(crate) use s3::S3Server;
pub(crate) use sender::Sender;
pub(crate) use served::Served;
pub(crate) use server::{Server, nats_server};
pub(crate) use world::{World, named};

/// Whether tests that kill servers are passed over.
pub(crate) fn skip_slow() -> bool {
    std::env::var_os("MILLRACE_SKIP_SLOW").is_some()
}

/// Whether tests that start Cassandra are passed over, which only happens when it is asked for.
pub(crate) fn skip_cassandra() -> bool {
    std::env::var_os("MILLRACE_SKIP_CASSANDRA").is_some_and(|value| !value.is_empty())
}

/// Asks again and again until it holds; panics with `what` after `seconds`.
pub(crate) async fn eventually(what: &str, seconds: u64, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "not within {seconds} s: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
