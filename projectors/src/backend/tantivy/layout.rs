//! The index's fields and how names and values become terms.
//!
//! Every term begins with the tenant, those of words too. So no query can reach another tenant's postings or values,
//! relevance and prefixes depend on the tenant's own vocabulary, and a tenant's values are one range of a dictionary.

use std::collections::{BTreeMap, BTreeSet};

use tantivy::schema::{
    Field, IndexRecordOption, JsonObjectOptions, OwnedValue, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{TantivyDocument, Term};

use super::words::{TOKENIZER, tenant_text};
use crate::search::{Doc, FieldValue, MAX_TEXT_BYTES, Scalar, Weight, lower, scalars};

/// Number of this layout and of what documents hold: raised too when a collection gains a field, because documents are made
/// when their record changes. Another number on disk means: build the index again. 2: contacts know their activity.
pub(super) const FORMAT: u32 = 2;

/// Between the parts of a term. Lower than any byte of a part, so a shorter part sorts first.
const SEPARATOR: char = '\0';
/// First text after everything that begins with a separator at the same place.
const AFTER_SEPARATOR: char = '\u{1}';
/// Texts up to this size also get a term for exact matches; longer ones are matched through their column.
const MAX_EXACT_BYTES: usize = 128;

/// Name of the column that holds each document's identity.
pub(super) const KEY: &str = "key";
/// Name of the JSON field whose paths are the documents' fields.
const VALUES: &str = "f";

#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Exact terms: tenant, collection, identity, and short texts of fields.
    exact: Field,
    pub(super) heading: Field,
    pub(super) body: Field,
    /// Column only: tenant, id, collection.
    key: Field,
    /// Columns only: one per field and kind.
    values: Field,
}

pub(super) fn schema() -> (Schema, Layout) {
    let mut builder = Schema::builder();
    let exact = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    let words = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let layout = Layout {
        exact: builder.add_text_field("exact", TextOptions::default().set_indexing_options(exact)),
        heading: builder.add_text_field("heading", TextOptions::default().set_indexing_options(words.clone())),
        body: builder.add_text_field("body", TextOptions::default().set_indexing_options(words)),
        key: builder.add_text_field(KEY, TextOptions::default().set_fast("raw")),
        values: builder.add_json_field(VALUES, JsonObjectOptions::default().set_fast("raw").set_expand_dots_enabled()),
    };
    (builder.build(), layout)
}

impl Layout {
    pub(super) fn tenant(&self, tenant: &str) -> Term {
        Term::from_field_text(self.exact, &format!("t\0{tenant}"))
    }

    pub(super) fn collection(&self, tenant: &str, collection: &str) -> Term {
        Term::from_field_text(self.exact, &format!("c\0{tenant}\0{collection}"))
    }

    /// The term that is one document's identity.
    pub(super) fn identity(&self, tenant: &str, collection: &str, id: &str) -> Term {
        Term::from_field_text(self.exact, &format!("k\0{tenant}\0{collection}\0{id}"))
    }

    /// The term for a text value, if values of this size have one.
    pub(super) fn exact(&self, tenant: &str, field: &str, text: &str) -> Option<Term> {
        (text.len() <= MAX_EXACT_BYTES)
            .then(|| Term::from_field_text(self.exact, &format!("f\0{tenant}\0{field}\0{text}")))
    }

    pub(super) fn document(&self, doc: &Doc) -> TantivyDocument {
        let Doc { tenant, collection, id, .. } = doc;
        let mut out = TantivyDocument::new();
        out.add_text(self.key, key(tenant, id, collection));
        for term in [self.tenant(tenant), self.collection(tenant, collection), self.identity(tenant, collection, id)] {
            out.add_text(self.exact, term.value().as_str().unwrap_or_default());
        }
        let mut left = MAX_TEXT_BYTES;
        for part in &doc.text {
            let text = &part.text[..part.text.floor_char_boundary(left)];
            left -= text.len();
            let field = if part.weight == Weight::Heading { self.heading } else { self.body };
            out.add_text(field, tenant_text(tenant, text));
        }
        let mut object = BTreeMap::new();
        for (name, values) in by_name(&doc.fields) {
            let mut array = Vec::with_capacity(values.len());
            for value in values {
                array.push(match value {
                    Scalar::Bool(truth) => OwnedValue::Bool(truth),
                    Scalar::Number(number) => OwnedValue::I64(number),
                    Scalar::Text(text) => {
                        if let Some(term) = self.exact(tenant, name, &text) {
                            out.add_text(self.exact, term.value().as_str().unwrap_or_default());
                        }
                        OwnedValue::Str(value_term(tenant, &text))
                    }
                });
            }
            object.insert(name.to_owned(), OwnedValue::Array(array));
        }
        out.add_object(self.values, object);
        out
    }
}

fn by_name(fields: &[(String, FieldValue)]) -> BTreeMap<&str, BTreeSet<Scalar>> {
    let mut map: BTreeMap<&str, BTreeSet<Scalar>> = BTreeMap::new();
    for (name, value) in fields {
        map.entry(name).or_default().extend(scalars([value]));
    }
    map
}

/// Name of a field's columns.
pub(super) fn column(field: &str) -> String {
    format!("{VALUES}.{field}")
}

/// Term of a document in the key column: its order is that of (id, collection).
pub(super) fn key(tenant: &str, id: &str, collection: &str) -> String {
    format!("{tenant}{SEPARATOR}{id}{SEPARATOR}{collection}")
}

/// First possible term of the tenant, and first term after all of its terms.
pub(super) fn tenant_range(tenant: &str) -> (String, String) {
    (format!("{tenant}{SEPARATOR}"), format!("{tenant}{AFTER_SEPARATOR}"))
}

/// Term of a text value: lower-cased form first, so that the dictionary has the order of sorting; then the form
/// itself, left out when it is the same.
pub(super) fn value_term(tenant: &str, text: &str) -> String {
    let low = lower(text);
    let form = if low == text { "" } else { text };
    format!("{tenant}{SEPARATOR}{low}{SEPARATOR}{form}")
}

/// First possible term of values whose lower-cased form is `low`, and first term after all of them.
pub(super) fn low_range(tenant: &str, low: &str) -> (String, String) {
    (format!("{tenant}{SEPARATOR}{low}{SEPARATOR}"), format!("{tenant}{SEPARATOR}{low}{AFTER_SEPARATOR}"))
}

/// First possible term of values whose lower-cased form begins with `low`, and first term after all of them.
pub(super) fn low_prefix_range(tenant: &str, low: &str) -> (Vec<u8>, Vec<u8>) {
    let start = format!("{tenant}{SEPARATOR}{low}").into_bytes();
    // No text has this byte.
    let end = [start.as_slice(), &[0xff]].concat();
    (start, end)
}

/// A value term without its tenant: (raw, lower).
pub(super) fn split_value(rest: &str) -> (&str, &str) {
    let (low, form) = rest.split_once(SEPARATOR).unwrap_or((rest, ""));
    (if form.is_empty() { low } else { form }, low)
}

/// A key term without its tenant: (id, collection).
pub(super) fn split_key(rest: &str) -> (&str, &str) {
    rest.split_once(SEPARATOR).unwrap_or((rest, ""))
}
