//! Connections are bounded, used again, and never used again when broken.

use super::*;
use crate::smtp::{Lifetime, Pool, sink::Fault};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn many_mails_go_over_few_connections() {
    let (sink, _folder) = sink(SinkOptions { connections: 4, ..SinkOptions::default() }).await;
    let pool = Pool::new(plain(&sink), 4);
    let sends = (0..200).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await })
    });
    for sent in futures::future::join_all(sends).await {
        sent.unwrap().unwrap();
    }
    pool.close().await;
    let ids: BTreeSet<String> = sink.taken().unwrap().into_iter().map(|taken| taken.message_id).collect();
    assert_eq!((ids.len(), sink.counts().taken), (200, 200));
    // The sink turns a fifth connection away, so there never was one.
    let connections = sink.counts().connections;
    assert!((1..=8).contains(&connections), "{connections} connections");
    assert_eq!(pool.send(&envelope("anna@x.example"), &message("late")).await.unwrap_err().stage, Stage::Connect);
}

#[tokio::test]
async fn check_10_a_connection_is_closed_after_its_mails_or_its_time() {
    let (sink, _folder) = sink(SinkOptions { connections: 1, ..SinkOptions::default() }).await;
    let lifetime = Lifetime { messages: 3, age: Duration::from_secs(60) };
    let pool = Pool::new(SmtpOptions { lifetime, ..plain(&sink) }, 1);
    for number in 0..9 {
        pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await.unwrap();
    }
    pool.close().await;
    assert_eq!(sink.counts().connections, 3);
    assert_eq!(commands(&sink).iter().filter(|command| *command == "QUIT").count(), 3);

    let lifetime = Lifetime { messages: 100, age: Duration::from_millis(50) };
    let pool = Pool::new(SmtpOptions { lifetime, ..plain(&sink) }, 1);
    pool.send(&envelope("anna@x.example"), &message("a")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    pool.send(&envelope("anna@x.example"), &message("b")).await.unwrap();
    assert_eq!(sink.counts().connections, 5);
}

#[tokio::test]
async fn a_broken_connection_is_never_used_again() {
    let faults = Faults::new(
        11,
        vec![
            Fault { at: Point::Dot, percent: 15.0, act: Act::Drop },
            Fault { at: Point::Taken, percent: 15.0, act: Act::Drop },
            Fault { at: Point::Rcpt, percent: 15.0, act: say("421 4.3.2 closing") },
            Fault { at: Point::Mail, percent: 15.0, act: Act::Drop },
        ],
    );
    let (sink, _folder) = faulty(faults).await;
    let pool = Pool::new(plain(&sink), 2);
    let (mut accepted, mut unknown, mut known) = (BTreeSet::new(), BTreeSet::new(), 0);
    for number in 0..300 {
        let id = format!("{number}@shop.example");
        match pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await {
            Ok(_) => _ = accepted.insert(id),
            Err(failure) if permits(&failure).unknown => _ = unknown.insert(id),
            Err(_) => known += 1,
        }
    }
    let taken: Vec<String> = sink.taken().unwrap().into_iter().map(|taken| taken.message_id).collect();
    let unique: BTreeSet<String> = taken.iter().cloned().collect();
    // What K4 asks for: nothing twice, nothing lost without being listed.
    assert_eq!(taken.len(), unique.len());
    assert!(accepted.is_subset(&unique), "an accepted mail is missing at the sink");
    assert!(unique.difference(&accepted).all(|id| unknown.contains(id)), "a mail was taken that counts as not taken");
    assert!(accepted.len() > 100 && unknown.len() > 20 && known > 20, "{} {} {known}", accepted.len(), unknown.len());
    assert_eq!(sink.counts().violations, 0);
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_is_noticed() {
    let (sink, _folder) = sink(SinkOptions { idle: Duration::from_millis(50), ..SinkOptions::default() }).await;
    let pool = Pool::new(plain(&sink), 1);
    for number in 0..3 {
        pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    assert_eq!((sink.counts().taken, sink.counts().connections), (3, 3));
    // A provider that allows so many mails on a connection says 421, and the mail is known as not taken.
    let (sink, _folder) = super::sink(SinkOptions { messages_per_connection: 2, ..SinkOptions::default() }).await;
    let pool = Pool::new(plain(&sink), 1);
    for number in 0..2 {
        pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await.unwrap();
    }
    let failure = pool.send(&envelope("anna@x.example"), &message("2")).await.unwrap_err();
    assert_eq!((failure.stage, failure.reply.unwrap().code), (Stage::Mail, 421));
    pool.send(&envelope("anna@x.example"), &message("2")).await.unwrap();
    assert_eq!(sink.counts().taken, 3);
}

#[tokio::test]
async fn the_ledger_survives_its_sink() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let sink = Sink::start(folder.path(), SinkOptions::default()).await.unwrap();
        let pool = Pool::new(plain(&sink), 1);
        pool.send(&envelope("anna@x.example"), &message(&round.to_string())).await.unwrap();
        sink.stop().await;
    }
    let taken = crate::smtp::sink::read_ledger(folder.path()).unwrap();
    assert_eq!(
        taken.iter().map(|taken| taken.message_id.as_str()).collect::<Vec<_>>(),
        ["0@shop.example", "1@shop.example"]
    );
}
