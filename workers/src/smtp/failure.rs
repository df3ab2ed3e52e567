//! Why a mail was not sent, or why nobody can tell: how far it came is part of the answer.

use super::Reply;
use std::{fmt, io};
use tokio_rustls::rustls;

/// How far it came, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Finding the provider's address.
    Resolve,
    Connect,
    /// STARTTLS and the handshake.
    Tls,
    /// Waiting for the provider's first line.
    Greeting,
    Ehlo,
    Auth,
    /// Looking at the mail before anything is said about it.
    Message,
    Mail,
    Rcpt,
    /// The command DATA and its answer.
    Data,
    /// The message is being written; its final dot is not.
    Body,
    /// The final dot is written, or may be; its answer is missing or is the failure.
    Dot,
    /// A request of a provider without SMTP is written, or may be; its answer is missing or is the failure.
    Request,
    /// The provider took it, and that was not recorded.
    Accepted,
}

impl Stage {
    /// For logs and lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Auth => "auth",
            Self::Message => "message",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::Dot => "dot",
            Self::Request => "request",
            Self::Accepted => "accepted",
        }
    }
}

/// What happened there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The provider said no; its reply is part of the failure.
    Refused,
    /// The connection could not be made, or it ended.
    Lost,
    /// The time for this stage was over.
    TimedOut,
    /// The other side is not who it should be: certificate, host name, or no TLS where it is required.
    Unverified,
    /// The provider does not offer what this mail or these options need.
    NotOffered,
    /// What came is not what may come there.
    Malformed,
    /// Nobody can send this mail.
    Unfit,
    /// This process ended there; found in its journal afterwards.
    Crashed,
}

/// A mail that was not sent as far as this side knows; [`permits`](super::permits) says what may be done now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    pub stage: Stage,
    pub kind: Kind,
    /// The provider's answer word for word, if that is what failed.
    pub reply: Option<Reply>,
    /// What the provider calls its refusal, when its interface has names for that: `MessageRejected`.
    pub name: Option<String>,
    /// What happened, for a person. It has neither the mail nor an address nor a password.
    pub detail: String,
}

impl Failure {
    /// The connection was gone before anything of the message was written: over another one nothing is risked
    /// (spec/EMAIL.md 5.2).
    pub fn may_be_renewed(&self) -> bool {
        self.kind == Kind::Lost && matches!(self.stage, Stage::Mail | Stage::Rcpt | Stage::Data)
    }

    pub fn new(stage: Stage, kind: Kind, detail: impl Into<String>) -> Self {
        Self { stage, kind, reply: None, name: None, detail: detail.into() }
    }

    /// Answered with a code that is no success there. One from 400 on says no; any other is a provider out of step.
    pub fn refused(stage: Stage, reply: Reply) -> Self {
        let kind = if reply.code >= 400 { Kind::Refused } else { Kind::Malformed };
        Self { stage, kind, detail: format!("the provider answered {reply}"), reply: Some(reply), name: None }
    }

    /// The same by a provider that has names for its refusals.
    pub fn refused_as(stage: Stage, reply: Reply, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::refused(stage, reply) }
    }

    /// The journal of an ended process says that it was there.
    pub fn crashed(stage: Stage) -> Self {
        Self::new(stage, Kind::Crashed, "the sending process ended there")
    }

    /// Stage and code: `rcpt 550 5.1.1`, `request 400 MessageRejected`. Not the provider's words, which often repeat the address.
    pub fn code(&self) -> String {
        let stage = self.stage.word();
        let kind = match self.kind {
            Kind::Refused => "refused",
            Kind::Lost => "connection lost",
            Kind::TimedOut => "no answer in time",
            Kind::Unverified => "not verified",
            Kind::NotOffered => "not offered",
            Kind::Malformed => "not understood",
            Kind::Unfit => "unfit",
            Kind::Crashed => "crashed",
        };
        match (&self.reply, &self.name) {
            (Some(reply), Some(name)) => format!("{stage} {} {name}", reply.code),
            (Some(reply), None) => match reply.enhanced() {
                Some((class, subject, detail)) => format!("{stage} {} {class}.{subject}.{detail}", reply.code),
                None => format!("{stage} {}", reply.code),
            },
            (None, _) => format!("{stage}: {kind}"),
        }
    }

    pub(super) fn timed_out(stage: Stage) -> Self {
        Self::new(stage, Kind::TimedOut, "the provider did not answer in time")
    }

    pub(super) fn broken(stage: Stage, error: &io::Error) -> Self {
        let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        let kind = if tls { Kind::Unverified } else { Kind::Lost };
        Self::new(stage, kind, error.to_string())
    }

    pub(super) fn ended(stage: Stage) -> Self {
        Self::new(stage, Kind::Lost, "the provider closed the connection")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.stage {
            Stage::Resolve => "the provider's address was not found",
            Stage::Connect => "no connection to the provider",
            Stage::Tls => "no verified TLS with the provider",
            Stage::Greeting => "the provider did not greet",
            Stage::Ehlo => "the provider did not take EHLO",
            Stage::Auth => "the provider did not take the credentials",
            Stage::Message => "the mail cannot be handed to this provider",
            Stage::Mail => "the provider did not take the sender (MAIL)",
            Stage::Rcpt => "the provider did not take the recipient (RCPT)",
            Stage::Data => "the provider did not ask for the message (DATA)",
            Stage::Body => "the message was not written to its end",
            Stage::Dot => "the message was written, and not confirmed",
            Stage::Request => "the request was written, and not confirmed",
            Stage::Accepted => "the message was taken, and that was not recorded",
        };
        write!(f, "{place}: {}", self.detail)
    }
}
