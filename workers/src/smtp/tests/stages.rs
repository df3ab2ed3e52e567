//! Every stage at which a mail can fail, on real sockets, and what is known afterwards.

use super::*;

async fn fails(options: SmtpOptions, message: &[u8]) -> Failure {
    match open(options).await {
        Ok(mut connection) => connection.send(&envelope("anna@x.example"), message).await.unwrap_err(),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn each_refusal_is_known_with_its_stage_and_words() {
    let reply = "450 4.7.9 in its own words";
    for (point, stage) in [
        (Point::Greeting, Stage::Greeting),
        (Point::Ehlo, Stage::Ehlo),
        (Point::Mail, Stage::Mail),
        (Point::Rcpt, Stage::Rcpt),
        (Point::Data, Stage::Data),
        (Point::Dot, Stage::Dot),
    ] {
        for pipelining in [true, false] {
            let faults = Faults::always(point, say(reply));
            let (sink, _folder) = sink(SinkOptions { faults, pipelining, ..SinkOptions::default() }).await;
            let failure = fails(plain(&sink), &message("a")).await;
            assert_eq!((failure.stage, failure.kind), (stage, Kind::Refused), "{point:?} {pipelining}");
            assert_eq!(failure.reply.as_ref().unwrap().to_string(), reply);
            assert!(failure.to_string().contains(reply) && !permits(&failure).unknown);
            assert_eq!(sink.taken().unwrap(), []);
        }
    }
}

#[tokio::test]
async fn each_loss_is_known_until_the_dot_and_unknown_after() {
    for (point, stage) in [
        (Point::Greeting, Stage::Greeting),
        (Point::Ehlo, Stage::Ehlo),
        (Point::Mail, Stage::Mail),
        (Point::Rcpt, Stage::Rcpt),
        (Point::Data, Stage::Data),
        (Point::Dot, Stage::Dot),
        (Point::Taken, Stage::Dot),
    ] {
        let (sink, _folder) = sink(SinkOptions {
            faults: Faults::always(point, Act::Drop),
            // One at a time, so that the stage is exactly the one that failed.
            pipelining: false,
            ..SinkOptions::default()
        })
        .await;
        let failure = fails(plain(&sink), &message("a")).await;
        assert_eq!((failure.stage, failure.kind), (stage, Kind::Lost), "{point:?}: {failure}");
        assert_eq!(permits(&failure).unknown, stage == Stage::Dot);
        // Both of the last two look the same from here; only the ledger knows.
        assert_eq!(sink.taken().unwrap().len(), usize::from(point == Point::Taken));
    }
}

#[tokio::test]
async fn each_silence_ends_at_its_time_limit() {
    let wait = Act::Wait(Duration::from_secs(3600));
    let short = Duration::from_millis(150);
    for (point, stage) in [
        (Point::Greeting, Stage::Greeting),
        (Point::Ehlo, Stage::Ehlo),
        (Point::Mail, Stage::Mail),
        (Point::Rcpt, Stage::Rcpt),
        (Point::Data, Stage::Data),
        (Point::Dot, Stage::Dot),
    ] {
        let (sink, _folder) = faulty(Faults::always(point, wait.clone())).await;
        let timeouts = Timeouts {
            greeting: short,
            command: short,
            mail: short,
            rcpt: short,
            data: short,
            dot: short,
            ..plain(&sink).timeouts
        };
        let failure = fails(SmtpOptions { timeouts, ..plain(&sink) }, &message("a")).await;
        assert_eq!(failure.kind, Kind::TimedOut, "{point:?}");
        // The commands of a group wait for their answers in turn, and the sink answers them together.
        let grouped = [Stage::Mail, Stage::Rcpt, Stage::Data];
        assert!(
            failure.stage == stage || grouped.contains(&stage) && failure.stage == Stage::Mail,
            "{point:?}: {failure}"
        );
        assert_eq!(permits(&failure).unknown, stage == Stage::Dot);
    }
}

#[tokio::test]
async fn a_message_cut_before_its_dot_is_known_as_not_taken() {
    let identity = Identity::of("localhost");
    let large = [message("large"), b"a line of the message\r\n".repeat(500_000)].concat();
    for (act, kind) in [(Act::Drop, Kind::Lost), (say("421 4.3.0 full"), Kind::Refused)] {
        for tls in [None, Some((identity.server.clone(), TlsStart::Implicit))] {
            let security = if tls.is_some() { Security::ImplicitTls } else { Security::PlainForLoopbackOnly };
            let faults = Faults::always(Point::Body, act.clone());
            let (sink, _folder) = sink(SinkOptions { faults, tls, ..SinkOptions::default() }).await;
            let failure = fails(secured(&sink, security, identity.roots()), &large).await;
            assert_eq!(failure.stage, Stage::Body, "{failure}");
            // Its last words may be lost with the connection.
            assert!(failure.kind == kind || failure.kind == Kind::Lost, "{failure}");
            assert!(!permits(&failure).unknown);
            assert_eq!(sink.taken().unwrap(), []);
        }
    }
}

#[tokio::test]
async fn a_provider_that_stops_reading_is_left_before_the_dot() {
    let (sink, _folder) = faulty(Faults::always(Point::Body, Act::Wait(Duration::from_secs(3600)))).await;
    let large = [message("large"), b"a line of the message\r\n".repeat(1_000_000)].concat();
    let timeouts = Timeouts { block: Duration::from_millis(200), ..plain(&sink).timeouts };
    let failure = fails(SmtpOptions { timeouts, ..plain(&sink) }, &large).await;
    assert_eq!((failure.stage, failure.kind), (Stage::Body, Kind::TimedOut), "{failure}");
}

#[tokio::test]
async fn without_a_provider_nothing_was_sent() {
    let (sink, _folder) = sink(SinkOptions::default()).await;
    let options = plain(&sink);
    sink.stop().await;
    let failure = fails(options.clone(), &message("a")).await;
    assert_eq!((failure.stage, failure.kind), (Stage::Connect, Kind::Lost), "{failure}");
    let failure = fails(SmtpOptions { host: "nobody.invalid".to_owned(), ..options }, &message("a")).await;
    assert_eq!(failure.stage, Stage::Resolve, "{failure}");
}

#[tokio::test]
async fn credentials_are_offered_in_both_ways_and_a_wrong_one_is_named() {
    let credentials = Credentials::try_new("anna", "secret");
    for login_only in [false, true] {
        let options = SinkOptions { credentials: credentials.clone(), login_only, ..SinkOptions::default() };
        let (sink, _folder) = sink(options).await;
        let mut connection = open(SmtpOptions { credentials: credentials.clone(), ..plain(&sink) }).await.unwrap();
        connection.send(&envelope("anna@x.example"), &message("a")).await.unwrap();
        let wrong = Credentials::try_new("anna", "wrong");
        let failure = open(SmtpOptions { credentials: wrong, ..plain(&sink) }).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Auth, Kind::Refused));
        assert!(!format!("{failure:?} {failure}").contains("wrong\""), "{failure:?}");
        // Without a user this sink takes no mail: a fault of the provider's settings, not of the recipient.
        let failure = fails(plain(&sink), &message("a")).await;
        assert_eq!(failure.stage, Stage::Mail);
        assert_eq!(permits(&failure).fault, crate::smtp::Fault::Provider);
    }
    let (sink, _folder) = sink(SinkOptions::default()).await;
    let failure = open(SmtpOptions { credentials, ..plain(&sink) }).await.unwrap_err();
    assert_eq!((failure.stage, failure.kind), (Stage::Auth, Kind::NotOffered));
}
