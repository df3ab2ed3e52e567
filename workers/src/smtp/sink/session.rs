//! One client of a sink, from greeting to goodbye.

use super::{
    Act, Point, Shared, Stream, Taken, TlsStart,
    command::Command,
    intake::{Intake, message_id},
    mailbox::Parcel,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{io, ops::ControlFlow, sync::atomic::Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsStream, rustls::ServerConfig};

/// Bytes of a command line; AUTH carries the longest.
const LINE_LIMIT: usize = 4096;
const RECIPIENTS: usize = 100;
/// Commands without a mail between them, after which a client is talking nonsense.
const COMMANDS: u32 = 1000;

struct Session<'a> {
    stream: Stream,
    inbox: Vec<u8>,
    /// Answers that are not written yet: they wait while more commands are there.
    outbox: Vec<u8>,
    shared: &'a Shared,
    number: u64,
    greeted: bool,
    known: bool,
    sender: Option<String>,
    recipients: Vec<String>,
    /// Mails so far.
    mails: u32,
    /// MAIL commands so far: a fault of one mail is not that of the next.
    begun: u32,
    commands: u32,
}

/// Goes on, or the connection is over.
type Next = io::Result<ControlFlow<()>>;
const ON: Next = Ok(ControlFlow::Continue(()));
const OVER: Next = Ok(ControlFlow::Break(()));

pub(super) async fn run(stream: TcpStream, number: u64, shared: &Shared) -> io::Result<()> {
    let stream = match &shared.options.tls {
        Some((config, TlsStart::Implicit)) => encrypt(stream, config).await?,
        _ => Stream::Plain(stream),
    };
    let mut session = Session {
        stream,
        inbox: Vec::with_capacity(8192),
        outbox: Vec::new(),
        shared,
        number,
        greeted: false,
        known: false,
        sender: None,
        recipients: Vec::new(),
        mails: 0,
        begun: 0,
        commands: 0,
    };
    let greeting = format!("220 {} ESMTP", shared.options.host_name);
    if session.meet(Point::Greeting).await?.is_break() {
        return session.flush().await;
    }
    session.say(&greeting);
    let (mut ended, mut grouped) = (false, false);
    while !ended {
        if !session.inbox.contains(&b'\n') {
            session.flush().await?;
            grouped = false;
        }
        let Some(line) = session.line().await? else { break };
        shared.note(number, grouped, &line);
        grouped = true;
        session.commands += 1;
        ended = session.obey(Command::parse(&line)).await?.is_break();
        if session.commands > COMMANDS {
            session.say("421 4.7.0 too many commands");
            ended = true;
        }
    }
    session.flush().await?;
    session.stream.shutdown().await
}

async fn encrypt(stream: TcpStream, config: &std::sync::Arc<ServerConfig>) -> io::Result<Stream> {
    let stream = TlsAcceptor::from(config.clone()).accept(stream).await?;
    Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
}

