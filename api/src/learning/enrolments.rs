//! `/v1/enrolments`

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        literal::FieldType,
        problem::{FieldError, Problem, ProblemDocument},
    },
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring,
    learning::enrolment::{EnrolmentSource, WithdrawalReason},
};
use projectors::{
    Record,
    learning::enrolments::{EnrolmentRow, Enrolments, source_word},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    crm::contact::Contact,
    learning::enrolment::{self, Enrolment, EnrolmentCommand},
};

const WRITE: &str = "learning.enrolment:write";

pub struct EnrolmentResource;

/// A contact in a course.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Enrolment)]
pub struct EnrolmentJson {
    pub id: Uuid,
    pub revision: u64,
    pub course: Uuid,
    pub contact: Uuid,
    /// 1 for the first time, one more after each withdrawal.
    pub round: u32,
    /// `manual`, `order` or `self`.
    pub source: &'static str,
    /// `active`, `completed` or `withdrawn`.
    pub status: &'static str,
    /// Percent of the lessons that count.
    pub progress: u8,
    /// Lessons that count, in the course's order as of the enrolment.
    pub required: Vec<Uuid>,
    pub optional: Vec<Uuid>,
    pub done: Vec<DoneLessonJson>,
    pub enrolled_at: String,
    pub completed_at: Option<String>,
    pub withdrawn_at: Option<String>,
    #[schema(value_type = Option<String>)]
    pub withdrawal_reason: Option<WithdrawalReason>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DoneLessonJson {
    pub lesson: Uuid,
    pub at: String,
    /// Percent.
    pub score: Option<u8>,
}

impl Resource for EnrolmentResource {
    type View = Enrolments;
    type Json = EnrolmentJson;
    const NOUN: &'static str = "enrolment";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("course", FieldType::Id),
            ("contact", FieldType::Id),
            ("status", FieldType::Choice(&["active", "completed", "withdrawn"])),
            ("source", FieldType::Choice(&["manual", "order", "self"])),
            ("round", FieldType::Integer),
            ("progress", FieldType::Integer),
            ("lessons_done", FieldType::Integer),
            ("enrolled_at", FieldType::Time),
            ("completed_at", FieldType::Time),
            ("withdrawn_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["status", "progress", "lessons_done", "enrolled_at", "completed_at", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["status", "course"],
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<EnrolmentRow>, _: &Keyring) -> EnrolmentJson {
        let row = &record.row;
        let done = row.done.iter().map(|(lesson, done)| DoneLessonJson {
            lesson: *lesson,
            at: done.at.to_string(),
            score: done.score,
        });
        EnrolmentJson {
            id,
            revision: record.revision,
            course: row.course,
            contact: row.contact,
            round: row.round,
            source: source_word(row.source),
            status: row.status.as_str(),
            progress: row.progress,
            required: row.required.clone(),
            optional: row.optional.clone(),
            done: done.collect(),
            enrolled_at: row.enrolled_at.to_string(),
            completed_at: row.completed_at.map(|at| at.to_string()),
            withdrawn_at: row.withdrawn.map(|left| left.at.to_string()),
            withdrawal_reason: row.withdrawn.map(|left| left.reason),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(enrol)).routes(routes!(complete_lesson)).routes(routes!(withdraw))
}

/// Who comes into which course.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewEnrolment {
    pub course: Uuid,
    pub contact: Uuid,
    /// `manual` when absent.
    #[schema(value_type = Option<String>)]
    pub source: Option<EnrolmentSource>,
}

/// Enrols a contact in a published course. Somebody who is in it already stays in it once.
#[utoipa::path(post, path = "/v1/enrolments", tag = "enrolments", request_body = NewEnrolment, responses(
    (status = 201, body = CommandReceipt), (status = 409, description = "course_full, already_enrolled", body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
async fn enrol(State(app): State<App>, command: Command<NewEnrolment>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (new, tenant) = (&command.body, &command.caller.tenant);
    if !app.writer.load::<Contact>(tenant, new.contact).await?.state.is_living() {
        let message = "there is no such contact, or it was erased";
        return Err(Problem::validation(vec![FieldError::new("/contact", "unknown_contact", message)]));
    }
    let source = new.source.unwrap_or(EnrolmentSource::Manual);
    let (id, receipt) = enrolment::enrol(&app.writer, tenant, &command.meta, new.course, new.contact, source).await?;
    Ok(app.created("enrolments", id, &receipt))
}

/// How a lesson was done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct LessonResult {
    /// Percent, 0 to 100.
    pub score: Option<u8>,
}

/// Records a lesson as done; with the last one that counts the course is complete.
#[utoipa::path(post, path = "/v1/enrolments/{id}/lessons/{lesson}/complete", tag = "enrolments",
    request_body = LessonResult, params(("id" = Uuid, Path), ("lesson" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn complete_lesson(
    State(app): State<App>,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
    command: Command<LessonResult>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let complete = EnrolmentCommand::CompleteLesson { lesson, score: command.body.score };
    let receipt = app.writer.execute::<Enrolment>(&command.caller.tenant, id, &command.meta, &complete).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Why somebody leaves.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Leave {
    /// `requested` (when absent), `refunded`, `mistaken`, `departed` or `other`.
    #[schema(value_type = Option<String>)]
    pub reason: Option<WithdrawalReason>,
}

/// Lets a learner leave; the seat is free again.
#[utoipa::path(post, path = "/v1/enrolments/{id}/withdraw", tag = "enrolments", request_body = Leave,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 409, body = ProblemDocument)))]
async fn withdraw(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Leave>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let reason = command.body.reason.unwrap_or(WithdrawalReason::Requested);
    let receipt = enrolment::withdraw(&app.writer, &command.caller.tenant, id, &command.meta, reason).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
