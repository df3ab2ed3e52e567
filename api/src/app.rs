//! What every handler has at hand.

use crate::{
    crm::imports::desk::ImportDesk,
    http::{idempotency::Running, metrics::Registry},
    replays::Replays,
};
use bus_schema::{Cell, bus::Bus, keys::KeyDirectory, time::Clock};
use projectors::{Views, search_lane::Search};
use std::{ops::Deref, sync::Arc};
use tokio::sync::Semaphore;
use writers::{Writer, facts::Facts, identity::sign_in::SignIn};

/// Feeds that may follow the log at once; each holds a consumer at the server.
const FOLLOWERS: usize = 64;

/// The parts of a running platform that answer requests.
pub struct Parts {
    pub cell: Cell,
    pub bus: Bus,
    pub writer: Writer,
    pub facts: Facts,
    pub views: Views,
    pub search: Search,
    pub keys: KeyDirectory,
    pub clock: Clock,
    pub sign_in: SignIn,
    pub registry: Registry,
    pub imports: Arc<dyn ImportDesk>,
}

/// Shared state of the API. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

pub struct Shared {
    parts: Parts,
    pub running: Running,
    pub followers: Arc<Semaphore>,
    replays: Replays,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        let (running, followers) = (Running::new(), Arc::new(Semaphore::new(FOLLOWERS)));
        Self(Arc::new(Shared { parts, running, followers, replays: Replays::default() }))
    }

    pub fn running(&self) -> &Running {
        &self.0.running
    }

    pub fn replays(&self) -> &Replays {
        &self.0.replays
    }

    pub fn followers(&self) -> Arc<Semaphore> {
        self.0.followers.clone()
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
