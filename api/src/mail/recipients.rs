//! `/v1/campaigns/{id}/recipients`: what became of each, and how many had each end.

use crate::{
    app::App,
    caller::Caller,
    http::{
        codes::field,
        extract::{Path, Query},
        problem::{FieldError, Problem, ProblemDocument},
        token::Consistency,
    },
    mail::providers,
};
use axum::{Json, extract::State};
use projectors::{
    RecordView,
    mail::{
        campaigns::{CampaignRow, CampaignStatus, Campaigns},
        feedback::{FEEDBACK, Returned},
        recipients::{Counts, RECIPIENTS, Recipient, SendState},
        responses::{First, Person},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const READ: &str = "mail.campaign:read";
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(recipients)).routes(routes!(progress))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RecipientsQuery {
    /// One of planned, attempting, accepted, rejected, deferred, unknown and skipped; all when absent.
    state: Option<String>,
    /// 1 to 200, 50 when absent.
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<String>,
    #[serde(rename = "wait_ms")]
    #[param(ignore)]
    _wait_ms: Option<u64>,
}

/// A page of a campaign's recipients, in the order of their ids. With `state` a page may have few or none, and `next` all
/// the same.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignRecipients {
    pub items: Vec<CampaignRecipient>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What became of one recipient.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignRecipient {
    pub contact: Uuid,
    /// `accepted`: the provider took it. `unknown`: it may have, and nobody can tell, so it is not sent again.
    #[schema(example = "accepted")]
    pub state: &'static str,
    /// Since when, RFC 3339.
    pub at: String,
    /// A stage and a code of the provider, or why nothing was sent.
    #[schema(example = "rcpt 550 5.1.1")]
    pub cause: Option<String>,
    /// What the provider calls the mail.
    pub provider_id: Option<String>,
    /// Which provider it was, as the installation calls it.
    pub provider: Option<String>,
    /// What the receiver did; programs do not count.
    pub response: RecipientResponse,
    /// What came back about the mail.
    pub feedback: RecipientFeedback,
    /// Of an unknown recipient: something came back that only a mail that was taken brings about.
    pub proven: bool,
}

/// What came back about a mail; null: nothing that is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipientFeedback {
    pub bounce: Option<BounceJson>,
    /// When its receiver's server took it, as far as that is reported; RFC 3339.
    pub delivered_at: Option<String>,
    /// When its receiver called it spam, unless that was taken back.
    pub complained_at: Option<String>,
}

/// A mail that came back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bounce)]
pub struct BounceJson {
    /// `permanent`: there is no such mailbox. `transient`: it is full, or its server was away for too long.
    /// `undetermined`: that says nothing about the address.
    #[schema(example = "permanent")]
    pub kind: &'static str,
    /// RFC 3463.
    #[schema(example = "5.1.1")]
    pub status: Option<String>,
    pub at: String,
}

impl From<Returned> for RecipientFeedback {
    fn from(returned: Returned) -> Self {
        let Returned { bounce, delivered_at, complained_at, .. } = returned;
        let bounce = bounce.map(|bounce| BounceJson {
            kind: bounce.kind.as_str(),
            status: bounce.status,
            at: bounce.at.to_string(),
        });
        let text = |at: bus_schema::Micros| at.to_string();
        Self { bounce, delivered_at: delivered_at.map(text), complained_at: complained_at.map(text) }
    }
}

/// When a receiver first did something with the mail, RFC 3339; null: not that it is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipientResponse {
    pub opened_at: Option<String>,
    pub clicked_at: Option<String>,
    pub unsubscribed_at: Option<String>,
}

impl From<((Recipient, Person), Returned)> for CampaignRecipient {
    fn from(((recipient, person), returned): ((Recipient, Person), Returned)) -> Self {
        let proven = recipient.state == SendState::Unknown && (person.seq > 0 || returned.proves_acceptance());
        let Recipient { contact, state, at, cause, provider_id, provider } = recipient;
        let first = |first: Option<First>| first.map(|first| first.at.to_string());
        let Person { opened, clicked, left, .. } = person;
        let response =
            RecipientResponse { opened_at: first(opened), clicked_at: first(clicked), unsubscribed_at: first(left) };
        let (state, at, feedback) = (state.as_str(), at.to_string(), returned.into());
        Self { contact, state, at, cause, provider_id, provider, response, feedback, proven }
    }
}

/// Who gets a campaign and what became of each. Needs `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/campaigns/{id}/recipients", tag = "campaigns", params(("id" = Uuid, Path), RecipientsQuery),
    responses((status = 200, body = CampaignRecipients), (status = 400, body = ProblemDocument),
    (status = 404, body = ProblemDocument)))]
