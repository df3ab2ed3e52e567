//! `/v1/contacts/{id}/activity`

use super::contacts::ContactResource;
use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    resource::read_scope,
};
use axum::{Json, extract::State};
use bus_schema::Micros;
use projectors::{
    RecordView,
    crm::{activities::ACTIVITIES, contact_source::last_activity, contacts::Contacts},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(activity))
}

/// What segments know of a contact beside its record, under the names filters have for it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ContactActivity)]
pub struct ActivityJson {
    /// Orders that were paid in full; one that was refunded later stays counted.
    pub orders_count: u64,
    /// When the latest of them was.
    pub last_order_at: Option<String>,
    /// Courses the contact was ever enrolled in.
    pub enrolments_count: u64,
    pub last_enrolled_at: Option<String>,
    /// The last time a person, not a program, opened a mail of a campaign.
    pub last_opened_at: Option<String>,
    /// The last time a person followed a link of one.
    pub last_clicked_at: Option<String>,
    /// The latest of: an order placed or paid, an enrolment, a finished lesson, a mail opened or a link followed.
    pub last_activity_at: Option<String>,
}

/// What a contact bought, learned, opened and followed, in sums. Needs `crm.contact:read`. Opens and clicks have an order of their
/// own, so a `Consistency-Token` does not wait for them.
#[utoipa::path(get, path = "/v1/contacts/{id}/activity", tag = "contacts", params(("id" = Uuid, Path)),
    responses((status = 200, body = ActivityJson), (status = 404, description = "No such contact, or it was erased",
    body = ProblemDocument)))]
async fn activity(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path(id): Path<Uuid>,
) -> Result<Json<ActivityJson>, Problem> {
    caller.allow(&read_scope::<ContactResource>())?;
    app.settle(Contacts::NAME, &consistency).await?;
    app.settle(ACTIVITIES, &consistency).await?;
    let record = app.views.record::<Contacts>(&caller.tenant, id).await?;
    if record.is_none_or(|record| record.row.details.is_none()) {
        return Err(Problem::not_found("contact"));
    }
    let activity = app.views.activities(&caller.tenant, &[id]).await?.pop().unwrap_or_default();
    let engagement = app.views.engagements(&caller.tenant, &[id]).await?.pop().unwrap_or_default();
    let text = |at: Option<Micros>| at.map(|at| at.to_string());
    Ok(Json(ActivityJson {
        orders_count: activity.orders,
        last_order_at: text(activity.last_order_at),
        enrolments_count: activity.enrolments,
        last_enrolled_at: text(activity.last_enrolled_at),
        last_opened_at: text(engagement.last_opened_at),
        last_clicked_at: text(engagement.last_clicked_at),
        last_activity_at: text(last_activity(&activity, &engagement)),
    }))
}
