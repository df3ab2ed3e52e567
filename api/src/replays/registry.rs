//! The replays of this process: bounded in number, dropped when nobody asks them any more.

use crate::http::problem::Problem;
use bus_schema::TenantId;
use dashmap::DashMap;
use projectors::replay::Replay;
use serde::Serialize;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use utoipa::ToSchema;
use uuid::Uuid;

/// Replays of one tenant and of the process at once.
const PER_TENANT: usize = 4;
const AT_ONCE: usize = 16;
/// A replay nobody asked for this long is dropped.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Where a replay stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReplayStatus {
    pub id: Uuid,
    pub view: String,
    #[schema(example = "running")]
    pub state: String,
    /// Events folded so far.
    pub events: u64,
    /// Position of the last of them.
    pub position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A replay of this process.
pub struct Running {
    pub id: Uuid,
    pub view: String,
    pub replay: Arc<Replay>,
    outcome: Mutex<Option<Result<(), String>>>,
    used: Mutex<Instant>,
}

impl Running {
    pub fn finish(&self, outcome: Result<(), String>) {
        *lock(&self.outcome) = Some(outcome);
    }

    pub fn is_done(&self) -> bool {
        matches!(*lock(&self.outcome), Some(Ok(())))
    }

    pub fn status(&self) -> ReplayStatus {
        let (state, error) = match &*lock(&self.outcome) {
            None => ("running", None),
            Some(Ok(())) => ("done", None),
            Some(Err(why)) => ("failed", Some(why.clone())),
        };
        ReplayStatus {
            id: self.id,
            view: self.view.clone(),
            state: state.into(),
            events: self.replay.seen(),
            position: self.replay.position(),
            error,
        }
    }
}

/// See the module.
#[derive(Clone, Default)]
pub struct Replays(Arc<DashMap<Uuid, Arc<Running>>>);

impl Replays {
    /// Takes a new replay in, or says that there are too many.
    pub fn admit(&self, id: Uuid, view: &str, replay: Arc<Replay>) -> Result<Arc<Running>, Problem> {
        self.drop_idle();
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let mine = self.0.iter().filter(|running| running.replay.tenant() == replay.tenant()).count();
        if mine >= PER_TENANT || self.0.len() >= AT_ONCE {
            return Err(Problem::overloaded("too many replays; delete one or wait until one is dropped", 60));
        }
        let running = Arc::new(Running {
            id,
            view: view.to_owned(),
            replay,
            outcome: Mutex::default(),
            used: Mutex::new(Instant::now()),
        });
        self.0.insert(id, running.clone());
        Ok(running)
    }

    /// A replay of this tenant.
    pub fn find(&self, id: Uuid, tenant: &TenantId) -> Option<Arc<Running>> {
        let running = self.0.get(&id)?.clone();
        (running.replay.tenant() == tenant).then(|| {
            *lock(&running.used) = Instant::now();
            running
        })
    }

    pub async fn discard(&self, id: Uuid) {
        if let Some((_, running)) = self.0.remove(&id)
            && let Err(error) = running.replay.discard().await
        {
            tracing::warn!(%error, "the tables of a replay were not dropped; the next start sweeps them");
        }
    }

    fn drop_idle(&self) {
        let idle: Vec<Uuid> =
            self.0.iter().filter(|running| lock(&running.used).elapsed() > IDLE).map(|running| running.id).collect();
        for id in idle {
            let replays = self.clone();
            tokio::spawn(async move { replays.discard(id).await });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
