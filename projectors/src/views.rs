//! The views of one process: which generation of each serves, where it stands, and the lanes that carry them; or, in a process
//! that only reads them, what it hears of those who do.

mod following;
mod orders;
mod telling;

pub use telling::Telling;

use crate::{
    generation::{self, Generation, Stage},
    lane::{Lane, Slot, ViewStatus, mark_cell},
    projection::Projection,
    read_store::{ReadStore, ReadStoreError, ReadStorePort, Resume, TableId, encoding::RowsDigest},
    skips::{self, SkipOrder},
};
use bus_schema::{Cell, bus::Bus, codec::DecodeError, subject::Family};
use futures::future::try_join_all;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
    time::Duration,
};

/// The views of one cell. Cheap to clone.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    cell: Cell,
    store: ReadStore,
    projections: HashMap<&'static str, Arc<dyn Projection>>,
    slots: RwLock<BTreeMap<Generation, (Arc<Slot>, Stage)>>,
    bus: RwLock<Option<Bus>>,
    /// Where another process carries them: what was heard of it.
    followed: Option<following::Followed>,
    /// Of this process alone, where the store is not.
    scratch: Option<ReadStore>,
}

/// What a view holds, in one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewDigest {
    pub generation: String,
    /// Where the view stood before its rows were read.
    pub position: u64,
    /// In hexadecimal digits.
    pub digest: String,
}

impl Views {
    /// Opens the views over a store: each continues its serving generation of the present version, or begins one.
    pub async fn open(cell: Cell, store: ReadStore, projections: Vec<Arc<dyn Projection>>) -> Result<Self, ViewError> {
        let known = generation::load(&store).await?;
        crate::replay::sweep(&store).await?;
        let mut slots = BTreeMap::new();
        let mut changes = Vec::new();
        let (mut going_on, mut beginning) = (Vec::new(), Vec::new());
        for projection in &projections {
            let (name, version) = (projection.name(), projection.version());
            let mine = |generation: &&Generation| generation.view == name && generation.version == version;
            for (generation, stage) in known.iter().filter(|(known, stage)| mine(known) && **stage != Stage::Retired) {
                going_on.push((projection, generation.clone(), *stage));
            }
            let serving = known.iter().any(|(generation, stage)| mine(&generation) && *stage == Stage::Serving);
            if !serving {
                let number = known.keys().filter(|g| g.view == name).map(|g| g.number + 1).max().unwrap_or(0);
                let generation = Generation { view: name.to_owned(), version, number };
                changes.push((generation.clone(), Stage::Serving));
                beginning.push((projection, generation));
            }
        }
        for (projection, generation) in beginning {
            let slot = slot(&store, projection, &generation, Resume::default()).await?;
            slots.insert(generation, (slot, Stage::Serving));
        }
        // Several at once: readers wait for who takes the views over.
        let opening = going_on.into_iter().map(|(projection, generation, stage)| {
            continued(store.clone(), projection.clone(), generation, stage, cell.clone())
        });
        let opened = try_join_all(opening).await?;
        slots.extend(opened);
        // A serving generation of another version cannot be read by this build: it is replaced.
        for (generation, stage) in &known {
            let superseded = projections
                .iter()
                .any(|projection| projection.name() == generation.view && projection.version() != generation.version);
            if superseded && *stage == Stage::Serving {
                changes.push((generation.clone(), Stage::Replaced));
            }
        }
        if !changes.is_empty() {
            generation::save(&store, &changes).await?;
        }
        let projections = projections.into_iter().map(|projection| (projection.name(), projection)).collect();
        let (slots, bus) = (RwLock::new(slots), RwLock::new(None));
        Ok(Self(Arc::new(Inner { cell, store, projections, slots, bus, followed: None, scratch: None })))
    }

