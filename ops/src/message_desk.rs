//! Makes mails out of templates for the API, with what makes the mails that are sent.

use api::{
    http::{
        codes::field,
        problem::{FieldError, Problem},
    },
    mail::message_desk::{MessageDesk, WrittenWords},
};
use bus_schema::mail::message::{MessageKind, MessageWords};
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use workers::mail::{
    MailAddress,
    campaign::Outlet,
    message::{
        builtin,
        words::{self, WordsError},
    },
    plain_text,
};

pub(crate) struct Desk {
    outlet: Option<Outlet>,
}

impl Desk {
    pub(crate) fn new(outlet: Option<Outlet>) -> Self {
        Self { outlet }
    }
}

impl MessageDesk for Desk {
    fn built_in(&self, kind: MessageKind) -> Option<MessageWords> {
        builtin::words(kind)
    }

    fn sample(&self, kind: MessageKind) -> Map<String, Value> {
        builtin::sample(kind)
    }

    fn write<'a>(
        &'a self,
        words: MessageWords,
        fields: Map<String, Value>,
    ) -> BoxFuture<'a, Result<WrittenWords, Problem>> {
        Box::pin(async move {
            let written = words::write(words, fields).await.map_err(|error| Problem::unavailable(&error, 1))?;
            let words::Written { subject, html, text } = written.map_err(refused)?;
            if subject.trim().is_empty() {
                return Err(problem("/subject", "it becomes empty".to_owned()));
            }
            let text = match text {
                Some(text) => text,
                None => plain_text(&html).map_err(|error| problem("/html", error.to_string()))?,
            };
            Ok(WrittenWords { subject, html, text })
        })
    }

    fn check<'a>(&'a self, words: MessageWords) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(
            async move { words::check(words).await.map_err(|error| Problem::unavailable(&error, 1))?.map_err(refused) },
        )
    }

    fn domain(&self) -> Option<String> {
        self.outlet.as_ref().map(|outlet| outlet.domain().to_string())
    }

    fn takes_sender(&self, email: &str) -> bool {
        let Some(outlet) = &self.outlet else { return true };
        MailAddress::try_new(email).is_ok_and(|address| outlet.takes_sender(address.domain()))
    }
}

fn refused(error: WordsError) -> Problem {
    problem(&format!("/{}", error.part), format!("line {}: {}", error.line, error.what))
}

fn problem(pointer: &str, message: String) -> Problem {
    Problem::validation(vec![FieldError::new(pointer.to_owned(), field::INVALID_TEMPLATE, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(html: &str) -> MessageWords {
        MessageWords { subject: "Hello {{ name }}".into(), html: html.into(), text: None }
    }

    #[tokio::test]
    async fn a_fault_is_pointed_to() {
        let desk = Desk::new(None);
        let sample = desk.sample(MessageKind::Test);
        let written = desk.write(words("<p>Hi <a href=\"{{ site_url }}\">x</a></p>"), sample.clone()).await.unwrap();
        assert!(written.subject == "Hello Ada Lovelace" && written.text.contains("https://garden.example/"));
        let fault = desk.write(words("<p>\n{{ nothing }}</p>"), sample.clone()).await.unwrap_err();
        assert_eq!(fault.errors()[0].pointer, "/html");
        assert!(fault.errors()[0].message.contains("line 2"), "{fault:?}");
        assert!(desk.check(words("{{ nothing }}")).await.is_ok());
        assert!(desk.check(words("{% if %}")).await.is_err());
        assert!(desk.write(words("<img src=\"https://x.example/a.png\">"), sample).await.is_err(), "no text in it");
        assert!(desk.takes_sender("anybody@x.example"), "no provider refuses");
    }
}
