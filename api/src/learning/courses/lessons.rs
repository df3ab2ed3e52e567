//! `/v1/courses/{id}/lessons`

use super::WRITE;
use crate::{
    app::App,
    caller::Caller,
    command::{Command, CommandReceipt},
    errors::refused_at,
    http::{
        extract::Path,
        problem::{Problem, ProblemDocument},
        token::Consistency,
    },
    resource::read_scope,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bus_schema::learning::course::{Lesson, LessonKind};
use projectors::{RecordView, learning::courses::Courses};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::learning::course::{self, Course, CourseCommand, lesson_id};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(add_lesson))
        .routes(routes!(lesson, change_lesson, remove_lesson))
        .routes(routes!(reorder))
}

/// What a lesson is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LessonKind)]
pub enum KindJson {
    #[default]
    Video,
    Page,
    Quiz,
    File,
}

impl From<KindJson> for LessonKind {
    fn from(kind: KindJson) -> Self {
        match kind {
            KindJson::Video => Self::Video,
            KindJson::Page => Self::Page,
            KindJson::Quiz => Self::Quiz,
            KindJson::File => Self::File,
        }
    }
}

impl From<LessonKind> for KindJson {
    fn from(kind: LessonKind) -> Self {
        match kind {
            LessonKind::Video => Self::Video,
            LessonKind::Page => Self::Page,
            LessonKind::Quiz => Self::Quiz,
            LessonKind::File => Self::File,
        }
    }
}

/// A lesson of a course.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lesson)]
pub struct LessonJson {
    /// Stays with the lesson through changes and reordering.
    pub id: Uuid,
    pub title: String,
    pub kind: KindJson,
    pub minutes: u32,
    /// Whether the course is complete only with it.
    pub required: bool,
}

impl From<&Lesson> for LessonJson {
    fn from(lesson: &Lesson) -> Self {
        let Lesson { id, title, kind, minutes, required } = lesson.clone();
        Self { id, title, kind: kind.into(), minutes, required }
    }
}

fn required() -> bool {
    true
}

/// A new lesson.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"title": "Where to cut", "kind": "video", "minutes": 12}))]
pub struct NewLesson {
    pub title: String,
    pub kind: KindJson,
    #[serde(default)]
    pub minutes: u32,
    /// Whether the course is complete only with it; true when absent. A course in which nothing is required is complete
    /// with everything.
    #[serde(default = "required")]
    pub required: bool,
}

impl NewLesson {
    pub(super) fn lesson(self, id: Uuid) -> Lesson {
        Lesson { id, title: self.title, kind: self.kind.into(), minutes: self.minutes, required: self.required }
    }
}

/// Puts a lesson at the end of a course. The receipt's `id` is the lesson's, the revision the course's. Who is enrolled
/// already does not need it.
#[utoipa::path(post, path = "/v1/courses/{id}/lessons", tag = "courses", request_body = NewLesson,
    params(("id" = Uuid, Path)), responses((status = 201, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "too_many_lessons", body = ProblemDocument)))]
async fn add_lesson(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewLesson>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (tenant, lesson) = (&command.caller.tenant, lesson_id(command.meta.command, 0));
    let what = CourseCommand::AddLesson { lesson: command.body.lesson(lesson) };
    let receipt = app.writer.execute::<Course>(tenant, id, &command.meta, &what).await?;
    let mut response = app.answer(StatusCode::CREATED, lesson, &receipt);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/courses/{id}/lessons/{lesson}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One lesson. Needs `learning.course:read`.
#[utoipa::path(get, path = "/v1/courses/{id}/lessons/{lesson}", tag = "courses",
    params(("id" = Uuid, Path), ("lesson" = Uuid, Path)),
    responses((status = 200, body = LessonJson), (status = 404, body = ProblemDocument)))]
async fn lesson(
    State(app): State<App>,
    caller: Caller,
    consistency: Consistency,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
) -> Result<Json<LessonJson>, Problem> {
    caller.allow(&read_scope::<super::CourseResource>())?;
    app.settle(Courses::NAME, &consistency).await?;
    let course = app.views.record::<Courses>(&caller.tenant, id).await?.ok_or_else(|| Problem::not_found("course"))?;
    let found = course.row.lessons.iter().find(|known| known.id == lesson);
    Ok(Json(found.ok_or_else(|| Problem::not_found("lesson"))?.into()))
}

/// Changes of a lesson: a field that is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct LessonChanges {
    pub title: Option<String>,
    pub kind: Option<KindJson>,
    pub minutes: Option<u32>,
    pub required: Option<bool>,
}

/// Changes a lesson at its place.
#[utoipa::path(patch, path = "/v1/courses/{id}/lessons/{lesson}", tag = "courses", request_body = LessonChanges,
    params(("id" = Uuid, Path), ("lesson" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn change_lesson(
    State(app): State<App>,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
    command: Command<LessonChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let changes = &command.body;
    let edit = |present: Lesson| Lesson {
        id: present.id,
        title: changes.title.clone().unwrap_or(present.title),
        kind: changes.kind.map_or(present.kind, LessonKind::from),
        minutes: changes.minutes.unwrap_or(present.minutes),
        required: changes.required.unwrap_or(present.required),
    };
    let tenant = &command.caller.tenant;
    let receipt = course::change_lesson(&app.writer, tenant, id, &command.meta, lesson, edit).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Removes a lesson. A published course keeps at least one.
#[utoipa::path(delete, path = "/v1/courses/{id}/lessons/{lesson}", tag = "courses",
    params(("id" = Uuid, Path), ("lesson" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 404, body = ProblemDocument), (status = 409, description = "no_lessons", body = ProblemDocument)))]
async fn remove_lesson(
    State(app): State<App>,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
    command: Command,
) -> Result<Response, Problem> {
    super::run(&app, id, &command, CourseCommand::RemoveLesson { lesson }).await
}

/// All lessons in their new order.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct LessonOrder {
    /// Every lesson of the course exactly once.
    pub lessons: Vec<Uuid>,
}

/// Puts the lessons of a course in another order.
#[utoipa::path(put, path = "/v1/courses/{id}/lesson-order", tag = "courses", request_body = LessonOrder,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 422, description = "invalid_order", body = ProblemDocument)))]
async fn reorder(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<LessonOrder>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let what = CourseCommand::Reorder { order: command.body.lessons.clone() };
    let receipt = app.writer.execute::<Course>(&command.caller.tenant, id, &command.meta, &what).await;
    let receipt = receipt.map_err(|error| refused_at(error, "/order", "/lessons"))?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
