//! `/v1/campaigns`

use super::authoring;
use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    errors::{invalid_time, refused_at, rejection},
    http::{
        body::BodyLimit,
        extract::Path,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    people::{self, AudiencePreview},
    resource::{Resource, read_scope},
};
use axum::{Extension, Json, extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring, Micros,
    mail::campaign::{CampaignContent, ConsentPurpose, Segment, SendCounts, Tracking, Utm},
};
use projectors::{
    Record,
    mail::campaigns::{CampaignRow, Campaigns, Journey, purpose_word},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::mail::campaign::{Campaign, CampaignCommand, CampaignRejection};

const WRITE: &str = "mail.campaign:write";
const STATUSES: &[&str] = &["draft", "scheduled", "sending", "paused", "finished", "cancelled"];
const PURPOSES: &[&str] = &["marketing", "service"];
/// The largest content as JSON, in bytes: the decider bounds its parts, and JSON may escape many of their characters.
const CONTENT_LIMIT: usize = 2 * 1024 * 1024;

pub struct CampaignResource;

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub struct CampaignJson {
    pub id: Uuid,
    pub revision: u64,
    pub name: String,
    /// `draft`, `scheduled`, `sending`, `paused`, `finished` or `cancelled`.
    pub status: &'static str,
    pub segment: Option<SegmentJson>,
    pub content: Option<ContentJson>,
    /// When it goes out; null unless it is scheduled.
    pub scheduled_at: Option<String>,
    /// The zone its author thinks in.
    pub time_zone: Option<String>,
    /// Since it was launched; see also its `progress` and its `recipients`.
    pub journey: Option<JourneyJson>,
    pub created_at: String,
    pub updated_at: String,
}

/// A campaign since it was launched.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CampaignJourney)]
pub struct JourneyJson {
    pub launched_at: String,
    /// Who gets it, once that is frozen.
    pub recipients: Option<u64>,
    /// Why the platform paused it.
    pub trouble: Option<String>,
    pub finished_at: Option<String>,
    /// How many recipients had each end, once it is finished. `unknown` are those whose mail the provider may have taken.
    pub counts: Option<EndCounts>,
}

/// Recipients by what became of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndCounts {
    pub accepted: u64,
    pub rejected: u64,
    pub deferred: u64,
    pub unknown: u64,
    pub skipped: u64,
}

impl From<&Journey> for JourneyJson {
    fn from(journey: &Journey) -> Self {
        let ends = |counts: SendCounts| {
            let SendCounts { accepted, rejected, deferred, unknown, skipped } = counts;
            EndCounts { accepted, rejected, deferred, unknown, skipped }
        };
        Self {
            launched_at: journey.launched_at.to_string(),
            recipients: journey.recipients,
            trouble: journey.trouble.clone(),
            finished_at: journey.finished_at.map(|at| at.to_string()),
            counts: journey.counts.map(ends),
        }
    }
}

/// Who gets a campaign.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Segment)]
pub struct SegmentJson {
    /// The JSON form of `filter=` of the list of contacts.
    #[schema(value_type = Object)]
    pub filter: Value,
    /// What they must have consented to: `marketing` or `service`.
    pub purpose: &'static str,
    /// The saved segment it is of. Until the launch that one's filter counts, and `filter` is the one it had when the
    /// audience was set; from then on `filter` is the one in use.
    pub id: Option<Uuid>,
}

/// What a campaign says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CampaignContent)]
pub struct ContentJson {
    pub subject: String,
    pub preheader: String,
    pub from_name: String,
    pub from_email: String,
    /// Lists leave it out unless `fields` names it.
    pub html: String,
    /// Null: made from the HTML. Lists leave it out unless `fields` names it.
    pub text: Option<String>,
    pub tracking: TrackingJson,
}

/// What is watched of the readers of marketing mail; nothing unless it is set. Service mail is never watched.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[schema(as = Tracking)]
pub struct TrackingJson {
    /// A picture of one dot says that the mail was opened.
    pub opens: bool,
    /// Links lead over this platform, but for those with the attribute `data-no-track`.
    pub clicks: bool,
    /// With `clicks`: one more link that no person sees, for telling programs from people.
    pub honeypot: bool,
    /// Words added to links that have no `utm_…` of their own.
    pub utm: Option<UtmJson>,
}

