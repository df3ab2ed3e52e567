//! Search: what a document, a filter, a query, a cursor and an answer are.
//!
//! The natural orders of a list are wide rows. Every other combination of filter, sort, count and facet is answered
//! here as ids in order plus a cursor; the caller then fetches the rows. [`Filter`] is also what the API's filter
//! grammar parses into and what a saved segment is made of, so it can be stored, and evaluated in memory
//! ([`Filter::matches`]) with exactly the meaning it has in the index.
//!
//! # What is compared, and how
//!
//! - A field has a set of values; a list has several, a missing field none. Duplicates do not count.
//! - [`FieldValue::I64`] and [`FieldValue::Time`] are both numbers and equal when their numbers are. A text, a number
//!   and a truth value never equal each other; a comparison with another kind of value is false.
//! - A test holds when **any** value passes. `neq`, `nin` and `null` are the exact opposites of `eq`, `in` and
//!   `nnull`: "status is not paid" includes records without a status.
//! - `eq`, `in`, `contains`, `starts_with` see letter case; `icontains`, `lt`, `lte`, `gt`, `gte`, `between` and
//!   sorting compare lower-cased forms, byte by byte (so a range agrees with the order of the list).
//! - Text values are compared by their first [`MAX_VALUE_BYTES`] bytes.
//! - Sorting is a total order with the id (then the collection) as the last key; missing values come last in both
//!   directions; of several values the smallest counts ascending, the largest descending; among values that differ
//!   only by letter case the order is fixed.

mod condition;
mod cursor;
mod doc;
mod error;
mod filter;
pub mod grammar;
pub mod literal;
mod query;
#[cfg(test)]
pub(crate) mod samples;
mod value;

pub use self::cursor::{Cursor, SortValue};
pub use self::doc::{Change, Doc, TextPart, Weight};
pub use self::error::SearchError;
pub use self::filter::{Filter, Op};
pub use self::query::{Hit, Hits, Query, Sort};
pub use self::value::FieldValue;
pub use crate::backend::tantivy::{Options, SearchIndex};

pub(crate) use self::condition::{Condition, Test};
pub(crate) use self::value::{Scalar, lower, scalars};

/// Longest tenant, collection or field name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest document id, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// A text value is compared, sorted and counted by this many first bytes (cut at a character).
pub const MAX_VALUE_BYTES: usize = 512;
/// Most fields of one document.
pub const MAX_FIELDS: usize = 256;
/// Most values of one field.
pub const MAX_VALUES: usize = 10_000;
/// Searchable text of one document, in bytes; what is beyond is not found by its words.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a filter.
pub const MAX_FILTER_DEPTH: usize = 8;
/// Most nodes of a filter.
pub const MAX_CLAUSES: usize = 100;
/// Most values of one `in` or `nin`.
pub const MAX_OPERANDS: usize = 1000;
/// Longest text query, in bytes.
pub const MAX_QUERY_TEXT_BYTES: usize = 1024;
/// Most words in a text query.
pub const MAX_QUERY_WORDS: usize = 32;
/// Most collections in one query.
pub const MAX_COLLECTIONS: usize = 32;
/// Most sort keys.
pub const MAX_SORTS: usize = 4;
/// Most facets in one query.
pub const MAX_FACETS: usize = 10;
/// Most values answered for one facet: those with the highest counts.
pub const MAX_FACET_VALUES: usize = 100;
/// Most hits in one answer: what takes some megabytes. Every page is a walk over all that match, so work over all of them asks for
/// as many as this; people are given fewer.
pub const MAX_LIMIT: usize = 10_000;
