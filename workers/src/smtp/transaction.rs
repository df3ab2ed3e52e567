//! One mail over an open connection.

use super::{Connection, Failure, Kind, Reply, Stage, payload};
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
        if self.broken {
            return Err(Failure::new(Stage::Connect, Kind::Lost, "the connection is broken; open another"));
        }
        let mail = self.prepare(envelope, message)?;
        let rcpt = format!("RCPT TO:<{}>\r\n", envelope.recipient);
        self.tried = self.tried.saturating_add(1);
        // Until the provider's answer is read to its end nothing else may be said here.
        self.broken = true;
        if self.capabilities.pipelining {
            self.ask_grouped(&mail, &rcpt).await?;
        } else {
            self.ask_serially(&mail, &rcpt).await?;
        }
        let answer = self.deliver().await;
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

    /// Everything that can be known before a word is said: the message on the wire and the MAIL command.
    fn prepare(&mut self, envelope: &Envelope, message: &[u8]) -> Result<String, Failure> {
        let unfit = |detail: String| Failure::new(Stage::Message, Kind::Unfit, detail);
        let needs = payload::encode(message, &mut self.outbox).map_err(|error| unfit(error.to_string()))?;
        let offered = &self.capabilities;
        let missing = |what: &str| Err(Failure::new(Stage::Message, Kind::NotOffered, what));
        let beyond = |address: &MailAddress| address.needs_smtputf8();
        let smtputf8 = needs.smtputf8 || beyond(&envelope.recipient) || envelope.sender.as_ref().is_some_and(beyond);
        if smtputf8 && !offered.smtputf8 {
            return missing("an address or a header is not ASCII, and the provider does not offer SMTPUTF8");
        }
        if needs.eight_bit && !offered.eight_bit {
            return missing("the message is not ASCII, and the provider does not offer 8BITMIME");
        }
        let limit = offered.size.filter(|limit| *limit > 0);
        if limit.is_some_and(|limit| message.len() as u64 > limit) {
            return missing("the message is larger than the provider takes (SIZE)");
        }
        let mut command = match &envelope.sender {
            Some(sender) => format!("MAIL FROM:<{sender}>"),
            None => "MAIL FROM:<>".to_owned(),
        };
        if offered.size.is_some() {
            command += &format!(" SIZE={}", message.len());
        }
        // A UTF-8 header asks for both (RFC 6531 3.6); where SMTPUTF8 is offered 8BITMIME is.
        if (needs.eight_bit || smtputf8) && offered.eight_bit {
            command += " BODY=8BITMIME";
        }
        if smtputf8 {
            command += " SMTPUTF8";
        }
        Ok(command + "\r\n")
    }

    /// All commands in one write (RFC 2920), then all their answers.
    async fn ask_grouped(&mut self, mail: &str, rcpt: &str) -> Result<(), Failure> {
        let limits = self.options.timeouts;
        let reset = if self.needs_reset { "RSET\r\n" } else { "" };
        let group = [reset, mail, rcpt, "DATA\r\n"].concat();
        self.say(Stage::Mail, group.as_bytes(), limits.mail).await?;
        if self.needs_reset {
            let reply = self.answer(Stage::Mail, limits.command).await?;
            if !reply.is_positive() {
                return Err(Failure::refused(Stage::Mail, reply));
            }
            self.needs_reset = false;
        }
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

    async fn ask_serially(&mut self, mail: &str, rcpt: &str) -> Result<(), Failure> {
        let limits = self.options.timeouts;
        let reset = self.needs_reset.then_some((Stage::Mail, "RSET\r\n", limits.command));
        let commands = [
            (Stage::Mail, mail, limits.mail),
            (Stage::Rcpt, rcpt, limits.rcpt),
            (Stage::Data, "DATA\r\n", limits.data),
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

    /// Writes the message with its dot and reads the answer to it.
    async fn deliver(&mut self) -> Result<Reply, Failure> {
        let failure = match self.write_message().await {
            Ok(()) => return self.answer(Stage::Dot, self.options.timeouts.dot).await,
            Err(failure) => failure,
        };
        // A provider that stops half way has often said why.
        match self.answer(failure.stage, LAST_WORDS).await {
            Ok(reply) if reply.code >= 400 => Err(Failure::refused(failure.stage, reply)),
            _ => Err(failure),
        }
    }

    /// The failure's stage is [`Stage::Dot`] from the moment at which the dot may have left this machine.
    async fn write_message(&mut self) -> Result<(), Failure> {
        let within = self.options.timeouts.block;
        let (mut written, total, tls) = (0, self.outbox.len(), self.stream.is_tls());
        while written < total {
            let end = if tls { total.min(written + PIECE) } else { total };
            // Of a write that fails TCP has taken nothing, but TLS may have sent some of it.
            let failed = if tls && end == total { Stage::Dot } else { Stage::Body };
            match timeout(within, self.stream.write(&self.outbox[written..end])).await {
                Ok(Ok(0)) => return Err(Failure::ended(failed)),
                Ok(Ok(count)) => written += count,
                Ok(Err(error)) => return Err(Failure::broken(failed, &error)),
                // A write that waits has taken nothing.
                Err(_) => return Err(Failure::timed_out(Stage::Body)),
            }
        }
        match timeout(within, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::broken(Stage::Dot, &error)),
            Err(_) => Err(Failure::timed_out(Stage::Dot)),
        }
    }
}