/// `utm_source`, `utm_medium` and `utm_campaign`, at most 100 characters each; empty ones are left out.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[schema(as = Utm)]
pub struct UtmJson {
    pub source: String,
    pub medium: String,
    pub campaign: String,
}

impl From<Tracking> for TrackingJson {
    fn from(Tracking { opens, clicks, honeypot, utm }: Tracking) -> Self {
        let utm = utm.map(|Utm { source, medium, campaign }| UtmJson { source, medium, campaign });
        Self { opens, clicks, honeypot, utm }
    }
}

impl From<TrackingJson> for Tracking {
    fn from(TrackingJson { opens, clicks, honeypot, utm }: TrackingJson) -> Self {
        let utm = utm.map(|UtmJson { source, medium, campaign }| Utm { source, medium, campaign });
        Self { opens, clicks, honeypot, utm }
    }
}

impl Resource for CampaignResource {
    type View = Campaigns;
    type Json = CampaignJson;
    const NOUN: &'static str = "campaign";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("name", FieldType::Text),
            ("subject", FieldType::Text),
            ("status", FieldType::Choice(STATUSES)),
            ("purpose", FieldType::Choice(PURPOSES)),
            ("segment", FieldType::Id),
            ("scheduled_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["name", "subject", "status", "scheduled_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["status", "purpose"],
        searchable: true,
        ..ListSpec::NOTHING
    };
    const LARGE: &'static [&'static str] = &["content.html", "content.text"];

    fn present(id: Uuid, record: &Record<CampaignRow>, _: &Keyring) -> CampaignJson {
        let row = &record.row;
        let segment = row.segment.as_ref().map(|segment| SegmentJson {
            filter: serde_json::from_str(&segment.filter).unwrap_or_default(),
            purpose: purpose_word(segment.purpose),
            id: segment.saved,
        });
        let content = row.content.clone().map(|content| {
            let CampaignContent { subject, preheader, from_name, from_email, html, text, tracking } = content;
            let tracking = tracking.into();
            ContentJson { subject, preheader, from_name, from_email, html, text, tracking }
        });
        CampaignJson {
            id,
            revision: record.revision,
            name: row.name.clone(),
            status: row.status.as_str(),
            segment,
            content,
            scheduled_at: row.departure.as_ref().map(|departure| departure.at.to_string()),
            time_zone: row.departure.as_ref().map(|departure| departure.time_zone.clone()),
            journey: row.journey.as_ref().map(JourneyJson::from),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    let large = OpenApiRouter::new().routes(routes!(set_content)).layer(Extension(BodyLimit(CONTENT_LIMIT)));
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(set_audience))
        .routes(routes!(preview))
        .routes(routes!(schedule))
        .routes(routes!(unschedule))
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .merge(large)
}

/// A new campaign.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewCampaign {
    /// For those who send it; receivers never see it.
    #[schema(example = "Spring sale")]
    pub name: String,
}

/// Makes a campaign, a draft without audience and content.
#[utoipa::path(post, path = "/v1/campaigns", tag = "campaigns", request_body = NewCampaign, responses(
    (status = 201, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewCampaign>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let id = command.meta.command.aggregate(0);
    let create = CampaignCommand::Create { name: command.body.name.clone() };
    let receipt = app.writer.execute::<Campaign>(&command.caller.tenant, id, &command.meta, &create).await?;
    Ok(app.created("campaigns", id, &receipt))
}

/// What a receiver must have consented to.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConsentPurpose)]
pub enum PurposeJson {
    /// Messages about a service the person uses.
    Service,
    #[default]
    Marketing,
}

impl From<PurposeJson> for ConsentPurpose {
    fn from(purpose: PurposeJson) -> Self {
        match purpose {
            PurposeJson::Service => Self::Service,
            PurposeJson::Marketing => Self::Marketing,
        }
    }
}

/// Who is to get it.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewSegment {
    /// The JSON form of `filter=` of the list of contacts; `{}` is everybody. It says what people have in common; it is
    /// no place for one person's data.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    pub filter: Value,
    #[serde(default)]
    pub purpose: PurposeJson,
    /// A saved segment instead of `filter`.
    #[serde(default)]
    pub id: Option<Uuid>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"segment": {"filter": {"tags": {"_eq": "newsletter"}}, "purpose": "marketing"}}))]
