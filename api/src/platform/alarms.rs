//! `/v1/alarms`: what needs a person, in all tenants. Only for the tenant that operates the installation.

use crate::{app::App, caller::Caller, http::problem::Problem};
use axum::{Json, extract::State};
use projectors::platform::board::RaisedAlarm;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const READ: &str = "platform.alarm:read";

/// An alarm that is raised.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alarm)]
pub struct AlarmJson {
    pub id: Uuid,
    /// The tenant it concerns.
    pub tenant: String,
    /// A word for programs.
    #[schema(example = "fulfilment_overdue")]
    pub what: String,
    /// `context.aggregate.id` of what it is about.
    pub about: String,
    pub text: String,
    pub raised_at: String,
}

impl From<RaisedAlarm> for AlarmJson {
    fn from(raised: RaisedAlarm) -> Self {
        let RaisedAlarm { id, tenant, alarm, at, .. } = raised;
        let (tenant, raised_at) = (tenant.to_string(), at.to_string());
        Self { id, tenant, what: alarm.what, about: alarm.about, text: alarm.text, raised_at }
    }
}

/// What is raised, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlarmList {
    pub items: Vec<AlarmJson>,
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Every alarm that is raised, in all tenants, the oldest first. Each is cleared by what watches it. Only for the tenant that
/// operates the installation.
#[utoipa::path(get, path = "/v1/alarms", tag = "alarms", responses((status = 200, body = AlarmList)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<AlarmList>, Problem> {
    caller.allow(READ)?;
    Ok(Json(AlarmList { items: app.board.alarms().into_iter().map(AlarmJson::from).collect() }))
}
