//! The port to whoever makes mails out of templates.
//!
//! The endpoints know HTTP and commands; how a template is understood is the sender's. What is wrong with one comes as a
//! [`Problem`] that points to the part.

use crate::http::problem::Problem;
use bus_schema::mail::message::{MessageKind, MessageWords};
use futures::future::BoxFuture;
use serde_json::{Map, Value};

/// Makes mails out of templates.
pub trait MessageDesk: Send + Sync + 'static {
    /// What a kind says when its tenant does not say otherwise; `None` for one that brings its own words.
    fn built_in(&self, kind: MessageKind) -> Option<MessageWords>;

    /// Fields as a message of the kind has them.
    fn sample(&self, kind: MessageKind) -> Map<String, Value>;

    /// The words with the fields in them, both parts. 422 when they cannot be made into a mail, with the part and the line.
    fn write<'a>(
        &'a self,
        words: MessageWords,
        fields: Map<String, Value>,
    ) -> BoxFuture<'a, Result<WrittenWords, Problem>>;

    /// Whether the templates are understood, without any fields.
    fn check<'a>(&'a self, words: MessageWords) -> BoxFuture<'a, Result<(), Problem>>;

    /// The domain senders have to be at; `None`: there is no provider yet.
    fn domain(&self) -> Option<String>;

    /// Whether an address may be a sender's here.
    fn takes_sender(&self, email: &str) -> bool;
}

/// A mail's words as its receiver reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenWords {
    pub subject: String,
    pub html: String,
    pub text: String,
}