    /// Ends the lanes, for a process that carries the views no longer. What is being written is written.
    pub async fn halt(&self) {
        let slots: Vec<Arc<Slot>> = read(&self.0.slots).values().map(|(slot, _)| slot.clone()).collect();
        slots.iter().for_each(|slot| slot.retire());
        for slot in slots {
            drop(slot.written().await);
        }
    }

    /// Starts the lanes: views at the same place of the same stream share one.
    pub fn start(&self, bus: Bus) {
        *write(&self.0.bus) = Some(bus.clone());
        type Place = (&'static str, u64);
        let mut groups: BTreeMap<Place, (Family, Vec<Arc<Slot>>)> = BTreeMap::new();
        for (slot, stage) in read(&self.0.slots).values() {
            if *stage == Stage::Replaced {
                continue;
            }
            let family = slot.projection().family();
            let group = groups.entry((family.token(), slot.position())).or_insert_with(|| (family, Vec::new()));
            group.1.push(slot.clone());
        }
        for (family, slots) in groups.into_values() {
            tokio::spawn(Lane::new(bus.clone(), self.0.store.clone(), family, slots).run());
        }
    }

    pub fn cell(&self) -> &Cell {
        &self.0.cell
    }

    pub fn store(&self) -> &ReadStore {
        &self.0.store
    }

    /// For rows that nobody else is to see.
    pub fn scratch(&self) -> &ReadStore {
        self.0.scratch.as_ref().unwrap_or(&self.0.store)
    }

    /// The slot that answers reads of a view.
    pub fn serving(&self, view: &str) -> Result<Arc<Slot>, ViewError> {
        let slots = read(&self.0.slots);
        let serving = slots
            .iter()
            .find(|(generation, (_, stage))| generation.view == view && *stage == Stage::Serving)
            .map(|(_, (slot, _))| slot.clone());
        serving.ok_or_else(|| ViewError::NoView(view.to_owned()))
    }

    /// The projection of a view.
    pub fn projection(&self, view: &str) -> Result<Arc<dyn Projection>, ViewError> {
        self.0.projections.get(view).cloned().ok_or_else(|| ViewError::NoView(view.to_owned()))
    }

    /// Waits until a view has reached a position.
    pub async fn wait(&self, view: &str, seq: u64, at_most: Duration) -> Result<(), ViewError> {
        let slot = self.serving(view)?;
        let mut positions = slot.positions();
        let reached = tokio::time::timeout(at_most, positions.wait_for(|position| *position >= seq)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ViewError::Behind { view: view.to_owned(), position: slot.position(), wanted: seq }),
        }
    }

    /// Each serving generation with the position it stands at and a digest over all its rows (SHA-256). Two of one version have
    /// the same when they saw the same log up to the same position, whatever their generation: a rebuild has the digest of what it
    /// replaces. Reads every row.
    pub async fn digests(&self) -> Result<Vec<ViewDigest>, ViewError> {
        let serving: Vec<Arc<Slot>> = {
            let slots = read(&self.0.slots);
            slots.values().filter(|(_, stage)| *stage == Stage::Serving).map(|(slot, _)| slot.clone()).collect()
        };
        let tables = self.0.store.tables().await?;
        let mut digests = Vec::new();
        for slot in serving {
            let generation = slot.generation().to_string();
            let own =
                |table: &&TableId| table.as_str().strip_prefix(&generation).is_some_and(|rest| rest.starts_with('.'));
            let (mut whole, position) = (Sha256::new(), slot.position());
            for table in tables.iter().filter(own) {
                let rows = self.0.store.digest(table).await?;
                // A table is made with its first row and stays when that goes; a rebuild may never see it.
                if rows != RowsDigest::default().finish() {
                    whole.update(&table.as_str().as_bytes()[generation.len()..]);
                    whole.update(rows);
                }
            }
            let digest = whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            digests.push(ViewDigest { generation, position, digest });
        }
        Ok(digests)
    }

