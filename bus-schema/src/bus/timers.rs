//! Timers: messages the server stores now and delivers later (message schedules, ADR-51 of the NATS project; nats-server
//! 2.12 and later).
//!
//! They have a stream of their own, `TM_<cell>`. A timer that is set is the one message of the subject
//! `tm.<cell>.set.<tenant>.<owner>.<id>`; setting it again replaces it. When its time has come the server puts a message on
//! `tm.<cell>.due.…` and removes the other one; that message stays until a consumer has acknowledged it. So a timer fires at
//! least once, whatever is killed; what it does must not mind a second time. The server looks at most four times a second.

use super::{
    Bus,
    append::AppendError,
    consumer::{Consumer, ConsumerSpec, Delivery, Source},
    read::ReadError,
    streams::StreamError,
};
use crate::{
    ids::{Cell, TenantId},
    subject::is_token,
    time::Micros,
};
use async_nats::{
    HeaderMap,
    jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

const SCHEDULE: &str = "Nats-Schedule";
const TARGET: &str = "Nats-Schedule-Target";
const FAMILY: &str = "tm";

/// A timer: who is told of what, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub tenant: TenantId,
    /// The worker that is told. A subject token.
    pub owner: String,
    /// What it is about; one timer for each.
    pub id: Uuid,
    pub at: Micros,
}

pub(super) fn stream(cell: &Cell) -> String {
    format!("{}_{cell}", FAMILY.to_uppercase())
}

pub(super) fn config(cell: &Cell, replicas: usize) -> Config {
    Config {
        name: stream(cell),
        subjects: vec![format!("{FAMILY}.{cell}.>")],
        storage: StorageType::File,
        // What was told of is gone; schedules do not go with `discard: new`, and nothing here has a limit to run into.
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        num_replicas: replicas,
        allow_direct: true,
        allow_rollup: true,
        allow_message_schedules: true,
        ..Config::default()
    }
}

impl Timer {
    fn subject(&self, cell: &Cell, what: &str) -> String {
        format!("{FAMILY}.{cell}.{what}.{}.{}.{}", self.tenant, self.owner, self.id)
    }

    /// The timer a message says is due; `None`: it is no such message.
    pub fn due(delivery: &Delivery) -> Option<Self> {
        Self::parse(delivery.subject(), delivery.body())
    }

    fn parse(subject: &str, body: &[u8]) -> Option<Self> {
        let tokens: Vec<&str> = subject.split('.').collect();
        let [FAMILY, _, "due", tenant, owner, id] = tokens[..] else { return None };
        let body: Value = serde_json::from_slice(body).ok()?;
        Some(Self {
            tenant: TenantId::try_new(tenant).ok()?,
            owner: owner.to_owned(),
            id: Uuid::parse_str(id).ok()?,
            at: Micros(body["at"].as_i64()?),
        })
    }
}

impl Bus {
    /// Sets a timer, instead of the one that may be set for the same. One whose time has passed fires at once.
    pub async fn set_timer(&self, timer: &Timer) -> Result<(), AppendError> {
        if !is_token(&timer.owner) {
            return Err(AppendError::Misuse { code: 0, description: format!("{:?} cannot own timers", timer.owner) });
        }
        let mut headers = HeaderMap::new();
        headers.insert(SCHEDULE, format!("@at {}", timer.at));
        headers.insert(TARGET, timer.subject(self.cell(), "due"));
        let body = json!({ "at": timer.at.0 }).to_string();
        self.request_once(timer.subject(self.cell(), "set"), headers, body.into()).await.map(|_| ())
    }

    /// Takes a timer back, also one that is due and was not told of yet.
    pub async fn cancel_timer(&self, timer: &Timer) -> Result<(), ReadError> {
        for what in ["set", "due"] {
            let body = json!({ "filter": timer.subject(self.cell(), what) }).to_string();
            let subject = format!("$JS.API.STREAM.PURGE.{}", stream(self.cell()));
            let answer = self.unless_lost(self.client().request(subject, Bytes::from(body))).await;
            let answer = answer
                .ok_or_else(|| ReadError::Unreachable("the connection was lost".into()))?
                .map_err(|error| ReadError::Unreachable(error.to_string()))?;
            let answer: Value = serde_json::from_slice(&answer.payload).map_err(|_| ReadError::Unreadable)?;
            if answer["success"] != true {
                return Err(ReadError::Unreachable(answer["error"]["description"].to_string()));
            }
        }
        Ok(())
    }

    /// How many timers are set or due.
    pub async fn timers(&self) -> Result<u64, StreamError> {
        Ok(self.state(stream(self.cell())).await?.messages)
    }

    /// Takes up what is due, of all owners.
    pub fn due_timers(&self, name: &str, ack_wait: Duration, max_in_flight: usize) -> Consumer {
        self.consumer(ConsumerSpec {
            name: name.to_owned(),
            source: Source::Timers,
            filters: vec![format!("{FAMILY}.{}.due.>", self.cell())],
            begin: super::consumer::Begin::First,
            ack_wait,
            max_in_flight,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_known_by_its_subject_and_body() {
        let (tenant, owner, id) = (TenantId::try_new("demo").unwrap(), "fulfilments".to_owned(), Uuid::from_u128(7));
        let timer = Timer { tenant, owner, id, at: Micros(1_700_000_000_000_000) };
        let subject = timer.subject(&Cell::try_new("eu1").unwrap(), "due");
        assert_eq!(Timer::parse(&subject, br#"{"at": 1700000000000000}"#), Some(timer.clone()));
        assert_eq!(Timer::parse(&subject, b"x"), None);
        assert_eq!(Timer::parse(&timer.subject(&Cell::try_new("eu1").unwrap(), "set"), br#"{"at": 1}"#), None);
        assert_eq!(Timer::parse("tm.eu1.due.demo.fulfilments", br#"{"at": 1}"#), None);
    }
}
