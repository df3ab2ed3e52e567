//! From a letter to bytes.

use super::{
    Class, Domain, FeedbackId, HeaderName, HeaderText, ListId, Mailbox, PlainTextError, Token, Unsubscribe, dkim,
    plain_text,
};
use crate::smtp::Envelope;
use bus_schema::Micros;
use mail_builder::{
    MessageBuilder,
    headers::{
        address::Address, content_type::ContentType, date::Date, message_id::MessageId, raw::Raw, text::Text, url::URL,
    },
    mime::MimePart,
};
use std::{borrow::Cow, sync::Arc};

/// Why it is sent, with what that kind of mail must have. Marketing without a way to leave cannot be written down
/// (check 46); transactional mail has no place for one.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    Marketing { unsubscribe: &'a Unsubscribe, list: &'a ListId },
    Transactional,
}

impl Purpose<'_> {
    pub fn class(&self) -> Class {
        match self {
            Self::Marketing { .. } => Class::Marketing,
            Self::Transactional => Class::Transactional,
        }
    }
}

/// One mail to one recipient, rendered: nothing in it is a template any more.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    pub token: &'a Token,
    /// The tenant's own domain; the Message-ID is in it too.
    pub from: &'a Mailbox,
    pub to: &'a Mailbox,
    pub reply_to: Option<&'a Mailbox>,
    pub subject: &'a HeaderText,
    pub html: &'a str,
    /// Made from the HTML when absent, which costs more than all the rest: give it when many get the same.
    pub text: Option<&'a str>,
    pub purpose: Purpose<'a>,
    pub feedback: Option<&'a FeedbackId>,
    /// Sent by a machine because of an event, so that other machines do not answer it (RFC 3834).
    pub automatic: bool,
    pub headers: &'a [(HeaderName, HeaderText)],
    /// When it is sent; within five minutes of the receiver's clock (check 14).
    pub at: Micros,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Gmail cuts the rest off. Over it there is a warning.
    pub html_warning: usize,
    /// The whole message as it goes over the wire.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { html_warning: 102_000, total: 10 << 20 }
    }
}

/// Makes mails of one sender. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Composer {
    bounce: Domain,
    limits: Limits,
    signer: Option<Arc<dkim::Signer>>,
}

/// A mail as it goes to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    pub envelope: Envelope,
    /// Header and body, lines ended by CRLF, signed if the composer has a signer.
    pub message: Vec<u8>,
    pub warnings: Vec<Warning>,
}

/// What an author should know; the mail can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Some clients show only the beginning.
    HtmlIsCut { bytes: usize, limit: usize },
}

impl Composer {
    /// Bounces come back to the domain. Without a signer the provider is expected to sign.
    pub fn new(bounce: Domain, limits: Limits, signer: Option<Arc<dkim::Signer>>) -> Self {
        Self { bounce, limits, signer }
    }

    /// Where bounces come back to.
    pub fn bounce(&self) -> &Domain {
        &self.bounce
    }

