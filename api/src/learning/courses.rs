//! `/v1/courses`

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        literal::FieldType,
        patch::Patch,
        problem::{Problem, ProblemDocument},
    },
    money::MoneyJson,
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring, Money,
    learning::course::{CourseDetails, Lesson, LessonKind},
};
use projectors::{
    Record,
    learning::courses::{CourseRow, Courses},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::learning::course::{Course, CourseCommand, CourseRejection, lesson_id};

const WRITE: &str = "learning.course:write";
const STATUSES: &[&str] = &["draft", "published", "retired"];

pub struct CourseResource;

/// A course with its lessons in order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Course)]
pub struct CourseJson {
    pub id: Uuid,
    pub revision: u64,
    pub title: String,
    pub description: String,
    pub price: Option<MoneyJson>,
    /// `draft`, `published` (open for enrolment) or `retired`.
    pub status: &'static str,
    /// Seats; absent for no limit.
    pub capacity: Option<u32>,
    pub seats_taken: u32,
    /// Length of all lessons.
    pub minutes: u64,
    pub lessons: Vec<LessonJson>,
    pub published_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lesson)]
pub struct LessonJson {
    pub id: Uuid,
    pub title: String,
    #[schema(value_type = String, example = "video")]
    pub kind: LessonKind,
    pub minutes: u32,
    /// Whether the course is complete only with it.
    pub required: bool,
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

    fn present(id: Uuid, record: &Record<CourseRow>, _: &Keyring) -> CourseJson {
        let row = &record.row;
        let lesson = |lesson: &Lesson| LessonJson {
            id: lesson.id,
            title: lesson.title.clone(),
            kind: lesson.kind,
            minutes: lesson.minutes,
            required: lesson.required,
        };
        CourseJson {
            id,
            revision: record.revision,
            title: row.details.title.clone(),
            description: row.details.description.clone(),
            price: row.details.price.map(MoneyJson::from),
            status: row.status.as_str(),
            capacity: row.details.capacity,
            seats_taken: row.seats_taken,
            minutes: row.minutes(),
            lessons: row.lessons.iter().map(lesson).collect(),
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
        .routes(routes!(add_lesson))
        .routes(routes!(change_lesson, remove_lesson))
        .routes(routes!(reorder))
        .routes(routes!(publish))
        .routes(routes!(retire))
}

/// A new course; a draft until it is published.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewCourse {
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub price: Option<MoneyJson>,
    /// Seats; absent for no limit.
    pub capacity: Option<u32>,
    #[serde(default)]
    pub lessons: Vec<NewLesson>,
}

/// A lesson.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct NewLesson {
    pub title: String,
    /// `video`, `page`, `quiz` or `file`; a page when absent.
    #[schema(value_type = Option<String>)]
    pub kind: Option<LessonKind>,
    #[serde(default)]
    pub minutes: u32,
    /// Whether the course is complete only with it; true when absent.
    pub required: Option<bool>,
}

impl NewLesson {
    fn lesson(&self, id: Uuid) -> Lesson {
        Lesson {
            id,
            title: self.title.clone(),
            kind: self.kind.unwrap_or(LessonKind::Page),
            minutes: self.minutes,
            required: self.required.unwrap_or(true),
        }
    }
}

fn price(price: Option<&MoneyJson>) -> Result<Option<Money>, Problem> {
    price.map(|price| price.money("/price")).transpose()
}

/// Makes a course.
#[utoipa::path(post, path = "/v1/courses", tag = "courses", request_body = NewCourse, responses(
    (status = 201, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewCourse>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (new, meta) = (&command.body, &command.meta);
    let details = CourseDetails {
        title: new.title.clone(),
        description: new.description.clone(),
        price: price(new.price.as_ref())?,
        capacity: new.capacity,
    };
    let lessons =
        new.lessons.iter().enumerate().map(|(index, lesson)| lesson.lesson(lesson_id(meta.command, index))).collect();
    let id = meta.command.aggregate(0);
    let create = CourseCommand::Create { details, lessons };
    let receipt = app.writer.execute::<Course>(&command.caller.tenant, id, meta, &create).await?;
    Ok(app.created("courses", id, &receipt))
}