impl Session<'_> {
    fn say(&mut self, line: &str) {
        self.outbox.extend_from_slice(line.as_bytes());
        self.outbox.extend_from_slice(b"\r\n");
    }

    fn complain(&mut self, line: &str) -> Next {
        self.shared.counts.violation();
        self.say(line);
        ON
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.outbox).await?;
        self.outbox.clear();
        self.stream.flush().await
    }

    /// Reads more; 0 when the client is gone or silent for too long.
    async fn read(&mut self) -> io::Result<usize> {
        match timeout(self.shared.options.idle, self.stream.read_buf(&mut self.inbox)).await {
            Ok(read) => read,
            Err(_) => {
                self.say("421 4.4.2 nothing came for too long");
                self.flush().await?;
                Ok(0)
            }
        }
    }

    /// The next command without its end; nothing when there is none any more.
    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.inbox) {
                let line: Vec<u8> = self.inbox.drain(..=end).collect();
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    self.shared.counts.violation();
                    return Ok(Some(String::new()));
                };
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if self.inbox.len() > LINE_LIMIT {
                self.shared.counts.violation();
                self.say("421 5.5.2 the line is too long");
                return Ok(None);
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What goes wrong here, if anything. `Break` with something to say: the command is answered already. The connection
    /// ends when nothing is to be said.
    async fn meet(&mut self, point: Point) -> Next {
        let shared = self.shared;
        let Some(act) = shared.options.faults.at(point, self.number, self.begun) else { return ON };
        shared.counts.faults.fetch_add(1, Ordering::Relaxed);
        match act {
            Act::Say(reply) => {
                self.say(reply);
                OVER
            }
            Act::Drop => Err(io::ErrorKind::ConnectionAborted.into()),
            Act::Wait(time) => {
                tokio::time::sleep(*time).await;
                ON
            }
        }
    }

    /// A fault's answer stands for the command's own; after a 421 nothing follows.
    async fn fault(&mut self, point: Point) -> io::Result<Option<ControlFlow<()>>> {
        let before = self.outbox.len();
        if self.meet(point).await?.is_continue() {
            return Ok(None);
        }
        let closes = self.outbox[before..].starts_with(b"421");
        Ok(Some(if closes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }))
    }

    async fn obey(&mut self, command: Command) -> Next {
        let point = match &command {
            Command::Ehlo | Command::Helo => Some(Point::Ehlo),
            Command::StartTls => Some(Point::StartTls),
            Command::Auth(..) => Some(Point::Auth),
            Command::Mail { .. } => Some(Point::Mail),
            Command::Rcpt(_) => Some(Point::Rcpt),
            Command::Data => Some(Point::Data),
            _ => None,
        };
        self.begun += u32::from(point == Some(Point::Mail));
        if let Some(point) = point
            && let Some(next) = self.fault(point).await?
        {
            return Ok(next);
        }
        match command {
            Command::Ehlo => self.introduce(),
            Command::Helo => {
                self.greeted = true;
                self.say(&format!("250 {}", self.shared.options.host_name));
            }
            Command::StartTls => return self.start_tls().await,
            Command::Auth(mechanism, initial) => return self.log_in(&mechanism, initial).await,
            Command::Mail { sender, size, smtputf8 } => return self.mail(sender, size, smtputf8),
            Command::Rcpt(recipient) => return self.rcpt(recipient),
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
            Command::Other(answer) => return self.complain(answer),
        }
        ON
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }

    fn introduce(&mut self) {
        let options = &self.shared.options;
        let mut lines = vec![
            options.host_name.clone(),
            format!("SIZE {}", options.message_bytes),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        let starttls = matches!(options.tls, Some((_, TlsStart::OnCommand))) && !self.stream.is_tls();
        let auth = if options.login_only { "AUTH LOGIN" } else { "AUTH PLAIN LOGIN" };
        let words = [
            (options.pipelining, "PIPELINING"),
            (options.eight_bit, "8BITMIME"),
            (options.smtputf8, "SMTPUTF8"),
            (starttls, "STARTTLS"),
            (options.credentials.is_some(), auth),
        ];
        lines.extend(words.iter().filter(|(offered, _)| *offered).map(|(_, word)| (*word).to_owned()));
        let last = lines.len() - 1;
        for (at, line) in lines.iter().enumerate() {
            self.say(&format!("250{}{line}", if at == last { ' ' } else { '-' }));
        }
        self.greeted = true;
        self.reset();
    }

    async fn start_tls(&mut self) -> Next {
        let Some((config, TlsStart::OnCommand)) = &self.shared.options.tls else {
            return self.complain("502 5.5.1 not offered");
        };
        if self.stream.is_tls() || !self.inbox.is_empty() {
            return self.complain("503 5.5.1 not now");
        }
        self.say("220 2.0.0 go ahead");
        self.flush().await?;
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else { return OVER };
        self.stream = encrypt(tcp, config).await?;
        self.greeted = false;
        self.known = false;
        self.reset();
        ON
    }

    async fn log_in(&mut self, mechanism: &str, initial: Option<String>) -> Next {
        let Some(expected) = &self.shared.options.credentials else { return self.complain("502 5.5.1 not offered") };
        if self.shared.options.require_tls && !self.stream.is_tls() {
            return self.complain("538 5.7.11 TLS first");
        }
        let mut parts = Vec::new();
        match mechanism {
            "PLAIN" if !self.shared.options.login_only => {
                let Some(word) = self.word(initial, "334 ").await? else { return OVER };
                let decoded = STANDARD.decode(word).unwrap_or_default();
                parts.extend(decoded.split(|byte| *byte == 0).skip(1).map(<[u8]>::to_vec));
            }
            "LOGIN" => {
                for (given, prompt) in [(initial, "334 VXNlcm5hbWU6"), (None, "334 UGFzc3dvcmQ6")] {
                    let Some(word) = self.word(given, prompt).await? else { return OVER };
                    parts.push(STANDARD.decode(word).unwrap_or_default());
                }
            }
            _ => return self.complain("504 5.5.4 no such mechanism here"),
        }
        self.known = parts == [expected.user().as_bytes(), expected.password().as_bytes()];
        self.say(if self.known { "235 2.7.0 welcome" } else { "535 5.7.8 wrong user or password" });
        ON
    }

    async fn word(&mut self, given: Option<String>, prompt: &str) -> io::Result<Option<String>> {
        if given.is_some() {
            return Ok(given);
        }
        self.say(prompt);
        self.flush().await?;
        self.line().await
    }

    fn mail(&mut self, sender: String, size: Option<u64>, smtputf8: bool) -> Next {
        let options = &self.shared.options;
        let refusal = if !self.greeted || self.sender.is_some() {
            Some("503 5.5.1 not now")
        } else if options.require_tls && !self.stream.is_tls() {
            Some("530 5.7.0 TLS first")
        } else if options.credentials.is_some() && !self.known {
            Some("530 5.7.0 log in first")
        } else if smtputf8 && !options.smtputf8 {
            Some("555 5.5.4 not offered")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.complain(refusal);
        }
        if size.is_some_and(|size| size > options.message_bytes as u64) {
            self.say("552 5.3.4 the message is too large");
            return ON;
        }
        if self.mails >= options.messages_per_connection {
            self.say("421 4.7.0 enough on this connection");
            return OVER;
        }
        self.sender = Some(sender);
        self.say("250 2.1.0 sender ok");
        ON
    }

    fn rcpt(&mut self, recipient: String) -> Next {
        if self.sender.is_none() {
            self.say("503 5.5.1 MAIL first");
            return ON;
        }
        if self.recipients.len() == RECIPIENTS {
            self.say("452 4.5.3 too many recipients");
            return ON;
        }
        self.recipients.push(recipient);
        self.say("250 2.1.5 recipient ok");
        ON
    }

    async fn data(&mut self) -> Next {
        // A group of commands goes on after one that was refused; that is no breach.
        if self.sender.is_none() || self.recipients.is_empty() {
            self.say(if self.sender.is_none() { "503 5.5.1 MAIL first" } else { "554 5.5.1 no valid recipients" });
            return ON;
        }
        self.say("354 end with a dot on its own line");
        self.flush().await?;
        let mut intake = Intake::new(self.shared.options.message_bytes);
        let mut begun = false;
        loop {
            if self.inbox.is_empty() && self.read().await? == 0 {
                return OVER;
            }
            if !begun {
                begun = true;
                // Whatever it said, the message is not read to its end.
                if self.fault(Point::Body).await?.is_some() {
                    return OVER;
                }
            }
            let ended = intake.feed(&self.inbox);
            self.inbox.drain(..ended.unwrap_or(self.inbox.len()));
            if ended.is_some() {
                break;
            }
        }
        let (sender, recipients) = (self.sender.take().unwrap_or_default(), std::mem::take(&mut self.recipients));
        let next = self.take(sender, recipients, intake).await;
        self.mails += 1;
        self.commands = 0;
        next
    }

    async fn take(&mut self, sender: String, recipients: Vec<String>, intake: Intake) -> Next {
        let message = match intake.message() {
            Ok(message) => message,
            Err(bad) => return self.complain(bad.reply()),
        };
        if let Some(next) = self.fault(Point::Dot).await? {
            return Ok(next);
        }
        let (at, message_id, tls) = (self.shared.options.clock.now(), message_id(&message), self.stream.tls());
        let entry = |recipient: String| {
            let (message_id, sender, tls) = (message_id.clone(), sender.clone(), tls.clone());
            Taken { at, message_id, sender, recipient, bytes: message.len() as u64, tls }
        };
        let taken: Vec<Taken> = recipients.into_iter().map(entry).collect();
        if !self.shared.ledger.record(Parcel { taken, message }).await {
            self.say("451 4.3.0 the ledger cannot be written");
            return ON;
        }
        let number = self.shared.counts.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(next) = self.fault(Point::Taken).await? {
            return Ok(next);
        }
        self.say(&format!("250 2.0.0 Ok: queued as {number}"));
        ON
    }
}
