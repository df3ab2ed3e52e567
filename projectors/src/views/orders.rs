//! Orders of operators to the process that carries the views, given in a process that only reads them.

use super::{ViewError, Views, telling::Voice};
use crate::{generation::Generation, skips::SkipOrder};
use bus_schema::{
    bus::{Bus, SayError},
    codec,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Subject of orders.
const SUBJECT: &str = "views.orders";
/// How long carrying one out may take: tables are made and dropped.
const AT_MOST: Duration = Duration::from_secs(30);
/// How long an order waits until this process has heard what became of it.
const HEAR: Duration = Duration::from_secs(1);
/// Before it is tried again to be asked.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Build { view: String },
    Switch { view: String },
    Retire { generation: String },
    Resume { view: String, skip: Option<SkipOrder> },
}

/// What became of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    term: Uuid,
    /// The saying that tells of it.
    number: u64,
    outcome: Result<Option<Generation>, Refusal>,
}

/// A [`ViewError`] on its way.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    NoView(String),
    Behind { view: String, position: u64, wanted: u64 },
    Building(String),
    NothingBuilt(String),
    Serving(String),
    NotBefore { view: String, seq: u64 },
    Other(String),
}

impl From<ViewError> for Refusal {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::NoView(view) => Self::NoView(view),
            ViewError::Behind { view, position, wanted } => Self::Behind { view, position, wanted },
            ViewError::Building(view) => Self::Building(view),
            ViewError::NothingBuilt(view) => Self::NothingBuilt(view),
            ViewError::Serving(view) => Self::Serving(view),
            ViewError::NotBefore { view, seq } => Self::NotBefore { view, seq },
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<Refusal> for ViewError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoView(view) => Self::NoView(view),
            Refusal::Behind { view, position, wanted } => Self::Behind { view, position, wanted },
            Refusal::Building(view) => Self::Building(view),
            Refusal::NothingBuilt(view) => Self::NothingBuilt(view),
            Refusal::Serving(view) => Self::Serving(view),
            Refusal::NotBefore { view, seq } => Self::NotBefore { view, seq },
            Refusal::Other(why) => Self::Elsewhere(why),
        }
    }
}

/// A generation that an order was about, if it was.
pub(super) struct Done(Option<Generation>);

impl Done {
    pub(super) fn generation(self, view: &str) -> Result<Generation, ViewError> {
        self.0.ok_or_else(|| ViewError::NoView(view.to_owned()))
    }
}

impl Views {
    /// Has an order carried out, and waits until this process knows of it.
    pub(super) async fn order(&self, order: Order) -> Result<Done, ViewError> {
        let bus = super::read(&self.0.bus).clone().ok_or(ViewError::NotStarted)?;
        let body = codec::encode(&order).map_err(|error| ViewError::Elsewhere(error.to_string()))?;
        let answer = bus.ask(SUBJECT, body.into(), AT_MOST).await.map_err(|error| match error {
            SayError::Silence => ViewError::Elsewhere("it did not answer; see whether it was done".into()),
            error => ViewError::NotCarried(error.to_string()),
        })?;
        let Answer { term, number, outcome } = codec::decode(&answer)
            .map_err(|_| ViewError::Elsewhere("its answer is of another release; upgrade this process".into()))?;
        let generation = outcome?;
        if let Some(followed) = &self.0.followed {
            let mut heard = followed.heard.subscribe();
            let known = heard.wait_for(|saying| saying.term != term || saying.number >= number);
            _ = tokio::time::timeout(HEAR, known).await;
        }
        Ok(Done(generation))
    }

    async fn carry_out(&self, order: Order) -> Result<Option<Generation>, ViewError> {
        match order {
            Order::Build { view } => self.build(&view).await.map(Some),
            Order::Switch { view } => self.switch(&view).await.map(Some),
            Order::Retire { generation } => self.retire(&generation).await.map(|()| None),
            Order::Resume { view, skip } => self.resume(&view, skip).await.map(|()| None),
        }
    }
}

/// Takes orders, one after the other.
pub(super) async fn obey(views: Views, bus: Bus, voice: Arc<Voice>) {
    loop {
        let mut asked = match bus.be_asked(SUBJECT).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(%error, "orders about the views cannot be taken");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        while let Some(question) = asked.next().await {
            let outcome = match codec::decode::<Order>(question.body()) {
                Ok(order) => views.carry_out(order).await.map_err(Refusal::from),
                Err(_) => Err(Refusal::Other("an order of another release is not understood; upgrade it".into())),
            };
            let number = views.say(&bus, &voice).await;
            match codec::encode(&Answer { term: voice.term(), number, outcome }) {
                Ok(answer) => bus.answer(question, answer.into()).await,
                Err(error) => tracing::error!(%error, "an order cannot be answered"),
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_back_as_the_error_it_was() {
        for error in [
            ViewError::NoView("x".into()),
            ViewError::Behind { view: "x".into(), position: 3, wanted: 4 },
            ViewError::Building("x".into()),
            ViewError::NothingBuilt("x".into()),
            ViewError::Serving("x".into()),
            ViewError::NotBefore { view: "x".into(), seq: 3 },
        ] {
            let said = error.to_string();
            let sent = codec::encode(&Refusal::from(error)).unwrap();
            assert_eq!(ViewError::from(codec::decode::<Refusal>(&sent).unwrap()).to_string(), said);
        }
        let other = Refusal::from(ViewError::NotStarted);
        assert!(matches!(ViewError::from(other), ViewError::Elsewhere(why) if why.contains("follow no log")));
    }
}
