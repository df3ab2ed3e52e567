//! Stands before an S3 server and spoils some of its answers: real requests with real signatures, a real server behind.
//!
//! Only writes (PUT) are spoiled, and only those whose address holds a given part (`/seg/`, `/m/`). It passes on one request a
//! connection, so nothing of HTTP but heads and lengths has to be understood. It ends with its test's runtime.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What becomes of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// It is passed on as it is.
    Nothing,
    /// Taken and never answered; nothing is done.
    Hang,
    /// This status, with the code S3 has for it; nothing is done.
    Status(u16, &'static str),
    /// The connection is closed before anything is done.
    Drop,
    /// The server does it, and its answer is lost.
    ApplyAndDrop,
}

/// Which writes meet what.
struct Rule {
    part: &'static str,
    spoils: VecDeque<Spoil>,
}

#[derive(Clone)]
pub(crate) struct FaultProxy {
    pub(crate) port: u16,
    rules: Arc<Mutex<Vec<Rule>>>,
    spoiled: Arc<AtomicU32>,
}

impl FaultProxy {
    /// Before the server on this loopback port.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let proxy = Self { port, rules: Arc::default(), spoiled: Arc::default() };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let one = serving.clone();
                tokio::spawn(async move { _ = one.pass(stream, server).await });
            }
        });
        proxy
    }

    /// The next writes to addresses with this part meet these, one each.
    pub(crate) fn next(&self, part: &'static str, spoils: impl IntoIterator<Item = Spoil>) {
        let rule = Rule { part, spoils: spoils.into_iter().collect() };
        self.rules.lock().expect("not poisoned").push(rule);
    }

    /// How many writes were spoiled.
    pub(crate) fn spoiled(&self) -> u32 {
        self.spoiled.load(Ordering::SeqCst)
    }

    fn spoil(&self, head: &str) -> Spoil {
        let line = head.lines().next().unwrap_or_default();
        if !line.starts_with("PUT ") {
            return Spoil::Nothing;
        }
        let mut rules = self.rules.lock().expect("not poisoned");
        let rule = rules.iter_mut().find(|rule| line.contains(rule.part) && !rule.spoils.is_empty());
        rule.and_then(|rule| rule.spoils.pop_front()).unwrap_or(Spoil::Nothing)
    }

    async fn pass(&self, mut client: TcpStream, server: u16) -> std::io::Result<()> {
        let mut request = Vec::new();
        let end = loop {
            if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        if header("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while request.len() < end + length {
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let spoil = self.spoil(&head);
        self.spoiled.fetch_add(u32::from(spoil != Spoil::Nothing), Ordering::SeqCst);
        match spoil {
            Spoil::Hang => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Ok(());
            }
            Spoil::Drop => return Ok(()),
            Spoil::Status(status, code) => {
                let body = format!("<Error><Code>{code}</Code><Message>as asked for</Message></Error>");
                let head = format!(
                    "HTTP/1.1 {status} Answer\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: \
                     close\r\n\r\n",
                    body.len()
                );
                client.write_all(format!("{head}{body}").as_bytes()).await?;
                return client.shutdown().await;
            }
            Spoil::Nothing | Spoil::ApplyAndDrop => {}
        }
        let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
        // No signature covers these two.
        let mut lines = head.trim_end().lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("expect")
        });
        let first = lines.next().unwrap_or_default().to_owned();
        let rest: Vec<&str> = lines.collect();
        let forwarded = format!("{first}\r\nConnection: close\r\n{}\r\n\r\n", rest.join("\r\n"));
        upstream.write_all(forwarded.as_bytes()).await?;
        upstream.write_all(&request[end..end + length]).await?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await?;
        if spoil == Spoil::ApplyAndDrop {
            return Ok(());
        }
        client.write_all(&answer).await?;
        client.shutdown().await
    }
}