    /// How every generation stands.
    pub fn status(&self) -> Vec<ViewStatus> {
        let stage_name = |stage: Stage| match stage {
            Stage::Building => "building",
            Stage::Serving => "serving",
            Stage::Replaced => "replaced",
            Stage::Retired => "retired",
        };
        read(&self.0.slots).values().map(|(slot, stage)| slot.status(stage_name(*stage))).collect()
    }

    /// Begins a new generation beside the one that serves.
    pub async fn build(&self, view: &str) -> Result<Generation, ViewError> {
        if self.0.followed.is_some() {
            return self.order(orders::Order::Build { view: view.to_owned() }).await?.generation(view);
        }
        let projection = self.0.projections.get(view).ok_or_else(|| ViewError::NoView(view.to_owned()))?;
        let bus = read(&self.0.bus).clone().ok_or(ViewError::NotStarted)?;
        let known = generation::load(&self.0.store).await?;
        let number = known.keys().filter(|known| known.view == view).map(|known| known.number + 1).max().unwrap_or(0);
        let generation = Generation { view: view.to_owned(), version: projection.version(), number };
        {
            let slots = read(&self.0.slots);
            let mut mine = slots.iter().filter(|(generation, _)| generation.view == view);
            if let Some((building, _)) = mine.find(|(_, (_, stage))| *stage == Stage::Building) {
                return Err(ViewError::Building(building.to_string()));
            }
        }
        generation::save(&self.0.store, &[(generation.clone(), Stage::Building)]).await?;
        let slot = slot(&self.0.store, projection, &generation, Resume::default()).await?;
        write(&self.0.slots).insert(generation.clone(), (slot.clone(), Stage::Building));
        tokio::spawn(Lane::new(bus, self.0.store.clone(), projection.family(), vec![slot]).run());
        Ok(generation)
    }

    /// Lets the built generation serve, once it stands where the serving one stands.
    pub async fn switch(&self, view: &str) -> Result<Generation, ViewError> {
        if self.0.followed.is_some() {
            return self.order(orders::Order::Switch { view: view.to_owned() }).await?.generation(view);
        }
        let old = self.serving(view)?;
        let new = {
            let slots = read(&self.0.slots);
            let building =
                slots.iter().find(|(generation, (_, stage))| generation.view == view && *stage == Stage::Building);
            building.map(|(_, (slot, _))| slot.clone()).ok_or_else(|| ViewError::NothingBuilt(view.to_owned()))?
        };
        if new.position() < old.position() {
            let (position, wanted) = (new.position(), old.position());
            return Err(ViewError::Behind { view: new.generation().to_string(), position, wanted });
        }
        let changes = [(new.generation().clone(), Stage::Serving), (old.generation().clone(), Stage::Replaced)];
        generation::save(&self.0.store, &changes).await?;
        let mut slots = write(&self.0.slots);
        for (generation, stage) in &changes {
            if let Some(entry) = slots.get_mut(generation) {
                entry.1 = *stage;
            }
        }
        Ok(new.generation().clone())
    }

    /// Drops the tables of a generation that no longer serves.
    pub async fn retire(&self, generation: &str) -> Result<(), ViewError> {
        if self.0.followed.is_some() {
            return self.order(orders::Order::Retire { generation: generation.to_owned() }).await.map(drop);
        }
        let found = {
            let slots = read(&self.0.slots);
            slots
                .iter()
                .find(|(known, _)| known.to_string() == generation)
                .map(|(known, (slot, stage))| (known.clone(), slot.clone(), *stage))
        };
        let known = generation::load(&self.0.store).await?;
        let (generation, stage) = match found {
            Some((known, slot, stage)) => {
                if stage != Stage::Serving {
                    slot.retire();
                    // A batch under way would write the dropped tables anew.
                    drop(slot.written().await);
                }
                (known, stage)
            }
            // One of another version, which this process does not carry.
            None => known
                .into_iter()
                .find(|(known, stage)| known.to_string() == generation && *stage != Stage::Retired)
                .ok_or_else(|| ViewError::NoView(generation.to_owned()))?,
        };
        if stage == Stage::Serving {
            return Err(ViewError::Serving(generation.to_string()));
        }
        self.0.store.drop_tables(&generation.to_string()).await?;
        generation::save(&self.0.store, &[(generation.clone(), Stage::Retired)]).await?;
        write(&self.0.slots).remove(&generation);
        Ok(())
    }

