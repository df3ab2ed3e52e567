//! Mail providers of which one is SES, as a double of its interface (SES cannot run here): what each failure does to a mail, and that
//! the bytes are those of SMTP.

use crate::support::ses::{SesDouble, SesFault, SesFault::*};
use bus_schema::TenantId;
use std::{convert::Infallible, time::Duration};
use workers::{
    backend::ses::{SesCredentials, SesOptions},
    mail::{
        Class, Domain, MailAddress,
        providers::{Handed, NoGate, Origin, ProviderOptions, Providers, TransportOptions},
    },
    smtp::{
        Envelope, Roots, Security, SmtpOptions,
        sink::{Sink, SinkOptions},
    },
};
use zeroize::Zeroizing;

/// The double's account, asked at another address or with another key if one is given.
fn ses(double: &SesDouble, url: Option<&str>, access_key: Option<&str>) -> ProviderOptions {
    let credentials = SesCredentials {
        access_key: access_key.unwrap_or("AKIDEXAMPLE").to_owned(),
        secret_key: Zeroizing::new("geheim".to_owned()),
        session_token: None,
    };
    let (url, set) = (url.map_or_else(|| double.url(), str::to_owned), Some("mails"));
    let mut options = SesOptions::try_new("eu-west-1", Some(&url), set, credentials).expect("options");
    (options.connect, options.answer) = (Duration::from_millis(500), Duration::from_secs(1));
    let transport = TransportOptions::Ses(options);
    ProviderOptions { name: "ses".into(), transport, connections: 2, per_second: None }
}

fn smtp(sink: &Sink) -> ProviderOptions {
    let ehlo = Domain::try_new("worker.millrace.example").expect("a domain");
    let (host, port) = (sink.address().ip().to_string(), sink.address().port());
    let smtp = SmtpOptions::new(host, port, Security::PlainForLoopbackOnly, ehlo, Roots::none().expect("roots"));
    let transport = TransportOptions::Smtp(smtp);
    ProviderOptions { name: "smtp".into(), transport, connections: 2, per_second: None }
}

fn envelope() -> Envelope {
    let sender = MailAddress::try_new(&format!("b-{}@bounce.shop.example", "a".repeat(32))).expect("an address");
    Envelope { sender: Some(sender), recipient: MailAddress::try_new("anna@x.example").expect("an address") }
}

fn message(number: usize) -> Vec<u8> {
    format!("Message-ID: <{number}@shop.example>\r\nList-Unsubscribe: <https://x.example/u>\r\nSubject: hello\r\n\r\n.text\r\n")
        .into_bytes()
}

async fn sink() -> (Sink, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    (Sink::start(folder.path(), SinkOptions::default()).await.expect("a sink"), folder)
}

fn tenant() -> TenantId {
    TenantId::try_new("acme").expect("a name")
}

async fn hand_over(providers: &Providers, class: Class, number: usize) -> Handed<Infallible> {
    let tenant = tenant();
    providers.hand_over(&Origin { tenant: &tenant, class }, &envelope(), &message(number), &NoGate).await
}

/// Which provider answered, and the failure's code if it failed.
fn outcome(handed: Handed<Infallible>) -> (String, Option<String>) {
    match handed {
        Handed::Answered { answer, provider } => (provider.to_string(), answer.err().map(|failure| failure.code())),
        other => panic!("{other:?}"),
    }
}

/// What SES does, the failure's code if the mail stays with it for marketing, and whether SES has it all the same.
const ROWS: [(SesFault, Option<&str>, bool); 21] = [
    (Takes, None, true),
    (Refuses(429, "TooManyRequestsException", "Too many requests"), None, false),
    (Refuses(400, "ThrottlingException", "Maximum sending rate exceeded."), None, false),
    (Refuses(400, "LimitExceededException", "Daily message quota exceeded."), None, false),
    (Refuses(400, "SendingPausedException", "Sending is paused"), None, false),
    (Refuses(400, "AccountSuspendedException", "suspended"), None, false),
    (Refuses(400, "MailFromDomainNotVerifiedException", "no"), None, false),
    (Refuses(404, "NotFoundException", "Configuration set does not exist."), None, false),
    (Refuses(400, "MessageRejected", "Email address is not verified. anna@x.example"), None, false),
    (Refuses(400, "MessageRejected", "Virus found"), Some("request 400 MessageRejected"), false),
    (Refuses(400, "BadRequestException", "Invalid tag"), None, false),
    (Refuses(413, "RequestEntityTooLarge", "too large"), None, false),
    (Refuses(403, "UnrecognizedClientException", "who?"), None, false),
    (Refuses(400, "InvalidSignatureException", "no"), None, false),
    (Refuses(400, "NewException", "what?"), None, false),
    (Refuses(500, "InternalFailure", "oh"), Some("request 500 InternalFailure"), false),
    (Refuses(503, "ServiceUnavailable", "later"), Some("request 503 ServiceUnavailable"), false),
    (FailsAfter, Some("request 500 InternalFailure"), true),
    (ClosesAfter, Some("request: connection lost"), true),
    (Hangs, Some("request: no answer in time"), true),
    (Babbles, Some("request: not understood"), true),
];

