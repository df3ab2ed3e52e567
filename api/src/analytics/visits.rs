//! `/v1/visits`: how often the sites were visited, by day.

use crate::{
    app::App,
    caller::Caller,
    http::{
        extract::Query,
        problem::{FieldError, Problem, ProblemDocument},
        token::Consistency,
    },
};
use axum::{Json, extract::State};
use jiff::{ToSpan, civil::Date};
use projectors::{
    analytics::visits::{Day, VISITS, Visited},
    lane::mark_cell,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::cms::page::DEFAULT_SITE;

/// Days of one answer at most; each month of them is one read.
const MAX_DAYS: i32 = 731;
/// Days when `from` is absent.
const DEFAULT_DAYS: i64 = 30;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(visits))
}

/// Whose visits, and of which days (UTC).
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VisitsQuery {
    /// Of one page.
    page: Option<Uuid>,
    /// Of one address, such as `/about`. Neither: of all sites of the tenant.
    path: Option<String>,
    /// The site of the path, `main` when absent.
    site: Option<String>,
    /// The first day, `2026-01-31`; 30 days up to `to` when absent.
    from: Option<String>,
    /// The last day; today when absent.
    to: Option<String>,
    #[serde(rename = "wait_ms")]
    #[param(ignore)]
    _wait_ms: Option<u64>,
}

/// Visits by day and altogether. Days without visits are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct VisitsReport {
    pub from: String,
    pub to: String,
    pub items: Vec<VisitsOfDay>,
    pub totals: VisitCounts,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VisitsOfDay {
    #[schema(example = "2026-01-31")]
    pub day: String,
    #[serde(flatten)]
    pub counts: VisitCounts,
}

/// Visits by who came.
#[derive(Debug, Serialize, ToSchema)]
pub struct VisitCounts {
    /// Everybody.
    pub visits: u64,
    /// People, as far as their programs tell.
    pub human: u64,
    pub bot: u64,
    /// People by device.
    pub devices: DeviceCounts,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceCounts {
    pub desktop: u64,
    pub mobile: u64,
    pub other: u64,
}

impl From<&Day> for VisitCounts {
    fn from(day: &Day) -> Self {
        let devices = DeviceCounts { desktop: day.desktop, mobile: day.mobile, other: day.other };
        Self { visits: day.visits(), human: day.human(), bot: day.bot, devices }
    }
}

/// Visits of a page, an address or the whole tenant, by day. Needs `analytics.visit:read`. A visit is counted within a
/// second or so of the answer to it.
#[utoipa::path(get, path = "/v1/visits", tag = "visits", params(VisitsQuery), responses(
    (status = 200, body = VisitsReport), (status = 400, body = ProblemDocument)))]
async fn visits(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Query(query): Query<VisitsQuery>,
) -> Result<Json<VisitsReport>, Problem> {
    caller.allow("analytics.visit:read")?;
    let today = app.clock.now().date();
    let (from, to) = range(&query, &today)?;
    let of = match (query.page, &query.path) {
        (Some(_), Some(_)) => return Err(refused("path", "give a page or a path, not both")),
        (Some(page), None) => Visited::Page(page),
        (None, Some(path)) if path.starts_with('/') && path.len() <= 300 => Visited::Path { site: site(&query)?, path },
        (None, Some(_)) => return Err(refused("path", "a path begins with / and has at most 300 bytes")),
        (None, None) => Visited::Tenant,
    };
    let stream = mark_cell(bus_schema::subject::Family::Facts, &app.cell);
    if let Some(seq) = consistency.token.position(&stream) {
        app.views.wait(VISITS, seq, consistency.wait).await?;
    }
    let (first, last) = (from.to_string(), to.to_string());
    let (mut items, mut totals) = (Vec::new(), Day::default());
    for month in months(from, to) {
        for (day, counted) in app.views.visits(&caller.tenant, of, &month).await? {
            if (first.as_str()..=last.as_str()).contains(&day.as_str()) {
                totals.add(&counted);
                items.push(VisitsOfDay { day, counts: (&counted).into() });
            }
        }
    }
    Ok(Json(VisitsReport { from: first, to: last, items, totals: (&totals).into() }))
}

fn site(query: &VisitsQuery) -> Result<&str, Problem> {
    match query.site.as_deref() {
        None => Ok(DEFAULT_SITE),
        Some(site) if site.len() <= 40 => Ok(site),
        Some(_) => Err(refused("site", "a site's name has at most 40 characters")),
    }
}

fn refused(name: &str, message: &str) -> Problem {
    Problem::parameters(vec![FieldError::new(name, "invalid_parameter", message)])
}

/// The days asked for, in order and not too many.
fn range(query: &VisitsQuery, today: &str) -> Result<(Date, Date), Problem> {
    let day = |name: &str, text: &str| {
        // The plain form only: what is shown is what was asked for.
        text.parse::<Date>()
            .ok()
            .filter(|day| day.to_string() == text)
            .ok_or_else(|| refused(name, "a day such as 2026-01-31 is expected"))
    };
    let to = day("to", query.to.as_deref().unwrap_or(today))?;
    let from = match &query.from {
        Some(from) => day("from", from)?,
        None => to.saturating_sub((DEFAULT_DAYS - 1).days()),
    };
    let days = from.until(to).map_or(i32::MAX, |span| span.get_days());
    match days {
        0..MAX_DAYS => Ok((from, to)),
        _ if from > to => Err(refused("from", "the first day must not be after the last one")),
        _ => Err(refused("from", "at most two years are shown at once")),
    }
}

/// The months (`2026-01`) from a day to a later one.
fn months(from: Date, to: Date) -> Vec<String> {
    let month = |day: Date| day.to_string().chars().take(7).collect::<String>();
    let mut months = vec![month(from)];
    let mut day = from.first_of_month();
    while let Ok(next) = day.checked_add(1.month())
        && next <= to
    {
        months.push(month(next));
        day = next;
    }
    months
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(from: Option<&str>, to: Option<&str>) -> Result<(String, String), String> {
        let query = VisitsQuery { from: from.map(str::to_owned), to: to.map(str::to_owned), ..VisitsQuery::default() };
        let days = range(&query, "2026-03-05").map_err(|problem| problem.errors()[0].pointer.clone())?;
        Ok((days.0.to_string(), days.1.to_string()))
    }

    #[test]
    fn days_are_checked_and_bounded() {
        let days = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(asked(None, None), days("2026-02-04", "2026-03-05"));
        assert_eq!(asked(Some("2025-12-31"), Some("2026-01-01")), days("2025-12-31", "2026-01-01"));
        assert_eq!(asked(Some("2026-03-05"), None), days("2026-03-05", "2026-03-05"));
        assert_eq!(asked(Some("2024-03-05"), None), days("2024-03-05", "2026-03-05"));
        for (from, to, wrong) in [
            (Some("2026-03-06"), None, "from"),
            (Some("2024-03-04"), None, "from"),
            (Some("yesterday"), None, "from"),
            (None, Some("2026-02-30"), "to"),
            (None, Some("2026-02-03T10:00"), "to"),
        ] {
            assert_eq!(asked(from, to), Err(wrong.to_owned()), "{from:?} {to:?}");
        }
    }

    #[test]
    fn every_month_is_read_once() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(months(day("2026-01-31"), day("2026-01-31")), ["2026-01"]);
        assert_eq!(months(day("2025-11-30"), day("2026-02-01")), ["2025-11", "2025-12", "2026-01", "2026-02"]);
    }
}
