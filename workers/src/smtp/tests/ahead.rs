//! A mail that waits for a connection is opened behind the message before it, and nothing of it is risked by that.

use super::*;
use crate::smtp::{Lifetime, Opening, Pool, sink::Fault};
use std::collections::BTreeSet;

fn many(pool: &Pool, count: usize) -> Vec<tokio::task::JoinHandle<(String, Result<(), Failure>)>> {
    let send = |number: usize| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let sent = pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await;
            (format!("{number}@shop.example"), sent.map(|_| ()))
        })
    };
    (0..count).map(send).collect()
}

/// Mails that were opened behind another one, as the sink heard it.
fn opened_ahead(sink: &Sink) -> usize {
    commands(sink).iter().filter(|command| command.starts_with("+MAIL")).count()
}

#[tokio::test]
async fn who_waits_is_opened_behind_the_one_before() {
    for pipelining in [true, false] {
        let (sink, _folder) = sink(SinkOptions { pipelining, ..SinkOptions::default() }).await;
        let pool = Pool::new(plain(&sink), 1);
        for sent in futures::future::join_all(many(&pool, 20)).await {
            sent.unwrap().1.unwrap();
        }
        assert_eq!(opened_ahead(&sink), if pipelining { 19 } else { 0 }, "{:?}", sink.transcript());
        assert_eq!((sink.counts().taken, sink.counts().connections, sink.counts().violations), (20, 1, 0));
        // Nobody waits for it: the connection is left as it was, and the next mail is opened by itself.
        pool.send(&envelope("anna@x.example"), &message("late")).await.unwrap();
        assert_eq!(sink.counts().connections, 1);
    }
}

#[tokio::test]
async fn no_mail_is_opened_on_a_connection_that_has_served_its_time() {
    let (sink, _folder) = sink(SinkOptions { connections: 1, ..SinkOptions::default() }).await;
    let lifetime = Lifetime { messages: 4, age: Duration::from_secs(60) };
    let pool = Pool::new(SmtpOptions { lifetime, ..plain(&sink) }, 1);
    for sent in futures::future::join_all(many(&pool, 12)).await {
        sent.unwrap().1.unwrap();
    }
    assert_eq!((opened_ahead(&sink), sink.counts().connections), (9, 3), "{:?}", sink.transcript());
}

#[tokio::test]
async fn one_that_is_given_up_takes_nothing_with_it() {
    let (sink, _folder) = sink(SinkOptions::default()).await;
    let pool = Pool::new(plain(&sink), 1);
    let (first, second) = (envelope("anna@x.example"), envelope("ben@x.example"));
    let opening = |envelope: &Envelope| Arc::new(Opening::try_new(envelope, &message("a")).unwrap());
    let mut lease = pool.lease_for(&opening(&first)).await.unwrap();
    lease.begin(&opening(&first)).await.unwrap();
    // The second one waits, gets the connection, and does not go on, as when a campaign is paused at this moment.
    let waits = tokio::spawn({
        let (pool, opening) = (pool.clone(), opening(&second));
        async move { pool.lease_for(&opening).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    lease.finish(&message("a")).await.unwrap();
    let mut lease = waits.await.unwrap().unwrap();
    assert!(lease.is_opened());
    lease.begin(&opening(&second)).await.unwrap();
    drop(lease);
    // A third one is given up while it waits.
    let mut lease = pool.lease_for(&opening(&first)).await.unwrap();
    assert!(!lease.is_opened());
    lease.begin(&opening(&first)).await.unwrap();
    let waits = tokio::spawn({
        let (pool, opening) = (pool.clone(), opening(&second));
        async move { pool.lease_for(&opening).await.map(|_| ()) }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    waits.abort();
    _ = waits.await;
    lease.finish(&message("b")).await.unwrap();
    pool.send(&first, &message("c")).await.unwrap();
    let taken: Vec<String> = sink.taken().unwrap().into_iter().map(|taken| taken.message_id).collect();
    assert_eq!(taken, ["a@shop.example", "b@shop.example", "c@shop.example"]);
    assert_eq!((sink.counts().connections, opened_ahead(&sink)), (2, 1), "{:?}", sink.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_stay_with_the_mail_they_are_about() {
    let at = |at, percent, act| Fault { at, percent, act };
    let faults = vec![
        at(Point::Dot, 8.0, Act::Drop),
        at(Point::Taken, 8.0, Act::Drop),
        at(Point::Body, 5.0, Act::Drop),
        at(Point::Mail, 5.0, Act::Drop),
        at(Point::Data, 5.0, Act::Drop),
        at(Point::Rcpt, 5.0, say("550 5.1.1 nobody")),
        at(Point::Dot, 5.0, say("554 5.7.1 no")),
        at(Point::Data, 5.0, say("421 4.3.2 closing")),
    ];
    for tls in [false, true] {
        let identity = Identity::of("localhost");
        let start = tls.then(|| (identity.server.clone(), TlsStart::Implicit));
        let faults = Faults::new(7, faults.clone());
        let (sink, _folder) = sink(SinkOptions { tls: start, faults, ..SinkOptions::default() }).await;
        let options = if tls { secured(&sink, Security::ImplicitTls, identity.roots()) } else { plain(&sink) };
        let pool = Pool::new(options, 3);
        let (mut accepted, mut unknown, mut known) = (BTreeSet::new(), BTreeSet::new(), 0);
        for sent in futures::future::join_all(many(&pool, 400)).await {
            match sent.unwrap() {
                (id, Ok(())) => _ = accepted.insert(id),
                (id, Err(failure)) if permits(&failure).unknown => _ = unknown.insert(id),
                _ => known += 1,
            }
        }
        let taken: Vec<String> = sink.taken().unwrap().into_iter().map(|taken| taken.message_id).collect();
        let unique: BTreeSet<String> = taken.iter().cloned().collect();
        assert_eq!(taken.len(), unique.len(), "a mail was taken twice");
        assert!(accepted.is_subset(&unique), "an accepted mail is missing at the sink");
        assert!(unique.difference(&accepted).all(|id| unknown.contains(id)), "one was taken that counts as not taken");
        assert!(accepted.len() > 150 && unknown.len() > 20 && known > 20, "{} {}", accepted.len(), unknown.len());
        assert!(opened_ahead(&sink) > 100);
        assert_eq!(sink.counts().violations, 0);
    }
}
