//! Rows about one receiver of a campaign, as the views of what came of a campaign keep them.

use crate::{
    read_store::{ReadStorePort, RowKey, StoredRow},
    views::{ViewError, Views},
};
use bus_schema::{TenantId, codec};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The table of receivers.
pub(super) const PEOPLE: &str = "people";
/// The table of a campaign's sums: its partition is the campaign's id, its sort key empty.
pub(super) const TOTALS: &str = "totals";

/// The partition of one receiver's row.
pub(super) fn person_partition(campaign: Uuid, contact: Uuid) -> String {
    format!("{campaign} {contact}")
}

/// The rows of these receivers in a view, in their order; at most a page of the read store. A missing one is the default.
pub(super) async fn people<T: DeserializeOwned + Default>(
    views: &Views,
    view: &str,
    tenant: &TenantId,
    campaign: Uuid,
    contacts: &[Uuid],
) -> Result<Vec<T>, ViewError> {
    let table = views.serving(view)?.generation().table(PEOPLE)?;
    let key = |contact: &Uuid| RowKey {
        table: table.clone(),
        tenant: tenant.shared(),
        partition: person_partition(campaign, *contact),
        sort: Vec::new(),
    };
    let keys: Vec<_> = contacts.iter().map(key).collect();
    views.store().get_many(&keys).await?.into_iter().map(row).collect()
}

/// The sums of a campaign in a view.
pub(super) async fn totals<T: DeserializeOwned + Default>(
    views: &Views,
    view: &str,
    tenant: &TenantId,
    campaign: Uuid,
) -> Result<T, ViewError> {
    let table = views.serving(view)?.generation().table(TOTALS)?;
    let key = RowKey { table, tenant: tenant.shared(), partition: campaign.to_string(), sort: Vec::new() };
    row(views.store().get(&key).await?)
}

/// A stored row; a missing one is the default.
pub(super) fn row<T: DeserializeOwned + Default>(stored: Option<StoredRow>) -> Result<T, ViewError> {
    let body = stored.map(|stored| codec::decode(&stored.body)).transpose();
    Ok(body.map_err(ViewError::Row)?.unwrap_or_default())
}
