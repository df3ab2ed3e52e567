//! The gap guard: a log with missing positions is not archived as if it were whole.
//!
//! Such logs are made over a plain connection: no code of ours can.

use super::{Protected, halted};
use crate::support::{Server, World, eventually};
use bus_schema::{
    bus::{Bus, BusOptions},
    subject::Family,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use tokio::sync::watch;
use workers::archive::{
    Archiver, ObjectStore,
    backend::memory::MemoryObjects,
    verify::{Depth, VerifyOptions, verify},
    watch::Watcher,
};

/// Asks the server's own API; gives its answer.
fn ask(server: &Server, what: &str, body: &Value) -> Value {
    let mut connection = TcpStream::connect(server.url().trim_start_matches("nats://")).expect("connected");
    let body = body.to_string();
    let request = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB answers 1\r\nPUB $JS.API.{what} answers {}\r\n{body}\r\n",
        body.len()
    );
    connection.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    loop {
        let mut piece = [0; 8192];
        let read = connection.read(&mut piece).expect("an answer");
        answer.push_str(&String::from_utf8_lossy(&piece[..read]));
        let payload = answer.split_once("MSG answers").and_then(|(_, rest)| rest.split_once("\r\n"));
        let json = payload.and_then(|(_, payload)| serde_json::from_str(payload.trim_end()).ok());
        if let Some(json) = json {
            return json;
        }
    }
}

/// The stream of a cell's events, with other settings than ours.
fn stream(world: &World, server: &Server, more: &Value) {
    let mut config = json!({
        "name": format!("EV_{}", world.cell()), "subjects": [format!("ev.{}.>", world.cell())], "storage": "file",
        "discard": "new", "allow_direct": true, "allow_atomic": true,
    });
    for (name, value) in more.as_object().expect("settings") {
        config[name] = value.clone();
    }
    let made = ask(server, &format!("STREAM.CREATE.EV_{}", world.cell()), &config);
    assert!(made["error"].is_null(), "{made}");
}

async fn store(world: &World, bus: &Bus, count: usize) {
    for number in 0..count {
        let subject = super::subject(world, &format!("late-{number}"));
        bus.publish(super::super::bus::message(&subject, Some(0))).await.expect("stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_begin_at_its_beginning_halts_it() {
    let world = World::on(&Server::own()).await;
    let server = Server::own();
    stream(&world, &server, &json!({"deny_delete": true, "deny_purge": true, "first_seq": 10}));
    let bus = Bus::connect(BusOptions { url: server.url(), ..world.options.clone() }).await.expect("connected");
    bus.ensure_streams().await.expect("streams");
    store(&world, &bus, 1).await;
    let protected = Protected::new(&world, ObjectStore::memory(MemoryObjects::new("north")));
    let mut options = protected.options(Family::Events);
    (options.bus, options.keys) = (bus, None);
    let cause = halted(&Archiver::start(options)).await;
    assert!(cause.contains("position 10 where 1 should come"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_missing_halts_it_and_nothing_behind_it_is_archived() {
    for missing in [4, 8] {
        let world = World::on(&Server::own()).await;
        let server = Server::own();
        // Ours denies deletion, for good; ensure_streams would refuse this one.
        stream(&world, &server, &json!({}));
        let bus = Bus::connect(BusOptions { url: server.url(), ..world.options.clone() }).await.expect("connected");
        bus.ensure_streams().await.expect_err("a stream that may forget is refused");
        store(&world, &bus, 6).await;
        let protected = Protected::new(&world, ObjectStore::memory(MemoryObjects::new("north")));
        let options = || {
            let mut options = protected.options(Family::Events);
            (options.bus, options.keys) = (bus.clone(), None);
            options
        };
        if missing > 6 {
            // The first cut is there before the gap comes.
            let archiver = Archiver::start(options());
            let progress = archiver.progress();
            eventually("the first cut has arrived", 20, async || progress.borrow().archived == 6).await;
            archiver.stop().await;
            store_more(&world, &bus).await;
        }
        let gone = ask(&server, &format!("STREAM.MSG.DELETE.EV_{}", world.cell()), &json!({"seq": missing}));
        assert_eq!(gone["success"], true, "{gone}");
        let archiver = Archiver::start(options());
        let cause = halted(&archiver).await;
        let named = format!("position {} where {missing} should come", missing + 1);
        assert!(cause.contains(&named), "{cause}");
        eventually("it has ended", 5, async || !archiver.is_running()).await;
        let progress = archiver.progress().borrow().clone();
        assert_eq!((progress.gaps, progress.damages), (1, 0), "a gap is counted as one: {progress:?}");
        assert!(progress.archived < missing && progress.seen > missing, "{progress:?}");
        // What is there is whole, and ends before the gap.
        let options = VerifyOptions { depth: Depth::Bytes, at_least: 0 };
        let report = verify(&protected.ledger(Family::Events), options).await.expect("verified");
        assert!(report.is_whole() && report.archived < missing && report.unreferenced == 0, "{report:?}");
        // The lag grows: who watches sees that it is not protected.
        let (_keep, frozen) = watch::channel(progress);
        let (ledger, every) = (protected.ledger(Family::Events), Duration::from_millis(50));
        let watcher = Watcher { bus: bus.clone(), family: Family::Events, ledger, epoch: 1, progress: frozen, every };
        let (_watching, seen) = watcher.start();
        eventually("the watcher sees the log ahead of the archive", 10, async || {
            let seen = seen.borrow().clone();
            seen.last > seen.confirmed.unwrap_or(0)
        })
        .await;
    }
}

async fn store_more(world: &World, bus: &Bus) {
    for number in 0..5 {
        let subject = super::subject(world, &format!("later-{number}"));
        bus.publish(super::super::bus::message(&subject, Some(0))).await.expect("stored");
    }
}
