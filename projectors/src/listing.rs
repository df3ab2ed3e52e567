//! Reading records and the lists that are wide rows.
//!
//! [`Views`] reads the generation that serves; a [`Reader`] reads any.

use crate::{
    generation::Generation,
    read_store::{ReadStore, ReadStorePort, RowKey, Scan},
    record_view::{MONTHS, NEWEST, RECORDS, Record, RecordView, month},
    views::{ViewError, Views},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::{TenantId, codec, time::Clock};
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
        let start = after.map(|cursor| Cursor::parse(cursor).ok_or(ViewError::Cursor)).transpose()?;
        // The page most likely begins in the cursor's month, or in this one.
        let likely = start.as_ref().map_or_else(|| month(Clock::System.now()), |start| start.month.clone());
        self.newest_from::<V>(tenant, start, limit, likely).await
    }

    /// Asks for the places of a month at the same time as for the months. A guess that was wrong costs a read and nothing else.
    async fn newest_from<V: RecordView>(
        &self,
        tenant: &TenantId,
        start: Option<Cursor>,
        limit: usize,
        likely: String,
    ) -> Result<RecordPage<V::Row>, ViewError> {
        let months = self.generation.table(MONTHS)?;
        let newest = self.generation.table(NEWEST)?;
        let mut months_scan = Scan::new(months, tenant.shared(), "all", 1_200).descending();
        if let Some(start) = &start {
            // Months are scanned from the cursor's own downwards: "2026-11" < "2026-11~".
            months_scan = months_scan.after(format!("{}~", start.month).into_bytes());
        }
        let places = |month: &str, count: usize| {
            let scan = Scan::new(newest.clone(), tenant.shared(), month, count);
            match start.as_ref().filter(|start| start.month == month) {
                Some(start) => scan.after(start.sort.clone()),
                None => scan,
            }
        };
        let first = places(&likely, limit + 1);
        let (months, first) = tokio::try_join!(self.store.scan(&months_scan), self.store.scan(&first))?;
        let mut first = Some(first.rows);
        let mut ids: Vec<(String, Vec<u8>, Uuid)> = Vec::new();
        for month in months.rows {
            let Ok(month) = String::from_utf8(month.sort) else { continue };
            let rows = match first.take_if(|_| month == likely) {
                Some(rows) => rows,
                None => self.store.scan(&places(&month, limit + 1 - ids.len())).await?.rows,
            };
            for row in rows {
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
    use crate::{
        backend::memory::MemoryStore,
        read_store::{RowOp, WriteBatch},
        record_view::{Happening, newest_sort},
        search::Doc,
    };
    use bus_schema::{Keyring, Micros, crm::contact::ContactEvent};

    struct Numbers;

    impl RecordView for Numbers {
        const NAME: &'static str = "numbers";
        const VERSION: u32 = 1;
        type Event = ContactEvent;
        type Row = u64;

        fn fold(row: Option<u64>, _: &ContactEvent, _: &Happening) -> Option<u64> {
            row
        }

        fn document(_: &TenantId, _: Uuid, _: &Record<u64>, _: &Keyring) -> Option<Doc> {
            None
        }
    }

    /// Records 0 to 8, three a month.
    async fn three_months(tenant: &TenantId, generation: &Generation) -> ReadStore {
        let store = ReadStore::Memory(MemoryStore::new());
        let put = |table: &str, partition: String, sort: Vec<u8>, body: Vec<u8>| {
            let key = RowKey { table: generation.table(table).unwrap(), tenant: tenant.shared(), partition, sort };
            RowOp::Put { key, ts: 1, body: body.into() }
        };
        let mut ops = Vec::new();
        for number in 0..9u64 {
            let (id, month) = (Uuid::from_u128(number.into()), format!("2026-{:02}", 8 + number / 3));
            let at = Micros(0);
            let record = Record { revision: number, first: number, created_at: at, updated_at: at, row: number };
            ops.push(put(MONTHS, "all".into(), month.clone().into_bytes(), Vec::new()));
            ops.push(put(NEWEST, month, newest_sort(number, id), id.as_bytes().to_vec()));
            ops.push(put(RECORDS, id.to_string(), Vec::new(), codec::encode(&record).unwrap()));
        }
        store.write(WriteBatch { ops, marks: Vec::new() }).await.unwrap();
        store
    }

    #[tokio::test]
    async fn whatever_month_was_likely_pages_cover_the_list() {
        let (tenant, generation) =
            (TenantId::try_new("acme").unwrap(), Generation { view: "numbers".into(), version: 1, number: 0 });
        let store = three_months(&tenant, &generation).await;
        let reader = Reader::new(&store, generation);
        for likely in ["2026-10", "2026-09", "2026-08", "2026-11", "2020-01"] {
            for limit in [1, 2, 3, 4, 8, 9, 10] {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let start = after.as_deref().and_then(Cursor::parse);
                    let page = reader.newest_from::<Numbers>(&tenant, start, limit, likely.to_owned()).await.unwrap();
                    assert!(page.next.is_none() || page.records.len() == limit);
                    found.extend(page.records.into_iter().map(|(_, record)| record.row));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(found, (0..9).rev().collect::<Vec<_>>(), "{likely} was likely, pages of {limit}");
            }
        }
    }

    #[test]
    fn a_cursor_is_checked() {
        let cursor = Cursor::text("2026-11", &[7; 24]);
        assert_eq!(Cursor::parse(&cursor).unwrap().sort, [7; 24]);
        for bad in ["", "!!", "AAAA", &Cursor::text("2026-11", &[1; 3]), &"A".repeat(4_000)] {
            assert!(Cursor::parse(bad).is_none());
        }
    }
}
