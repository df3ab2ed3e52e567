//! One connection to a provider: what is said on it, with a time limit for every answer.

use super::{Failure, Kind, Reply, SmtpOptions, Stage, capabilities::Capabilities, reply, stream::Stream};
use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout, timeout_at},
};

/// How long a provider may take to say goodbye; nothing depends on it.
const QUIT_WITHIN: Duration = Duration::from_secs(2);

/// An open connection, ready for mails. When a call on it is dropped half way, or fails in a way after which nobody
/// knows what comes next, it is broken and sends nothing more.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: Stream,
    /// What came and was not read yet.
    pub(super) inbox: Vec<u8>,
    /// The message on its way; kept for its memory.
    pub(super) outbox: Vec<u8>,
    pub(super) options: Arc<SmtpOptions>,
    pub(super) capabilities: Capabilities,
    pub(super) opened: Instant,
    /// Mails handed over on it, taken or refused.
    pub(super) tried: u32,
    /// The last mail was refused on its way, and the provider still holds its sender.
    pub(super) needs_reset: bool,
    /// The next mail was opened behind the last message; its answers are to be read.
    pub(super) ahead: bool,
    pub(super) broken: bool,
}

impl Connection {
    /// Nothing may be sent on it any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// It has served its time or its number of mails (check 10).
    pub fn is_spent(&self) -> bool {
        self.tried >= self.options.lifetime.messages || self.opened.elapsed() >= self.options.lifetime.age
    }

    /// The version of TLS in use, as `TLSv1_3`; none without TLS.
    pub fn tls(&self) -> Option<String> {
        self.stream.tls()
    }

    /// Nothing has come while nothing was asked. A provider that gives up on an idle connection says so (421) or just
    /// closes it; both show here, before a mail is risked on it.
    pub(super) async fn is_quiet(&mut self) -> bool {
        let (stream, mut byte) = (&mut self.stream, [0]);
        let pending = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut byte);
            Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer).is_pending())
        });
        self.inbox.is_empty() && pending.await
    }

    /// Says goodbye and closes. Never fails: what was sent is settled already.
    pub async fn quit(mut self) {
        let goodbye = async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.flush().await?;
            let mut rest = [0; 512];
            while self.stream.read(&mut rest).await? > 0 {}
            self.stream.shutdown().await
        };
        if !self.broken {
            _ = timeout(QUIT_WITHIN, goodbye).await;
        }
    }

    /// One command with one answer, whatever it is.
    pub(super) async fn ask(&mut self, stage: Stage, command: &[u8], within: Duration) -> Result<Reply, Failure> {
        self.say(stage, command, within).await?;
        self.answer(stage, within).await
    }

    pub(super) async fn say(&mut self, stage: Stage, bytes: &[u8], within: Duration) -> Result<(), Failure> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(within, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::broken(stage, &error)),
            Err(_) => Err(Failure::timed_out(stage)),
        }
    }

    /// The next reply, whole, within this time.
    pub(super) async fn answer(&mut self, stage: Stage, within: Duration) -> Result<Reply, Failure> {
        let end = Instant::now() + within;
        loop {
            match reply::parse(&self.inbox) {
                Ok(Some((reply, used))) => {
                    self.inbox.drain(..used);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(error) => return Err(Failure::new(stage, Kind::Malformed, error.to_string())),
            }
            match timeout_at(end, self.stream.read_buf(&mut self.inbox)).await {
                Ok(Ok(0)) => return Err(Failure::ended(stage)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Failure::broken(stage, &error)),
                Err(_) => return Err(Failure::timed_out(stage)),
            }
        }
    }
}

impl AsRef<SmtpOptions> for Connection {
    fn as_ref(&self) -> &SmtpOptions {
        &self.options
    }
}
