//! The views in a process that does not carry them: it reads the rows, and hears how far they are.
//!
//! At its start it takes the catalogue and the checkpoints from the read store; from then on what is [told](super::telling). When nothing is
//! heard any more, every view is interrupted and says why; reads go on over what is there. A process of another release may
//! carry views of other versions: those this one reads then stand still, and say that.

use super::{Inner, ViewError, Views, read, telling, write};
use crate::{
    generation::{self, Generation, Stage},
    lane::{Heard, Slot, mark_cell},
    projection::Projection,
    read_store::{ReadStore, ReadStorePort, Severity},
};
use bus_schema::{Cell, bus::Bus, codec};
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};
use telling::{Announcement, Told};
use tokio::sync::watch;
use uuid::Uuid;

/// After so long without a word nobody carries the views. They are told of four times a second.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// How often a start looks whether the views have been made.
const LOOK: Duration = Duration::from_millis(500);
/// Before hearing is tried again.
const RETRY: Duration = Duration::from_millis(500);

const NOBODY: &str = "no process that carries the views is heard; start `millrace run --role projector`";
const OTHERS: &str = "the process that carries the views is of another release; upgrade this one";

/// What was heard last.
pub(super) struct Followed {
    pub(super) heard: watch::Sender<Saying>,
}

/// Which saying of which term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) term: Uuid,
    pub(super) number: u64,
}

