//! Generations: each build of a view has tables of its own, `<view>_v<version>_g<generation>`.
//!
//! A new one is built beside the one that serves; the switch is one row. What serves is remembered in the read store
//! itself, so every process sees the same.

use crate::read_store::{ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, Scan, TableId, WriteBatch};
use bus_schema::codec;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The table of generations; its own generation never changes.
const CATALOG: &str = "platform_v1_g0.generations";
/// Rows of the platform itself stand under this name, which no tenant can have.
const PLATFORM: &str = "_platform";

/// One build of one view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation {
    pub view: String,
    pub version: u32,
    pub number: u32,
}

impl Generation {
    /// The full name of one of its tables.
    pub fn table(&self, table: &str) -> Result<TableId, ReadStoreError> {
        TableId::try_new(&format!("{self}.{table}"))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_v{}_g{}", self.view, self.version, self.number)
    }
}

/// What a generation is for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being filled; nobody reads it.
    Building,
    /// Answers reads.
    Serving,
    /// No longer read; its tables stay until it is retired.
    Replaced,
    /// Its tables are dropped. It stays known, so that its number is never given to another build: late writes and
    /// tombstones of the old one would meet the new one's.
    Retired,
}

#[derive(Serialize, Deserialize)]
struct Row {
    generation: Generation,
    stage: Stage,
}

/// All generations of all views.
pub async fn load(store: &ReadStore) -> Result<BTreeMap<Generation, Stage>, ReadStoreError> {
    let scan = Scan::new(TableId::try_new(CATALOG)?, Arc::from(PLATFORM), "generations", 1_000);
    let page = store.scan(&scan).await?;
    Ok(page
        .rows
        .iter()
        .filter_map(|row| codec::decode::<Row>(&row.body).ok())
        .map(|row| (row.generation, row.stage))
        .collect())
}

/// Records stages. Later calls win over earlier ones: the time is the catalogue's own counter.
pub async fn save(store: &ReadStore, changes: &[(Generation, Stage)]) -> Result<(), ReadStoreError> {
    let table = TableId::try_new(CATALOG)?;
    let mut ops = Vec::new();
    for (generation, stage) in changes {
        let sort = generation.to_string().into_bytes();
        let key = RowKey { table: table.clone(), tenant: Arc::from(PLATFORM), partition: "generations".into(), sort };
        let ts = store.get(&key).await?.map_or(1, |row| row.ts + 1);
        let row = Row { generation: generation.clone(), stage: *stage };
        let body = codec::encode(&row).map_err(|error| ReadStoreError::Unavailable {
            doing: "encode a generation",
            place: CATALOG.to_owned(),
            source: Box::new(error),
        })?;
        ops.push(RowOp::Put { key, ts, body: body.into() });
    }
    store.write(WriteBatch { ops, marks: Vec::new() }).await
}
