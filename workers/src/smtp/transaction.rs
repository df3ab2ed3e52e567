//! One mail over an open connection.

use super::{
    Connection, Failure, Kind, Opening, Reply, Stage,
    opening::{Commands, DATA},
    payload,
};
use crate::mail::MailAddress;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, time::timeout};

/// With TLS a larger message is written in pieces of this size, so that only the last one can hold the dot.
const PIECE: usize = 64 * 1024;
/// Memory a connection keeps for the next message.
const KEPT: usize = 1 << 20;
/// How long a provider that stopped reading may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Who sends and who gets it. One recipient each (check 5): its failure is nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where bounces go; none only for reports that must not bounce (check 4).
    pub sender: Option<MailAddress>,
    pub recipient: MailAddress,
}

/// The provider has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub reply: Reply,
    /// What the provider calls it, when its reply says so.
    pub provider_id: Option<String>,
}

impl Connection {
    /// Hands over one mail. When this future is dropped before it ends, nobody knows whether the mail was taken.
    pub async fn send(&mut self, envelope: &Envelope, message: &[u8]) -> Result<Accepted, Failure> {
        let opening = Opening::try_new(envelope, message)?;
        self.begin(&opening).await?;
        self.finish(message, None).await
    }

    /// Says who it is from and who gets it, or reads the answers if it was said behind the message before. After this
    /// the provider waits for the message; until all of it went, nobody can have taken it.
    pub(super) async fn begin(&mut self, opening: &Opening) -> Result<(), Failure> {
        if self.broken {
            return Err(Failure::new(Stage::Connect, Kind::Lost, "the connection is broken; open another"));
        }
        let commands = opening.commands(&self.capabilities)?;
        self.tried = self.tried.saturating_add(1);
        // Until the provider's answer is read to its end nothing else may be said here.
        self.broken = true;
        if std::mem::take(&mut self.ahead) {
            self.answers_of_group().await
        } else if self.capabilities.pipelining {
            self.ask_grouped(&commands).await
        } else {
            self.ask_serially(&commands).await
        }
    }

    /// Whether another mail may be opened behind the message of the one that was begun.
    pub(super) fn takes_next(&self) -> bool {
        self.capabilities.pipelining && !self.is_spent()
    }

    /// Hands over the message of what was begun. Behind it, in the same write, goes the opening of the next one, which
    /// RFC 2920 (3.1) allows and which saves every mail but the first a round trip; whoever has the connection next
    /// must begin with it.
    pub(super) async fn finish(&mut self, message: &[u8], next: Option<&Opening>) -> Result<Accepted, Failure> {
        payload::write(message, &mut self.outbox);
        let dot = self.outbox.len();
        if let Some(Commands { mail, rcpt }) = next.and_then(|next| next.commands(&self.capabilities).ok()) {
            for command in [mail.as_str(), rcpt.as_str(), DATA] {
                self.outbox.extend_from_slice(command.as_bytes());
            }
            self.ahead = true;
        }
        let answer = self.deliver(dot).await;
        if self.outbox.capacity() > KEPT {
            self.outbox = Vec::new();
        }
        let reply = answer?;
        if !reply.is_positive() {
            self.broken = reply.code < 400 || reply.code == 421;
            return Err(Failure::refused(Stage::Dot, reply));
        }
        self.broken = false;
        Ok(Accepted { provider_id: reply.provider_id(), reply })
    }

    /// All commands in one write (RFC 2920), then all their answers.
    async fn ask_grouped(&mut self, Commands { mail, rcpt }: &Commands) -> Result<(), Failure> {
        let limits = self.options.timeouts;
        let reset = if self.needs_reset { "RSET\r\n" } else { "" };
        let group = [reset, mail, rcpt, DATA].concat();
        self.say(Stage::Mail, group.as_bytes(), limits.mail).await?;
        if self.needs_reset {
            let reply = self.answer(Stage::Mail, limits.command).await?;
            if !reply.is_positive() {
                return Err(Failure::refused(Stage::Mail, reply));
            }
            self.needs_reset = false;
        }
        self.answers_of_group().await
    }