impl Views {
    /// Opens the views over a store that another process fills, and follows it. `scratch` is a store of this process alone. Waits at
    /// most so long until every view has a generation that serves, and until the store answers.
    ///
    /// Errors: [`ViewError::NotCarried`] when there is none by then, [`ViewError::Store`] when it does not answer.
    pub async fn follow(
        cell: Cell,
        store: ReadStore,
        projections: Vec<Arc<dyn Projection>>,
        bus: Bus,
        scratch: ReadStore,
        at_most: Duration,
    ) -> Result<Self, ViewError> {
        crate::replay::sweep(&scratch).await?;
        let end = tokio::time::Instant::now() + at_most;
        let slots = loop {
            let slots = match stored(&cell, &store, &projections).await {
                // Others may be starting beside it, and the cluster may be busy with them.
                Err(ViewError::Store(error))
                    if error.severity() == Severity::Transient && tokio::time::Instant::now() < end =>
                {
                    tracing::warn!(%error, "the read store does not say where the views are; it is asked again");
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                stored => stored?,
            };
            let serves = |projection: &Arc<dyn Projection>| {
                slots.iter().any(|(name, (_, stage))| name.view == projection.name() && *stage == Stage::Serving)
            };
            match projections.iter().find(|projection| !serves(projection)) {
                None => break slots,
                Some(missing) if tokio::time::Instant::now() >= end => {
                    let (name, version) = (missing.name(), missing.version());
                    return Err(ViewError::NotCarried(format!("version {version} of {name} was not made yet")));
                }
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        };
        let projections = projections.into_iter().map(|projection| (projection.name(), projection)).collect();
        let followed = Some(Followed { heard: watch::Sender::new(Saying::default()) });
        let (slots, own) = (RwLock::new(slots), RwLock::new(Some(bus.clone())));
        let scratch = Some(scratch);
        let views = Self(Arc::new(Inner { cell, store, projections, slots, bus: own, followed, scratch }));
        tokio::spawn(hear(Arc::downgrade(&views.0), bus));
        Ok(views)
    }

    /// Takes a saying.
    fn heard(&self, announcement: Announcement) {
        let Some(followed) = &self.0.followed else { return };
        let saying = Saying { term: announcement.term, number: announcement.number };
        let last = *followed.heard.borrow();
        // One that was overtaken says nothing new.
        if last.term == saying.term && last.number >= saying.number {
            return;
        }
        let is_next = last.term == saying.term && last.number + 1 == saying.number;
        let mut slots = write(&self.0.slots);
        let mut told = Vec::new();
        for view in announcement.views {
            let Told { generation, stage, position, applied, unknown, paused, interrupted, tenants } = view;
            let Some(projection) = self.0.projections.get(generation.view.as_str()) else { continue };
            if projection.version() != generation.version {
                continue;
            }
            let tenants = tenants.filter(|_| is_next);
            let heard = Heard { position, applied, unknown, paused, interrupted, tenants };
            let (slot, known) = slots
                .entry(generation.clone())
                .or_insert_with(|| (Arc::new(Slot::new(projection.clone(), generation.clone(), position)), stage));
            *known = stage;
            slot.hear(heard);
            told.push(generation);
        }
        let serving = |view: &str, slots: &BTreeMap<Generation, (Arc<Slot>, Stage)>| {
            slots.iter().any(|(name, (_, stage))| name.view == view && *stage == Stage::Serving && told.contains(name))
        };
        let silent: Vec<Generation> = slots.keys().filter(|name| !told.contains(name)).cloned().collect();
        for name in silent {
            let last_of_it = slots.get(&name).is_some_and(|(_, stage)| *stage == Stage::Serving);
            if last_of_it && !serving(&name.view, &slots) {
                if let Some((slot, _)) = slots.get(&name) {
                    slot.interrupted(OTHERS);
                }
            } else {
                slots.remove(&name);
            }
        }
        drop(slots);
        followed.heard.send_replace(saying);
    }

    fn silent(&self) {
        for (slot, _) in read(&self.0.slots).values() {
            slot.interrupted(NOBODY);
        }
    }
}

/// What the catalogue and the checkpoints in the store say.
async fn stored(
    cell: &Cell,
    store: &ReadStore,
    projections: &[Arc<dyn Projection>],
) -> Result<BTreeMap<Generation, (Arc<Slot>, Stage)>, ViewError> {
    let mut slots = BTreeMap::new();
    for (generation, stage) in generation::load(store).await? {
        let mine = |projection: &&Arc<dyn Projection>| {
            projection.name() == generation.view && projection.version() == generation.version
        };
        let Some(projection) = projections.iter().find(mine).filter(|_| stage != Stage::Retired) else { continue };
        let position = store.mark(&generation.to_string(), &mark_cell(projection.family(), cell)).await?;
        let slot = Slot::new(projection.clone(), generation.clone(), position.unwrap_or(0));
        slots.insert(generation, (Arc::new(slot), stage));
    }
    Ok(slots)
}

/// Hears until nobody has the views any more.
async fn hear(views: std::sync::Weak<Inner>, bus: Bus) {
    loop {
        let mut heard = match bus.hear(telling::SUBJECT).await {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(%error, "the process that carries the views is not heard");
                let Some(views) = views.upgrade().map(Views) else { return };
                views.silent();
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        loop {
            let said = tokio::time::timeout(SILENCE, heard.next()).await;
            let Some(views) = views.upgrade().map(Views) else { return };
            match said {
                Ok(Some(body)) => match codec::decode(&body) {
                    Ok(announcement) => views.heard(announcement),
                    Err(error) => tracing::warn!(%error, "what is said of the views is not understood"),
                },
                Ok(None) => {
                    views.silent();
                    tokio::time::sleep(RETRY).await;
                    break;
                }
                Err(_) => views.silent(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::memory::MemoryStore, lane::Pause};
    use std::collections::HashMap;

    async fn views() -> Views {
        let (cell, store) = (Cell::try_new("eu1").unwrap(), ReadStore::Memory(MemoryStore::new()));
        let projections = || crate::catalog::projections().into_iter().take(1).collect::<Vec<_>>();
        // Another process makes them.
        Views::open(cell.clone(), store.clone(), projections()).await.unwrap();
        let slots = RwLock::new(stored(&cell, &store, &projections()).await.unwrap());
        let projections = projections().into_iter().map(|projection| (projection.name(), projection)).collect();
        let followed = Some(Followed { heard: watch::Sender::new(Saying::default()) });
        Views(Arc::new(Inner { cell, store, projections, slots, bus: RwLock::new(None), followed, scratch: None }))
    }

    fn told(generation: &Generation, position: u64, tenants: &[(&str, u64)]) -> Told {
        Told {
            generation: generation.clone(),
            stage: Stage::Serving,
            position,
            applied: 1,
            unknown: 0,
            paused: None,
            interrupted: None,
            tenants: Some(tenants.iter().map(|(tenant, seq)| (Arc::from(*tenant), *seq)).collect::<HashMap<_, _>>()),
        }
    }

    fn said(number: u64, views: Vec<Told>) -> Announcement {
        Announcement { term: Uuid::from_u128(1), number, views }
    }

    #[tokio::test]
    async fn positions_are_heard_and_a_gap_moves_everybody() {
        let views = views().await;
        let name = read(&views.0.slots).keys().next().unwrap().clone();
        let slot = views.serving(&name.view).unwrap();
        views.heard(said(1, vec![told(&name, 10, &[])]));
        assert_eq!((slot.position(), slot.tenant_position("demo")), (10, 10), "nobody knows what was before");
        views.heard(said(2, vec![told(&name, 12, &[("demo", 12)])]));
        assert_eq!((slot.tenant_position("demo"), slot.tenant_position("other")), (12, 10));
        views.heard(said(4, vec![told(&name, 20, &[("demo", 20)])]));
        assert_eq!(slot.tenant_position("other"), 20, "it may have moved in what was not heard");
        views.heard(said(3, vec![told(&name, 15, &[])]));
        assert_eq!(slot.position(), 20, "overtaken");
    }

    #[tokio::test]
    async fn pauses_silence_and_other_releases_are_said() {
        let views = views().await;
        let name = read(&views.0.slots).keys().next().unwrap().clone();
        let pause = Pause { seq: 5, event_id: None, kind: None, subject: String::new(), error: "bad".into() };
        views.heard(said(1, vec![Told { paused: Some(pause.clone()), ..told(&name, 4, &[]) }]));
        assert_eq!(views.status()[0].paused, Some(pause));
        views.silent();
        assert!(views.status()[0].interrupted.as_ref().unwrap().contains("--role projector"));
        views.heard(said(2, vec![told(&name, 6, &[])]));
        assert_eq!((views.status()[0].interrupted.clone(), views.status()[0].paused.clone()), (None, None));
        // A second generation is built, serves, and the first is retired.
        let next = Generation { number: name.number + 1, ..name.clone() };
        let building = Told { stage: Stage::Building, ..told(&next, 3, &[]) };
        views.heard(said(3, vec![told(&name, 6, &[]), building]));
        assert_eq!(views.serving(&name.view).unwrap().generation(), &name);
        views.heard(said(4, vec![Told { stage: Stage::Replaced, ..told(&name, 6, &[]) }, told(&next, 7, &[])]));
        assert_eq!(views.serving(&name.view).unwrap().generation(), &next);
        views.heard(said(5, vec![told(&next, 8, &[])]));
        assert_eq!(views.status().len(), 1);
        let other = Generation { version: next.version + 1, ..next.clone() };
        views.heard(said(6, vec![told(&other, 9, &[])]));
        assert_eq!(views.serving(&name.view).unwrap().generation(), &next, "it is what this release can read");
        assert!(views.status()[0].interrupted.as_ref().unwrap().contains("another release"));
    }
}
