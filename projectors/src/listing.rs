//! Reading records and the lists that are wide rows.
//!
//! [`Views`] reads the generation that serves; a [`Reader`] reads any.

use crate::{
    generation::Generation,
    read_store::{ReadStore, ReadStorePort, RowKey, Scan},
    record_view::{MONTHS, NEWEST, RECORDS, Record, RecordView},
    views::{ViewError, Views},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::{TenantId, codec};
use uuid::Uuid;

/// A page of records.
#[derive(Clone, Debug)]
pub struct RecordPage<R> {
    pub records: Vec<(Uuid, Record<R>)>,
    /// Where the next page begins; opaque.
    pub next: Option<String>,
}

impl Views {
    /// One record.
    pub async fn record<V: RecordView>(
        &self,
        tenant: &TenantId,
        id: Uuid,
    ) -> Result<Option<Record<V::Row>>, ViewError> {
        Ok(self.records::<V>(tenant, &[id]).await?.pop().flatten())
    }

    /// Several records in the order of the ids; `None` where there is none.
    pub async fn records<V: RecordView>(
        &self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<Vec<Option<Record<V::Row>>>, ViewError> {
        self.reader(V::NAME)?.records::<V>(tenant, ids).await
    }

    /// The newest records first.
    pub async fn newest<V: RecordView>(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage<V::Row>, ViewError> {
        self.reader(V::NAME)?.newest::<V>(tenant, after, limit).await
    }

    /// The record at a place of a unique list (a page by its slug).
    pub async fn entry<V: RecordView>(
        &self,
        tenant: &TenantId,
        table: &'static str,
        partition: &str,
        sort: Vec<u8>,
    ) -> Result<Option<Uuid>, ViewError> {
        self.reader(V::NAME)?.entry(tenant, table, partition, sort).await
    }

    /// Reads the generation of a view that serves now.
    pub fn reader(&self, view: &str) -> Result<Reader<'_>, ViewError> {
        Ok(Reader { store: self.store(), generation: self.serving(view)?.generation().clone() })
    }
}

/// Reads one generation of a view: the serving one, or a scratch one beside it.
pub struct Reader<'a> {
    store: &'a ReadStore,
    generation: Generation,
}

impl<'a> Reader<'a> {
    pub fn new(store: &'a ReadStore, generation: Generation) -> Self {
        Self { store, generation }
    }

    /// Several records in the order of the ids; `None` where there is none.
    pub async fn records<V: RecordView>(
        &self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<Vec<Option<Record<V::Row>>>, ViewError> {
        let table = self.generation.table(RECORDS)?;
        let key = |id: &Uuid| RowKey {
            table: table.clone(),
            tenant: tenant.shared(),
            partition: id.to_string(),
            sort: Vec::new(),
        };
        let keys: Vec<RowKey> = ids.iter().map(key).collect();
        let rows = self.store.get_many(&keys).await?;
        rows.into_iter()
            .map(|row| row.map(|row| codec::decode(&row.body).map_err(ViewError::Row)).transpose())
            .collect()
    }

    /// The newest records first, month by month.
    pub async fn newest<V: RecordView>(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage<V::Row>, ViewError> {
        let months = self.generation.table(MONTHS)?;
        let newest = self.generation.table(NEWEST)?;
        let start = after.map(|cursor| Cursor::parse(cursor).ok_or(ViewError::Cursor)).transpose()?;
        let mut months_scan = Scan::new(months, tenant.shared(), "all", 1_200).descending();
        if let Some(start) = &start {
            // Months are scanned from the cursor's own downwards: "2026-11" < "2026-11~".
            months_scan = months_scan.after(format!("{}~", start.month).into_bytes());
        }
        let months = self.store.scan(&months_scan).await?.rows;
        let mut ids: Vec<(String, Vec<u8>, Uuid)> = Vec::new();
        for month in months {
            let Ok(month) = String::from_utf8(month.sort) else { continue };
            let mut scan = Scan::new(newest.clone(), tenant.shared(), month.clone(), limit + 1 - ids.len());
            if let Some(start) = start.as_ref().filter(|start| start.month == month) {
                scan = scan.after(start.sort.clone());
            }
            for row in self.store.scan(&scan).await?.rows {
                if let Ok(id) = Uuid::from_slice(&row.body) {
                    ids.push((month.clone(), row.sort, id));
                }
            }
            if ids.len() > limit {
                break;
            }
        }
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().filter(|_| more).map(|(month, sort, _)| Cursor::text(month, sort));
        let wanted: Vec<Uuid> = ids.iter().map(|(_, _, id)| *id).collect();
        let found = self.records::<V>(tenant, &wanted).await?;
        let records = wanted.into_iter().zip(found).filter_map(|(id, record)| Some((id, record?))).collect();
        Ok(RecordPage { records, next })
    }

    /// The record at a place of a unique list (a page by its slug).
    pub async fn entry(
        &self,
        tenant: &TenantId,
        table: &'static str,
        partition: &str,
        sort: Vec<u8>,
    ) -> Result<Option<Uuid>, ViewError> {
        let table = self.generation.table(table)?;
        let key = RowKey { table, tenant: tenant.shared(), partition: partition.to_owned(), sort };
        Ok(self.store.get(&key).await?.and_then(|row| Uuid::from_slice(&row.body).ok()))
    }
}

/// A place in the newest-first list.
struct Cursor {
    month: String,
    sort: Vec<u8>,
}

impl Cursor {
    fn text(month: &str, sort: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([month.as_bytes(), b"|", sort].concat())
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() <= 64)?;
        let split = bytes.iter().position(|byte| *byte == b'|')?;
        let month = String::from_utf8(bytes[..split].to_vec()).ok()?;
        let sort = bytes[split + 1..].to_vec();
        (month.len() == 7 && sort.len() == 24).then_some(Self { month, sort })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_checked() {
        let cursor = Cursor::text("2026-11", &[7; 24]);
        assert_eq!(Cursor::parse(&cursor).unwrap().sort, [7; 24]);
        for bad in ["", "!!", "AAAA", &Cursor::text("2026-11", &[1; 3]), &"A".repeat(4_000)] {
            assert!(Cursor::parse(bad).is_none());
        }
    }
}