    async fn answers_of_group(&mut self) -> Result<(), Failure> {
        let limits = self.options.timeouts;
        let mut refused: Option<Failure> = None;
        for (stage, within) in [(Stage::Mail, limits.mail), (Stage::Rcpt, limits.rcpt), (Stage::Data, limits.data)] {
            let reply = match self.answer(stage, within).await {
                Ok(reply) => reply,
                // The first no says why the connection ended.
                Err(failure) => return Err(refused.unwrap_or(failure)),
            };
            let fits = if stage == Stage::Data { reply.code == 354 } else { reply.is_positive() };
            let (last, in_step) = (stage == Stage::Data, reply.code >= 400 && reply.code != 421);
            if last && (refused.is_some() || !fits) {
                // A provider may ask for the message although it took no recipient. It gets none: the connection is left
                // broken, and closed.
                self.broken = !in_step;
            }
            if !fits && refused.is_none() {
                refused = Some(Failure::refused(stage, reply));
                if !in_step {
                    break;
                }
            }
        }
        match refused {
            Some(failure) => {
                self.needs_reset = true;
                Err(failure)
            }
            None => Ok(()),
        }
    }

    async fn ask_serially(&mut self, Commands { mail, rcpt }: &Commands) -> Result<(), Failure> {
        let limits = self.options.timeouts;
        let reset = self.needs_reset.then_some((Stage::Mail, "RSET\r\n", limits.command));
        let commands = [
            (Stage::Mail, mail.as_str(), limits.mail),
            (Stage::Rcpt, rcpt.as_str(), limits.rcpt),
            (Stage::Data, DATA, limits.data),
        ];
        for (stage, command, within) in reset.into_iter().chain(commands) {
            let reply = self.ask(stage, command.as_bytes(), within).await?;
            let fits = if stage == Stage::Data { reply.code == 354 } else { reply.is_positive() };
            if !fits {
                self.broken = reply.code < 400 || reply.code == 421;
                self.needs_reset = true;
                return Err(Failure::refused(stage, reply));
            }
        }
        self.needs_reset = false;
        Ok(())
    }

    /// Writes the message, whose dot ends there, and reads the answer to it.
    async fn deliver(&mut self, dot: usize) -> Result<Reply, Failure> {
        let failure = match self.write_message(dot).await {
            Ok(()) => {
                if self.ahead {
                    self.stream.acknowledge_at_once();
                }
                return self.answer(Stage::Dot, self.options.timeouts.dot).await;
            }
            Err(failure) => failure,
        };
        // A provider that stops half way has often said why.
        match self.answer(failure.stage, LAST_WORDS).await {
            Ok(reply) if reply.code >= 400 => Err(Failure::refused(failure.stage, reply)),
            _ => Err(failure),
        }
    }

    /// The failure's stage is [`Stage::Dot`] from the moment at which the dot may have left this machine.
    async fn write_message(&mut self, dot: usize) -> Result<(), Failure> {
        let within = self.options.timeouts.block;
        let (mut written, total, tls) = (0, self.outbox.len(), self.stream.is_tls());
        while written < total {
            let end = if tls { total.min(written + PIECE) } else { total };
            // Of a write that fails TCP has taken nothing, but TLS may have sent some of it.
            let failed = if written >= dot || (tls && end >= dot) { Stage::Dot } else { Stage::Body };
            match timeout(within, self.stream.write(&self.outbox[written..end])).await {
                Ok(Ok(0)) => return Err(Failure::ended(failed)),
                Ok(Ok(count)) => written += count,
                Ok(Err(error)) => return Err(Failure::broken(failed, &error)),
                // A write that waits has taken nothing.
                Err(_) => return Err(Failure::timed_out(if written >= dot { Stage::Dot } else { Stage::Body })),
            }
        }
        match timeout(within, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::broken(Stage::Dot, &error)),
            Err(_) => Err(Failure::timed_out(Stage::Dot)),
        }
    }
}
