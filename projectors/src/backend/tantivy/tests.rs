//! The whole index, on disk.

mod durability;
mod lists;
mod properties;
mod relevance;

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::{Options, SearchIndex};
use crate::search::*;

/// An index in its own folder, which goes when the test ends.
struct Bench {
    index: SearchIndex,
    dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { index: SearchIndex::open(dir.path(), Options::default()).await.unwrap(), dir }
    }

    async fn put(&self, docs: impl IntoIterator<Item = Doc>) {
        self.index.apply(docs.into_iter().map(Change::Put).collect()).await.unwrap();
        self.index.commit(BTreeMap::new()).await.unwrap();
    }

    async fn ids(&self, query: Query) -> Vec<String> {
        self.index.search(query).await.unwrap().ids.into_iter().map(|hit| hit.id).collect()
    }
}

fn doc(tenant: &str, collection: &str, id: impl ToString) -> Doc {
    Doc {
        tenant: tenant.into(),
        collection: collection.into(),
        id: id.to_string(),
        text: Vec::new(),
        fields: Vec::new(),
    }
}

fn contact(id: impl ToString, fields: impl IntoIterator<Item = (&'static str, FieldValue)>) -> Doc {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Doc { fields, ..doc("acme", "contacts", id) }
}

fn page(id: impl ToString, heading: &str, body: &str) -> Doc {
    let text = vec![
        TextPart { weight: Weight::Heading, text: heading.into() },
        TextPart { weight: Weight::Body, text: body.into() },
    ];
    Doc { text, ..doc("acme", "pages", id) }
}

fn s(text: &str) -> FieldValue {
    FieldValue::Str(text.into())
}

fn delete(tenant: &str, collection: &str, id: &str) -> Change {
    Change::Delete { tenant: tenant.into(), collection: collection.into(), id: id.into() }
}

fn cells(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
    list.iter().map(|(cell, at)| ((*cell).to_owned(), *at)).collect()
}
