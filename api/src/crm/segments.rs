//! `/v1/segments`: saved filters of contacts.

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    errors::rejection,
    http::{
        body::JsonBody,
        extract::Path,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    people::{self, AudiencePreview, SegmentUse},
    resource::{Resource, read_scope},
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use bus_schema::{Keyring, crm::segment::SegmentDefinition};
use projectors::{
    Record,
    crm::segments::{SegmentRow, Segments},
    search::{Filter, literal::FieldType},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::crm::segment::{Segment, SegmentCommand, SegmentRejection};

const WRITE: &str = "crm.segment:write";
const CONTACTS: &str = "crm.contact:read";

pub struct SegmentResource;

/// A saved segment: contacts by what they have in common, found anew each time it is used.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedSegment {
    pub id: Uuid,
    pub revision: u64,
    pub name: String,
    pub description: String,
    /// The JSON form of `filter=` of the list of contacts.
    #[schema(value_type = Object)]
    pub filter: Value,
    pub created_at: String,
    pub updated_at: String,
}

impl Resource for SegmentResource {
    type View = Segments;
    type Json = SavedSegment;
    const NOUN: &'static str = "segment";
    const LIST: ListSpec = ListSpec {
        filterable: &[("name", FieldType::Text), ("created_at", FieldType::Time), ("updated_at", FieldType::Time)],
        sortable: &["name", "created_at", "updated_at"],
        default_sort: "name",
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<SegmentRow>, _: &Keyring) -> SavedSegment {
        let SegmentDefinition { name, description, filter } = record.row.definition.clone();
        SavedSegment {
            id,
            revision: record.revision,
            name,
            description,
            filter: serde_json::from_str(&filter).unwrap_or_default(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change, delete))
        .routes(routes!(count))
        .routes(routes!(preview))
        .routes(routes!(preview_unsaved))
        .routes(routes!(usage))
}

/// A new segment.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"name": "New customers", "description": "who came in the last month and may get our news",
    "filter": {"created_at": {"_gte": "$NOW(-30 days)"}, "consents.marketing": {"_eq": true}}}))]
pub struct NewSavedSegment {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// The JSON form of `filter=` of the list of contacts; `{}` is everybody. Times may be relative: `$NOW(-30 days)`.
    #[schema(value_type = Object)]
    pub filter: Value,
}

/// Saves a segment.
#[utoipa::path(post, path = "/v1/segments", tag = "segments", request_body = NewSavedSegment, responses(
    (status = 201, body = CommandReceipt),
    (status = 422, description = "The filter is not one of contacts", body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewSavedSegment>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewSavedSegment { name, description, filter } = &command.body;
    people::segment(filter, app.clock.now().0, "/filter")?;
    let id = command.meta.command.aggregate(0);
    let (name, description, filter) = (name.clone(), description.clone(), filter.to_string());
    let create = SegmentCommand::Create { definition: SegmentDefinition { name, description, filter } };
    let receipt = app.writer.execute::<Segment>(&command.caller.tenant, id, &command.meta, &create).await?;
    Ok(app.created("segments", id, &receipt))
}

/// Changes of a segment: a field that is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SegmentChanges {
    pub name: Option<String>,
    pub description: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
}

/// Changes a segment. Campaigns that have not gone out take the new filter; those that have keep the one they had. Send
/// `If-Match` to keep others' changes from being lost.
#[utoipa::path(patch, path = "/v1/segments/{id}", tag = "segments", request_body = SegmentChanges,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 412, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<SegmentChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let changes = &command.body;
    if let Some(filter) = &changes.filter {
        people::segment(filter, app.clock.now().0, "/filter")?;
    }
    let tenant = &command.caller.tenant;
    let present = app.writer.load::<Segment>(tenant, id).await?.state.definition().cloned().unwrap_or_default();
    let definition = SegmentDefinition {
        name: changes.name.clone().unwrap_or(present.name),
        description: changes.description.clone().unwrap_or(present.description),
        filter: changes.filter.as_ref().map_or(present.filter, ToString::to_string),
    };
    let change = SegmentCommand::Change { definition };
    let receipt = app.writer.execute::<Segment>(tenant, id, &command.meta, &change).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Deletes a segment that no campaign waits for.
#[utoipa::path(delete, path = "/v1/segments/{id}", tag = "segments", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "segment_in_use", body = ProblemDocument)))]
async fn delete(
    State(app): State<App>,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    command: Command,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let tenant = &command.caller.tenant;
    if app.writer.load::<Segment>(tenant, id).await?.state.definition().is_some()
        && people::uses(&app, &command.caller, &consistency, id).await?.iter().any(|campaign| campaign.open)
    {
        return Err(rejection(SegmentRejection::InUse.into()));
    }
    let receipt = app.writer.execute::<Segment>(tenant, id, &command.meta, &SegmentCommand::Delete).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Of whom.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SegmentQuestion {
    /// Only those who have consented to it; all when absent.
    pub purpose: Option<SegmentPurpose>,
}

/// What contacts consent to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SegmentPurpose {
    Service,
    Marketing,
}