/// The last rows of the table of spec/EMAIL.md 5.2, for both classes.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_ses_decides_who_gets_the_mail() {
    for (number, (fault, stays, has)) in ROWS.into_iter().enumerate() {
        for class in [Class::Marketing, Class::Transactional] {
            let (double, (sink, _folder)) = (SesDouble::start(move |_| fault).await, sink().await);
            let providers = vec![ses(&double, None, None), smtp(&sink)];
            let providers = Providers::try_new(providers, Vec::new()).expect("providers");
            let answer = outcome(hand_over(&providers, class, number).await);
            // A clear no about the message stays a no; what nobody can tell may be sent again for one of the classes only.
            let told = matches!(fault, Refuses(..)) && stays == Some("request 400 MessageRejected");
            let goes_on = fault != Takes && (stays.is_none() || (class == Class::Transactional && !told));
            let expected =
                if goes_on { ("smtp".to_owned(), None) } else { ("ses".to_owned(), stays.map(str::to_owned)) };
            assert_eq!(answer, expected, "{fault:?} {class:?}");
            assert_eq!(double.taken().len(), usize::from(has), "{fault:?} {class:?}");
            assert_eq!(sink.taken().expect("a ledger").len(), usize::from(goes_on), "{fault:?} {class:?}");
            assert_eq!(double.asked(), 1, "{fault:?} {class:?}: the SDK asked again");
        }
    }
}

/// Cut off while the request is written: nobody knows how much of it was read, so it is unknown too.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_cut_off_never_goes_elsewhere() {
    let (double, (sink, _folder)) = (SesDouble::start(|_| ClosesBefore).await, sink().await);
    let providers = Providers::try_new(vec![ses(&double, None, None), smtp(&sink)], Vec::new()).expect("providers");
    let answer = outcome(hand_over(&providers, Class::Marketing, 1).await);
    assert_eq!(answer, ("ses".to_owned(), Some("request: connection lost".to_owned())));
    assert_eq!((double.taken().len(), sink.taken().expect("a ledger").len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_away_or_throttles_is_left_alone_for_a_while() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let double = SesDouble::start(|_| Refuses(429, "TooManyRequestsException", "slow down")).await;
    for (url, cause, asked) in [
        (Some(format!("http://{free}")), "connect: connection lost", 0),
        (None, "request 429 TooManyRequestsException", 5),
    ] {
        let (sink, _folder) = sink().await;
        let list = vec![ses(&double, url.as_deref(), None), smtp(&sink)];
        let providers = Providers::try_new(list, Vec::new()).expect("providers");
        for number in 0..12 {
            assert_eq!(outcome(hand_over(&providers, Class::Marketing, number).await), ("smtp".to_owned(), None));
        }
        let status = &providers.status()[0];
        assert_eq!((status.breaker.word, status.breaker.cause.as_deref()), ("open", Some(cause)), "{status:?}");
        assert_eq!((double.asked(), sink.taken().expect("a ledger").len()), (asked, 12));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_is_that_of_smtp_and_ses_is_told_whose_it_is() {
    let (double, (sink, _folder)) = (SesDouble::start(|_| Takes).await, sink().await);
    let by_ses = Providers::try_new(vec![ses(&double, None, None)], Vec::new()).expect("providers");
    let by_smtp = Providers::try_new(vec![smtp(&sink)], Vec::new()).expect("providers");
    match hand_over(&by_ses, Class::Marketing, 7).await {
        Handed::Answered { answer: Ok(accepted), .. } => {
            assert_eq!(accepted.provider_id.as_deref(), Some("0100018c-000001-000000"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(hand_over(&by_smtp, Class::Marketing, 7).await, Handed::Answered { answer: Ok(_), .. }));
    let mailbox = sink.mailbox();
    let kept = mailbox.read(mailbox.numbers().expect("messages")[0]).expect("a message").expect("it is kept");
    let mail = &double.taken()[0];
    assert_eq!(mail.message, kept.message);
    assert_eq!((&mail.feedback, &mail.recipient), (&kept.envelope[0].sender, &kept.envelope[0].recipient));
    assert_eq!(mail.configuration_set, "mails");
    let tags = [("intent", "a".repeat(32)), ("tenant", "acme".to_owned()), ("class", "marketing".to_owned())];
    assert_eq!(mail.tags, tags.map(|(name, value)| (name.to_owned(), value)).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_asks_whether_the_account_is_ours() {
    let double = SesDouble::start(|_| Takes).await;
    let check = async |options: ProviderOptions| {
        Providers::try_new(vec![options], Vec::new())
            .expect("providers")
            .check()
            .await
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(ses(&double, None, None)).await, Ok(()));
    let refused = check(ses(&double, None, Some("AKIDSTRANGER"))).await.expect_err("a wrong key");
    let parts = ["provider ses", "403 UnrecognizedClientException", "security token", "credentials", &double.url()];
    for part in parts {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    assert!(!refused.contains("geheim") && !refused.contains("AKIDSTRANGER"), "{refused}");
    let mut other = ses(&double, None, None);
    if let TransportOptions::Ses(options) = &mut other.transport {
        options.configuration_set = Some("others".to_owned());
    }
    let refused = check(other).await.expect_err("a wrong configuration set");
    assert!(refused.contains("404 NotFoundException: Configuration set does not exist"), "{refused}");
    // What may pass is no reason to stay away.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    assert_eq!(check(ses(&double, Some(&format!("http://{free}")), None)).await, Ok(()));
    let suspended = SesDouble::suspended().await;
    assert_eq!(check(ses(&suspended, None, None)).await, Ok(()), "it is logged");
}
