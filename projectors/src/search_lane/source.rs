//! What a collection is made of, and which events change it.

use crate::{record_view::RecordView, search::Change, views::Views};
use bus_schema::{StoredEvent, TenantId, catalog::Catalogued, keys::KeyDirectory, subject::Family};
use futures::future::BoxFuture;
use std::marker::PhantomData;
use uuid::Uuid;

/// Whose document an event changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    Record(Uuid),
    /// The record behind another aggregate, which [`SearchSource::behind`] finds: the contact of an order.
    Behind(Uuid),
}

/// A collection that can be searched.
pub trait SearchSource: Send + Sync + 'static {
    fn collection(&self) -> &'static str;

    /// The views its documents are made from that follow this stream; none: the stream does not concern it.
    fn views(&self, family: Family) -> &'static [&'static str];

    fn touches(&self, event: &StoredEvent) -> Option<Touch>;

    /// The records behind other aggregates, in any order. Asked when the views have reached the events.
    fn behind<'a>(
        &'a self,
        _views: &'a Views,
        _tenant: &'a TenantId,
        _ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Uuid>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The present documents of some records, or their deletion, in their order.
    fn changes<'a>(
        &'a self,
        views: &'a Views,
        keys: &'a KeyDirectory,
        tenant: &'a TenantId,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Change>, String>>;
}

/// A [`RecordView`] as a collection.
pub struct RecordSource<V>(PhantomData<fn() -> V>);

impl<V> Default for RecordSource<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<V: RecordView> SearchSource for RecordSource<V> {
    fn collection(&self) -> &'static str {
        V::NAME
    }

    fn views(&self, family: Family) -> &'static [&'static str] {
        match family {
            Family::Events => const { &[V::NAME] },
            Family::Facts => &[],
        }
    }

    fn touches(&self, event: &StoredEvent) -> Option<Touch> {
        let address = &event.subject.address;
        let own = address.context == V::Event::CONTEXT && address.aggregate == V::Event::AGGREGATE;
        address.uuid().filter(|_| own).map(Touch::Record)
    }

    fn changes<'a>(
        &'a self,
        views: &'a Views,
        keys: &'a KeyDirectory,
        tenant: &'a TenantId,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Change>, String>> {
        Box::pin(async move {
            let records = views.records::<V>(tenant, ids).await.map_err(|error| error.to_string())?;
            let needed: Vec<_> = records.iter().flatten().flat_map(|record| V::keys(&record.row)).collect();
            let ring = keys.load(tenant, &needed).await.map_err(|error| error.to_string())?;
            let change = |(id, record): (&Uuid, &Option<crate::Record<V::Row>>)| {
                let document = record.as_ref().and_then(|record| V::document(tenant, *id, record, &ring));
                match document {
                    Some(document) => Change::Put(document),
                    None => Change::Delete {
                        tenant: tenant.to_string(),
                        collection: V::NAME.to_owned(),
                        id: id.to_string(),
                    },
                }
            };
            Ok(ids.iter().zip(&records).map(change).collect())
        })
    }
}
