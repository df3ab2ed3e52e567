//! `/v1/campaigns`

use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    crm::contacts::ContactResource,
    http::{
        extract::Path,
        filter::{self, FilterAst},
        list::ListSpec,
        literal::{FieldType, Variables},
        problem::{FieldError, Problem, ProblemDocument},
        token::Consistency,
    },
    listing,
    resource::Resource,
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring, Micros,
    mail::campaign::{CampaignContent, ConsentPurpose, Segment},
};
use projectors::{
    Record,
    crm::contacts::Contacts,
    mail::campaigns::{CampaignRow, Campaigns, purpose_word},
    search::{FieldValue, Filter, Op, Query},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::mail::campaign::{Campaign, CampaignCommand};

const WRITE: &str = "mail.campaign:write";

pub struct CampaignResource;

/// A campaign. Its sending is not part of this version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub struct CampaignJson {
    pub id: Uuid,
    pub revision: u64,
    pub name: String,
    /// `draft`, `scheduled` or `cancelled`.
    pub status: &'static str,
    pub audience: Option<AudienceJson>,
    pub content: Option<ContentJson>,
    pub scheduled_at: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

/// Who gets it: contacts that match the filter and have consented to the purpose.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudienceJson {
    #[schema(value_type = Object)]
    pub filter: Value,
    pub purpose: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ContentJson {
    pub subject: String,
    pub preheader: String,
    pub from_name: String,
    pub from_email: String,
    pub html: String,
    pub text: Option<String>,
}

impl Resource for CampaignResource {
    type View = Campaigns;
    type Json = CampaignJson;
    const NOUN: &'static str = "campaign";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("name", FieldType::Text),
            ("subject", FieldType::Text),
            ("status", FieldType::Choice(&["draft", "scheduled", "cancelled"])),
            ("purpose", FieldType::Choice(&["service", "marketing"])),
            ("scheduled_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["name", "subject", "status", "scheduled_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["status"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<CampaignRow>, _: &Keyring) -> CampaignJson {
        let row = &record.row;
        let audience = row.segment.as_ref().map(|segment| AudienceJson {
            filter: serde_json::from_str(&segment.filter).unwrap_or_default(),
            purpose: purpose_word(segment.purpose),
        });
        let content = row.content.clone().map(|content| ContentJson {
            subject: content.subject,
            preheader: content.preheader,
            from_name: content.from_name,
            from_email: content.from_email,
            html: content.html,
            text: content.text,
        });
        CampaignJson {
            id,
            revision: record.revision,
            name: row.name.clone(),
            status: row.status.as_str(),
            audience,
            content,
            scheduled_at: row.departure.as_ref().map(|departure| departure.at.to_string()),
            time_zone: row.departure.as_ref().map(|departure| departure.time_zone.clone()),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(set_audience))
        .routes(routes!(preview_audience))
        .routes(routes!(set_content))
        .routes(routes!(schedule))
        .routes(routes!(unschedule))
        .routes(routes!(cancel))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewCampaign {
    pub name: String,
}

/// Makes a campaign, a draft.
#[utoipa::path(post, path = "/v1/campaigns", tag = "campaigns", request_body = NewCampaign,
    responses((status = 201, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewCampaign>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let id = command.meta.command.aggregate(0);
    let create = CampaignCommand::Create { name: command.body.name.clone() };
    let receipt = app.writer.execute::<Campaign>(&command.caller.tenant, id, &command.meta, &create).await?;
    Ok(app.created("campaigns", id, &receipt))
}

/// A saved segment: a filter over contacts, in the JSON form of the list of contacts, and a purpose they consented to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"filter": {"tags": {"_eq": "newsletter"}}, "purpose": "marketing"}))]
pub struct Audience {
    #[serde(default)]
    #[schema(value_type = Object)]
    pub filter: Value,
    /// `marketing` when absent.
    #[schema(value_type = Option<String>)]
    pub purpose: Option<ConsentPurpose>,
}

/// The segment's filter, checked against what the list of contacts offers.
fn checked(app: &App, caller: &Caller, filter: &Value) -> Result<FilterAst, Problem> {
    if filter.is_null() {
        return Ok(FilterAst::All);
    }
    let variables = Variables { now: app.clock.now().0, current_user: Some(caller.principal()) };
    filter::parse(filter, false, ContactResource::LIST.filterable, &variables).map_err(|errors| {
        let at = |error: FieldError| FieldError { pointer: format!("/filter: {}", error.pointer), ..error };
        Problem::validation(errors.into_iter().map(at).collect())
    })
}

/// Sets who gets the campaign.
#[utoipa::path(put, path = "/v1/campaigns/{id}/audience", tag = "campaigns", request_body = Audience,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn set_audience(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<Audience>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    checked(&app, &command.caller, &command.body.filter)?;
    let filter = if command.body.filter.is_null() { "{}".to_owned() } else { command.body.filter.to_string() };
    let purpose = command.body.purpose.unwrap_or(ConsentPurpose::Marketing);
    run(&app, id, &command, CampaignCommand::SetAudience { segment: Segment { filter, purpose } }).await
}

/// Who would get the campaign now.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudiencePreview {
    /// Contacts that match and have consented.
    pub total: u64,
    /// The first ten.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Value>,
}

/// Counts the contacts that would get the campaign now and shows the first ten.
#[utoipa::path(post, path = "/v1/campaigns/{id}/audience/preview", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = AudiencePreview), (status = 409, body = ProblemDocument)))]
async fn preview_audience(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<AudiencePreview>, Problem> {
    caller.allow("mail.campaign:read")?;
    caller.allow("crm.contact:read")?;
    app.settle("campaigns", &consistency).await?;
    app.settle_search(&consistency, None).await?;
    let campaign = app.views.record::<Campaigns>(&caller.tenant, id).await?;
    let campaign = campaign.ok_or_else(|| Problem::not_found("campaign"))?;
    let Some(segment) = campaign.row.segment else {
        return Err(Problem::rejected("no_audience", "the campaign has no audience yet; set it first"));
    };
    let filter = serde_json::from_str(&segment.filter).unwrap_or_default();
    let matching = listing::filter(&checked(&app, &caller, &filter)?);
    let consent = format!("consents.{}", purpose_word(segment.purpose));
    let consented = Filter::cmp(consent, Op::Eq, [FieldValue::Bool(true)]);
    let mut query = Query::new(caller.tenant.as_str());
    query.collections = vec!["contacts".to_owned()];
    query.filter = Filter::And(vec![matching, consented]);
    query.limit = 10;
    query.total = true;
    let hits = app.search.index().search(query).await?;
    let ids: Vec<Uuid> = hits.ids.iter().filter_map(|hit| Uuid::parse_str(&hit.id).ok()).collect();
    let found = app.views.records::<Contacts>(&caller.tenant, &ids).await?;
    let records: Vec<_> = ids.into_iter().zip(found).filter_map(|(id, record)| Some((id, record?))).collect();
    let items = app.present::<ContactResource>(&caller.tenant, &records).await?;
    Ok(Json(AudiencePreview { total: hits.total.unwrap_or(0), items }))
}

/// What is sent. A draft may be incomplete.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct NewContent {
    pub subject: String,
    /// Shown behind the subject in inboxes.
    pub preheader: String,
    pub from_name: String,
    pub from_email: String,
    pub html: String,
    /// Made from the HTML when absent.
    pub text: Option<String>,
}

/// Sets the content of a draft.
#[utoipa::path(put, path = "/v1/campaigns/{id}/content", tag = "campaigns", request_body = NewContent,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "campaign_scheduled", body = ProblemDocument), (status = 422, body = ProblemDocument)))]
async fn set_content(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewContent>,
) -> Result<Response, Problem> {
    let new = &command.body;
    let content = CampaignContent {
        subject: new.subject.clone(),
        preheader: new.preheader.clone(),
        from_name: new.from_name.clone(),
        from_email: new.from_email.clone(),
        html: new.html.clone(),
        text: new.text.clone(),
    };
    run(&app, id, &command, CampaignCommand::SetContent { content }).await
}

/// When it goes out.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Departure {
    /// RFC 3339, in the future, at most a year ahead.
    pub at: String,
    /// IANA name, for showing the time.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
}

/// Schedules a complete campaign, another time too while it is scheduled.
#[utoipa::path(post, path = "/v1/campaigns/{id}/schedule", tag = "campaigns", request_body = Departure,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn schedule(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<Departure>,
) -> Result<Response, Problem> {
    let at = Micros::parse(&command.body.at).ok_or_else(|| crate::errors::invalid_time("/at"))?;
    let time_zone = command.body.time_zone.clone();
    run(&app, id, &command, CampaignCommand::Schedule { at, time_zone }).await
}

/// Makes a scheduled campaign a draft again.
#[utoipa::path(post, path = "/v1/campaigns/{id}/unschedule", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt)))]
async fn unschedule(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CampaignCommand::Unschedule).await
}

/// Cancels a campaign for good.
#[utoipa::path(post, path = "/v1/campaigns/{id}/cancel", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt)))]
async fn cancel(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CampaignCommand::Cancel).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: CampaignCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Campaign>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
