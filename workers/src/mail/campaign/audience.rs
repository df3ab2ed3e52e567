//! Who may get a mail now: asked right before each window, of a view that is not behind the log.

use super::{CampaignParts, JobError};
use bus_schema::{
    TenantId,
    crm::contact::{ContactDetails, Purpose},
    mail::campaign::ConsentPurpose,
    subject::Family,
};
use projectors::{RecordView, crm::contacts::Contacts};
use std::time::Duration;
use uuid::Uuid;

/// How long the view may take to reach the end of the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why somebody gets nothing. These words stand in the log and in lists.
pub(super) const GONE: &str = "the contact is gone or erased";
pub(super) const NO_CONSENT: &str = "no consent any more";

/// Each contact's details if it may get a mail of this purpose, else why not.
pub(super) type Checked = Result<ContactDetails, &'static str>;

/// Waits until the view has everything the log has at this moment.
pub(super) async fn settle(parts: &CampaignParts) -> Result<(), JobError> {
    let last = parts.bus.last_seq(Family::Events).await?;
    Ok(parts.views.wait(Contacts::NAME, last, PATIENCE).await?)
}

/// Looks at contacts as the view has them.
pub(super) async fn check(
    parts: &CampaignParts,
    tenant: &TenantId,
    contacts: &[Uuid],
    purpose: ConsentPurpose,
) -> Result<Vec<Checked>, JobError> {
    let purpose = match purpose {
        ConsentPurpose::Service => Purpose::Service,
        ConsentPurpose::Marketing => Purpose::Marketing,
    };
    let records = parts.views.records::<Contacts>(tenant, contacts).await?;
    let needed: Vec<_> = records.iter().flatten().flat_map(|record| Contacts::keys(&record.row)).collect();
    let keys = parts.writer.keys().load(tenant, &needed).await?;
    let look = |record: &Option<projectors::Record<_>>| {
        let row = &record.as_ref().ok_or(GONE)?.row;
        let details = projectors::crm::contacts::ContactRow::reveal(row, &keys).ok_or(GONE)?;
        if row.consents.contains_key(&purpose) { Ok(details) } else { Err(NO_CONSENT) }
    };
    Ok(records.iter().map(look).collect())
}