    pub fn compose(&self, letter: &Letter<'_>) -> Result<Composed, ComposeError> {
        let from = letter.from;
        if from.address.needs_smtputf8() || letter.reply_to.is_some_and(|reply_to| reply_to.address.needs_smtputf8()) {
            return Err(ComposeError::SenderBeyondAscii);
        }
        if let Some(signer) = self.signer.as_ref().filter(|signer| !signer.is_aligned(from.address.domain())) {
            return Err(ComposeError::NotAligned {
                from: from.address.domain().clone(),
                signer: signer.domain().clone(),
            });
        }
        let html = lines(letter.html);
        let text = match letter.text {
            Some(text) => lines(text),
            None => Cow::Owned(plain_text(&html)?),
        };
        if html.trim().is_empty() || text.trim().is_empty() {
            return Err(ComposeError::EmptyPart);
        }
        // Encoding makes it longer, never shorter: what is too large now stays so.
        if html.len() + text.len() > self.limits.total {
            return Err(ComposeError::TooLarge { limit: self.limits.total });
        }
        let mut warnings = Vec::new();
        if html.len() > self.limits.html_warning {
            warnings.push(Warning::HtmlIsCut { bytes: html.len(), limit: self.limits.html_warning });
        }
        let builder = headers(letter, &text, &html)?;
        // No part can hold the delimiter: the token is nobody's to guess, and an encoded part has no `=_`.
        let boundary = format!("=_{}", letter.token);
        let both = vec![MimePart::new("text/plain", text), MimePart::new("text/html", html)];
        let body = MimePart::new(ContentType::new("multipart/alternative").attribute("boundary", boundary), both);
        let mut message = Vec::new();
        builder.body(body).serialize(&mut message);
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&message, letter.at)?;
            message = [signature.as_bytes(), &message].concat();
        }
        if message.len() > self.limits.total {
            return Err(ComposeError::TooLarge { limit: self.limits.total });
        }
        let sender = Some(letter.token.bounce_address(&self.bounce));
        Ok(Composed { envelope: Envelope { sender, recipient: letter.to.address.clone() }, message, warnings })
    }
}

fn headers<'a>(letter: &Letter<'a>, text: &str, html: &str) -> Result<MessageBuilder<'a>, ComposeError> {
    let mut builder = MessageBuilder::new()
        .header("From", address(letter.from))
        .header("To", address(letter.to))
        .header("Subject", Text::new(letter.subject.as_str()))
        .header("Date", Date::new(letter.at.0.div_euclid(1_000_000)))
        .header("Message-ID", MessageId::new(letter.token.message_id(letter.from.address.domain())));
    if let Some(reply_to) = letter.reply_to {
        builder = builder.header("Reply-To", address(reply_to));
    }
    if let Purpose::Marketing { unsubscribe, list } = letter.purpose {
        if !unsubscribe.is_visible(text, html) {
            return Err(ComposeError::UnsubscribeNotVisible);
        }
        builder = builder
            .header("List-Id", Raw::new(format!("<{}>", list.as_str())))
            .header("List-Unsubscribe", URL::new_list(unsubscribe.uris().into_iter()))
            .header("List-Unsubscribe-Post", Raw::new("List-Unsubscribe=One-Click"));
    }
    if let Some(feedback) = letter.feedback {
        builder = builder.header("Feedback-ID", Raw::new(feedback.as_str()));
    }
    if letter.automatic {
        builder = builder.header("Auto-Submitted", Raw::new("auto-generated"));
    }
    for (name, value) in letter.headers {
        builder = builder.header(name.as_str(), Text::new(value.as_str()));
    }
    Ok(builder.header("MIME-Version", Raw::new("1.0")))
}

fn address(mailbox: &Mailbox) -> Address<'_> {
    let name = (!mailbox.name.is_empty()).then(|| mailbox.name.as_str());
    Address::new_address(name, mailbox.address.to_string())
}

/// With line feeds only, which are written as CRLF later.
fn lines(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(text) }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("the sender's or the reply address has a name beyond ASCII, which many receivers refuse; choose another")]
    SenderBeyondAscii,
    #[error("the sender is at {from}, and the signature would be of {signer}; receivers want one domain (DMARC)")]
    NotAligned { from: Domain, signer: Domain },
    #[error("the plain part or the HTML is empty; write both, or leave the plain part out")]
    EmptyPart,
    #[error("the plain part is missing and cannot be made: {0}")]
    Text(#[from] PlainTextError),
    #[error("the mail has more than {limit} bytes; make it smaller, or link to what is large")]
    TooLarge { limit: usize },
    #[error("the link to unsubscribe is not in the plain part or not in the HTML; marketing mail shows it in both")]
    UnsubscribeNotVisible,
    #[error("the mail cannot be signed: {0}")]
    Dkim(#[from] dkim::DkimError),
}
