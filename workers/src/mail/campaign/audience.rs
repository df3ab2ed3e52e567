//! Who may get a mail now: asked right before each window, of a view that is not behind the log.

use super::{CampaignParts, JobError};
use bus_schema::{
    Micros, TenantId,
    crm::contact::{ContactDetails, Purpose},
    keys::TenantKey,
    mail::{campaign::ConsentPurpose, suppression::SuppressionReason},
    subject::Family,
};
use projectors::{RecordView, crm::contacts::Contacts, mail::suppressions::Suppressions};
use std::time::Duration;
use uuid::Uuid;
use writers::text::{ADDRESS_ID, normal_email};

/// How long the view may take to reach the end of the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why somebody gets nothing. These words stand in the log and in lists.
pub(super) const GONE: &str = "the contact is gone or erased";
pub(super) const NO_CONSENT: &str = "no consent any more";

/// The same for an address that gets no mail.
fn suppressed(reason: SuppressionReason) -> &'static str {
    match reason {
        SuppressionReason::HardBounce => "suppressed: hard_bounce",
        SuppressionReason::Complaint => "suppressed: complaint",
        SuppressionReason::UnsubscribeAll => "suppressed: unsubscribe_all",
        SuppressionReason::Manual => "suppressed: manual",
    }
}

/// Each contact's details if it may get a mail of this purpose, else why not.
pub(super) type Checked = Result<ContactDetails, &'static str>;

/// Waits until the view has everything the log has at this moment.
pub(super) async fn settle(parts: &CampaignParts) -> Result<(), JobError> {
    let last = parts.bus.last_seq(Family::Events).await?;
    parts.views.wait(Contacts::NAME, last, PATIENCE).await?;
    Ok(parts.views.wait(Suppressions::NAME, last, PATIENCE).await?)
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
    let mut checked: Vec<Checked> = records.iter().map(look).collect();
    let key = parts.writer.tenant_key(tenant).await?;
    // One that is no address goes on: making its mail says what is wrong with it.
    let ids: Vec<Uuid> = checked.iter().flatten().filter_map(|details| address_id(&key, &details.email)).collect();
    let listed = holding(parts, tenant, &ids).await?;
    for one in &mut checked {
        let id = one.as_ref().ok().and_then(|details| address_id(&key, &details.email));
        if let Some((_, reason)) = listed.iter().find(|(listed, _)| Some(*listed) == id) {
            *one = Err(suppressed(*reason));
        }
    }
    Ok(checked)
}

/// Where an address stands on the list of those that get no mail.
fn address_id(key: &TenantKey, email: &str) -> Option<Uuid> {
    Some(key.derived_id(ADDRESS_ID, &normal_email(email)?))
}

/// Those of the entries that hold now, and why.
async fn holding(
    parts: &CampaignParts,
    tenant: &TenantId,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, SuppressionReason)>, JobError> {
    let now: Micros = parts.writer.clock().now();
    let records = parts.views.records::<Suppressions>(tenant, ids).await?;
    let held = |(id, record): (&Uuid, Option<projectors::Record<_>>)| {
        let row: projectors::mail::suppressions::SuppressionRow = record?.row;
        Some((*id, row.reason(now)?))
    };
    Ok(ids.iter().zip(records).filter_map(held).collect())
}

/// Those contacts of a page of the audience whose address is on the list. Most contacts live where their address stands
/// there, so only candidates are opened; one that has moved to another address is left out when its mail is to be made.
pub(super) async fn suppressed_of(
    parts: &CampaignParts,
    tenant: &TenantId,
    contacts: &[Uuid],
    purpose: ConsentPurpose,
) -> Result<Vec<Uuid>, JobError> {
    let candidates: Vec<Uuid> = holding(parts, tenant, contacts).await?.into_iter().map(|(id, _)| id).collect();
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let checked = check(parts, tenant, &candidates, purpose).await?;
    let out = |why: &&str| why.starts_with("suppressed");
    let pairs = candidates.into_iter().zip(checked);
    Ok(pairs.filter(|(_, checked)| checked.as_ref().err().is_some_and(out)).map(|(id, _)| id).collect())
}
