//! Addresses over the life of pages, through a lane over a store in memory.

use super::*;
use crate::{backend::memory::MemoryStore, generation::Generation, lane, read_store::ReadStore};
use bus_schema::{
    Actor, Cell, CommandId, Envelope, StoredEvent, Subject,
    cms::page::{
        PageCreated, PageEdited, PagePublished, PageRedirectDropped, PageReinstated, PageRemoved, PageSlugRenamed,
        PageUnpublished,
    },
    events::EventSet,
    identity::tenant::{TenantCreated, TenantRenamed},
};
use std::sync::Arc;

const ONE: Uuid = Uuid::from_u128(1);
const TWO: Uuid = Uuid::from_u128(2);

struct Log {
    store: ReadStore,
    views: Views,
    events: Vec<StoredEvent>,
}

fn id(name: &str) -> TenantId {
    TenantId::try_new(name).unwrap()
}

impl Log {
    async fn new() -> Self {
        let store = ReadStore::Memory(MemoryStore::new());
        let cell = Cell::try_new("eu1").unwrap();
        let views = Views::open(cell, store.clone(), vec![Arc::new(Routes)]).await.unwrap();
        Self { store, views, events: Vec::new() }
    }

    fn add<E: Catalogued>(&mut self, tenant: &str, aggregate: Uuid, event: impl Into<E>) {
        let event: E = event.into();
        let seq = self.events.len() as u64 + 1;
        let command = CommandId(Uuid::from_u128(u128::from(seq)));
        self.events.push(StoredEvent {
            seq,
            subject: Subject::event(self.views.cell(), &id(tenant), Address::new(E::CONTEXT, E::AGGREGATE, aggregate)),
            envelope: Envelope {
                event_id: command.event(0),
                kind: EventSet::kind(&event).to_owned(),
                schema: event.schema(),
                at: Micros(seq as i64),
                actor: Actor::Visitor,
                correlation: command.0,
                cause: command,
                fingerprint: None,
                key: None,
                trace: None,
            },
            body: EventSet::encode(&event).unwrap().into(),
        });
    }

    fn page(&mut self, aggregate: Uuid, event: impl Into<PageEvent>) {
        self.add::<PageEvent>("demo", aggregate, event);
    }

    /// Everything from the beginning again, as one batch: nothing may change by repetition.
    async fn take(&self) {
        for batch in [1, self.events.len()] {
            let generation = Generation { view: ROUTES.into(), version: 1, number: 0 };
            let slot = lane::Slot::new(Arc::new(Routes), generation, 0);
            for events in self.events.chunks(batch) {
                lane::take(&self.store, &slot, "eu1", events.iter().cloned().map(Ok).collect()).await.unwrap();
            }
            assert!(slot.is_running());
        }
    }

    async fn at(&self, slug: &str) -> Option<(Uuid, String, Option<String>)> {
        let (_, page) = self.views.route(&id("demo"), "main", slug).await.unwrap();
        page.map(|(id, page)| (id, page.slug, page.live.map(|live| live.content.title)))
    }
}

fn content(title: &str) -> PageContent {
    PageContent { title: title.into(), ..PageContent::default() }
}

fn created(slug: &str) -> PageCreated {
    PageCreated { site: "main".into(), slug: slug.into(), content: content("draft") }
}

fn published(slug: &str, title: &str) -> PagePublished {
    PagePublished { site: "main".into(), slug: slug.into(), revision: 1, content: content(title) }
}

fn renamed(from: &str, to: &str, redirect: bool) -> PageSlugRenamed {
    PageSlugRenamed { site: "main".into(), from: from.into(), to: to.into(), redirect }
}

fn found(id: Uuid, slug: &str, title: Option<&str>) -> Option<(Uuid, String, Option<String>)> {
    Some((id, slug.to_owned(), title.map(str::to_owned)))
}

#[tokio::test]
async fn an_address_leads_to_its_page_wherever_it_moved() {
    let mut log = Log::new().await;
    log.page(ONE, created("a"));
    log.take().await;
    assert_eq!(log.at("a").await, found(ONE, "a", None));
    // Before it was published its old address is free at once.
    log.page(ONE, renamed("a", "b", false));
    log.page(ONE, published("b", "One"));
    log.page(ONE, renamed("b", "c", true));
    log.page(ONE, renamed("c", "d", true));
    log.page(ONE, PageEdited { revision: 2, content: content("unseen") });
    log.page(TWO, created("a"));
    log.page(TWO, published("a", "Two"));
    log.take().await;
    for old in ["b", "c", "d"] {
        assert_eq!(log.at(old).await, found(ONE, "d", Some("One")), "{old}");
    }
    assert_eq!(log.at("a").await, found(TWO, "a", Some("Two")));
    log.page(ONE, PageRedirectDropped { site: "main".into(), slug: "b".into() });
    log.page(ONE, PageUnpublished { site: "main".into(), slug: "d".into() });
    log.take().await;
    assert_eq!(log.at("b").await, None);
    assert_eq!(log.at("c").await, found(ONE, "d", None));
    assert_eq!(log.at("d").await, found(ONE, "d", None));
}

#[tokio::test]
async fn a_removed_page_gives_its_addresses_to_others() {
    let mut log = Log::new().await;
    log.page(ONE, created("a"));
    log.page(ONE, published("a", "One"));
    log.page(ONE, renamed("a", "b", true));
    log.page(ONE, PageRemoved { site: "main".into(), slug: "b".into(), redirects: vec!["a".into()] });
    log.page(TWO, created("a"));
    log.page(TWO, published("a", "Two"));
    log.page(ONE, PageReinstated { site: "main".into(), slug: "b".into(), revision: 1, content: content("One") });
    log.take().await;
    assert_eq!(log.at("a").await, found(TWO, "a", Some("Two")));
    assert_eq!(log.at("b").await, found(ONE, "b", None));
    assert_eq!(log.views.live_page(&id("demo"), ONE).await.unwrap().unwrap().live, None);
}

#[tokio::test]
async fn tenants_have_their_own_names_and_addresses() {
    let mut log = Log::new().await;
    let create = |name: &str| TenantCreated { name: name.into(), locale: "de".into(), time_zone: "UTC".into() };
    log.add::<TenantEvent>("demo", ONE, create("Demo"));
    log.add::<TenantEvent>("other", TWO, create("Other"));
    log.add::<TenantEvent>("demo", ONE, TenantRenamed { name: "Tea".into() });
    log.page(ONE, created(""));
    log.take().await;
    let owner = log.views.site_owner(&id("demo")).await.unwrap().unwrap();
    assert_eq!((owner.name.as_str(), owner.locale.as_str(), owner.changed_at), ("Tea", "de", Micros(3)));
    assert_eq!(log.at("").await, found(ONE, "", None));
    let (owner, page) = log.views.route(&id("other"), "main", "").await.unwrap();
    assert_eq!((owner.unwrap().name.as_str(), page), ("Other", None));
    assert_eq!(log.views.site_owner(&id("nobody")).await.unwrap(), None);
}
