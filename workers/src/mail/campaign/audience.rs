//! Who may get a mail now: asked right before each window, of a view that is not behind the log.

use super::{CampaignParts, JobError};
use bus_schema::{
    Micros, TenantId,
    bus::StreamError,
    crm::contact::{ContactDetails, Purpose},
    keys::TenantKey,
    mail::{campaign::ConsentPurpose, suppression::SuppressionReason},
    subject::Family,
};
use projectors::{RecordView, crm::contacts::Contacts, mail::suppressions::Suppressions};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
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
pub(super) async fn settle(parts: &CampaignParts, log_end: &LogEnd) -> Result<(), JobError> {
    let last = log_end.ask(|| parts.bus.last_seq(Family::Events)).await.map_err(JobError::LogEnd)?;
    parts.views.wait(Contacts::NAME, last, PATIENCE).await?;
    Ok(parts.views.wait(Suppressions::NAME, last, PATIENCE).await?)
}

/// Where the log ends, asked for once by all who want to know it at the same time: the windows of all lanes do.
///
/// What is answered was asked for after the caller came, so it is not behind anything the caller knows of. Who comes while a
/// request is under way waits for the next one.
pub(super) struct LogEnd<E = StreamError> {
    /// Requests begun.
    begun: AtomicU64,
    /// The last one that is over, by its number. Locked while one is under way.
    last: tokio::sync::Mutex<Option<(u64, Position<E>)>>,
}

type Position<E> = Result<u64, Arc<E>>;

impl<E> Default for LogEnd<E> {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), last: tokio::sync::Mutex::new(None) }
    }
}

impl<E> LogEnd<E> {
    async fn ask<A: Future<Output = Result<u64, E>>>(&self, request: impl FnOnce() -> A) -> Position<E> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((number, answer)) = &*last
            && *number > before
        {
            return answer.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = request().await.map_err(Arc::new);
        *last = Some((number, answer.clone()));
        answer
    }
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
    let id = |one: &Checked| address_id(&key, &one.as_ref().ok()?.email);
    let ids: Vec<Option<Uuid>> = checked.iter().map(id).collect();
    let listed = holding(parts, tenant, &ids.iter().copied().flatten().collect::<Vec<_>>()).await?;
    for (one, id) in checked.iter_mut().zip(ids) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::join_all};
    use tokio::time::{sleep, timeout};

    const ANSWER: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_log_is_asked_for_once_by_all_that_wait_and_never_before_they_came() {
        let (log_end, asked, length) = (&LogEnd::<&str>::default(), &AtomicU64::new(0), &AtomicU64::new(0));
        // The position is that of the moment it is asked for; its answer takes a while.
        let request = &|| {
            asked.fetch_add(1, Ordering::SeqCst);
            let position = length.load(Ordering::SeqCst);
            sleep(ANSWER).map(move |()| Ok(position))
        };
        let window = |at: u64| async move {
            sleep(Duration::from_millis(at)).await;
            length.store(at, Ordering::SeqCst);
            (log_end.ask(request).await.unwrap(), at)
        };
        let all = join_all([0, 1, 2, 3, 4, 5, 6, 7, 13, 14].map(window)).await;
        assert!(all.iter().all(|(position, at)| position >= at), "{all:?}");
        // One of the first, one for all that waited for its end, one for those that came during that.
        assert_eq!(asked.load(Ordering::SeqCst), 3, "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_that_wait_and_to_nobody_after_them() {
        let (log_end, asked) = (&LogEnd::<&str>::default(), &AtomicU64::new(0));
        let request = &|| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            sleep(ANSWER).map(move |()| if number < 2 { Err("no answer") } else { Ok(number) })
        };
        let window = |at: u64| async move {
            sleep(Duration::from_millis(at)).await;
            log_end.ask(request).await
        };
        let all = join_all([0, 1, 2, 3].map(window)).await;
        assert!(all.iter().all(Result::is_err) && asked.load(Ordering::SeqCst) == 2, "{all:?}");
        assert_eq!(log_end.ask(request).await, Ok(2));
        // One that gives up waiting leaves nothing behind.
        assert!(timeout(ANSWER / 5, log_end.ask(request)).await.is_err());
        assert_eq!(log_end.ask(request).await, Ok(4));
    }
}
