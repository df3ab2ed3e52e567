//! What the process that carries the views says of them: where each stands, when that changes and four times a second anyway.
//!
//! Whoever follows ([`super::following`]) so knows of a position within a few milliseconds, and of the loss of the process that
//! carries the views within [`super::following::SILENCE`]. What is said is numbered: who misses a number knows that a tenant may
//! have moved without having been told.

use super::{Views, read};
use crate::{
    generation::{Generation, Stage},
    lane::{Pause, Slot},
};
use bus_schema::{bus::Bus, codec};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use uuid::Uuid;

/// Subject of what is said.
pub(super) const SUBJECT: &str = "views";
/// How soon a change is told.
const SOON: Duration = Duration::from_millis(5);
/// How often it is told that nothing changed.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Tenants of one view that are named at most; more of them may be anybody.
const MAX_TENANTS: usize = 200;

/// One saying.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Announcement {
    /// Of one process that carries the views, from its beginning to its end.
    pub(super) term: Uuid,
    /// Counts within the term, from 1.
    pub(super) number: u64,
    pub(super) views: Vec<Told>,
}

/// One generation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) generation: Generation,
    pub(super) stage: Stage,
    pub(super) position: u64,
    pub(super) applied: u64,
    pub(super) unknown: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paused: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interrupted: Option<String>,
    /// Who moved since the saying before; `None`: anybody may have.
    pub(super) tenants: Option<HashMap<Arc<str>, u64>>,
}

/// Ends the telling when it is dropped.
pub struct Telling(Vec<JoinHandle<()>>);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Numbers what is said. Two tasks say something: the one that watches, and the one that carried an order out.
#[derive(Debug)]
pub(super) struct Voice {
    term: Uuid,
    said: tokio::sync::Mutex<u64>,
}

impl Voice {
    pub(super) fn term(&self) -> Uuid {
        self.term
    }
}

impl Views {
    /// Tells others how these views stand, and takes their orders, until it is dropped.
    pub fn tell(&self, bus: &Bus) -> Telling {
        let voice = Arc::new(Voice { term: bus_schema::ids::random_uuid(), said: tokio::sync::Mutex::new(0) });
        let watching = tokio::spawn(watch(self.clone(), bus.clone(), voice.clone()));
        let obeying = tokio::spawn(super::orders::obey(self.clone(), bus.clone(), voice));
        Telling(vec![watching, obeying])
    }

    fn standing(&self) -> Vec<(Generation, Stage, Arc<Slot>)> {
        read(&self.0.slots).iter().map(|(name, (slot, stage))| (name.clone(), *stage, slot.clone())).collect()
    }

    /// Says where every view stands now. Gives the number of the saying.
    pub(super) async fn say(&self, bus: &Bus, voice: &Voice) -> u64 {
        let mut said = voice.said.lock().await;
        *said += 1;
        let announcement = Announcement { term: voice.term, number: *said, views: self.told() };
        match codec::encode(&announcement) {
            Ok(body) => {
                // Who does not hear it hears the next one, and knows by its number.
                if let Err(error) = bus.say(SUBJECT, body.into()).await {
                    tracing::debug!(%error, "where the views stand was not said");
                }
            }
            Err(error) => tracing::error!(%error, "where the views stand cannot be said"),
        }
        *said
    }

    fn told(&self) -> Vec<Told> {
        let told = |(generation, stage, slot): (Generation, Stage, Arc<Slot>)| {
            // Before the position: what moves in between is named the next time too.
            let tenants = slot.take_news().filter(|tenants| tenants.len() <= MAX_TENANTS);
            let status = slot.status("");
            Told {
                generation,
                stage,
                position: status.position,
                applied: status.applied,
                unknown: status.unknown,
                paused: status.paused,
                interrupted: status.interrupted,
                tenants,
            }
        };
        self.standing().into_iter().map(told).collect()
    }
}

async fn watch(views: Views, bus: Bus, voice: Arc<Voice>) {
    let mut tick = tokio::time::interval(SOON);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut told) = (Vec::new(), Instant::now() - HEARTBEAT);
    loop {
        tick.tick().await;
        let now: Vec<u64> = views.standing().iter().map(|(_, _, slot)| slot.position()).collect();
        if now != before || told.elapsed() >= HEARTBEAT {
            views.say(&bus, &voice).await;
            (before, told) = (now, Instant::now());
        }
    }
}
