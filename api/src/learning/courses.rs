//! `/v1/courses`

mod lessons;

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        patch::Patch,
        problem::{Problem, ProblemDocument},
    },
    money::MoneyJson,
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{Keyring, Money, learning::course::CourseDetails};
use lessons::{LessonJson, NewLesson};
use projectors::{
    Record,
    learning::courses::{CourseRow, Courses},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::learning::course::{self, Course, CourseCommand};

const WRITE: &str = "learning.course:write";
const STATUSES: &[&str] = &["draft", "published", "retired"];

pub struct CourseResource;

/// A course.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Course)]
pub struct CourseJson {
    pub id: Uuid,
    pub revision: u64,
    pub title: String,
    pub description: String,
    /// `draft`, `published` or `retired`; only into a published one somebody can be enrolled.
    pub status: &'static str,
    /// Null for a course that costs nothing.
    pub price: Option<MoneyJson>,
    /// How many can be enrolled at the same time; null for any number.
    pub capacity: Option<u32>,
    /// Places taken; counted while there is a limit.
    pub seats_taken: u32,
    pub lesson_count: usize,
    /// How long all lessons take.
    pub minutes: u64,
    /// In their order. Lists leave them out unless `fields` names them.
    pub lessons: Vec<LessonJson>,
    /// When it was published the last time.
    pub published_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

impl Resource for CourseResource {
    type View = Courses;
    type Json = CourseJson;
    const NOUN: &'static str = "course";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("title", FieldType::Text),
            ("status", FieldType::Choice(STATUSES)),
            ("price.amount", FieldType::Integer),
            ("price.currency", FieldType::Keyword),
            ("capacity", FieldType::Integer),
            ("seats_taken", FieldType::Integer),
            ("lesson_count", FieldType::Integer),
            ("minutes", FieldType::Integer),
            ("published_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &[
            "title",
            "status",
            "price.amount",
            "seats_taken",
            "lesson_count",
            "minutes",
            "published_at",
            "created_at",
            "updated_at",
        ],
        default_sort: "-created_at",
        facetable: &["status"],
        searchable: true,
        ..ListSpec::NOTHING
    };
    const LARGE: &'static [&'static str] = &["lessons"];

    fn present(id: Uuid, record: &Record<CourseRow>, _: &Keyring) -> CourseJson {
        let row = &record.row;
        CourseJson {
            id,
            revision: record.revision,
            title: row.details.title.clone(),
            description: row.details.description.clone(),
            status: row.status.as_str(),
            price: row.details.price.map(MoneyJson::from),
            capacity: row.details.capacity,
            seats_taken: row.seats_taken,
            lesson_count: row.lessons.len(),
            minutes: row.minutes(),
            lessons: row.lessons.iter().map(LessonJson::from).collect(),
            published_at: row.published_at.map(|at| at.to_string()),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change))
        .routes(routes!(publish))
        .routes(routes!(retire))
        .merge(lessons::routes())
}

/// A new course.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"title": "Pruning roses", "price": {"amount": 4900, "currency": "EUR"}, "capacity": 20}))]
pub struct NewCourse {
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub price: Option<MoneyJson>,
    /// How many can be enrolled at the same time; absent for any number.
    pub capacity: Option<u32>,
    #[serde(default)]
    pub lessons: Vec<NewLesson>,
}

fn money(price: Option<&MoneyJson>) -> Result<Option<Money>, Problem> {
    price.map(|price| price.money("/price")).transpose()
}

/// Makes a course. It is a draft until it is published.
#[utoipa::path(post, path = "/v1/courses", tag = "courses", request_body = NewCourse, responses(
    (status = 201, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewCourse>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewCourse { title, description, price, capacity, lessons } = command.body;
    let details = CourseDetails { title, description, price: money(price.as_ref())?, capacity };
    let lessons = lessons.into_iter().map(|lesson| lesson.lesson(Uuid::nil())).collect();
    let (id, receipt) = course::create(&app.writer, &command.caller.tenant, &command.meta, details, lessons).await?;
    Ok(app.created("courses", id, &receipt))
}

/// Changes of a course: a field that is absent stays, null empties it (JSON Merge Patch, RFC 7396).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct CourseChanges {
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub description: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<MoneyJson>)]
    pub price: Patch<MoneyJson>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub capacity: Patch<u32>,
}

/// Changes what is said about a course. Send `If-Match` to keep others' changes from being lost; taken places change the
/// revision too.
#[utoipa::path(patch, path = "/v1/courses/{id}", tag = "courses", request_body = CourseChanges,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "capacity_below_taken", body = ProblemDocument),
    (status = 412, body = ProblemDocument)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<CourseChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let changes = &command.body;
    let price = match changes.price.clone().into_change() {
        Some(price) => Some(money(price.as_ref())?),
        None => None,
    };
    let edit = |present: CourseDetails| CourseDetails {
        title: changes.title.clone().unwrap_or(present.title),
        description: changes.description.clone().into_change().map_or(present.description, Option::unwrap_or_default),
        price: price.unwrap_or(present.price),
        capacity: changes.capacity.into_change().unwrap_or(present.capacity),
    };
    let receipt = course::change(&app.writer, &command.caller.tenant, id, &command.meta, edit).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Opens a course for enrolment, again too after it was retired. It has at least one lesson.
#[utoipa::path(post, path = "/v1/courses/{id}/publish", tag = "courses", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "no_lessons", body = ProblemDocument)))]
async fn publish(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CourseCommand::Publish).await
}

/// Closes a course for enrolment; those who are in it go on.
#[utoipa::path(post, path = "/v1/courses/{id}/retire", tag = "courses", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn retire(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CourseCommand::Retire).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: CourseCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Course>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use bus_schema::{
        Currency, Micros,
        learning::course::{Lesson, LessonKind},
    };
    use projectors::learning::courses::CourseStatus;

    #[test]
    fn search_knows_every_field_a_list_names() {
        let at = Micros(1_769_903_910_000_000);
        let details = CourseDetails {
            title: "Roses".into(),
            description: String::new(),
            price: Some(Money::new(4_900, Currency::EUR)),
            capacity: Some(3),
        };
        let (id, title, kind) = (Uuid::from_u128(2), "Begin".to_owned(), LessonKind::Quiz);
        let row = CourseRow {
            details,
            status: CourseStatus::Published,
            lessons: vec![Lesson { id, title, kind, minutes: 10, required: true }],
            seats_taken: 1,
            published_at: Some(at),
        };
        let record = Record { revision: 9, first: 5, created_at: at, updated_at: at, row };
        assert_eq!(missing_from_search::<CourseResource>(&record, &Keyring::default()), Vec::<&str>::new());
        let shown = CourseResource::present(Uuid::from_u128(1), &record, &Keyring::default());
        assert_eq!((shown.minutes, shown.lesson_count), (10, 1));
        assert!(STATUSES.contains(&shown.status));
    }
}
