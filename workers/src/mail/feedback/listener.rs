//! The SMTP server that bounces come back to: for the MX of the bounce domain, or behind a mail server that hands them on.
//!
//! It takes mail for addresses of mails that were really sent, and for nobody else (550). It says 250 when what the message says
//! is recorded, and 451 when that cannot be done now, so that its sender comes again. Nothing goes on from here.

use super::{Feedback, Noted, report::MAX_MESSAGE};
use crate::{
    mail::ReturnAddress,
    smtp::sink::{Command, Intake},
    worker::{Stop, Worker},
};
use std::{io, net::SocketAddr, ops::ControlFlow, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// Bytes of a command line (RFC 5321 4.5.3.1.4, with room for parameters).
const LINE_LIMIT: usize = 2_048;
/// Recipients of one message; a bounce has one.
const RECIPIENTS: usize = 10;
/// Commands and refused recipients of a connection.
const COMMANDS: u32 = 200;
const REFUSALS: u32 = 20;

/// The limits of the server.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// What it calls itself.
    pub host_name: String,
    /// At once.
    pub connections: usize,
    /// Without a word from the client, and for looking up an address or recording a report.
    pub idle: Duration,
    /// Of a whole connection.
    pub lifetime: Duration,
}

impl ListenerOptions {
    pub fn new(host_name: &str) -> Self {
        let (idle, lifetime) = (Duration::from_secs(60), Duration::from_secs(600));
        Self { host_name: host_name.to_owned(), connections: 50, idle, lifetime }
    }
}

/// A server that listens.
pub struct BounceListener {
    listener: TcpListener,
    options: ListenerOptions,
}

impl BounceListener {
    pub async fn open(address: SocketAddr, options: ListenerOptions) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, options })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the worker is stopped.
    pub fn start(self, feedback: Feedback) -> Worker {
        Worker::start("bounces", |stop| self.serve(feedback, stop))
    }

    async fn serve(self, feedback: Feedback, mut stop: Stop) {
        let (places, options) = (Arc::new(Semaphore::new(self.options.connections)), Arc::new(self.options));
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = sessions.join_next() => continue,
                () = stop.asked() => return,
            };
            let mut stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the server for bounces cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                _ = stream.try_write(b"421 4.3.2 too many connections\r\n");
                continue;
            };
            let (options, feedback) = (options.clone(), feedback.clone());
            sessions.spawn(async move {
                _ = stream.set_nodelay(true);
                let lifetime = options.lifetime;
                let session = Session::new(&mut stream, &options, &feedback);
                // An error is the client's connection, which is gone.
                if timeout(lifetime, session.run()).await.is_err() {
                    _ = stream.try_write(b"421 4.4.2 the connection took too long\r\n");
                }
                drop(place);
            });
        }
    }
}

struct Session<'a> {
    stream: &'a mut TcpStream,
    options: &'a ListenerOptions,
    feedback: &'a Feedback,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    greeted: bool,
    sending: bool,
    recipients: Vec<ReturnAddress>,
    commands: u32,
    refusals: u32,
}

/// Goes on, or the connection is over.
type Next = io::Result<ControlFlow<()>>;
const ON: Next = Ok(ControlFlow::Continue(()));
const OVER: Next = Ok(ControlFlow::Break(()));

impl<'a> Session<'a> {
    fn new(stream: &'a mut TcpStream, options: &'a ListenerOptions, feedback: &'a Feedback) -> Self {
        Self {
            stream,
            options,
            feedback,
            inbox: Vec::with_capacity(4_096),
            outbox: Vec::new(),
            greeted: false,
            sending: false,
            recipients: Vec::new(),
            commands: 0,
            refusals: 0,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        let greeting = format!("220 {} ESMTP", self.options.host_name);
        self.say(&greeting);
        loop {
            if !self.inbox.contains(&b'\n') {
                self.flush().await?;
            }
            let Some(line) = self.line().await? else { break };
            self.commands += 1;
            if self.commands > COMMANDS || self.refusals > REFUSALS {
                self.say("421 4.7.0 too many commands");
                break;
            }
            if self.obey(Command::parse(&line)).await?.is_break() {
                break;
            }
        }
        self.flush().await?;
        self.stream.shutdown().await
    }

    fn say(&mut self, line: &str) {
        self.outbox.extend_from_slice(line.as_bytes());
        self.outbox.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.outbox).await?;
        self.outbox.clear();
        Ok(())
    }

