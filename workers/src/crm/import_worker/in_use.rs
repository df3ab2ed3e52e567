//! Whether an order or an enrolment hangs on a contact: then taking an import back leaves it.

use super::super::contact_import::undo::InUse;
use bus_schema::TenantId;
use projectors::{
    search::{FieldValue, Filter, Op, Query},
    search_lane::Search,
};
use uuid::Uuid;
use writers::{StoreError, WriteError};

/// The collections whose records name a contact in `contact`, and what one of them is called.
const COLLECTIONS: [(&str, &str); 2] = [("orders", "an order"), ("enrolments", "an enrolment")];

/// Asks the search index, which has everything up to the moment the undoing began.
pub(super) struct InSearch<'a> {
    pub(super) search: &'a Search,
    pub(super) tenant: &'a TenantId,
}

impl InUse for InSearch<'_> {
    async fn in_use(&self, contact: Uuid) -> Result<Option<String>, WriteError> {
        let mut query = Query::new(self.tenant.as_str());
        query.collections = COLLECTIONS.iter().map(|(collection, _)| (*collection).to_owned()).collect();
        query.filter = Filter::cmp("contact", Op::Eq, [FieldValue::Str(contact.to_string())]);
        query.limit = 1;
        let hits = self.search.index().search(query).await;
        let hits = hits.map_err(|error| StoreError::Unreachable(format!("the search index: {error}")))?;
        Ok(hits.ids.first().map(|hit| {
            let name = COLLECTIONS.iter().find(|(collection, _)| *collection == hit.collection);
            format!("the contact has {}", name.map_or("something", |(_, name)| name))
        }))
    }
}