/// Changes of a course: a field that is absent stays, null empties it (JSON Merge Patch, RFC 7396).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct CourseChanges {
    pub title: Option<String>,
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub price: Patch<MoneyJson>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub capacity: Patch<u32>,
}

/// Changes what a course is. Send `If-Match` to keep others' changes from being lost.
#[utoipa::path(patch, path = "/v1/courses/{id}", tag = "courses", request_body = CourseChanges,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 412, body = ProblemDocument)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<CourseChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (tenant, changes) = (&command.caller.tenant, &command.body);
    let present = app.writer.load::<Course>(tenant, id).await?;
    if present.revision == 0 {
        return Err(crate::errors::rejection(CourseRejection::Unknown.into()));
    }
    let before = present.state.details().clone();
    let new_price = match changes.price.clone().into_change() {
        Some(changed) => price(changed.as_ref())?,
        None => before.price,
    };
    let details = CourseDetails {
        title: changes.title.clone().unwrap_or(before.title),
        description: changes.description.clone().unwrap_or(before.description),
        price: new_price,
        capacity: changes.capacity.into_change().unwrap_or(before.capacity),
    };
    // What was read above is what is changed: somebody else's change between the two is met by the revision.
    let meta = writers::Meta { if_match: command.meta.if_match.or(Some(present.revision)), ..command.meta.clone() };
    let receipt = app.writer.execute::<Course>(tenant, id, &meta, &CourseCommand::Change { details }).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Puts a lesson at the end. Its id is in the course afterwards.
#[utoipa::path(post, path = "/v1/courses/{id}/lessons", tag = "courses", request_body = NewLesson,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn add_lesson(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewLesson>,
) -> Result<Response, Problem> {
    let lesson = command.body.lesson(lesson_id(command.meta.command, 0));
    run(&app, id, &command, CourseCommand::AddLesson { lesson }).await
}

/// Sets a lesson anew; it keeps its place and its id.
#[utoipa::path(patch, path = "/v1/courses/{id}/lessons/{lesson}", tag = "courses", request_body = NewLesson,
    params(("id" = Uuid, Path), ("lesson" = Uuid, Path)), responses((status = 200, body = CommandReceipt)))]
async fn change_lesson(
    State(app): State<App>,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
    command: Command<NewLesson>,
) -> Result<Response, Problem> {
    let lesson = command.body.lesson(lesson);
    run(&app, id, &command, CourseCommand::ChangeLesson { lesson }).await
}

/// Removes a lesson. Those who are enrolled keep the lessons they began with.
#[utoipa::path(delete, path = "/v1/courses/{id}/lessons/{lesson}", tag = "courses",
    params(("id" = Uuid, Path), ("lesson" = Uuid, Path)), responses((status = 200, body = CommandReceipt)))]
async fn remove_lesson(
    State(app): State<App>,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
    command: Command,
) -> Result<Response, Problem> {
    run(&app, id, &command, CourseCommand::RemoveLesson { lesson }).await
}

/// The order of all lessons.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct LessonOrder {
    /// Every lesson once.
    pub lessons: Vec<Uuid>,
}

/// Orders the lessons.
#[utoipa::path(put, path = "/v1/courses/{id}/lesson-order", tag = "courses", request_body = LessonOrder,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn reorder(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<LessonOrder>,
) -> Result<Response, Problem> {
    let order = command.body.lessons.clone();
    run(&app, id, &command, CourseCommand::Reorder { order }).await
}

/// Opens a course for enrolment; it needs a lesson.
#[utoipa::path(post, path = "/v1/courses/{id}/publish", tag = "courses", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 409, body = ProblemDocument)))]
async fn publish(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CourseCommand::Publish).await
}

/// Closes a course for enrolment; those who are in it go on.
#[utoipa::path(post, path = "/v1/courses/{id}/retire", tag = "courses", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt)))]
async fn retire(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, CourseCommand::Retire).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: CourseCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Course>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