    /// Reads more; 0 when the client is gone or silent for too long.
    async fn read(&mut self) -> io::Result<usize> {
        match timeout(self.options.idle, self.stream.read_buf(&mut self.inbox)).await {
            Ok(read) => read,
            Err(_) => {
                self.say("421 4.4.2 nothing came for too long");
                Ok(0)
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.inbox) {
                let line: Vec<u8> = self.inbox.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").unwrap_or_default();
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if self.inbox.len() > LINE_LIMIT {
                self.say("421 5.5.2 the line is too long");
                return Ok(None);
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Next {
        match command {
            Command::Ehlo => {
                let lines =
                    [self.options.host_name.as_str(), "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
                let lines: Vec<String> = lines.iter().map(|line| format!("250-{line}")).collect();
                lines.iter().for_each(|line| self.say(line));
                self.say(&format!("250 SIZE {MAX_MESSAGE}"));
                self.greeted = true;
                self.reset();
            }
            Command::Helo => {
                self.greeted = true;
                self.reset();
                let answer = format!("250 {}", self.options.host_name);
                self.say(&answer);
            }
            Command::Mail { size, .. } => self.mail(size),
            Command::Rcpt(recipient) => self.rcpt(&recipient).await,
            Command::Data => return self.data().await,
            Command::Reset => {
                self.reset();
                self.say("250 2.0.0 forgotten");
            }
            Command::Noop => self.say("250 2.0.0 fine"),
            Command::Quit => {
                self.say("221 2.0.0 goodbye");
                return OVER;
            }
            Command::StartTls | Command::Auth(..) => self.say("502 5.5.1 not offered"),
            Command::Other(answer) => self.say(answer),
        }
        ON
    }

    fn reset(&mut self) {
        self.sending = false;
        self.recipients.clear();
    }

    /// Any sender: a report has none, and some servers forget that.
    fn mail(&mut self, size: Option<u64>) {
        if !self.greeted || self.sending {
            return self.say("503 5.5.1 not now");
        }
        if size.is_some_and(|size| size > MAX_MESSAGE as u64) {
            return self.say("552 5.3.4 the message is too large");
        }
        self.sending = true;
        self.say("250 2.1.0 sender ok");
    }

    async fn rcpt(&mut self, recipient: &str) {
        if !self.sending {
            return self.say("503 5.5.1 MAIL first");
        }
        if self.recipients.len() == RECIPIENTS {
            return self.say("452 4.5.3 too many recipients");
        }
        let found = match ReturnAddress::of_address(recipient) {
            None => Ok(Ok(None)),
            Some(verp) => {
                let find = timeout(self.options.idle, self.feedback.matcher().find(&verp)).await;
                find.map(|found| found.map(|found| found.map(|_| verp)))
            }
        };
        match found {
            Ok(Ok(Some(verp))) => {
                self.recipients.push(verp);
                self.say("250 2.1.5 recipient ok");
            }
            Ok(Ok(None)) => {
                self.refusals += 1;
                self.say("550 5.1.1 no mail was sent from this address");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "an address of a bounce cannot be looked up now");
                self.say("451 4.3.0 try again later");
            }
            Err(_) => self.say("451 4.3.0 try again later"),
        }
    }

    async fn data(&mut self) -> Next {
        if self.recipients.is_empty() {
            self.say(if self.sending { "554 5.5.1 no valid recipients" } else { "503 5.5.1 MAIL first" });
            return ON;
        }
        self.say("354 end with a dot on its own line");
        self.flush().await?;
        let mut intake = Intake::new(MAX_MESSAGE);
        loop {
            if self.inbox.is_empty() && self.read().await? == 0 {
                return OVER;
            }
            let ended = intake.feed(&self.inbox);
            self.inbox.drain(..ended.unwrap_or(self.inbox.len()));
            if ended.is_some() {
                break;
            }
        }
        let recipients = std::mem::take(&mut self.recipients);
        self.reset();
        match intake.message() {
            Ok(message) => {
                let answer = self.note(&message, &recipients).await;
                self.say(answer);
            }
            Err(bad) => self.say(bad.reply()),
        }
        ON
    }

    async fn note(&self, message: &[u8], recipients: &[ReturnAddress]) -> &'static str {
        for recipient in recipients {
            let noted = timeout(self.options.idle, self.feedback.message(message, Some(recipient), None)).await;
            match noted {
                Ok(Ok(Noted::Recorded { mail, said, news })) => {
                    tracing::info!(tenant = %mail.tenant(), ?mail, ?said, news, "a mail came back");
                }
                // An answer of a person or of a program: taken, and nobody needs it.
                Ok(Ok(Noted::NoReport | Noted::Unmatched)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a bounce cannot be recorded now");
                    return "451 4.3.0 try again later";
                }
                Err(_) => return "451 4.3.0 try again later",
            }
        }
        "250 2.0.0 taken"
    }
}
