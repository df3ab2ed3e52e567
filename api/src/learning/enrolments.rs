//! `/v1/enrolments`

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
    },
    people,
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring, TenantId,
    learning::enrolment::{EnrolmentSource, WithdrawalReason},
};
use projectors::{
    Record,
    learning::enrolments::{EnrolmentRow, Enrolments, source_word},
    search::literal::FieldType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::learning::enrolment::{self, Enrolment, EnrolmentCommand, EnrolmentStatus};

const WRITE: &str = "learning.enrolment:write";
const STATUSES: &[&str] = &["active", "completed", "withdrawn"];
const SOURCES: &[&str] = &["manual", "order", "self"];

pub struct EnrolmentResource;

/// A learner in a course: the newest round. Earlier ones are in its history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Enrolment)]
pub struct EnrolmentJson {
    pub id: Uuid,
    pub revision: u64,
    pub course: Uuid,
    pub contact: Uuid,
    /// `active`, `completed` or `withdrawn`.
    pub status: &'static str,
    /// How much of the required lessons is done, in percent rounded down.
    pub progress: u8,
    /// Required and optional lessons that are done.
    pub lessons_done: usize,
    /// Lessons that complete the course, as they were at the enrolment.
    pub lessons_required: usize,
    /// `manual`, `order` or `self`.
    pub source: &'static str,
    /// 2 is the first time again after a withdrawal.
    pub round: u32,
    /// The lessons of this round. Lists leave them out unless `fields` names them.
    pub lessons: Vec<LessonProgress>,
    pub enrolled_at: String,
    pub completed_at: Option<String>,
    pub withdrawn_at: Option<String>,
    #[schema(value_type = Option<ReasonJson>)]
    pub withdrawal_reason: Option<WithdrawalReason>,
    pub created_at: String,
    pub updated_at: String,
}

/// How a learner stands with one lesson.
#[derive(Debug, Serialize, ToSchema)]
pub struct LessonProgress {
    pub lesson: Uuid,
    pub required: bool,
    /// When it was done for the first time; null: not yet.
    pub completed_at: Option<String>,
    /// The best score, in percent.
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
            ("status", FieldType::Choice(STATUSES)),
            ("source", FieldType::Choice(SOURCES)),
            ("progress", FieldType::Integer),
            ("lessons_done", FieldType::Integer),
            ("round", FieldType::Integer),
            ("enrolled_at", FieldType::Time),
            ("completed_at", FieldType::Time),
            ("withdrawn_at", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &[
            "status",
            "progress",
            "lessons_done",
            "enrolled_at",
            "completed_at",
            "withdrawn_at",
            "created_at",
            "updated_at",
        ],
        default_sort: "-created_at",
        facetable: &["status", "course", "source"],
        ..ListSpec::NOTHING
    };
    const LARGE: &'static [&'static str] = &["lessons"];

    fn present(id: Uuid, record: &Record<EnrolmentRow>, _: &Keyring) -> EnrolmentJson {
        let row = &record.row;
        let lesson = |id: &Uuid, required| {
            let done = row.done.get(id);
            let completed_at = done.map(|done| done.at.to_string());
            LessonProgress { lesson: *id, required, completed_at, score: done.and_then(|done| done.score) }
        };
        let required = row.required.iter().map(|id| lesson(id, true));
        EnrolmentJson {
            id,
            revision: record.revision,
            course: row.course,
            contact: row.contact,
            status: row.status.as_str(),
            progress: row.progress,
            lessons_done: row.done.len(),
            lessons_required: row.required.len(),
            source: source_word(row.source),
            round: row.round,
            lessons: required.chain(row.optional.iter().map(|id| lesson(id, false))).collect(),
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
    OpenApiRouter::new().routes(routes!(enrol)).routes(routes!(complete)).routes(routes!(withdraw))
}

/// How somebody came into a course.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EnrolmentSource)]
pub enum SourceJson {
    /// By somebody who runs the course.
    #[default]
    Manual,
    /// By buying it.
    Order,
    /// By the learner.
    #[serde(rename = "self")]
    Oneself,
}

impl From<SourceJson> for EnrolmentSource {
    fn from(source: SourceJson) -> Self {
        match source {
            SourceJson::Manual => Self::Manual,
            SourceJson::Order => Self::Order,
            SourceJson::Oneself => Self::Oneself,
        }
    }
}

/// Who is to learn what.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewEnrolment {
    pub course: Uuid,
    pub contact: Uuid,
    #[serde(default)]
    pub source: SourceJson,
}

/// Enrols a contact in a published course, with one of its places if they are limited. What completes the course is
/// fixed now. After a withdrawal it begins again from nothing.
#[utoipa::path(post, path = "/v1/enrolments", tag = "enrolments", request_body = NewEnrolment, responses(
    (status = 201, body = CommandReceipt), (status = 404, description = "course_not_found", body = ProblemDocument),
    (status = 409, description = "already_enrolled, already_completed, course_full, course_not_published",
    body = ProblemDocument),
    (status = 422, description = "unknown_contact, contact_erased", body = ProblemDocument)))]
