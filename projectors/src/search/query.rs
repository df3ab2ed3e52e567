//! What is asked and what is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::doc::{field_name, key_part};
use super::*;

/// A question to the index. [`Query::new`] asks for the first 50 records of a tenant by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Mandatory: no query sees two tenants.
    pub tenant: String,
    /// None: all collections of the tenant.
    #[serde(default)]
    pub collections: Vec<String>,
    #[serde(default)]
    pub filter: Filter,
    /// Words that must all be there; `"..."` holds a phrase together. Any text is fine: blank asks for nothing, text
    /// without a single letter or digit finds nothing.
    #[serde(default)]
    pub text: Option<String>,
    /// The last word of the text may go on ("search as you type").
    #[serde(default)]
    pub prefix: bool,
    /// None: by relevance if there is text, else by id. A relevance can shift a little with each commit, so a record
    /// may then be seen twice or be missed while paging; every other order has no such gap for unchanged records.
    #[serde(default)]
    pub sort: Vec<Sort>,
    #[serde(default)]
    pub after: Option<Cursor>,
    /// Page size; 0 for a count or facets alone.
    pub limit: usize,
    /// Count all matches.
    #[serde(default)]
    pub total: bool,
    /// Fields whose values are counted over all matches.
    #[serde(default)]
    pub facets: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    pub field: String,
    #[serde(default)]
    pub descending: bool,
}

/// The answer: ids in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hits {
    pub ids: Vec<Hit>,
    /// None on the last page.
    pub next: Option<Cursor>,
    /// Matches on all pages, if asked for.
    pub total: Option<u64>,
    /// For each facet its values with the highest counts, highest first, then by value.
    pub facets: BTreeMap<String, Vec<(String, u64)>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    pub collection: String,
    pub id: String,
    /// Relevance; only in the order of relevance.
    pub score: Option<f32>,
}

impl Sort {
    pub fn ascending(field: impl Into<String>) -> Self {
        Self { field: field.into(), descending: false }
    }

    pub fn descending(field: impl Into<String>) -> Self {
        Self { field: field.into(), descending: true }
    }
}

impl Query {
    pub fn new(tenant: impl Into<String>) -> Self {
        Self {
            tenant: tenant.into(),
            collections: Vec::new(),
            filter: Filter::All,
            text: None,
            prefix: false,
            sort: Vec::new(),
            after: None,
            limit: 50,
            total: false,
            facets: Vec::new(),
        }
    }

    /// The text, unless it is blank.
    pub(crate) fn words(&self) -> Option<&str> {
        self.text.as_deref().filter(|text| !text.trim().is_empty())
    }

    /// Ordered by relevance?
    pub(crate) fn by_score(&self) -> bool {
        self.sort.is_empty() && self.words().is_some()
    }

    /// Checks everything that does not need the index.
    ///
    /// # Errors
    /// Client mistakes only.
    pub fn validate(&self) -> Result<(), SearchError> {
        let name = |what, name: &str| {
            key_part(name, MAX_NAME_BYTES).map_err(|reason| SearchError::BadName {
                what,
                name: name.to_owned(),
                reason,
            })
        };
        let few = |what, count, max| {
            if count > max { Err(SearchError::TooManyClauses { what, count, max }) } else { Ok(()) }
        };
        name("tenant", &self.tenant)?;
        few("list of collections", self.collections.len(), MAX_COLLECTIONS)?;
        self.collections.iter().try_for_each(|collection| name("collection", collection))?;
        few("sort", self.sort.len(), MAX_SORTS)?;
        few("list of facets", self.facets.len(), MAX_FACETS)?;
        for field in self.sort.iter().map(|sort| &sort.field).chain(&self.facets) {
            field_name(field).map_err(|reason| SearchError::BadName {
                what: "field name",
                name: field.clone(),
                reason,
            })?;
        }
        if self.limit > MAX_LIMIT {
            return Err(SearchError::PageTooLarge { asked: self.limit, max: MAX_LIMIT });
        }
        if let Some(text) = self.words()
            && text.len() > MAX_QUERY_TEXT_BYTES
        {
            return Err(SearchError::TextTooLong { unit: "bytes", count: text.len(), max: MAX_QUERY_TEXT_BYTES });
        }
        if let Some(cursor) = &self.after {
            cursor.check(self)?;
        }
        self.filter.validate()
    }
}