async fn recipients(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
    Query(query): Query<RecipientsQuery>,
) -> Result<Json<CampaignRecipients>, Problem> {
    caller.allow(READ)?;
    app.settle(Campaigns::NAME, &consistency).await?;
    app.settle(RECIPIENTS, &consistency).await?;
    app.settle(FEEDBACK, &consistency).await?;
    let state = query.state.as_deref().map(state_of).transpose()?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let after = query.after.as_deref().map(str::parse).transpose()?;
    let page = app.views.recipients(&caller.tenant, id, state, after, limit).await?;
    if page.recipients.is_empty() {
        status_of(&app, &caller, id).await?;
    }
    let contacts: Vec<Uuid> = page.recipients.iter().map(|recipient| recipient.contact).collect();
    let people = app.views.responses_of(&caller.tenant, id, &contacts).await?;
    let returned = app.views.feedback_of(&caller.tenant, id, &contacts).await?;
    let items = page.recipients.into_iter().zip(people).zip(returned).map(CampaignRecipient::from).collect();
    Ok(Json(CampaignRecipients { items, next: page.next.map(|next| next.to_string()) }))
}

fn state_of(name: &str) -> Result<SendState, Problem> {
    SendState::from_name(name).ok_or_else(|| {
        let error = FieldError::new("state", field::INVALID_VALUE, "there is no such state");
        Problem::parameters(vec![error.allowing(SendState::ALL.map(SendState::as_str))])
    })
}

pub(super) async fn status_of(app: &App, caller: &Caller, id: Uuid) -> Result<CampaignStatus, Problem> {
    let record = app.views.record::<Campaigns>(&caller.tenant, id).await?;
    Ok(record.ok_or_else(|| Problem::not_found("campaign"))?.row.status)
}

/// The worker that sends campaigns.
const SENDER: &str = "campaigns";

/// Why nothing of a campaign goes out although it should.
fn obstacle(app: &App, row: &CampaignRow) -> Option<String> {
    match row.status {
        CampaignStatus::Paused => row.journey.as_ref()?.trouble.clone(),
        CampaignStatus::Scheduled | CampaignStatus::Sending => {
            let paused = || {
                let workers = app.workforce.workers();
                let mut senders = workers.iter().filter(|worker| worker.name == SENDER).peekable();
                let all = senders.peek().is_some() && senders.all(|worker| worker.state == "paused");
                all.then(|| "an operator has paused the sending of campaigns".to_owned())
            };
            let resting = || {
                let providers = app.mail_providers.providers();
                let none = !providers.iter().any(|provider| provider.breaker == "closed");
                none.then(|| providers::note(&providers)).flatten()
            };
            app.mail_obstacle.clone().or_else(paused).or_else(resting)
        }
        _ => None,
    }
}

/// How far a campaign is.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignProgress {
    #[schema(example = "sending")]
    pub status: &'static str,
    /// Recipients by state. Planned ones grow in number while the audience is still being found; those of a cancelled campaign get
    /// nothing.
    pub counts: RecipientCounts,
    /// Why it does not go out although its time may have come: no provider, none that takes mails, a paused worker, or why the platform
    /// paused it; null when nothing stands in its way.
    pub obstacle: Option<String>,
}

/// Recipients by state.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RecipientCounts {
    pub planned: u64,
    pub attempting: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub deferred: u64,
    pub unknown: u64,
    pub skipped: u64,
}

impl From<Counts> for RecipientCounts {
    fn from(counts: Counts) -> Self {
        let Counts { planned, attempting, accepted, rejected, deferred, unknown, skipped, .. } = counts;
        Self { planned, attempting, accepted, rejected, deferred, unknown, skipped }
    }
}

/// How many recipients of a campaign are in each state now. They change with every mail, so they are no part of the campaign
/// itself, whose `ETag` is its revision. Needs `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/campaigns/{id}/progress", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CampaignProgress), (status = 404, body = ProblemDocument)))]
async fn progress(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<CampaignProgress>, Problem> {
    caller.allow(READ)?;
    app.settle(Campaigns::NAME, &consistency).await?;
    app.settle(RECIPIENTS, &consistency).await?;
    let record = app.views.record::<Campaigns>(&caller.tenant, id).await?;
    let row = record.ok_or_else(|| Problem::not_found("campaign"))?.row;
    let counts = app.views.recipient_counts(&caller.tenant, id).await?;
    let obstacle = obstacle(&app, &row);
    Ok(Json(CampaignProgress { status: row.status.as_str(), counts: counts.unwrap_or_default().into(), obstacle }))
}
