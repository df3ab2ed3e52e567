//! The client against sinks on real sockets, with and without TLS.

mod ahead;
mod debian;
mod pool;
mod stages;
mod tls;
mod wire;

use super::{
    Connection, Credentials, Envelope, Failure, Kind, Roots, Security, SmtpOptions, Stage, Timeouts, permits,
    sink::{Act, Faults, Point, Sink, SinkOptions, TlsStart},
};
use crate::mail::{Domain, MailAddress};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A certificate authority and what a server of the name needs.
struct Identity {
    root: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

impl Identity {
    fn of(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        let root = authority.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        let server_key = rcgen::KeyPair::generate().unwrap();
        let leaf =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .unwrap();
        Self { root: root.der().clone(), server: Arc::new(server) }
    }

    fn roots(&self) -> Roots {
        Roots::of(vec![self.root.clone()]).unwrap()
    }
}

async fn sink(options: SinkOptions) -> (Sink, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Sink::start(folder.path(), options).await.unwrap(), folder)
}

async fn faulty(faults: Faults) -> (Sink, TempDir) {
    sink(SinkOptions { faults, ..SinkOptions::default() }).await
}

fn say(reply: &str) -> Act {
    Act::Say(reply.to_owned())
}

fn ehlo_name() -> Domain {
    Domain::try_new("worker.millrace.example").unwrap()
}

/// Without TLS, with little patience.
fn plain(sink: &Sink) -> SmtpOptions {
    let port = sink.address().port();
    let options =
        SmtpOptions::new("127.0.0.1", port, Security::PlainForLoopbackOnly, ehlo_name(), Roots::none().unwrap());
    let within = Duration::from_secs(5);
    let timeouts = Timeouts {
        connect: within,
        tls: within,
        greeting: within,
        command: within,
        mail: within,
        rcpt: within,
        data: within,
        block: within,
        dot: within,
    };
    SmtpOptions { timeouts, ..options }
}

fn secured(sink: &Sink, security: Security, roots: Roots) -> SmtpOptions {
    SmtpOptions { host: "localhost".to_owned(), security, roots, ..plain(sink) }
}

async fn open(options: SmtpOptions) -> Result<Connection, Failure> {
    Connection::open(&Arc::new(options)).await
}

fn envelope(recipient: &str) -> Envelope {
    let sender = Some(MailAddress::try_new("b-token@bounce.shop.example").unwrap());
    Envelope { sender, recipient: MailAddress::try_new(recipient).unwrap() }
}

fn message(id: &str) -> Vec<u8> {
    format!("Message-ID: <{id}@shop.example>\r\nSubject: hello\r\n\r\n.one dot\r\n.\r\nend\r\n").into_bytes()
}

/// The commands of a transcript without the numbers of the connections.
fn commands(sink: &Sink) -> Vec<String> {
    sink.transcript().iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

fn nothing_was_sent(sink: &Sink) {
    assert_eq!(sink.taken().unwrap(), []);
    assert!(!commands(sink).iter().any(|command| command.contains("MAIL")), "{:?}", sink.transcript());
}
