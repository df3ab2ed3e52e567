//! A double of the hosts of Amazon SNS: an authority of its own, a server over TLS that gives the certificate messages are signed
//! with, and messages of SES signed as SNS signs them (version 2).

use super::pem;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
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
use workers::mail::sns::Envelope;

const HOST: &str = "sns.eu-west-1.amazonaws.com";
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mails";

pub(crate) struct SnsDouble {
    key: RsaKeyPair,
    address: SocketAddr,
    authority: PathBuf,
}

impl SnsDouble {
    /// The authority's certificate is written into the folder.
    pub(crate) async fn start(dir: &Path) -> Self {
        let own = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        let root = params.self_signed(&own).expect("a root").der().clone();
        let issuer = rcgen::Issuer::new(params, own);
        let certificate = |name: &str, key: &rcgen::KeyPair| {
            let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            params.signed_by(key, &issuer).expect("a certificate").der().clone()
        };
        let key = signing_key();
        let signing = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key.1, &rcgen::PKCS_RSA_SHA256).expect("a key");
        let page = pem("CERTIFICATE", &certificate("sns.amazonaws.com", &signing));
        let host_key = rcgen::KeyPair::generate().expect("a key");
        let host = certificate(HOST, &host_key);
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(host_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![host], private)
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                _ = stream.read(&mut [0; 2_048]).await;
                let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{page}");
                _ = stream.write_all(answer.as_bytes()).await;
                _ = stream.shutdown().await;
            }
        });
        let authority = dir.join("authority.pem");
        std::fs::write(&authority, pem("CERTIFICATE", &root)).expect("the authority's certificate");
        Self { key: key.0, address, authority }
    }

    /// For a platform that takes messages of the topic for this tenant.
    pub(crate) fn environment(&self, tenant: &str) -> Vec<(&'static str, String)> {
        vec![
            ("MILLRACE_SNS_TOPICS", format!("{tenant}={TOPIC}")),
            ("MILLRACE_SNS_ADDRESS", self.address.to_string()),
            ("SSL_CERT_FILE", self.authority.display().to_string()),
        ]
    }

    /// Signed as SNS signs it.
    pub(crate) fn signed(&self, message: Value) -> Value {
        signed(&self.key, message)
    }
}

/// By somebody whom nobody knows.
pub(crate) fn signed_by_a_stranger(message: Value) -> Value {
    signed(&signing_key().0, message)
}

/// A notification with an event of SES, of now.
pub(crate) fn notification(id: &str, event: &Value) -> Value {
    let now = bus_schema::time::Clock::System.now().to_string();
    json!({"Type": "Notification", "MessageId": id, "TopicArn": TOPIC, "Message": event.to_string(), "Timestamp": now,
        "SignatureVersion": "2", "SigningCertURL": format!("https://{HOST}/SimpleNotificationService-0123456789abcdef.pem")})
}

pub(crate) fn confirmation() -> Value {
    let mut message = notification("confirmation", &json!({}));
    message["Type"] = json!("SubscriptionConfirmation");
    message["Token"] = json!("t");
    message["SubscribeURL"] = json!(format!("https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"));
    message
}

fn signing_key() -> (RsaKeyPair, PrivatePkcs8KeyDer<'static>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("its bytes");
    let der = PrivatePkcs8KeyDer::from(der.as_ref().to_vec());
    (RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key"), der)
}

fn signed(key: &RsaKeyPair, mut message: Value) -> Value {
    message["Signature"] = json!("AAAA");
    let text = Envelope::read(message.to_string().as_bytes()).expect("an envelope").signed_text();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("a signature");
    message["Signature"] = json!(BASE64_STANDARD.encode(signature));
    message
}
