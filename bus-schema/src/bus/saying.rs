//! What processes of a cell say to each other beside the log: how far they are, and small orders.
//!
//! Said once, over core NATS, to whoever listens at this moment: nothing is stored, and nobody may rely on hearing it. What is true
//! is in the log and in the read store. Subjects are `say.<cell>.<what>`.

use super::Bus;
use async_nats::{Message, Subscriber, client::RequestErrorKind};
use bytes::Bytes;
use futures::StreamExt;
use std::time::Duration;

/// What is heard of one subject. Ends when it is dropped.
pub struct Heard(Subscriber);

/// Questions to one subject, of which each is for one of those who answer.
pub struct Asked(Subscriber);

/// Why something was not said or answered.
#[derive(Debug, thiserror::Error)]
pub enum SayError {
    #[error("nobody is there to answer")]
    Nobody,
    #[error("no answer came in time")]
    Silence,
    #[error("the NATS servers cannot be reached: {0}")]
    Away(String),
}

impl Bus {
    fn saying(&self, what: &str) -> String {
        format!("say.{}.{what}", self.cell())
    }

    /// Says something. `what` is one or more subject tokens.
    pub async fn say(&self, what: &str, body: Bytes) -> Result<(), SayError> {
        self.client().publish(self.saying(what), body).await.map_err(|error| SayError::Away(error.to_string()))
    }

    /// Hears all that is said from now on, over reconnects too.
    pub async fn hear(&self, what: &str) -> Result<Heard, SayError> {
        let heard = self.client().subscribe(self.saying(what)).await;
        heard.map(Heard).map_err(|error| SayError::Away(error.to_string()))
    }

    /// Asks whoever answers.
    pub async fn ask(&self, what: &str, body: Bytes, at_most: Duration) -> Result<Bytes, SayError> {
        let request = async_nats::Request::new().payload(body).timeout(Some(at_most));
        match self.client().send_request(self.saying(what), request).await {
            Ok(answer) => Ok(answer.payload),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => SayError::Nobody,
                RequestErrorKind::TimedOut => SayError::Silence,
                _ => SayError::Away(error.to_string()),
            }),
        }
    }

    /// Is asked from now on. Of several that are, one gets each question.
    pub async fn be_asked(&self, what: &str) -> Result<Asked, SayError> {
        let subject = self.saying(what);
        let asked = self.client().queue_subscribe(subject, "all".to_owned()).await;
        asked.map(Asked).map_err(|error| SayError::Away(error.to_string()))
    }

    /// Answers a question. Who asked may be gone.
    pub async fn answer(&self, question: Question, body: Bytes) {
        if let Some(reply) = question.0.reply {
            _ = self.client().publish(reply, body).await;
        }
    }
}

/// A question that waits for its answer.
pub struct Question(Message);

impl Question {
    pub fn body(&self) -> &Bytes {
        &self.0.payload
    }
}

impl Heard {
    /// The next thing said. `None`: the connection is closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.next().await.map(|message| message.payload)
    }
}

impl Asked {
    /// The next question. `None`: the connection is closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Question> {
        self.0.next().await.map(Question)
    }
}