    /// Tries a paused view again. `skip` is an operator's order to pass over one event for good; it is kept and holds for
    /// later generations too.
    pub async fn resume(&self, view: &str, skip: Option<SkipOrder>) -> Result<(), ViewError> {
        self.projection(view)?;
        if self.0.followed.is_some() {
            return self.order(orders::Order::Resume { view: view.to_owned(), skip }).await.map(drop);
        }
        if let Some(order) = &skip {
            // A slip of the pen would be passed over silently by the next rebuild.
            let stands = |status: &ViewStatus| status.paused.as_ref().is_some_and(|pause| pause.seq == order.seq);
            if !self.status().iter().any(|status| status.view == view && stands(status)) {
                return Err(ViewError::NotBefore { view: view.to_owned(), seq: order.seq });
            }
            skips::save(&self.0.store, view, order).await?;
        }
        let slots = read(&self.0.slots);
        let mut found = false;
        for (slot, _) in slots.iter().filter(|(generation, _)| generation.view == view).map(|(_, entry)| entry) {
            found = true;
            match &skip {
                Some(order) => slot.skip(order.seq),
                None => slot.resume(),
            }
        }
        if found { Ok(()) } else { Err(ViewError::NoView(view.to_owned())) }
    }
}

/// A generation that goes on where the store says.
async fn continued(
    store: ReadStore,
    projection: Arc<dyn Projection>,
    generation: Generation,
    stage: Stage,
    cell: Cell,
) -> Result<(Generation, (Arc<Slot>, Stage)), ReadStoreError> {
    let resume = store.resume(&generation.to_string(), &mark_cell(projection.family(), &cell)).await?;
    let slot = slot(&store, &projection, &generation, resume.unwrap_or_default()).await?;
    Ok((generation, (slot, stage)))
}

/// A place in a lane that passes over what operators ordered to pass over.
async fn slot(
    store: &ReadStore,
    projection: &Arc<dyn Projection>,
    generation: &Generation,
    resume: Resume,
) -> Result<Arc<Slot>, ReadStoreError> {
    let slot = Slot::resumed(projection.clone(), generation.clone(), resume);
    for order in skips::load(store, &generation.view).await? {
        slot.skip(order.seq);
    }
    Ok(Arc::new(slot))
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Why a view does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error("there is no view {0}")]
    NoView(String),
    #[error("the view {view} stands at {position}, not yet at {wanted}; try again in a moment")]
    Behind { view: String, position: u64, wanted: u64 },
    #[error("the cursor is not one of this list")]
    Cursor,
    #[error("the views follow no log yet")]
    NotStarted,
    #[error("no process carries the views at this moment ({0}); start `millrace run --role projector`, or try again")]
    NotCarried(String),
    #[error("the process that carries the views could not: {0}")]
    Elsewhere(String),
    #[error("{0} is being built already; switch to it or retire it first")]
    Building(String),
    #[error("nothing was built beside the serving generation of {0}; run `millrace views build {0}` first")]
    NothingBuilt(String),
    #[error("{0} serves; switch to another generation before retiring it")]
    Serving(String),
    #[error("{view} is not paused before event {seq}; `millrace views list` shows before which one it is")]
    NotBefore { view: String, seq: u64 },
    #[error("a stored row cannot be read; rebuild the view")]
    Row(#[source] DecodeError),
    #[error("the read store: {0}")]
    Store(#[from] ReadStoreError),
}
