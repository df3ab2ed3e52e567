//! Messages of SNS with certificates of an authority of our own, given by a server on this machine over TLS.

use super::*;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bus_schema::time::Clock;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

const HOST: &str = "sns.eu-west-1.amazonaws.com";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mails";
const NOW: Micros = Micros(1_800_000_000_000_000);

/// An authority, and what it signed.
struct Authority {
    root: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: rcgen::Issuer::new(params, key) }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        roots
    }

    fn certificate(&self, name: &str, key: &rcgen::KeyPair) -> rcgen::Certificate {
        rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(key, &self.issuer).unwrap()
    }

    /// A key that messages are signed with, and its certificate in PEM.
    fn signer(&self, name: &str) -> (RsaKeyPair, String) {
        use aws_lc_rs::encoding::AsDer;
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let der = PrivatePkcs8KeyDer::from(der.as_ref().to_vec());
        let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = STANDARD.encode(self.certificate(name, &key).der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
        (RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap(), pem)
    }
}

/// A server that gives one page to whoever asks for an address of SNS; counts how often.
async fn serve(authority: &Authority, page: String) -> (std::net::SocketAddr, Arc<AtomicU32>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = authority.certificate(HOST, &key).der().clone();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], private)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 2_048];
            _ = stream.read(&mut request).await;
            count.fetch_add(1, Ordering::Relaxed);
            let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{page}");
            _ = stream.write_all(answer.as_bytes()).await;
            _ = stream.shutdown().await;
        }
    });
    (address, asked)
}

fn signed(key: &RsaKeyPair, mut message: Value) -> Vec<u8> {
    message["Signature"] = json!(STANDARD.encode([0; 4]));
    let text = Envelope::read(message.to_string().as_bytes()).unwrap().signed_text();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    message["Signature"] = json!(STANDARD.encode(signature));
    message.to_string().into_bytes()
}

fn notification(id: &str) -> Value {
    json!({"Type": "Notification", "MessageId": id, "TopicArn": TOPIC, "Message": "{\"eventType\":\"Send\"}",
        "Timestamp": NOW.to_string(), "SignatureVersion": "2", "UnsubscribeURL": "https://x.example/",
        "SigningCertURL": format!("https://{HOST}/SimpleNotificationService-0123456789abcdef.pem")})
}

fn confirmation() -> Value {
    let mut message = notification("c1");
    message["Type"] = json!("SubscriptionConfirmation");
    message["Token"] = json!("t");
    message["SubscribeURL"] = json!(format!("https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"));
    message
}

/// Everything but the log: a notification that says nothing of a mail needs none.
struct Desk {
    certificates: Certificates,
    key: RsaKeyPair,
    asked: Arc<AtomicU32>,
}

impl Desk {
    async fn new(name: &str) -> Self {
        let authority = Authority::new();
        let (key, pem) = authority.signer(name);
        let (address, asked) = serve(&authority, pem).await;
        let fetcher = Fetcher::trusting(authority.roots(), Some(address)).unwrap();
        Self { certificates: Certificates::new(fetcher), key, asked }
    }

    /// Whether a message's signature is believed.
    async fn believes(&self, body: &[u8]) -> Result<bool, String> {
        let envelope = Envelope::read(body).map_err(|error| error.to_string())?;
        let certificate = self.certificates.get(&envelope, NOW).await.map_err(|error| error.to_string())?;
        Ok(certificate.signed(envelope.is_sha1(), envelope.signed_text().as_bytes(), envelope.signature()))
    }
}

#[tokio::test]
async fn check_56_a_signature_is_checked_with_a_certificate_that_is_checked() {
    let desk = Desk::new("sns.amazonaws.com").await;
    for message in [notification("m1"), confirmation()] {
        let body = signed(&desk.key, message.clone());
        assert_eq!(desk.believes(&body).await, Ok(true));
        // What is signed cannot be changed.
        let sent: Value = serde_json::from_slice(&body).unwrap();
        for field in ["Message", "MessageId", "Timestamp", "TopicArn"] {
            let mut forged = sent.clone();
            let changed = sent[field].as_str().unwrap().replace("123456789012", "123456789013") + "x";
            forged[field] = json!(changed);
            assert_eq!(desk.believes(forged.to_string().as_bytes()).await, Ok(false), "{field}");
        }
        let mut forged = sent.clone();
        forged["Subject"] = json!("new");
        let counts = sent["Type"] != "Notification";
        assert_eq!(
            desk.believes(forged.to_string().as_bytes()).await,
            Ok(counts),
            "a subject is signed in notifications"
        );
    }
    assert_eq!(desk.asked.load(Ordering::Relaxed), 1, "a certificate is fetched once");
    let stranger = Authority::new().signer("sns.amazonaws.com").0;
    assert_eq!(desk.believes(&signed(&stranger, notification("m1"))).await, Ok(false));
}