impl SegmentPurpose {
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Marketing => "marketing",
        }
    }
}

/// How many contacts a segment has.
#[derive(Debug, Serialize, ToSchema)]
pub struct SegmentCount {
    pub count: u64,
}

/// How many contacts a segment has now. Needs `crm.segment:read` and `crm.contact:read`.
#[utoipa::path(post, path = "/v1/segments/{id}/count", tag = "segments", request_body = SegmentQuestion,
    params(("id" = Uuid, Path)), responses((status = 200, body = SegmentCount), (status = 404, body = ProblemDocument)))]
async fn count(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    JsonBody { value: question, .. }: JsonBody<SegmentQuestion>,
) -> Result<Json<SegmentCount>, Problem> {
    let filter = readable(&app, &caller, id).await?;
    let purpose = question.purpose.map(SegmentPurpose::word);
    Ok(Json(SegmentCount { count: people::count(&app, &caller, &consistency, filter, purpose).await? }))
}

/// Some of the contacts a segment has now, the newest, and how many there are. Needs `crm.segment:read` and
/// `crm.contact:read`.
#[utoipa::path(post, path = "/v1/segments/{id}/preview", tag = "segments", request_body = SegmentQuestion,
    params(("id" = Uuid, Path)), responses((status = 200, body = AudiencePreview), (status = 404, body = ProblemDocument)))]
async fn preview(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    JsonBody { value: question, .. }: JsonBody<SegmentQuestion>,
) -> Result<Json<AudiencePreview>, Problem> {
    let filter = readable(&app, &caller, id).await?;
    let purpose = question.purpose.map(SegmentPurpose::word);
    Ok(Json(people::preview(&app, &caller, &consistency, filter, purpose).await?))
}

/// A filter that is not saved.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct UnsavedSegment {
    #[schema(value_type = Object)]
    pub filter: Value,
    /// Only those who have consented to it; all when absent.
    pub purpose: Option<SegmentPurpose>,
}

/// The same for a filter before it is saved.
#[utoipa::path(post, path = "/v1/segments/preview", tag = "segments", request_body = UnsavedSegment,
    responses((status = 200, body = AudiencePreview), (status = 422, body = ProblemDocument)))]
async fn preview_unsaved(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    JsonBody { value: wanted, .. }: JsonBody<UnsavedSegment>,
) -> Result<Json<AudiencePreview>, Problem> {
    caller.allow(&read_scope::<SegmentResource>())?;
    caller.allow(CONTACTS)?;
    let filter = people::segment(&wanted.filter, app.clock.now().0, "/filter")?;
    let purpose = wanted.purpose.map(SegmentPurpose::word);
    Ok(Json(people::preview(&app, &caller, &consistency, filter, purpose).await?))
}

async fn readable(app: &App, caller: &Caller, id: Uuid) -> Result<Filter, Problem> {
    caller.allow(&read_scope::<SegmentResource>())?;
    caller.allow(CONTACTS)?;
    let segment = app.writer.load::<Segment>(&caller.tenant, id).await?;
    let unknown = || rejection(SegmentRejection::Unknown.into());
    let definition = segment.state.definition().ok_or_else(unknown)?;
    let filter = serde_json::from_str(&definition.filter).unwrap_or_default();
    people::segment(&filter, app.clock.now().0, "/filter")
}

/// What a segment is used for.
#[derive(Debug, Serialize, ToSchema)]
pub struct SegmentUsage {
    /// The newest campaigns, at most 100.
    pub campaigns: Vec<SegmentUse>,
}

/// Which campaigns use a segment. Needs `crm.segment:read` and `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/segments/{id}/usage", tag = "segments", params(("id" = Uuid, Path)),
    responses((status = 200, body = SegmentUsage), (status = 404, body = ProblemDocument)))]
async fn usage(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<SegmentUsage>, Problem> {
    caller.allow(&read_scope::<SegmentResource>())?;
    caller.allow("mail.campaign:read")?;
    if app.writer.load::<Segment>(&caller.tenant, id).await?.state.definition().is_none() {
        return Err(rejection(SegmentRejection::Unknown.into()));
    }
    Ok(Json(SegmentUsage { campaigns: people::uses(&app, &caller, &consistency, id).await? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use bus_schema::Micros;

    #[test]
    fn search_knows_every_field_a_list_names() {
        let at = Micros(1_769_903_910_000_000);
        let (name, description) = ("Vip".to_owned(), "d".to_owned());
        let row =
            SegmentRow { definition: SegmentDefinition { name, description, filter: r#"{"tags":"vip"}"#.into() } };
        let record = Record { revision: 9, first: 5, created_at: at, updated_at: at, row };
        assert_eq!(missing_from_search::<SegmentResource>(&record, &Keyring::default()), Vec::<&str>::new());
        let shown = SegmentResource::present(Uuid::from_u128(1), &record, &Keyring::default());
        assert_eq!(shown.filter, serde_json::json!({"tags": "vip"}));
    }
}
