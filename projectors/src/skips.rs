//! Events that an operator ordered a view to pass over. Kept in the read store beside the generations, so a restart and
//! a rebuild pass over the same ones; the order itself says who gave it and when.

use crate::read_store::{ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, Scan, TableId, WriteBatch};
use bus_schema::{Micros, codec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const TABLE: &str = "platform_v1_g0.skips";
const PLATFORM: &str = "_platform";
/// Skips of one view that are read back.
const MOST: usize = 10_000;

/// Who ordered it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipOrder {
    pub seq: u64,
    pub by: String,
    pub at: Micros,
}

pub(crate) async fn save(store: &ReadStore, view: &str, order: &SkipOrder) -> Result<(), ReadStoreError> {
    let failed = |error| ReadStoreError::Unavailable {
        doing: "encode a skip",
        place: TABLE.to_owned(),
        source: Box::<dyn std::error::Error + Send + Sync>::from(error),
    };
    let body = codec::encode(order).map_err(|error| failed(error.to_string()))?;
    let key = RowKey {
        table: TableId::try_new(TABLE)?,
        tenant: Arc::from(PLATFORM),
        partition: view.to_owned(),
        sort: order.seq.to_be_bytes().to_vec(),
    };
    store.write(WriteBatch { ops: vec![RowOp::Put { key, ts: 1, body: body.into() }], marks: Vec::new() }).await
}

/// The orders of a view.
pub(crate) async fn load(store: &ReadStore, view: &str) -> Result<Vec<SkipOrder>, ReadStoreError> {
    let scan = Scan::new(TableId::try_new(TABLE)?, Arc::from(PLATFORM), view, MOST);
    let page = store.scan(&scan).await?;
    Ok(page.rows.iter().filter_map(|row| codec::decode(&row.body).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryStore;

    #[tokio::test]
    async fn orders_come_back_by_view() {
        let store = ReadStore::Memory(MemoryStore::new());
        let order = SkipOrder { seq: 7, by: "account:1".into(), at: Micros(5) };
        save(&store, "contacts", &order).await.unwrap();
        assert_eq!(load(&store, "contacts").await.unwrap(), [order]);
        assert!(load(&store, "pages").await.unwrap().is_empty());
    }
}