pub struct NewAudience {
    pub segment: NewSegment,
}

/// Sets who gets a campaign, whole: a saved segment by its `id`, or a filter of its own. Who that is is found out when it
/// goes out; see the preview. Addresses on the suppression list are left out then.
#[utoipa::path(put, path = "/v1/campaigns/{id}/audience", tag = "campaigns", request_body = NewAudience,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "campaign_scheduled, campaign_cancelled", body = ProblemDocument),
    (status = 422, description = "The filter is not one of contacts", body = ProblemDocument)))]
async fn set_audience(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewAudience>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewSegment { filter, purpose, id: saved } = &command.body.segment;
    let filter = match saved {
        Some(saved) => people::saved_filter(&app, &command.caller.tenant, *saved, filter).await?,
        None => {
            people::segment(filter, app.clock.now().0, "/segment/filter")?;
            filter.to_string()
        }
    };
    let segment = Segment { filter, purpose: (*purpose).into(), saved: *saved };
    run(&app, id, &command, CampaignCommand::SetAudience { segment }).await
}

/// Who would get a campaign now: the contacts of its segment who have consented to its purpose. Needs
/// `mail.campaign:read` and `crm.contact:read`.
#[utoipa::path(post, path = "/v1/campaigns/{id}/audience/preview", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = AudiencePreview), (status = 404, body = ProblemDocument),
    (status = 409, description = "audience_missing", body = ProblemDocument)))]
async fn preview(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<AudiencePreview>, Problem> {
    caller.allow(&read_scope::<CampaignResource>())?;
    caller.allow("crm.contact:read")?;
    let campaign = app.writer.load::<Campaign>(&caller.tenant, id).await?;
    if campaign.revision == 0 {
        return Err(rejection(CampaignRejection::Unknown.into()));
    }
    let segment = campaign.state.segment().ok_or_else(|| rejection(CampaignRejection::NoAudience.into()))?;
    let filter = people::current_filter(&app, &caller.tenant, segment).await?;
    let filter = people::segment(&filter, app.clock.now().0, "/segment/filter")?;
    let preview = people::preview(&app, &caller, &consistency, filter, Some(purpose_word(segment.purpose))).await?;
    Ok(Json(preview))
}

/// What it is to say. A draft may lack anything; scheduling asks for what is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"subject": "Spring is here", "from_name": "Garden", "from_email": "news@garden.example",
    "html": "<p>Hello</p>"}))]
pub struct NewContent {
    pub subject: String,
    /// The line a mailbox shows after the subject.
    pub preheader: String,
    pub from_name: String,
    pub from_email: String,
    pub html: String,
    /// The plain part; made from the HTML when absent.
    pub text: Option<String>,
    pub tracking: TrackingJson,
}

/// Sets what a campaign says, whole. The words are templates (`{{ first_name | default("you") }}`) and are tried on made-up
/// receivers at once. Fields: `first_name`, `last_name`, `company`, `city`, `country`, which not everybody has, and `email`,
/// `sender_name`, `postal_address`, `unsubscribe_url` (marketing), `preferences_url`. Postal address and links are added
/// below where the words do not place them.
#[utoipa::path(put, path = "/v1/campaigns/{id}/content", tag = "campaigns", request_body = NewContent,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "campaign_scheduled, campaign_cancelled", body = ProblemDocument),
    (status = 422, description = "too_long, invalid_text, invalid_email, honeypot_alone; template_syntax, \
    unknown_merge_field, missing_fallback, template_fault with line and column", body = ProblemDocument)))]
