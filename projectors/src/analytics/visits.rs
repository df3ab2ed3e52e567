//! Visits by day: of each address, of each page and of the whole tenant.
//!
//! | table   | partition               | sort         | body     |
//! |---------|-------------------------|--------------|----------|
//! | `paths` | `<month> <site><path>`  | `2026-11-22` | [`Day`]  |
//! | `pages` | `<month> <page id>`     | `2026-11-22` | [`Day`]  |
//! | `total` | `<month>`               | `2026-11-22` | [`Day`]  |
//!
//! A partition holds the days of a month, so at most 31 rows. Days are those of UTC.

use crate::{
    projection::{Projection, ProjectionError, RowName, Rows},
    read_store::{ReadStorePort, Scan},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Recorded, TenantId,
    analytics::visit::{Device, PageVisited, VisitEvent},
    catalog::Catalogued,
    codec,
    subject::Family,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of the view.
pub const VISITS: &str = "visits";

const PATHS: &str = "paths";
const PAGES: &str = "pages";
const TOTAL: &str = "total";

/// Visits of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Position of the last fact counted, so that each counts once.
    #[serde(rename = "v")]
    pub seq: u64,
    pub desktop: u64,
    pub mobile: u64,
    pub other: u64,
    pub bot: u64,
}

impl Day {
    /// Visits of people, as far as agents say what they are.
    pub fn human(&self) -> u64 {
        self.desktop.saturating_add(self.mobile).saturating_add(self.other)
    }

    pub fn visits(&self) -> u64 {
        self.human().saturating_add(self.bot)
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.seq = self.seq.max(other.seq);
        for (sum, more) in [
            (&mut self.desktop, other.desktop),
            (&mut self.mobile, other.mobile),
            (&mut self.other, other.other),
            (&mut self.bot, other.bot),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn count(&mut self, device: Device, times: u32) {
        let sum = match device {
            Device::Desktop => &mut self.desktop,
            Device::Mobile => &mut self.mobile,
            Device::Bot => &mut self.bot,
            Device::Other => &mut self.other,
        };
        *sum = sum.saturating_add(u64::from(times));
    }
}

/// Whose visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited<'a> {
    /// One address of a site; the path starts with `/`.
    Path {
        site: &'a str,
        path: &'a str,
    },
    Page(Uuid),
    /// Everything of the tenant.
    Tenant,
}

impl Visited<'_> {
    /// The table, and the partition of a month (`2026-11`).
    fn place(&self, month: &str) -> (&'static str, String) {
        match self {
            Self::Path { site, path } => (PATHS, format!("{month} {site}{path}")),
            Self::Page(id) => (PAGES, format!("{month} {id}")),
            Self::Tenant => (TOTAL, month.to_owned()),
        }
    }
}

/// The rows a visit counts in.
fn rows_of(visited: &PageVisited, date: &str) -> Vec<RowName> {
    let path = Visited::Path { site: &visited.site, path: &visited.path };
    let month = date.get(..7).unwrap_or(date);
    [Some(path), visited.page.map(Visited::Page), Some(Visited::Tenant)]
        .into_iter()
        .flatten()
        .map(|of| {
            let (table, partition) = of.place(month);
            RowName::new(table, partition, date)
        })
        .collect()
}

/// The view.
#[derive(Debug, Default)]
pub struct Visits;

impl Projection for Visits {
    fn name(&self) -> &'static str {
        VISITS
    }

    fn version(&self) -> u32 {
        1
    }

    fn family(&self) -> Family {
        Family::Facts
    }

    fn follows(&self, address: &Address) -> bool {
        address.context == VisitEvent::CONTEXT && address.aggregate == VisitEvent::AGGREGATE
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        match &event.event {
            AnyEvent::Visit(VisitEvent::Visited(visited)) => rows_of(visited, &event.envelope.at.date()),
            _ => Vec::new(),
        }
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let AnyEvent::Visit(VisitEvent::Visited(visited)) = &event.event else {
            return Err(ProjectionError::Event(format!("{} is not an event of {VISITS}", event.envelope.kind)));
        };
        for name in rows_of(visited, &event.envelope.at.date()) {
            let mut day: Day = match rows.get(&name) {
                Some(body) => codec::decode(&body).map_err(|error| ProjectionError::Row(error.to_string()))?,
                None => Day::default(),
            };
            if day.seq >= event.seq {
                continue;
            }
            day.seq = event.seq;
            day.count(visited.device, visited.times);
            rows.put(name, codec::encode(&day).map_err(|error| ProjectionError::Row(error.to_string()))?);
        }
        Ok(())
    }
}

