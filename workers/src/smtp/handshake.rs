//! From nothing to a connection on which mails may be sent: address, TCP, TLS, EHLO, AUTH.

use super::{
    Connection, Failure, Kind, Security, SmtpOptions, Stage, auth, capabilities::Capabilities, stream::Stream,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, TlsStream, rustls::pki_types::ServerName};

/// Addresses of one name that are tried, one after the other.
const ADDRESSES: usize = 4;

impl Connection {
    /// Connects, verifies, and logs in. Every failure says which stage it was; no mail was sent.
    pub async fn open(options: &Arc<SmtpOptions>) -> Result<Self, Failure> {
        let stream = Stream::Plain(connect(options).await?);
        let mut this = Self {
            stream,
            inbox: Vec::with_capacity(1024),
            outbox: Vec::new(),
            options: options.clone(),
            capabilities: Capabilities::default(),
            opened: Instant::now(),
            tried: 0,
            needs_reset: false,
            ahead: false,
            broken: false,
        };
        if options.security == Security::ImplicitTls {
            this = this.encrypt().await?;
        }
        let greeting = this.answer(Stage::Greeting, options.timeouts.greeting).await?;
        if greeting.code != 220 {
            return Err(Failure::refused(Stage::Greeting, greeting));
        }
        this.greet().await?;
        if options.security == Security::StartTls {
            this = this.start_tls().await?;
            // What was offered before TLS could have come from anybody (RFC 3207 4.2).
            this.greet().await?;
        }
        if let Some(credentials) = &options.credentials {
            auth::log_in(&mut this, credentials).await?;
        }
        Ok(this)
    }

    async fn greet(&mut self) -> Result<(), Failure> {
        let command = format!("EHLO {}\r\n", self.options.ehlo_name);
        let reply = self.ask(Stage::Ehlo, command.as_bytes(), self.options.timeouts.command).await?;
        if reply.code != 250 {
            return Err(Failure::refused(Stage::Ehlo, reply));
        }
        self.capabilities = Capabilities::of(&reply);
        Ok(())
    }

    async fn start_tls(mut self) -> Result<Self, Failure> {
        if !self.capabilities.starttls {
            let detail = "STARTTLS is not offered, and nothing is sent without it; use the port for implicit TLS";
            return Err(Failure::new(Stage::Tls, Kind::NotOffered, detail));
        }
        let reply = self.ask(Stage::Tls, b"STARTTLS\r\n", self.options.timeouts.command).await?;
        if reply.code != 220 {
            return Err(Failure::refused(Stage::Tls, reply));
        }
        // Bytes from before TLS must never be read as if they came through it.
        if !self.inbox.is_empty() {
            let detail = "something was sent in the clear after the answer to STARTTLS; somebody is on the line";
            return Err(Failure::new(Stage::Tls, Kind::Malformed, detail));
        }
        self.encrypt().await
    }

    async fn encrypt(self) -> Result<Self, Failure> {
        let Stream::Plain(tcp) = self.stream else { return Ok(self) };
        let name = ServerName::try_from(self.options.bare_host().to_owned())
            .map_err(|error| Failure::new(Stage::Tls, Kind::Unverified, format!("the host is no name: {error}")))?;
        let connector = TlsConnector::from(self.options.roots.config());
        let stream = match timeout(self.options.timeouts.tls, connector.connect(name, tcp)).await {
            Ok(Ok(stream)) => Stream::Tls(Box::new(TlsStream::Client(stream))),
            Ok(Err(error)) => return Err(Failure::broken(Stage::Tls, &error)),
            Err(_) => return Err(Failure::timed_out(Stage::Tls)),
        };
        Ok(Self { stream, ..self })
    }
}

async fn connect(options: &SmtpOptions) -> Result<TcpStream, Failure> {
    let host = options.bare_host();
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, options.port)],
        Err(_) => match timeout(options.timeouts.connect, lookup_host((host, options.port))).await {
            Ok(Ok(found)) => found.take(ADDRESSES).collect(),
            Ok(Err(error)) => return Err(Failure::broken(Stage::Resolve, &error)),
            Err(_) => return Err(Failure::timed_out(Stage::Resolve)),
        },
    };
    if options.security == Security::PlainForLoopbackOnly && !found.iter().all(|address| address.ip().is_loopback()) {
        let detail = "without TLS only this machine is spoken to; choose implicit TLS or STARTTLS";
        return Err(Failure::new(Stage::Connect, Kind::Unverified, detail));
    }
    let mut last = Failure::new(Stage::Resolve, Kind::Lost, "the name has no address");
    for address in found {
        match timeout(options.timeouts.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it each mail waits 40 ms for the other side's delayed acknowledgement.
                stream.set_nodelay(true).map_err(|error| Failure::broken(Stage::Connect, &error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = Failure::broken(Stage::Connect, &error),
            Err(_) => last = Failure::timed_out(Stage::Connect),
        }
    }
    Err(last)
}
