//! What search knows of a contact: its record, and beside it what it bought, learned, opened and followed.

use super::{
    activities::{self, ACTIVITIES, Activity, Concerns},
    contacts::Contacts,
    engagements::{self, ENGAGEMENTS, Engagement},
};
use crate::{
    record_view::RecordView,
    search::{Change, FieldValue},
    search_lane::{RecordSource, SearchSource, Touch},
    views::Views,
};
use bus_schema::{Micros, StoredEvent, TenantId, keys::KeyDirectory, subject::Family};
use futures::future::BoxFuture;
use uuid::Uuid;

/// Contacts as a collection. A payment, an enrolment, an opened mail change a contact's document without being events of it.
#[derive(Default)]
pub struct ContactSource(RecordSource<Contacts>);

/// The fields of a contact's document that are not its record's. Counts are always there, times only when something was.
pub fn activity_fields(activity: &Activity, engagement: &Engagement) -> Vec<(String, FieldValue)> {
    let count = |number: u64| FieldValue::I64(i64::try_from(number).unwrap_or(i64::MAX));
    let times: [(&str, Option<Micros>); 5] = [
        ("last_order_at", activity.last_order_at),
        ("last_enrolled_at", activity.last_enrolled_at),
        ("last_opened_at", engagement.last_opened_at),
        ("last_clicked_at", engagement.last_clicked_at),
        ("last_activity_at", last_activity(activity, engagement)),
    ];
    let counts = [("orders_count", activity.orders), ("enrolments_count", activity.enrolments)];
    let counts = counts.into_iter().map(|(name, number)| (name.to_owned(), count(number)));
    let times = times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), FieldValue::Time(at?.0))));
    counts.chain(times).collect()
}

/// The latest of all a contact did.
pub fn last_activity(activity: &Activity, engagement: &Engagement) -> Option<Micros> {
    [activity.last_at, engagement.last_opened_at, engagement.last_clicked_at].into_iter().flatten().max()
}

impl SearchSource for ContactSource {
    fn collection(&self) -> &'static str {
        Contacts::NAME
    }

    fn views(&self, family: Family) -> &'static [&'static str] {
        match family {
            Family::Events => &[Contacts::NAME, ACTIVITIES],
            Family::Facts => &[ENGAGEMENTS],
        }
    }

    fn touches(&self, event: &StoredEvent) -> Option<Touch> {
        let address = &event.subject.address;
        if let Some(touch) = self.0.touches(event) {
            return Some(touch);
        }
        if !activities::follows(address) && !engagements::follows(address) {
            return None;
        }
        // What cannot be read stops the view that meets it, which says why.
        let decoded = event.decode().ok().flatten()?;
        if let Some(contact) = engagements::concerns(&decoded) {
            return Some(Touch::Record(contact));
        }
        Some(match activities::concerns(address, &decoded)? {
            Concerns::Contact(contact) => Touch::Record(contact),
            Concerns::Order(order) => Touch::Behind(order),
        })
    }

    fn behind<'a>(
        &'a self,
        views: &'a Views,
        tenant: &'a TenantId,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Uuid>, String>> {
        Box::pin(async move { views.contacts_of_orders(tenant, ids).await.map_err(|error| error.to_string()) })
    }

    fn changes<'a>(
        &'a self,
        views: &'a Views,
        keys: &'a KeyDirectory,
        tenant: &'a TenantId,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Change>, String>> {
        Box::pin(async move {
            let mut changes = self.0.changes(views, keys, tenant, ids).await?;
            let activities = views.activities(tenant, ids).await.map_err(|error| error.to_string())?;
            let engagements = views.engagements(tenant, ids).await.map_err(|error| error.to_string())?;
            for ((change, activity), engagement) in changes.iter_mut().zip(&activities).zip(&engagements) {
                if let Change::Put(document) = change {
                    document.fields.extend(activity_fields(activity, engagement));
                }
            }
            Ok(changes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::contacts::{FILTERABLE, OF_ACTIVITY, OF_FACTS};

    #[test]
    fn search_knows_every_field_of_activity_a_list_names() {
        let at = Some(Micros(1_769_903_910_000_000));
        let activity = Activity { last_order_at: at, last_enrolled_at: at, last_at: at, ..Activity::default() };
        let engagement = Engagement { last_opened_at: at, last_clicked_at: at, ..Engagement::default() };
        let sorted = |mut names: Vec<String>| {
            names.sort_unstable();
            names
        };
        let known = activity_fields(&activity, &engagement).into_iter().map(|(name, _)| name).collect();
        assert_eq!(sorted(known), sorted(OF_ACTIVITY.map(str::to_owned).to_vec()));
        let listed = |name: &str| FILTERABLE.iter().any(|(known, _)| *known == name);
        assert!(OF_ACTIVITY.iter().all(|name| listed(name)));
        assert!(OF_FACTS.iter().all(|name| OF_ACTIVITY.contains(name)));
    }

    #[test]
    fn who_did_nothing_has_counts_and_no_times() {
        let nothing = activity_fields(&Activity::default(), &Engagement::default());
        let zero = |name: &str| (name.to_owned(), FieldValue::I64(0));
        assert_eq!(nothing, [zero("orders_count"), zero("enrolments_count")]);
    }

    #[test]
    fn the_last_activity_is_the_latest_of_all() {
        let activity = Activity { last_at: Some(Micros(5)), ..Activity::default() };
        let engagement =
            Engagement { last_opened_at: Some(Micros(3)), last_clicked_at: Some(Micros(9)), ..Engagement::default() };
        let fields = activity_fields(&activity, &engagement);
        assert!(fields.contains(&("last_activity_at".to_owned(), FieldValue::Time(9))), "{fields:?}");
    }
}
