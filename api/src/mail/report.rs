//! `/v1/campaigns/{id}/report`: what came of a campaign, people and programs apart.

use super::recipients::{RecipientCounts, status_of};
use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bus_schema::TenantId;
use futures::stream;
use jiff::{ToSpan, civil::Date};
use projectors::{
    RecordView,
    lane::mark_cell,
    mail::{
        campaigns::Campaigns,
        feedback::{FEEDBACK, FeedbackTotals, Returned},
        recipients::{RECIPIENTS, Recipient, RecipientCursor},
        responses::{Hits, Hour, Person, RESPONSES, Totals},
    },
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const READ: &str = "mail.campaign:read";
/// Months of hours shown from the launch on; hardly anybody opens a mail later.
const MONTHS: usize = 3;
/// Receivers read at once for the table of all.
const PAGE: usize = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report)).routes(routes!(table))
}

/// What came of a campaign. Figures named without more are people's; those of programs stand beside them.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignReport {
    #[schema(example = "finished")]
    pub status: &'static str,
    /// Recipients by what became of their mails.
    pub recipients: RecipientCounts,
    pub opens: ResponseCounts,
    pub clicks: ResponseCounts,
    pub feedback: FeedbackReport,
    /// Receivers who left by the link of this campaign.
    pub unsubscribed: u64,
    /// The links that were followed, in the order of the mail.
    pub links: Vec<LinkReport>,
    /// Hours (UTC) in which something happened, of the first three months.
    pub hours: Vec<HourReport>,
}

/// Receivers by what came back about their mails.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedbackReport {
    pub bounced: BounceCounts,
    /// As far as servers report it.
    pub delivered: u64,
    /// Those who called it spam and did not take that back.
    pub complained: u64,
}

/// Receivers by the gravest bounce of their mail; those refused while it was sent count too.
#[derive(Debug, Serialize, ToSchema)]
pub struct BounceCounts {
    /// There is no such mailbox.
    pub permanent: u64,
    /// It is full, or its server was away for too long.
    pub transient: u64,
    /// That says nothing about the address.
    pub undetermined: u64,
}

impl From<FeedbackTotals> for FeedbackReport {
    fn from(totals: FeedbackTotals) -> Self {
        let FeedbackTotals { permanent, transient, undetermined, delivered, complained, .. } = totals;
        Self { bounced: BounceCounts { permanent, transient, undetermined }, delivered, complained }
    }
}

/// Opens or clicks.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResponseCounts {
    /// Receivers who did it, as far as it is known that they are people.
    pub unique: u64,
    /// Receivers for whom a program did it; some of them count as people too.
    pub unique_machine: u64,
    /// All hits by what they are taken for.
    pub hits: HitCounts,
}

/// Hits by what they are taken for.
#[derive(Debug, Serialize, ToSchema)]
pub struct HitCounts {
    pub human: u64,
    /// Apple's Mail Privacy Protection, which loads every picture of every mail.
    pub machine_mpp: u64,
    /// Loaded ahead by something else.
    pub prefetch: u64,
    /// Programs that look into mails.
    pub scanner: u64,
    pub unknown: u64,
}

/// One link of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkReport {
    /// Its place in the mail, from 0 on.
    pub number: u16,
    /// Where it leads, without query and fragment.
    #[schema(example = "https://garden.example/spring")]
    pub target: String,
    /// It leads somewhere else for some receivers.
    pub varies: bool,
    /// Receivers who followed it.
    pub unique: u64,
    pub hits: HitCounts,
}

/// One hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct HourReport {
    #[schema(example = "2026-11-22T09:00:00Z")]
    pub hour: String,
    /// Receivers who opened it for the first time.
    pub opened: u64,
    /// Receivers who followed a link for the first time.
    pub clicked: u64,
    pub unsubscribed: u64,
    /// Opens and clicks of programs.
    pub machine_hits: u64,
}

impl From<Hits> for HitCounts {
    fn from(Hits { human, machine_mpp, prefetch, scanner, unknown }: Hits) -> Self {
        Self { human, machine_mpp, prefetch, scanner, unknown }
    }
}

impl From<(String, Hour)> for HourReport {
    fn from((hour, row): (String, Hour)) -> Self {
        Self {
            hour: format!("{hour}:00:00Z"),
            opened: row.openers,
            clicked: row.clickers,
            unsubscribed: row.left,
            machine_hits: row.opens.machine() + row.clicks.machine(),
        }
    }
}

