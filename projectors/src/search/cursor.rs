//! Where the next page starts: the sort values and the id of the last hit, as an opaque string.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::doc::key_part;
use super::{MAX_ID_BYTES, MAX_NAME_BYTES, MAX_SORTS, Query, SearchError};

/// Longest encoded cursor, in bytes.
const MAX_ENCODED: usize = 16 * 1024;

/// Position after a hit. Its text form (base64url) is what clients keep; what is in it may change with any release.
/// It holds only what the client has seen, and naming another position in it gains nothing, so it is not signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// Tells a cursor of another order apart.
    pub(crate) shape: u32,
    pub(crate) values: Vec<SortValue>,
    pub(crate) id: String,
    pub(crate) collection: String,
}

/// Value of one sort key of one hit. Not for reading, but for continuing after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortValue {
    Bool(bool),
    Number(i64),
    /// As the index stores it: lower-cased form, NUL, the form itself if it differs.
    Text(String),
    /// The bits of a relevance, which is never negative, so its bits compare as it does.
    Score(u32),
    Missing,
}

impl SortValue {
    /// Place among the kinds of value: false before numbers before texts, missing after all.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Number(_) | Self::Score(_) => 1,
            Self::Text(_) => 2,
            Self::Missing => 255,
        }
    }

    /// Order of two values of one sort key; missing values are last in both directions.
    pub(crate) fn order(&self, other: &Self, descending: bool) -> Ordering {
        let ascending = match (self, other) {
            (Self::Missing, _) | (_, Self::Missing) => return self.rank().cmp(&other.rank()),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Score(a), Self::Score(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        };
        if descending { ascending.reverse() } else { ascending }
    }
}

impl Cursor {
    /// Behind a record in a list that is asked for without words and order, and so is in the order of its ids.
    pub fn behind(collection: impl Into<String>, id: impl Into<String>) -> Self {
        let shape = Self::shape_of(&Query::new(""));
        Self { shape, values: Vec::new(), id: id.into(), collection: collection.into() }
    }

    /// Fingerprint of the order a query asks for.
    pub(crate) fn shape_of(query: &Query) -> u32 {
        let mut hash = 0x811c_9dc5_u32;
        let mut add = |bytes: &[u8]| bytes.iter().for_each(|b| hash = (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193));
        if query.by_score() {
            add(b"score");
        }
        for sort in &query.sort {
            add(if sort.descending { b"-" } else { b"+" });
            add(sort.field.as_bytes());
            add(b",");
        }
        hash
    }

    /// # Errors
    /// `unknown_cursor` when it comes from a query with another order.
    pub(crate) fn check(&self, query: &Query) -> Result<(), SearchError> {
        let keys = if query.by_score() { 1 } else { query.sort.len() };
        if self.shape != Self::shape_of(query) || self.values.len() != keys {
            return Err(SearchError::UnknownCursor { reason: "it belongs to a list in another order" });
        }
        Ok(())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packed =
            rmp_serde::to_vec_named(&(self.shape, &self.values, &self.id, &self.collection)).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(packed))
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let unknown = |reason| SearchError::UnknownCursor { reason };
        if text.len() > MAX_ENCODED {
            return Err(unknown("it is too long"));
        }
        let packed = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown("it is not one that this API gave out"))?;
        let (shape, values, id, collection): (u32, Vec<SortValue>, String, String) =
            rmp_serde::from_slice(&packed).map_err(|_| unknown("it is not one that this API gave out"))?;
        let known = values.len() <= MAX_SORTS
            && key_part(&id, MAX_ID_BYTES).is_ok()
            && key_part(&collection, MAX_NAME_BYTES).is_ok();
        if !known {
            return Err(unknown("it is not one that this API gave out"));
        }
        Ok(Self { shape, values, id, collection })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::Sort;

    #[test]
    fn an_id_is_a_place_in_the_order_of_ids_only() {
        let mut query = Query::new("t");
        let cursor = Cursor::behind("contacts", "7");
        assert!(cursor.check(&query).is_ok());
        query.sort = vec![Sort::ascending("name")];
        assert!(cursor.check(&query).is_err());
    }

    #[test]
    fn survives_its_text_form_and_refuses_another_order() {
        let mut query = Query { sort: vec![Sort::ascending("name")], ..Query::new("t") };
        let values = vec![SortValue::Text("a\0A".into())];
        let cursor = Cursor { shape: Cursor::shape_of(&query), values, id: "7".into(), collection: "contacts".into() };
        let back: Cursor = cursor.to_string().parse().unwrap();
        assert_eq!(back, cursor);
        assert!(back.check(&query).is_ok());
        query.sort[0].descending = true;
        assert_eq!(back.check(&query).unwrap_err().code(), "unknown_cursor");
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in ".{0,64}", bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = text.parse::<Cursor>();
            let _ = URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>();
        }
    }
}
