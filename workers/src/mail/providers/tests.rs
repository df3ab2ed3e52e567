//! Two providers on real sockets: what each failure of the first one does to a mail.

use super::*;
use crate::{
    mail::{Domain, MailAddress},
    smtp::{
        Kind, Roots, Security, SmtpOptions,
        sink::{Act, Fault, Faults, Point, Sink, SinkOptions},
    },
};
use std::{
    convert::Infallible,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;

async fn sink(faults: Faults) -> (Sink, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Sink::start(folder.path(), SinkOptions { faults, ..SinkOptions::default() }).await.unwrap(), folder)
}

fn provider(name: &str, port: u16) -> ProviderOptions {
    let ehlo = Domain::try_new("worker.millrace.example").unwrap();
    let security = Security::PlainForLoopbackOnly;
    let mut smtp = SmtpOptions::new("127.0.0.1", port, security, ehlo, Roots::none().unwrap());
    (smtp.timeouts.greeting, smtp.timeouts.dot) = (Duration::from_secs(5), Duration::from_secs(5));
    ProviderOptions { name: name.into(), transport: TransportOptions::Smtp(smtp), connections: 2, per_second: None }
}

fn pair(first: u16, second: &Sink) -> Providers {
    let list = vec![provider("first", first), provider("second", second.address().port())];
    Providers::try_new(list, Vec::new()).unwrap()
}

fn marketing() -> Origin<'static> {
    static TENANT: LazyLock<TenantId> = LazyLock::new(|| TenantId::try_new("acme").unwrap());
    Origin { tenant: &TENANT, class: Class::Marketing }
}

fn envelope() -> Envelope {
    let sender = Some(MailAddress::try_new("b-token@bounce.shop.example").unwrap());
    Envelope { sender, recipient: MailAddress::try_new("anna@x.example").unwrap() }
}

fn message(id: usize) -> Vec<u8> {
    format!("Message-ID: <{id}@shop.example>\r\nSubject: hello\r\n\r\ntext\r\n").into_bytes()
}

/// Which provider answered, and the failure's code if it failed.
fn outcome(handed: Handed<Infallible>) -> (String, Option<String>) {
    match handed {
        Handed::Answered { answer, provider } => (provider.to_string(), answer.err().map(|failure| failure.code())),
        other => panic!("{other:?}"),
    }
}

/// The whole table of spec/EMAIL.md 5.2 for marketing: where the mail is afterwards.
#[tokio::test]
async fn every_stage_of_the_table_decides_who_gets_the_mail() {
    let say = |reply: &str| Act::Say(reply.into());
    // What happens; the code of the failure if it stays with the first; whether the first has the mail all the same.
    let rows: [(Point, Act, Option<&str>, bool); 19] = [
        (Point::Greeting, say("421 4.3.2 not now"), None, false),
        (Point::Greeting, say("554 5.3.2 no service"), None, false),
        (Point::Greeting, Act::Drop, None, false),
        (Point::Ehlo, say("550 who are you"), None, false),
        (Point::Ehlo, Act::Drop, None, false),
        (Point::Mail, say("421 4.7.0 slow down"), None, false),
        (Point::Mail, say("454 4.7.0 throttled"), None, false),
        (Point::Mail, say("450 4.2.1 later"), Some("mail 450 4.2.1"), false),
        (Point::Mail, say("550 5.7.1 not this sender"), None, false),
        (Point::Rcpt, say("550 5.1.1 nobody"), Some("rcpt 550 5.1.1"), false),
        (Point::Rcpt, say("450 4.2.1 greylisted"), Some("rcpt 450 4.2.1"), false),
        (Point::Rcpt, say("452 4.3.1 out of space"), None, false),
        (Point::Rcpt, Act::Drop, None, false),
        // The message left in one piece with its dot, and nobody can tell that it was not read.
        (Point::Body, Act::Drop, Some("dot: connection lost"), false),
        (Point::Dot, say("454 Throttling failure"), None, false),
        (Point::Dot, say("421 4.3.2 shutting down"), None, false),
        (Point::Dot, say("450 4.2.0 later"), Some("dot 450 4.2.0"), false),
        (Point::Dot, say("554 5.6.0 content"), Some("dot 554 5.6.0"), false),
        (Point::Taken, Act::Drop, Some("dot: connection lost"), true),
    ];
    for (number, (point, act, stays, has)) in rows.into_iter().enumerate() {
        let ((first, _one), (second, _two)) =
            (sink(Faults::always(point, act.clone())).await, sink(Faults::none()).await);
        let providers = pair(first.address().port(), &second);
        let handed = providers.hand_over(&marketing(), &envelope(), &message(number), &NoGate).await;
        let expected = match stays {
            Some(code) => ("first".to_owned(), Some(code.to_owned())),
            None => ("second".to_owned(), None),
        };
        assert_eq!(outcome(handed), expected, "{point:?} {act:?}");
        assert_eq!(first.taken().unwrap().len(), usize::from(has), "{point:?} {act:?}");
        assert_eq!(second.taken().unwrap().len(), usize::from(stays.is_none()), "{point:?} {act:?}");
        let passed_on = providers.status()[0].passed_on;
        assert_eq!(passed_on, u64::from(stays.is_none()), "{point:?} {act:?}");
    }
}