#[tokio::test]
async fn check_56_a_certificate_of_another_name_or_authority_is_not_believed() {
    let other = Desk::new("sqs.amazonaws.com").await;
    let refused = other.believes(&signed(&other.key, notification("m1"))).await.unwrap_err();
    assert!(refused.contains("not one of SNS"), "{refused}");
    // Signed by an authority nobody trusts, given by a host everybody trusts.
    let (trusted, untrusted) = (Authority::new(), Authority::new());
    let (key, pem) = untrusted.signer("sns.amazonaws.com");
    let (address, _) = serve(&trusted, pem).await;
    let fetcher = Fetcher::trusting(trusted.roots(), Some(address)).unwrap();
    let desk = Desk { certificates: Certificates::new(fetcher), key, asked: Arc::default() };
    assert!(desk.believes(&signed(&desk.key, notification("m1"))).await.unwrap_err().contains("not one of SNS"));
    // A host nobody trusts is not even listened to.
    let (address, asked) = serve(&untrusted, String::new()).await;
    let fetcher = Fetcher::trusting(trusted.roots(), Some(address)).unwrap();
    let desk = Desk { certificates: Certificates::new(fetcher), key: desk.key, asked };
    assert!(desk.believes(&signed(&desk.key, notification("m1"))).await.unwrap_err().contains("cannot be asked"));
    assert_eq!(desk.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn check_56_addresses_are_those_of_sns_in_the_topics_region() {
    let of = |url: String| {
        let mut message = notification("m1");
        message["Signature"] = json!("AAAA");
        message["SigningCertURL"] = json!(url);
        Envelope::read(message.to_string().as_bytes()).unwrap().certificate_path()
    };
    let name = "SimpleNotificationService-0aF.pem";
    assert_eq!(of(format!("https://{HOST}/{name}")), Ok(format!("/{name}")));
    for wrong in [
        format!("http://{HOST}/{name}"),
        format!("https://{HOST}.evil.example/{name}"),
        format!("https://evil.example/{name}"),
        format!("https://sns.us-east-1.amazonaws.com/{name}"),
        format!("https://{HOST}:444/{name}"),
        format!("https://{HOST}@evil.example/{name}"),
        format!("https://user@{HOST}/{name}"),
        format!("https://{HOST}/x/{name}"),
        format!("https://{HOST}/{name}?x"),
        format!("https://{HOST}/SimpleNotificationService-.pem"),
        format!("https://{HOST}/SimpleNotificationService-../x.pem"),
        format!("https://{HOST}/other.pem"),
    ] {
        assert_eq!(of(wrong.clone()), Err(EnvelopeRefused::CertificateUrl), "{wrong}");
    }
    let subscribe = |url: &str| {
        let mut message = confirmation();
        message["Signature"] = json!("AAAA");
        message["SubscribeURL"] = json!(url);
        Envelope::read(message.to_string().as_bytes()).unwrap().subscribe_url()
    };
    assert!(subscribe(&format!("https://{HOST}/?Action=ConfirmSubscription")).is_ok());
    for wrong in ["https://evil.example/?a", &format!("https://{HOST}/other"), "http://127.0.0.1/?a", ""] {
        assert_eq!(subscribe(wrong), Err(EnvelopeRefused::SubscribeUrl), "{wrong}");
    }
    for broken in
        [json!({}), json!({"Type": "Notification"}), json!({"notificationType": "Bounce", "mail": {}}), json!([1])]
    {
        assert!(Envelope::read(broken.to_string().as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn check_56_a_message_is_not_old() {
    let at = |seconds: i64| timely(&NOW.plus_seconds(seconds).to_string(), NOW).is_ok();
    assert!(at(0) && at(-3_599) && at(299));
    assert!(!at(-3_601) && !at(301));
    assert!(matches!(timely("yesterday", NOW), Err(SnsRefused::Time)));
    _ = Clock::manual(NOW);
}