/// What came of a campaign: how many were sent, opened and followed, by link and by hour, with programs shown apart. Opens
/// and clicks are counted within some seconds. Needs `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/campaigns/{id}/report", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, body = CampaignReport), (status = 404, body = ProblemDocument)))]
async fn report(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<CampaignReport>, Problem> {
    caller.allow(READ)?;
    settle(&app, &consistency).await?;
    let status = status_of(&app, &caller, id).await?.as_str();
    let counts = app.views.recipient_counts(&caller.tenant, id).await?.unwrap_or_default();
    let totals = app.views.response_totals(&caller.tenant, id).await?;
    let Totals { openers, machine_openers, clickers, machine_clickers, left, opens, clicks, .. } = totals;
    let link = |(number, link): (u16, projectors::mail::responses::Link)| LinkReport {
        number,
        target: link.target,
        varies: link.varies,
        unique: link.people,
        hits: link.clicks.into(),
    };
    let links = app.views.response_links(&caller.tenant, id).await?.into_iter().map(link).collect();
    Ok(Json(CampaignReport {
        status,
        recipients: counts.into(),
        opens: ResponseCounts { unique: openers, unique_machine: machine_openers, hits: opens.into() },
        clicks: ResponseCounts { unique: clickers, unique_machine: machine_clickers, hits: clicks.into() },
        feedback: app.views.feedback_totals(&caller.tenant, id).await?.into(),
        unsubscribed: left,
        links,
        hours: hours(&app, &caller.tenant, id).await?,
    }))
}

async fn settle(app: &App, consistency: &Consistency) -> Result<(), Problem> {
    app.settle(Campaigns::NAME, consistency).await?;
    app.settle(RECIPIENTS, consistency).await?;
    app.settle(FEEDBACK, consistency).await?;
    let facts = mark_cell(bus_schema::subject::Family::Facts, &app.cell);
    if let Some(seq) = consistency.token.position(&facts) {
        app.views.wait(RESPONSES, seq, consistency.wait).await?;
    }
    Ok(())
}

/// The hours from the launch on; none before it.
async fn hours(app: &App, tenant: &TenantId, id: Uuid) -> Result<Vec<HourReport>, Problem> {
    let record = app.views.record::<Campaigns>(tenant, id).await?;
    let Some(launched) = record.and_then(|record| record.row.journey).map(|journey| journey.launched_at) else {
        return Ok(Vec::new());
    };
    let mut hours = Vec::new();
    for month in months(&launched.date()) {
        let rows = app.views.response_hours(tenant, id, &month).await?;
        hours.extend(rows.into_iter().map(HourReport::from));
    }
    Ok(hours)
}

/// The month of a day and those after it.
fn months(day: &str) -> Vec<String> {
    let Ok(day) = day.parse::<Date>() else { return Vec::new() };
    let month = |day: Date| day.to_string().chars().take(7).collect();
    let first = day.first_of_month();
    (0..MONTHS).map(|more| month(first.saturating_add((more as i64).months()))).collect()
}

/// Every recipient of a campaign as a line of CSV (RFC 4180): what became of the mail and what its receiver did. Contacts
/// are named by their ids. Needs `mail.campaign:read`.
#[utoipa::path(get, path = "/v1/campaigns/{id}/recipients.csv", tag = "campaigns", params(("id" = Uuid, Path)),
    responses((status = 200, content_type = "text/csv", description = "The table, with a line of headings"),
    (status = 404, body = ProblemDocument)))]
async fn table(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Response, Problem> {
    caller.allow(READ)?;
    settle(&app, &consistency).await?;
    status_of(&app, &caller, id).await?;
    let start = Some((None::<RecipientCursor>, true));
    let lines = stream::try_unfold(start, move |step| {
        let (app, tenant) = (app.clone(), caller.tenant.clone());
        async move {
            let Some((after, heading)) = step else { return Ok(None) };
            let page = app.views.recipients(&tenant, id, None, after, PAGE).await?;
            let contacts: Vec<Uuid> = page.recipients.iter().map(|recipient| recipient.contact).collect();
            let people = app.views.responses_of(&tenant, id, &contacts).await?;
            let returned = app.views.feedback_of(&tenant, id, &contacts).await?;
            let mut text = if heading { HEADINGS.to_owned() } else { String::new() };
            let all = page.recipients.iter().zip(&people).zip(&returned);
            all.for_each(|((recipient, person), returned)| text.push_str(&line(recipient, person, returned)));
            let next = page.next.map(|next| (Some(next), false));
            Ok::<_, projectors::ViewError>(Some((Bytes::from(text), next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"campaign-{id}.csv\"")),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

const HEADINGS: &str = "contact,state,since,cause,opened_at,opens,machine_opens,clicked_at,clicks,machine_clicks,unsubscribed_at,bounce,status,complained_at\r\n";

fn line(recipient: &Recipient, person: &Person, returned: &Returned) -> String {
    let at = |first: &Option<projectors::mail::responses::First>| {
        first.map(|first| first.at.to_string()).unwrap_or_default()
    };
    let bounce = returned.bounce.as_ref();
    let fields = [
        recipient.contact.to_string(),
        recipient.state.as_str().to_owned(),
        recipient.at.to_string(),
        quoted(recipient.cause.as_deref().unwrap_or_default()),
        at(&person.opened),
        person.opens.human.to_string(),
        person.opens.machine().to_string(),
        at(&person.clicked),
        person.clicks.human.to_string(),
        person.clicks.machine().to_string(),
        at(&person.left),
        bounce.map(|bounce| bounce.kind.as_str()).unwrap_or_default().to_owned(),
        bounce.and_then(|bounce| bounce.status.clone()).unwrap_or_default(),
        returned.complained_at.map(|at| at.to_string()).unwrap_or_default(),
    ];
    fields.join(",") + "\r\n"
}

/// A text that a spreadsheet neither splits nor computes.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other() {
        assert_eq!(months("2026-11-30"), ["2026-11", "2026-12", "2027-01"]);
        assert!(months("soon").is_empty());
    }

    #[test]
    fn a_cause_is_one_field_and_no_formula() {
        for (text, shown) in
            [("rcpt 550 5.1.1", "rcpt 550 5.1.1"), ("a, \"b\"", "\"a, \"\"b\"\"\""), ("=1+1", "'=1+1"), ("", "")]
        {
            assert_eq!(quoted(text), shown);
        }
    }
}
