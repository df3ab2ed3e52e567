//! Connections that are none: nothing of a mail is said before TLS is verified. What SES answers is tried over whole providers
//! (`tests/contracts/ses.rs`).

use super::*;
use crate::{
    mail::{Class, MailAddress},
    smtp::{FailOver, permits},
};
use base64::Engine;
use bus_schema::TenantId;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use zeroize::Zeroizing;

/// A server with a certificate for a name; gives its address, the certificate in PEM, and how many bytes it read.
async fn serve(name: &str) -> (std::net::SocketAddr, Vec<u8>, Arc<AtomicUsize>) {
    let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], private)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, read) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = read.clone();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = vec![0; 64 << 10];
            while !String::from_utf8_lossy(&request).contains("EmailTags") {
                let got = stream.read(&mut request).await.unwrap_or(0);
                count.fetch_add(got, Ordering::Relaxed);
                if got == 0 {
                    break;
                }
            }
            let answer = "{\"MessageId\":\"m1\"}";
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
            _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
            _ = stream.shutdown().await;
        }
    });
    let pem = base64::prelude::BASE64_STANDARD.encode(certified.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    (address, pem.into_bytes(), read)
}

fn account(endpoint: &str, trusted: Option<Vec<u8>>) -> Ses {
    let secret_key = Zeroizing::new("secret".to_owned());
    let credentials = SesCredentials { access_key: "AKID".into(), secret_key, session_token: None };
    let mut options = SesOptions::try_new("eu-west-1", Some(endpoint), None, credentials).unwrap();
    (options.trusted, options.connect) = (trusted, Duration::from_secs(2));
    Ses::try_new(options).unwrap()
}

async fn send(ses: &Ses, recipient: &str, message: &str) -> Result<Accepted, Failure> {
    let tenant = TenantId::try_new("acme").unwrap();
    let origin = Origin { tenant: &tenant, class: Class::Marketing };
    let sender = Some(MailAddress::try_new("b-token@bounce.shop.example").unwrap());
    let envelope = Envelope { sender, recipient: MailAddress::try_new(recipient).unwrap() };
    ses.send(&origin, &envelope, message.as_bytes()).await
}

const MAIL: &str = "Message-ID: <1@shop.example>\r\nSubject: hello\r\n\r\ntext\r\n";

#[tokio::test]
async fn check_1_without_verified_tls_nothing_is_said() {
    let (address, pem, read) = serve("127.0.0.1").await;
    let url = format!("https://{address}");
    let taken = send(&account(&url, Some(pem)), "anna@x.example", MAIL).await.unwrap();
    assert_eq!(taken.provider_id.as_deref(), Some("m1"));
    let before = read.load(Ordering::Relaxed);
    // Nobody trusts it; it is somebody else's; it speaks no TLS.
    let (_, stranger, _) = serve("127.0.0.1").await;
    let (elsewhere, its_own, heard) = serve("other.example").await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_url = format!("https://{}", plain.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    for (url, trusted) in [(url, stranger.clone()), (format!("https://{elsewhere}"), its_own), (plain_url, stranger)] {
        let failure = send(&account(&url, Some(trusted)), "anna@x.example", MAIL).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Tls, Kind::Unverified), "{url} {failure}");
        assert!(!permits(&failure).unknown && permits(&failure).fail_over == FailOver::Yes);
    }
    assert_eq!((read.load(Ordering::Relaxed), heard.load(Ordering::Relaxed)), (before, 0));
}

#[tokio::test]
async fn a_connection_that_was_never_made_took_nothing() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = send(&account(&format!("http://{free}"), None), "anna@x.example", MAIL).await.unwrap_err();
    assert_eq!(refused.code(), "connect: connection lost", "{refused}");
    // It takes connections and never shakes hands.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let late = send(&account(&url, None), "anna@x.example", MAIL).await.unwrap_err();
    assert_eq!(late.code(), "connect: no answer in time", "{late}");
    let nowhere = send(&account("https://nowhere.invalid", None), "anna@x.example", MAIL).await.unwrap_err();
    assert_eq!(nowhere.stage, Stage::Connect, "{nowhere}");
    for failure in [refused, late, nowhere] {
        assert!(!permits(&failure).unknown, "{failure}");
    }
}

#[tokio::test]
async fn what_ses_cannot_take_is_not_handed_over() {
    let ses = account("http://127.0.0.1:9", None);
    for (recipient, message, kind) in [
        ("ännä@x.example", MAIL, Kind::NotOffered),
        ("anna@x.example", "Subject: ä\r\n\r\nx\r\n", Kind::NotOffered),
        ("anna@x.example", "Subject: a\r\n\r\nä\r\n", Kind::NotOffered),
        ("anna@x.example", "Subject: a\n\nx", Kind::Unfit),
    ] {
        let failure = send(&ses, recipient, message).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Message, kind), "{recipient} {message}");
    }
}
