//! Order of documents inside one segment: every sort value becomes one small key that compares as an integer, texts by
//! their ordinal. Texts themselves are read only for the documents that are answered.

use tantivy::columnar::{MonotonicallyMappableToU64, StrColumn};
use tantivy::{DocId, SegmentReader, TantivyError};

use super::columns::Columns;
use super::layout::{KEY, key, split_key};
use super::strings::Strings;
use crate::search::{Cursor, Query, SortValue};

/// Kind and value, both mirrored when descending; smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u8, u64);

impl Key {
    const MISSING: Self = Self(u8::MAX, 0);

    fn new(rank: u8, value: u64, descending: bool) -> Self {
        if descending { Self(2 - rank, !value) } else { Self(rank, value) }
    }
}

/// Ordinals are doubled, so that a cursor's text that is not in this segment has a place between two that are.
fn at(ordinal: u64) -> u64 {
    2 * ordinal + 1
}

enum SortKey {
    Score,
    Field { columns: Box<Columns>, descending: bool },
}

/// The order that a query asks for, bound to one segment.
pub(super) struct SegmentOrder {
    keys: Vec<SortKey>,
    identity: Strings,
    /// Keys and identity of the last hit of the page before.
    after: Option<(Vec<Key>, u64)>,
}

impl SegmentOrder {
    /// None if the tenant has no document in this segment.
    pub(super) fn open(segment: &SegmentReader, query: &Query) -> tantivy::Result<Option<Self>> {
        let column: Option<StrColumn> = segment.fast_fields().str(KEY)?;
        let Some(identity) = column.map(|column| Strings::new(column, &query.tenant)).transpose()?.flatten() else {
            return Ok(None);
        };
        let mut keys = Vec::new();
        if query.by_score() {
            keys.push(SortKey::Score);
        }
        for sort in &query.sort {
            let columns = Box::new(Columns::open(segment, &sort.field, &query.tenant)?);
            keys.push(SortKey::Field { columns, descending: sort.descending });
        }
        let mut order = Self { keys, identity, after: None };
        if let Some(cursor) = &query.after {
            order.after = Some(order.place(cursor, &query.tenant)?);
        }
        Ok(Some(order))
    }

    /// Where a cursor stands in this segment.
    fn place(&self, cursor: &Cursor, tenant: &str) -> tantivy::Result<(Vec<Key>, u64)> {
        let ordinal = |strings: &Strings, term: &str| -> tantivy::Result<u64> {
            let (ordinal, exact) = strings.at_or_after(term)?;
            Ok(if exact { at(ordinal) } else { 2 * ordinal })
        };
        let mut keys = Vec::with_capacity(self.keys.len());
        for (sort, value) in self.keys.iter().zip(&cursor.values) {
            let (columns, descending) = match sort {
                SortKey::Score => (None, true),
                SortKey::Field { columns, descending } => (Some(columns), *descending),
            };
            let inner = match value {
                SortValue::Missing => {
                    keys.push(Key::MISSING);
                    continue;
                }
                SortValue::Bool(truth) => u64::from(*truth),
                SortValue::Number(number) => number.to_u64(),
                SortValue::Score(bits) => u64::from(*bits),
                SortValue::Text(text) => match columns.and_then(|columns| columns.strings.as_ref()) {
                    Some(strings) => ordinal(strings, &format!("{tenant}\0{text}"))?,
                    None => 0,
                },
            };
            keys.push(Key::new(value.rank(), inner, descending));
        }
        Ok((keys, ordinal(&self.identity, &key(tenant, &cursor.id, &cursor.collection))?))
    }

    /// Writes the document's keys and answers its identity.
    pub(super) fn keys(&self, doc: DocId, score: f32, out: &mut Vec<Key>) -> u64 {
        out.clear();
        for sort in &self.keys {
            out.push(match sort {
                SortKey::Score => Key::new(1, u64::from(score.max(0.0).to_bits()), true),
                SortKey::Field { columns, descending } => first_key(columns, doc, *descending),
            });
        }
        at(self.identity.ordinals().first(doc).unwrap_or(0))
    }

    pub(super) fn is_after_cursor(&self, keys: &[Key], identity: u64) -> bool {
        self.after.as_ref().is_none_or(|(last, id)| (keys, identity) > (last.as_slice(), *id))
    }

    /// The values behind keys, to compare and continue across segments.
    pub(super) fn values(&self, keys: &[Key]) -> tantivy::Result<Vec<SortValue>> {
        let value = |(sort, found): (&SortKey, &Key)| {
            let Key(rank, inner) = *found;
            let (columns, descending) = match sort {
                SortKey::Score => return Ok(SortValue::Score(!inner as u32)),
                SortKey::Field { columns, descending } => (columns, *descending),
            };
            if *found == Key::MISSING {
                return Ok(SortValue::Missing);
            }
            let (rank, inner) = if descending { (2 - rank, !inner) } else { (rank, inner) };
            Ok(match (rank, &columns.strings) {
                (0, _) => SortValue::Bool(inner != 0),
                (1, _) => SortValue::Number(i64::from_u64(inner)),
                (_, Some(strings)) => SortValue::Text(strings.term(inner / 2)?),
                (_, None) => return Err(TantivyError::InternalError("a text key without texts".to_owned())),
            })
        };
        self.keys.iter().zip(keys).map(value).collect()
    }

    /// Id and collection of an identity.
    pub(super) fn identity(&self, identity: u64) -> tantivy::Result<(String, String)> {
        let term = self.identity.term(identity / 2)?;
        let (id, collection) = split_key(&term);
        Ok((id.to_owned(), collection.to_owned()))
    }
}

/// The key of the value that counts: of several the one that comes first in this direction.
fn first_key(columns: &Columns, doc: DocId, descending: bool) -> Key {
    let bools = columns.bools.iter().flat_map(|column| column.values_for_doc(doc)).map(|v| (0, u64::from(v)));
    let numbers = columns.numbers.iter().flat_map(|column| column.values_for_doc(doc)).map(|v| (1, v.to_u64()));
    let strings = columns.strings.iter().flat_map(|strings| strings.ordinals().values_for_doc(doc)).map(|v| (2, at(v)));
    let keys = bools.chain(numbers).chain(strings).map(|(rank, value)| Key::new(rank, value, descending));
    keys.min().unwrap_or(Key::MISSING)
}
