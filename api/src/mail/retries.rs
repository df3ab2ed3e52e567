//! `/v1/campaigns/{id}/…`: another attempt at those who did not get it, and what is known of those nobody could tell.

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    errors::rejection,
    http::{
        codes::field,
        extract::Path,
        problem::{FieldError, Problem, ProblemDocument},
        token::ConsistencyToken,
    },
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bus_schema::{
    Micros,
    mail::{
        campaign::RetriedEnd,
        chunk::{Fate, Proof},
    },
};
use projectors::mail::campaigns::Campaigns;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::mail::{
    campaign::{Campaign, CampaignCommand, CampaignRejection},
    recipients::{Evidence, Verdict, reconcile as reconcile_recipients},
};

const WRITE: &str = "mail.campaign:write";
/// Seconds after the end of a campaign in which proofs of unknown mails still come by themselves (spec/EMAIL.md 5.1).
const SETTLING: i64 = 15 * 60;
/// Entries of one request.
const MAX_ENTRIES: usize = 500;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(retry)).routes(routes!(resend)).routes(routes!(reconcile))
}

/// Whom to try again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = CampaignRetry)]
pub struct NewRetry {
    /// `deferred` and `rejected`; only `deferred` when absent.
    #[schema(example = json!(["deferred"]))]
    pub ends: Option<Vec<String>>,
}

/// Tries a finished campaign's recipients again who were not reached: `deferred` ones, and if asked for `rejected` ones. Nobody took
/// their mail, so nobody gets it twice. It has the Message-ID it had; consent is asked for again.
#[utoipa::path(post, path = "/v1/campaigns/{id}/retry", tag = "campaigns", request_body = NewRetry,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "campaign_not_finished, campaign_cancelled", body = ProblemDocument),
    (status = 422, description = "invalid_value, ends_missing", body = ProblemDocument)))]
async fn retry(State(app): State<App>, Path(id): Path<Uuid>, command: Command<NewRetry>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let words = command.body.ends.clone().unwrap_or_else(|| vec![RetriedEnd::Deferred.as_str().to_owned()]);
    let mut ends = Vec::new();
    for (at, word) in words.iter().take(10).enumerate() {
        let tried = [RetriedEnd::Deferred, RetriedEnd::Rejected];
        ends.push(tried.into_iter().find(|end| end.as_str() == word).ok_or_else(|| {
            let why = "who may have got it already is sent to again at /unknown/resend, anybody else not at all";
            let error = FieldError::new(format!("/ends/{at}"), field::INVALID_VALUE, why);
            Problem::validation(vec![error.allowing(tried.map(RetriedEnd::as_str))])
        })?);
    }
    run(&app, id, &command, ends).await
}

/// Whether to wait.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = CampaignResend)]
pub struct NewResend {
    /// Without waiting for what still proves by itself that mails were taken: a bounce, an open, an event of the provider.
    pub at_once: bool,
}

/// Sends once more to those of whom nobody can tell whether they got it: those who did get it **twice**, with the same
/// Message-ID, by which many mailboxes drop the second. Each of them once only. From 15 minutes after the end of the campaign
/// on, or `at_once`.
#[utoipa::path(post, path = "/v1/campaigns/{id}/unknown/resend", tag = "campaigns", request_body = NewResend,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "campaign_not_finished, unknown_unsettled, campaign_cancelled", body = ProblemDocument)))]
async fn resend(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewResend>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let record = app.views.record::<Campaigns>(&command.caller.tenant, id).await?;
    let finished = record.and_then(|record| record.row.journey?.finished_at);
    let settled = |at: Micros| at.plus_seconds(SETTLING) <= app.clock.now();
    if !command.body.at_once && finished.is_some_and(|at| !settled(at)) {
        return Err(rejection(CampaignRejection::Unsettled.into()));
    }
    run(&app, id, &command, vec![RetriedEnd::Unknown]).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, ends: Vec<RetriedEnd>) -> Result<Response, Problem> {
    let retry = CampaignCommand::Retry { ends };
    let receipt = app.writer.execute::<Campaign>(&command.caller.tenant, id, &command.meta, &retry).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// What is known now of recipients that were unknown.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvidence {
    /// 1 to 500.
    pub entries: Vec<EvidenceEntry>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceEntry {
    pub contact: Uuid,
    /// Whether the provider took the mail. False needs the proof `provider_event` or `provider_log`; the recipient is `deferred`
    /// then, and can be tried again.
    #[serde(default = "taken")]
    pub accepted: bool,
    /// `provider_event`, `provider_log`, `bounce`, `complaint`, `open`, `click` or `unsubscribe`.
    #[schema(example = "provider_log")]
    pub proof: String,
    /// What the provider calls the mail.
    pub provider_id: Option<String>,
}

fn taken() -> bool {
    true
}

/// What the evidence changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Reconciliation {
    /// In the order of the contacts' ids.
    pub items: Vec<ReconciledRecipient>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReconciledRecipient {
    pub contact: Uuid,
    /// `reconciled`; or `accepted`, `rejected`, `deferred`, `skipped` when that was known already; `open` when it is still to be sent or
    /// being sent: say it again later; `no_recipient`.
    #[schema(example = "reconciled")]
    pub verdict: &'static str,
}

/// Says of a campaign's unknown recipients what is known now: that their mail was taken, or that it was not. Saying it again, and
/// of others, changes nothing. The counts of `/progress` follow.
#[utoipa::path(post, path = "/v1/campaigns/{id}/recipients/reconcile", tag = "campaigns", request_body = NewEvidence,
    params(("id" = Uuid, Path)), responses((status = 200, body = Reconciliation), (status = 404, body = ProblemDocument),
    (status = 422, description = "invalid_value, too_many", body = ProblemDocument)))]
