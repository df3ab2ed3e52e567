//! Signatures, verified by mail-auth with its own cryptography and the records that would be published.

use super::*;
use crate::mail::dkim::{Algorithm, DkimError, DkimKey, Signer};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
    common::{parse::TxtRecordParser, verify::DomainKey},
    hickory_resolver::config::{ResolverConfig, ResolverOpts},
};
use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, OnceLock},
};

/// The records of a domain, as if they were published.
struct Published(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Published {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

/// Made once: a key of 2048 bits takes its time.
fn signer() -> Arc<Signer> {
    static SIGNER: OnceLock<Arc<Signer>> = OnceLock::new();
    let make = || {
        let keys = vec![
            DkimKey::generate("r1", Algorithm::RsaSha256).unwrap(),
            DkimKey::generate("e1", Algorithm::Ed25519Sha256).unwrap(),
        ];
        Arc::new(Signer::try_new(domain("shop.example"), keys).unwrap())
    };
    SIGNER.get_or_init(make).clone()
}

fn signing() -> Desk {
    let composer = Composer::new(domain("bounce.shop.example"), Limits::default(), Some(signer()));
    Desk { composer, ..Desk::new() }
}

/// What an independent verifier says of each signature.
async fn verdicts(message: &[u8]) -> Vec<bool> {
    let record = |(name, value): (String, String)| {
        let key = DomainKey::parse(value.as_bytes()).unwrap();
        (format!("{name}.").into_boxed_str(), Txt::DomainKey(Arc::new(key)))
    };
    let published = Published(signer().records().into_iter().map(record).collect());
    // Without name servers: only what is published here is found.
    let nowhere = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    let verifier = MessageAuthenticator::new(nowhere, ResolverOpts::default()).unwrap();
    let message = AuthenticatedMessage::parse(message).unwrap();
    let outputs = verifier.verify_dkim(Parameters::new(&message).with_txt_cache(&published)).await;
    outputs.iter().map(|output| output.result() == &DkimResult::Pass).collect()
}

#[tokio::test]
async fn check_31_each_signature_verifies() {
    let desk = signing();
    for letter in [desk.marketing(), desk.transactional()] {
        let message = desk.compose(&letter);
        assert_eq!(verdicts(message.as_bytes()).await, [true, true], "{message}");
    }
    // A header in UTF-8, and a body that ends in empty lines.
    let to = mailbox("", "jörg@x.example");
    let text = format!("{LINK}  \n\n\n");
    let message = desk.compose(&Letter { to: &to, text: Some(&text), ..desk.marketing() });
    assert_eq!(verdicts(message.as_bytes()).await, [true, true]);
}

#[tokio::test]
async fn check_31_a_signature_survives_what_mail_systems_do() {
    let message = signing().compose(&signing().marketing());
    let refolded = message.replace("List-Id: <", "list-id:   \r\n\t<");
    assert_ne!(message, refolded);
    let extended = format!("Received: by mx.example\r\n{message}\r\n\r\n");
    for passed in [refolded, extended] {
        assert_eq!(verdicts(passed.as_bytes()).await, [true, true], "{passed}");
    }
}

#[test]
fn check_32_the_signature_is_of_the_senders_domain() {
    let desk = signing();
    for (from, aligned) in [
        ("a@shop.example", true),
        ("a@news.shop.example", true),
        ("a@other.example", false),
        ("a@workshop.example", false),
    ] {
        let from = mailbox("", from);
        let composed = desk.composer.compose(&Letter { from: &from, ..desk.marketing() });
        assert_eq!(composed.is_ok(), aligned, "{from:?}");
    }
}

#[test]
fn check_33_and_34_the_signed_headers_are_listed() {
    let message = signing().compose(&signing().marketing());
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n\t", " ").replace("\r\n ", " ");
    let signatures: Vec<&str> =
        unfolded.split("\r\n").filter_map(|line| line.strip_prefix("DKIM-Signature: ")).collect();
    assert_eq!(signatures.len(), 2);
    for (signature, algorithm, selector) in
        [(signatures[0], "rsa-sha256", "r1"), (signatures[1], "ed25519-sha256", "e1")]
    {
        let tags: HashMap<&str, String> = signature
            .split(';')
            .map(|tag| tag.trim().split_once('=').unwrap())
            .map(|(name, value)| (name, value.split_whitespace().collect()))
            .collect();
        let listed: Vec<&str> = tags["h"].split(':').collect();
        for name in [
            "from",
            "to",
            "subject",
            "date",
            "message-id",
            "mime-version",
            "content-type",
            "list-unsubscribe",
            "list-unsubscribe-post",
            "list-id",
            "feedback-id",
        ] {
            assert_eq!(
                listed.iter().filter(|listed| **listed == name).count(),
                2,
                "{name} is there once and listed once more"
            );
        }
        assert_eq!(listed.iter().filter(|listed| **listed == "reply-to").count(), 1, "so that nobody adds one");
        assert_eq!((&tags["a"][..], &tags["c"][..], &tags["d"][..]), (algorithm, "relaxed/relaxed", "shop.example"));
        assert_eq!((&tags["s"][..], &tags["t"][..], tags.get("l")), (selector, "1795315800", None));
    }
    head.split("\r\n").for_each(|line| assert!(line.len() <= 78 || line.contains("https://"), "{line}"));
}

#[tokio::test]
async fn check_35_a_changed_message_does_not_verify() {
    let message = signing().compose(&signing().marketing());
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    let changes = [
        ("From: \"Acme", "From: \"Bcme"),
        ("To: ", "To: x"),
        ("Date: Sun, 22", "Date: Mon, 23"),
        ("Message-ID: <", "Message-ID: <x"),
        ("MIME-Version: 1.0", "MIME-Version: 1.1"),
        ("Content-Type: multipart/alternative", "Content-Type: multipart/mixed"),
        ("List-Unsubscribe: <https://shop", "List-Unsubscribe: <https://evil"),
        ("One-Click", "No-Click"),
        ("List-Id: <news", "List-Id: <olds"),
        ("Feedback-ID: spring", "Feedback-ID: autumn"),
        ("From: ", "From: evil@x.example\r\nFrom: "),
        ("Subject: ", "Subject: won\r\nSubject: "),
        ("MIME-Version", "Reply-To: evil@x.example\r\nMIME-Version"),
        ("t=1795315800", "t=1795315801"),
    ];
    for (old, new) in changes {
        let changed = message.replace(old, new);
        assert_ne!(changed, message, "{old}");
        let verdicts = verdicts(changed.as_bytes()).await;
        assert!(!verdicts.contains(&true), "{old:?} became {new:?} and nobody noticed");
    }
    // Any byte of the body that is no white space.
    let from = message.len() - body.len();
    for at in (from..message.len()).step_by(37).filter(|at| message.as_bytes()[*at].is_ascii_alphanumeric()) {
        let mut changed = message.clone().into_bytes();
        changed[at] = if changed[at] == b'z' { b'y' } else { b'z' };
        assert!(!verdicts(&changed).await.contains(&true), "byte {at}");
    }
    let added = format!("{message}more\r\n");
    assert!(!verdicts(added.as_bytes()).await.contains(&true));
}

#[test]
fn check_34_keys_are_one_rsa_and_perhaps_one_other() {
    let key = |selector: &str, algorithm| DkimKey::generate(selector, algorithm).unwrap();
    let (rsa, ed) = (Algorithm::RsaSha256, Algorithm::Ed25519Sha256);
    let make = |keys| Signer::try_new(domain("shop.example"), keys);
    assert!(make(vec![key("a", ed)]).is_err() && make(Vec::new()).is_err());
    assert_eq!(make(vec![key("a", rsa), key("a", ed)]).unwrap_err(), DkimError::Keys);
    let signer = make(vec![key("a", rsa)]).unwrap();
    let (name, value) = signer.records().remove(0);
    assert_eq!(name, "a._domainkey.shop.example");
    assert!(value.starts_with("v=DKIM1; k=rsa; p=MIIBIj"), "{value}");
    assert_eq!(signer.sign(b"no header", AT), Err(DkimError::NoHeader));
}

#[tokio::test]
async fn check_31_what_a_provider_receives_still_verifies() {
    use crate::smtp::{
        Pool, Roots, Security, SmtpOptions,
        sink::{Sink, SinkOptions},
    };
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path(), SinkOptions::default()).await.unwrap();
    let port = sink.address().port();
    let name = domain("worker.millrace.example");
    let options = SmtpOptions::new("127.0.0.1", port, Security::PlainForLoopbackOnly, name, Roots::none().unwrap());
    let composed = signing().composer.compose(&signing().marketing()).unwrap();
    Pool::new(options, 1).send(&composed.envelope, &composed.message).await.unwrap();
    let kept = sink.mailbox().read(1).unwrap().unwrap();
    assert_eq!(kept.message, composed.message);
    assert_eq!(verdicts(&kept.message).await, [true, true]);
    assert_eq!(Token::found_in(&kept.envelope[0].message_id), Some(signing().token));
    assert_eq!(Token::found_in(&kept.envelope[0].sender), Some(signing().token));
}