async fn set_content(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewContent>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let Command { caller, body, meta, .. } = &command;
    let NewContent { subject, preheader, from_name, from_email, html, text, tracking } = body;
    let content = CampaignContent {
        subject: subject.clone(),
        preheader: preheader.clone(),
        from_name: from_name.clone(),
        from_email: from_email.clone(),
        html: html.clone(),
        text: text.clone(),
        tracking: tracking.clone().into(),
    };
    let faults = app.mail.check(content.clone(), None).await?;
    if !faults.is_empty() {
        return Err(Problem::validation(faults));
    }
    let set = CampaignCommand::SetContent { content };
    let receipt = app.writer.execute::<Campaign>(&caller.tenant, id, meta, &set).await;
    let receipt = receipt.map_err(|error| refused_at(error, "/content", ""))?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// When it is to go out.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewSchedule {
    /// RFC 3339, in the future and within a year, or `now`.
    #[schema(example = "2027-03-20T09:00:00+01:00")]
    pub at: String,
    /// The zone its author thinks in, an IANA name. When absent it stays as it is scheduled, and is UTC where it is not.
    #[schema(example = "Europe/Berlin")]
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// Schedules a complete campaign, or sets another time. Audience and content stay as they are until it is unscheduled. The
/// words are checked once more, with the campaign's purpose; marketing needs the tenant's postal address.
#[utoipa::path(post, path = "/v1/campaigns/{id}/schedule", tag = "campaigns", request_body = NewSchedule,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "audience_missing, content_incomplete, postal_address_missing, campaign_cancelled; \
    template_syntax, unknown_merge_field, missing_fallback, template_fault", body = ProblemDocument),
    (status = 422, description = "invalid_time, time_past, time_too_far, invalid_time_zone", body = ProblemDocument)))]
async fn schedule(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewSchedule>,
) -> Result<Response, Problem> {
    let at = match command.body.at.as_str() {
        "now" => None,
        at => Some(Micros::parse(at).ok_or_else(|| invalid_time("/at"))?),
    };
    let time_zone = command.body.time_zone.clone();
    command.allow(WRITE)?;
    authoring::fit(&app, &command.caller, id).await?;
    run(&app, id, &command, CampaignCommand::Schedule { at, time_zone }).await
}

/// Makes a scheduled campaign a draft again.
#[utoipa::path(post, path = "/v1/campaigns/{id}/unschedule", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 409, description = "campaign_cancelled",
    body = ProblemDocument)))]
async fn unschedule(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CampaignCommand::Unschedule).await
}

/// Cancels a campaign: it will never go out. One that is on its way ends: what is being handed over at this moment, a second
/// or so, still goes out.
#[utoipa::path(post, path = "/v1/campaigns/{id}/cancel", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "campaign_finished", body = ProblemDocument)))]
async fn cancel(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CampaignCommand::Cancel).await
}

/// Pauses a campaign that is on its way: nothing more is handed over until it is resumed.
#[utoipa::path(post, path = "/v1/campaigns/{id}/pause", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 409, description = "campaign_not_launched, \
    campaign_finished, campaign_cancelled", body = ProblemDocument)))]
async fn pause(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CampaignCommand::Pause { trouble: None }).await
}

/// Goes on with a paused campaign, with those recipients who have no end yet.
#[utoipa::path(post, path = "/v1/campaigns/{id}/resume", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 409, description = "campaign_not_launched, \
    campaign_finished, campaign_cancelled", body = ProblemDocument)))]
async fn resume(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CampaignCommand::Resume).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: CampaignCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Campaign>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use projectors::mail::campaigns::{CampaignStatus, Departure};

    #[test]
    fn search_knows_every_field_a_list_names() {
        let at = Micros(1_769_903_910_000_000);
        let row = CampaignRow {
            name: "Spring".into(),
            status: CampaignStatus::Scheduled,
            segment: Some(Segment {
                filter: r#"{"tags":"vip"}"#.into(),
                purpose: ConsentPurpose::Service,
                saved: Some(Uuid::from_u128(7)),
            }),
            content: Some(CampaignContent { subject: "Spring".into(), ..Default::default() }),
            departure: Some(Departure { at, time_zone: "UTC".into() }),
            journey: None,
        };
        let record = Record { revision: 9, first: 5, created_at: at, updated_at: at, row };
        assert_eq!(missing_from_search::<CampaignResource>(&record, &Keyring::default()), Vec::<&str>::new());
        let shown = CampaignResource::present(Uuid::from_u128(1), &record, &Keyring::default());
        let segment = shown.segment.unwrap();
        assert!(STATUSES.contains(&shown.status) && PURPOSES.contains(&segment.purpose));
        assert_eq!(segment.filter, serde_json::json!({"tags": "vip"}));
    }
}