async fn reconcile(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewEvidence>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let Command { caller, body, meta, .. } = &command;
    if !(1..=MAX_ENTRIES).contains(&body.entries.len()) {
        let why = format!("1 to {MAX_ENTRIES} entries at once");
        return Err(Problem::validation(vec![FieldError::new("/entries", field::INVALID_VALUE, why)]));
    }
    if app.views.record::<Campaigns>(&caller.tenant, id).await?.is_none() {
        return Err(Problem::not_found("campaign"));
    }
    let evidence = body.entries.iter().enumerate().map(|(at, entry)| evidence(at, entry)).collect::<Result<_, _>>()?;
    let (verdicts, position) = reconcile_recipients(&app.writer, &caller.tenant, id, meta, evidence).await?;
    let item = |(contact, verdict)| ReconciledRecipient { contact, verdict: word(verdict) };
    let items = verdicts.into_iter().map(item).collect();
    let mut response = Json(Reconciliation { items }).into_response();
    if position > 0 {
        ConsistencyToken::at(app.cell.as_str(), position).write(response.headers_mut());
    }
    Ok(response)
}

fn evidence(at: usize, entry: &EvidenceEntry) -> Result<Evidence, Problem> {
    let wrong = |place: &str, why: &str| FieldError::new(format!("/entries/{at}/{place}"), field::INVALID_VALUE, why);
    let EvidenceEntry { contact, accepted, proof, provider_id } = entry;
    let proof = Proof::from_name(proof).ok_or_else(|| {
        let error = wrong("proof", "there is no such proof");
        Problem::validation(vec![error.allowing(Proof::ALL.map(Proof::as_str))])
    })?;
    if !accepted && !proof.can_deny() {
        let error = wrong("proof", "only the provider can show that it did not take a mail");
        let denying = Proof::ALL.into_iter().filter(|proof| proof.can_deny());
        return Err(Problem::validation(vec![error.allowing(denying.map(Proof::as_str))]));
    }
    // What looks like an address must not come into the log in clear.
    let plain = |id: &String| {
        !id.is_empty() && id.len() <= 100 && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
    };
    if !provider_id.as_ref().is_none_or(plain) {
        let error = wrong("provider_id", "an id has 1 to 100 visible ASCII characters and no @");
        return Err(Problem::validation(vec![error]));
    }
    Ok(Evidence { contact: *contact, accepted: *accepted, proof, provider_id: provider_id.clone() })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reconciled => "reconciled",
        Verdict::Open | Verdict::Known(Fate::Unsent) => "open",
        Verdict::NoRecipient => "no_recipient",
        Verdict::Known(Fate::Accepted) => "accepted",
        Verdict::Known(Fate::Rejected) => "rejected",
        Verdict::Known(Fate::Deferred) => "deferred",
        Verdict::Known(Fate::Unknown) => "unknown",
        Verdict::Known(Fate::Skipped) => "skipped",
    }
}