impl Views {
    /// The days of one month (`2026-11`) that have visits, in order.
    pub async fn visits(
        &self,
        tenant: &TenantId,
        of: Visited<'_>,
        month: &str,
    ) -> Result<Vec<(String, Day)>, ViewError> {
        let (table, partition) = of.place(month);
        let scan = Scan::new(self.serving(VISITS)?.generation().table(table)?, tenant.shared(), partition, 31);
        let rows = self.store().scan(&scan).await?.rows;
        let day = |row: crate::read_store::StoredRow| {
            let date = String::from_utf8_lossy(&row.sort).into_owned();
            codec::decode(&row.body).map(|day| (date, day)).map_err(ViewError::Row)
        };
        rows.into_iter().map(day).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generation::Generation, lane, read_store::ReadStore};
    use bus_schema::{Actor, Cell, CommandId, Envelope, Micros, StoredEvent, Subject, events::EventSet};
    use std::sync::Arc;

    const DAY: i64 = 86_400_000_000;
    const START: i64 = 1_767_225_600_000_000;
    const PAGE: Uuid = Uuid::from_u128(7);

    fn fact(seq: u64, tenant: &str, path: &str, device: Device, at: i64, times: u32) -> StoredEvent {
        let site = "main".to_owned();
        let visited = PageVisited { site, path: path.into(), page: Some(PAGE), referrer_host: None, device, times };
        let event: VisitEvent = visited.into();
        let command = CommandId(Uuid::from_u128(u128::from(seq)));
        StoredEvent {
            seq,
            subject: Subject::fact(
                &Cell::try_new("eu1").unwrap(),
                &TenantId::try_new(tenant).unwrap(),
                Address::new(VisitEvent::CONTEXT, VisitEvent::AGGREGATE, "b1"),
            ),
            envelope: Envelope {
                event_id: command.event(0),
                kind: EventSet::kind(&event).to_owned(),
                schema: event.schema(),
                at: Micros(at),
                actor: Actor::Visitor,
                correlation: command.0,
                cause: command,
                fingerprint: None,
                key: None,
                trace: None,
            },
            body: event.encode().unwrap().into(),
        }
    }

    #[tokio::test]
    async fn days_are_counted_once_by_path_page_and_tenant() {
        let store = ReadStore::Memory(crate::backend::memory::MemoryStore::new());
        let cell = Cell::try_new("eu1").unwrap();
        let views = Views::open(cell, store.clone(), vec![Arc::new(Visits)]).await.unwrap();
        let facts = [
            fact(1, "demo", "/", Device::Desktop, START, 1),
            fact(2, "demo", "/", Device::Bot, START + 5, 1),
            fact(3, "demo", "/a", Device::Mobile, START + DAY, 40),
            fact(4, "other", "/", Device::Other, START, 1),
            fact(5, "demo", "/", Device::Other, START + 40 * DAY, 1),
        ];
        // Twice: what a second lane or a lane from an old checkpoint does.
        for _ in 0..2 {
            let generation = Generation { view: VISITS.into(), version: 1, number: 0 };
            let slot = lane::Slot::new(Arc::new(Visits), generation, 0);
            lane::take(&store, &slot, "fx.eu1", facts.iter().cloned().map(Ok).collect()).await.unwrap();
        }
        let demo = TenantId::try_new("demo").unwrap();
        let home = Visited::Path { site: "main", path: "/" };
        let days = views.visits(&demo, home, "2026-01").await.unwrap();
        let [(date, day)] = &days[..] else { panic!("{days:?}") };
        assert_eq!((date.as_str(), day.human(), day.bot, day.visits()), ("2026-01-01", 1, 1, 2));
        let days = views.visits(&demo, Visited::Page(PAGE), "2026-01").await.unwrap();
        assert_eq!(days.iter().map(|(_, day)| day.visits()).collect::<Vec<_>>(), [2, 40]);
        assert_eq!(views.visits(&demo, Visited::Tenant, "2026-02").await.unwrap().len(), 1);
        let mut total = Day::default();
        for (_, day) in views.visits(&demo, Visited::Tenant, "2026-01").await.unwrap() {
            total.add(&day);
        }
        assert_eq!((total.mobile, total.desktop, total.visits()), (40, 1, 42));
        let other = TenantId::try_new("other").unwrap();
        assert_eq!(views.visits(&other, Visited::Tenant, "2026-01").await.unwrap()[0].1.visits(), 1);
    }
}
