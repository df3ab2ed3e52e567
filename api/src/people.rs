//! What other contexts ask of contacts: whether one is there, and who is meant by a segment. Contexts do not name each
//! other, so it stands beside them.

use crate::{
    app::App,
    caller::Caller,
    crm::contacts::{ContactJson, ContactResource},
    http::{
        codes::field,
        filter,
        problem::{FieldError, Problem},
        strict_json::push_segment,
        token::Consistency,
    },
    resource::{Resource, collection},
};
use bus_schema::{
    Revealed, TenantId,
    crm::contact::{ContactDetails, Purpose},
    mail::campaign::{ConsentPurpose, Segment},
};
use projectors::{
    RecordView,
    crm::contacts::{Contacts, FILTERABLE},
    mail::campaigns::{CampaignRow, CampaignStatus, Campaigns},
    search::{FieldValue, Filter, Op, Query, Sort, grammar},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use writers::{
    Meta, WriteError,
    crm::{
        contact::{Contact, ContactCommand},
        segment::Segment as SavedSegment,
    },
    mail::unsubscribe::Leaver,
};

/// Contacts shown of an audience.
const SHOWN: usize = 10;

/// Why nothing new can be said about a contact; `None`: it is there. `pointer` is where the request names it.
pub async fn gone(app: &App, tenant: &TenantId, id: Uuid, pointer: &str) -> Result<Option<Problem>, Problem> {
    let contact = app.writer.load::<Contact>(tenant, id).await?;
    let (code, message) = match (contact.state.details(), contact.state.is_erased()) {
        (Some(_), _) => return Ok(None),
        (None, true) => ("contact_erased", "the contact was erased"),
        (None, false) => ("unknown_contact", "there is no such contact"),
    };
    Ok(Some(Problem::validation(vec![FieldError::new(pointer, code, message)])))
}

/// The two contexts have a word each for the same thing.
pub fn consent_of(purpose: Purpose) -> ConsentPurpose {
    match purpose {
        Purpose::Service => ConsentPurpose::Service,
        Purpose::Marketing => ConsentPurpose::Marketing,
    }
}

/// A contact with what mail to them needs.
pub struct Person {
    pub details: ContactDetails,
    service: bool,
    marketing: bool,
}

impl Person {
    pub fn consents_to(&self, purpose: ConsentPurpose) -> bool {
        match purpose {
            ConsentPurpose::Service => self.service,
            ConsentPurpose::Marketing => self.marketing,
        }
    }
}

/// A contact that is there. `pointer` is where the request names it.
pub async fn person(app: &App, tenant: &TenantId, id: Uuid, pointer: &str) -> Result<Person, Problem> {
    let contact = app.writer.load::<Contact>(tenant, id).await?;
    let state = &contact.state;
    if let Some(sealed) = state.details() {
        let keys = app.keys.load(tenant, &[sealed.key()]).await?;
        if let Ok(Revealed::Known(details)) = sealed.open(&keys) {
            let (service, marketing) = (state.consents_to(Purpose::Service), state.consents_to(Purpose::Marketing));
            return Ok(Person { details, service, marketing });
        }
    }
    let erased = Problem::validation(vec![FieldError::new(pointer, "contact_erased", "the contact was erased")]);
    Err(gone(app, tenant, id, pointer).await?.unwrap_or(erased))
}

/// Withdraws the consent a receiver leaves with. Somebody who is gone, or has withdrawn it before, has left already.
pub async fn withdraw(app: &App, leaver: &Leaver, meta: &Meta) -> Result<(), Problem> {
    let purpose = match leaver.purpose {
        ConsentPurpose::Service => Purpose::Service,
        ConsentPurpose::Marketing => Purpose::Marketing,
    };
    let source = format!("unsubscribe link of campaign {}", leaver.campaign);
    let withdraw = ContactCommand::WithdrawConsent { purpose, source };
    match app.writer.execute::<Contact>(&leaver.tenant, leaver.contact, meta, &withdraw).await {
        Ok(_) | Err(WriteError::Rejected(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Checks a segment's filter against what lists of contacts may be filtered by: the JSON form of `filter=`. What is wrong
/// is pointed to below `pointer`. A saved filter has no caller, so `$CURRENT_USER` is refused; `$NOW` is taken when it is
/// used.
pub fn segment(filter: &Value, now: i64, pointer: &str) -> Result<Filter, Problem> {
    grammar::segment(filter, FILTERABLE, now).map_err(|faults| {
        let placed = |error: FieldError| FieldError { pointer: json_pointer(pointer, &error.pointer), ..error };
        Problem::validation(filter::errors(faults).into_iter().map(placed).collect())
    })
}

/// `filter[tags][_eq]` below `/segment/filter` is `/segment/filter/tags/_eq`.
fn json_pointer(below: &str, brackets: &str) -> String {
    let mut pointer = below.to_owned();
    let path = brackets.strip_prefix("filter[").and_then(|path| path.strip_suffix(']'));
    path.into_iter().flat_map(|path| path.split("][")).for_each(|segment| push_segment(&mut pointer, segment));
    pointer
}

/// Who would get a message now.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudiencePreview {
    /// All contacts of the segment who have consented to the purpose.
    pub count: u64,
    /// The newest of them, at most 10.
    pub contacts: Vec<ContactJson>,
}

/// The contacts of a segment, with a purpose (`marketing`, `service`) those who have consented to it.
fn members(caller: &Caller, segment: Filter, purpose: Option<&str>) -> Query {
    let consented = purpose.map(|purpose| Filter::cmp(format!("consents.{purpose}"), Op::Eq, [FieldValue::Bool(true)]));
    let mut query = Query::new(caller.tenant.as_str());
    query.collections = vec![collection::<ContactResource>().to_owned()];
    query.filter = Filter::And(consented.into_iter().chain([segment]).collect());
    query
}

/// How many contacts a segment has now.
pub async fn count(
    app: &App,
    caller: &Caller,
    consistency: &Consistency,
    segment: Filter,
    purpose: Option<&str>,
) -> Result<u64, Problem> {
    app.settle_search(consistency, None).await?;
    let mut query = members(caller, segment, purpose);
    query.limit = 1;
    query.total = true;
    Ok(app.search.index().search(query).await?.total.unwrap_or_default())
}

/// The filter of a saved segment, for a request that names it instead of a filter.
pub async fn saved_filter(app: &App, tenant: &TenantId, id: Uuid, beside: &Value) -> Result<String, Problem> {
    let refused = |pointer: &str, code: &'static str, message: &str| {
        Problem::validation(vec![FieldError::new(pointer, code, message)])
    };
    if !beside.is_null() {
        return Err(refused("/segment/filter", field::INVALID_VALUE, "name either a saved segment or a filter"));
    }
    let segment = app.writer.load::<SavedSegment>(tenant, id).await?;
    let unknown = || refused("/segment/id", "unknown_segment", "there is no such segment");
    Ok(segment.state.definition().ok_or_else(unknown)?.filter.clone())
}

/// The filter that counts now: a saved segment's own, unless that was deleted since.
pub async fn current_filter(app: &App, tenant: &TenantId, segment: &Segment) -> Result<Value, Problem> {
    let saved = match segment.saved {
        Some(saved) => app.writer.load::<SavedSegment>(tenant, saved).await?.state.definition().cloned(),
        None => None,
    };
    let filter = saved.map_or_else(|| segment.filter.clone(), |definition| definition.filter);
    Ok(serde_json::from_str(&filter).unwrap_or_default())
}

/// A campaign that uses a saved segment.
#[derive(Debug, Serialize, ToSchema)]
pub struct SegmentUse {
    pub campaign: Uuid,
    pub name: String,
    #[schema(example = "scheduled")]
    pub status: &'static str,
    /// Whether what the segment finds still matters to it: it has not gone out.
    pub open: bool,
}

/// The newest campaigns that use a segment, at most 100, as search knows them now.
pub async fn uses(
    app: &App,
    caller: &Caller,
    consistency: &Consistency,
    segment: Uuid,
) -> Result<Vec<SegmentUse>, Problem> {
    app.settle_search(consistency, None).await?;
    let mut query = Query::new(caller.tenant.as_str());
    query.collections = vec![Campaigns::NAME.to_owned()];
    query.filter = Filter::cmp("segment", Op::Eq, [FieldValue::Str(segment.to_string())]);
    query.sort = vec![Sort::descending("created_at")];
    query.limit = 100;
    let hits = app.search.index().search(query).await?;
    let ids: Vec<Uuid> = hits.ids.iter().filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
    let found = app.views.records::<Campaigns>(&caller.tenant, &ids).await?;
    let shown = |(id, record): (Uuid, Option<projectors::Record<CampaignRow>>)| {
        let row = record?.row;
        let open = matches!(row.status, CampaignStatus::Draft | CampaignStatus::Scheduled);
        Some(SegmentUse { campaign: id, name: row.name, status: row.status.as_str(), open })
    };
    Ok(ids.into_iter().zip(found).filter_map(shown).collect())
}

/// The contacts of a segment who have consented to a purpose, if one is named, as search knows them now.
pub async fn preview(
    app: &App,
    caller: &Caller,
    consistency: &Consistency,
    segment: Filter,
    purpose: Option<&str>,
) -> Result<AudiencePreview, Problem> {
    app.settle_search(consistency, None).await?;
    let mut query = members(caller, segment, purpose);
    query.sort = vec![Sort::descending("created_at")];
    query.limit = SHOWN;
    query.total = true;
    let hits = app.search.index().search(query).await?;
    let ids: Vec<Uuid> = hits.ids.iter().filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
    let found = app.views.records::<Contacts>(&caller.tenant, &ids).await?;
    let needed: Vec<_> = found.iter().flatten().flat_map(|record| Contacts::keys(&record.row)).collect();
    let keys = app.keys.load(&caller.tenant, &needed).await?;
    let present = |(id, record)| Some(ContactResource::present(id, Option::as_ref(record)?, &keys));
    // Search may know an erased person a moment longer than the view.
    let contacts = ids.into_iter().zip(&found).filter_map(present).filter(|contact| !contact.erased).collect();
    Ok(AudiencePreview { count: hits.total.unwrap_or_default(), contacts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(filter: Value) -> Vec<(String, String)> {
        let problem = segment(&filter, 0, "/segment/filter").unwrap_err();
        assert_eq!(problem.code().status_number(), 422);
        problem.errors().iter().map(|error| (error.pointer.clone(), error.code.to_string())).collect()
    }

    #[test]
    fn a_segment_is_a_filter_of_contacts() {
        let filter = json!({"tags": "vip", "created_at": {"_gte": "$NOW(-30 days)"}, "_or": [
            {"country": {"_in": ["DE", "AT"]}}, {"company": {"_icontains": "garden"}}
        ]});
        assert!(matches!(segment(&filter, 0, "/segment/filter"), Ok(Filter::And(parts)) if parts.len() == 3));
        assert_eq!(segment(&json!({}), 0, "").unwrap(), Filter::All);
    }

    #[test]
    fn what_is_wrong_is_pointed_to() {
        let at = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
        let table = [
            (json!({"age": {"_gt": 18}}), at("/segment/filter/age", "unknown_field")),
            (json!({"tags": {"_like": "v"}}), at("/segment/filter/tags/_like", "unknown_operator")),
            (json!({"_or": [{"tags": {"_gt": "a"}}]}), at("/segment/filter/_or/0/tags/_gt", "operator_not_allowed")),
            (json!({"created_at": {"_lt": "soon"}}), at("/segment/filter/created_at/_lt", "invalid_value")),
            (json!({"email": "$CURRENT_USER"}), at("/segment/filter/email", "invalid_value")),
            (json!([]), at("/segment/filter", "malformed")),
            (json!({"a/b": 1}), at("/segment/filter/a~1b", "unknown_field")),
        ];
        for (filter, expected) in table {
            assert_eq!(refused(filter.clone()), expected, "{filter}");
        }
    }

    #[test]
    fn a_segment_is_bounded() {
        let many: Vec<Value> = (0..60).map(|number| json!({"city": number.to_string()})).collect();
        assert_eq!(refused(json!({"_or": many}))[0].1, "too_many");
        let deep = (0..9).fold(json!({"city": "x"}), |inner, _| json!({"_and": [inner]}));
        assert_eq!(refused(deep)[0].1, "too_deep");
    }
}