#[tokio::test]
async fn what_may_be_sent_twice_goes_to_the_other_after_silence() {
    let ((first, _one), (second, _two)) =
        (sink(Faults::always(Point::Taken, Act::Drop)).await, sink(Faults::none()).await);
    let providers = pair(first.address().port(), &second);
    let handed = providers
        .hand_over(&Origin { class: Class::Transactional, ..marketing() }, &envelope(), &message(1), &NoGate)
        .await;
    assert_eq!(outcome(handed), ("second".to_owned(), None));
    let ids: Vec<String> =
        [first.taken().unwrap(), second.taken().unwrap()].concat().into_iter().map(|mail| mail.message_id).collect();
    assert_eq!(ids, ["1@shop.example"; 2], "the same Message-ID");
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_and_found_again() {
    let (second, _two) = sink(Faults::none()).await;
    // Nobody listens there yet.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let providers = pair(free.port(), &second);
    for number in 0..20 {
        let handed = providers.hand_over(&marketing(), &envelope(), &message(number), &NoGate).await;
        assert_eq!(outcome(handed), ("second".to_owned(), None));
    }
    let status = providers.status();
    assert_eq!((status[0].breaker.word, status[0].failed, status[0].passed_on), ("open", 5, 5), "{status:?}");
    assert_eq!(status[0].breaker.cause.as_deref(), Some("connect: connection lost"));
    assert_eq!(status[1].accepted, 20);
    let folder = tempfile::tempdir().unwrap();
    let back = Sink::start(folder.path(), SinkOptions { listen: free, ..SinkOptions::default() }).await.unwrap();
    tokio::time::sleep(status[0].breaker.rests.unwrap()).await;
    let handed = providers.hand_over(&marketing(), &envelope(), &message(99), &NoGate).await;
    assert_eq!(outcome(handed), ("first".to_owned(), None));
    assert_eq!((providers.status()[0].breaker.word, back.taken().unwrap().len()), ("closed", 1));
}

#[tokio::test]
async fn when_all_rest_nothing_is_sent_and_the_reason_is_known() {
    let ((first, _one), (second, _two)) = (
        sink(Faults::always(Point::Mail, Act::Say("421 4.3.2 no".into()))).await,
        sink(Faults::always(Point::Greeting, Act::Drop)).await,
    );
    let providers = pair(first.address().port(), &second);
    for number in 0..5 {
        let handed = providers.hand_over(&marketing(), &envelope(), &message(number), &NoGate).await;
        assert!(
            matches!(&handed, Handed::Answered { answer: Err(failure), .. } if !crate::smtp::permits(failure).unknown)
        );
    }
    match providers.hand_over(&marketing(), &envelope(), &message(9), &NoGate).await {
        Handed::Resting { cause, again } => {
            assert!(cause == "mail 421 4.3.2" && again <= Duration::from_secs(1), "{cause} {again:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((first.taken().unwrap().len(), second.taken().unwrap().len()), (0, 0));
}

/// Counts how often it was asked; closed from some time on.
struct Counted {
    asked: AtomicU32,
    open: u32,
}

impl Gate for Counted {
    type Halt = &'static str;

    async fn pass(&self) -> Result<(), Self::Halt> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.open { Ok(()) } else { Err("closed") }
    }
}

#[tokio::test]
async fn the_gate_is_asked_before_every_provider() {
    let ((first, _one), (second, _two)) =
        (sink(Faults::always(Point::Rcpt, Act::Say("454 4.7.0 no".into()))).await, sink(Faults::none()).await);
    let providers = pair(first.address().port(), &second);
    let gate = |open| Counted { asked: AtomicU32::new(0), open };
    let closed = providers.hand_over(&marketing(), &envelope(), &message(1), &gate(0)).await;
    assert_eq!(closed, Handed::Halted("closed"));
    // Closed between the two: what the first one said is what is known.
    match providers.hand_over(&marketing(), &envelope(), &message(2), &gate(1)).await {
        Handed::Answered { answer: Err(Failure { kind: Kind::Refused, .. }), provider } => {
            assert_eq!(&*provider, "first")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(second.taken().unwrap().len(), 0);
    let both = gate(2);
    assert!(matches!(
        providers.hand_over(&marketing(), &envelope(), &message(3), &both).await,
        Handed::Answered { answer: Ok(_), .. }
    ));
    assert_eq!((both.asked.into_inner(), second.taken().unwrap().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_over_all_connections() {
    let (sink, _folder) = sink(Faults::none()).await;
    let options = ProviderOptions { per_second: Some(40.0), ..provider("only", sink.address().port()) };
    let limit = DomainLimit { domain: "x.example".into(), connections: Some(1), per_second: None };
    let providers = Providers::try_new(vec![options], vec![limit]).unwrap();
    let began = std::time::Instant::now();
    let sends = (0..60).map(|number| {
        let providers = providers.clone();
        async move { providers.hand_over(&marketing(), &envelope(), &message(number), &NoGate).await }
    });
    let all = futures::future::join_all(sends).await;
    let taken = all.iter().filter(|handed| matches!(handed, Handed::Answered { answer: Ok(_), .. })).count();
    let crowded = all.iter().filter(|handed| matches!(handed, Handed::Crowded { .. })).count();
    assert_eq!((taken + crowded, sink.taken().unwrap().len()), (60, taken));
    let most = 1.0 + began.elapsed().as_secs_f64() * 40.0 + 4.0;
    assert!(taken > 20 && (taken as f64) <= most, "{taken} in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_mail_lost_with_an_old_connection_goes_over_a_new_one() {
    let drop = Fault { at: Point::Mail, percent: 30.0, act: Act::Drop };
    let (sink, _folder) = sink(Faults::new(5, vec![drop])).await;
    let providers = Providers::try_new(vec![provider("only", sink.address().port())], Vec::new()).unwrap();
    let mut taken = 0;
    for number in 0..40 {
        let handed = providers.hand_over(&marketing(), &envelope(), &message(number), &NoGate).await;
        taken += usize::from(matches!(handed, Handed::Answered { answer: Ok(_), .. }));
    }
    assert_eq!(sink.taken().unwrap().len(), taken);
    let faults = sink.counts().faults;
    assert!(taken as u64 + faults > 40, "{taken} taken, {faults} lost: an old connection's loss cost its mail");
}