async fn enrol(State(app): State<App>, command: Command<NewEnrolment>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewEnrolment { course, contact, source } = command.body;
    let tenant = &command.caller.tenant;
    if let Some(gone) = people::gone(&app, tenant, contact, "/contact").await?
        && !is_enrolled(&app, tenant, course, contact).await?
    {
        return Err(gone);
    }
    let (id, receipt) = enrolment::enrol(&app.writer, tenant, &command.meta, course, contact, source.into()).await?;
    Ok(app.created("enrolments", id, &receipt))
}

/// Whether the contact is in the course or has completed it: then the answer is that, or that of the first time if this
/// is a repetition, also for somebody who is gone by now.
async fn is_enrolled(app: &App, tenant: &TenantId, course: Uuid, contact: Uuid) -> Result<bool, Problem> {
    let id = enrolment::enrolment_id(&app.writer, tenant, course, contact).await?;
    let status = app.writer.load::<Enrolment>(tenant, id).await?.state.status();
    Ok(status.is_some_and(|status| status != EnrolmentStatus::Withdrawn))
}

/// How a lesson was done.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct LessonResult {
    /// In percent, for lessons that have one.
    #[serde(default)]
    pub score: Option<u8>,
}

/// Records that a lesson is done; done again it counts only with a better score. The last required lesson completes the
/// course. The body may be `{}`.
#[utoipa::path(post, path = "/v1/enrolments/{id}/lessons/{lesson}/complete", tag = "enrolments",
    request_body = LessonResult, params(("id" = Uuid, Path), ("lesson" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, description = "lesson_not_found",
    body = ProblemDocument), (status = 409, description = "enrolment_withdrawn", body = ProblemDocument),
    (status = 422, description = "invalid_score", body = ProblemDocument)))]
async fn complete(
    State(app): State<App>,
    Path((id, lesson)): Path<(Uuid, Uuid)>,
    command: Command<LessonResult>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let what = EnrolmentCommand::CompleteLesson { lesson, score: command.body.score };
    let receipt = app.writer.execute::<Enrolment>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Why somebody leaves a course. A list and not a text: a text would hold personal data in the clear.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WithdrawalReason)]
pub enum ReasonJson {
    /// The learner asked for it.
    Requested,
    /// What was paid for it was given back.
    Refunded,
    /// It was a mistake.
    Mistaken,
    /// The learner is no longer with the organisation.
    Departed,
    #[default]
    Other,
}

impl From<ReasonJson> for WithdrawalReason {
    fn from(reason: ReasonJson) -> Self {
        match reason {
            ReasonJson::Requested => Self::Requested,
            ReasonJson::Refunded => Self::Refunded,
            ReasonJson::Mistaken => Self::Mistaken,
            ReasonJson::Departed => Self::Departed,
            ReasonJson::Other => Self::Other,
        }
    }
}

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = EnrolmentWithdrawal)]
pub struct Leave {
    pub reason: ReasonJson,
}

/// Lets a learner leave the course and gives the place back.
#[utoipa::path(post, path = "/v1/enrolments/{id}/withdraw", tag = "enrolments", request_body = Leave,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument),
    (status = 409, description = "already_completed", body = ProblemDocument)))]
async fn withdraw(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Leave>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let reason = command.body.reason.into();
    let receipt = enrolment::withdraw(&app.writer, &command.caller.tenant, id, &command.meta, reason).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use bus_schema::Micros;
    use projectors::learning::enrolments::{DoneLesson, EnrolmentStatus, Leaving};

    #[test]
    fn search_knows_every_field_a_list_names() {
        let at = Micros(1_769_903_910_000_000);
        let [course, contact, one, two] = [1, 2, 3, 4].map(Uuid::from_u128);
        let row = EnrolmentRow {
            course,
            contact,
            round: 1,
            source: EnrolmentSource::Oneself,
            status: EnrolmentStatus::Completed,
            required: vec![one],
            optional: vec![two],
            done: [(one, DoneLesson { at, score: Some(7) })].into(),
            progress: 100,
            enrolled_at: at,
            completed_at: Some(at),
            withdrawn: Some(Leaving { at, reason: WithdrawalReason::Refunded }),
        };
        let record = Record { revision: 9, first: 5, created_at: at, updated_at: at, row };
        assert_eq!(missing_from_search::<EnrolmentResource>(&record, &Keyring::default()), Vec::<&str>::new());
        let shown = EnrolmentResource::present(Uuid::from_u128(9), &record, &Keyring::default());
        assert!(STATUSES.contains(&shown.status) && SOURCES.contains(&shown.source));
        let lessons = serde_json::to_value(&shown.lessons).unwrap();
        assert_eq!(lessons[0]["score"], 7);
        assert_eq!(lessons[1]["completed_at"], serde_json::Value::Null);
        assert_eq!((shown.lessons_done, shown.lessons_required), (1, 1));
    }
}
