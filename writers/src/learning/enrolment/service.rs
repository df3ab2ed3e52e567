//! The commands that touch a course's places beside the enrolment itself.
//!
//! A course without a limit is only read: its enrolments do not queue behind each other and cost one durable write.
//! Places are counted from the moment a course has a limit; who came before holds none.

use super::{Enrolment, EnrolmentCommand, EnrolmentStatus};
use crate::{
    learning::course::{Course, CourseCommand},
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    TenantId,
    learning::{
        course::Lesson,
        enrolment::{EnrolmentSource, WithdrawalReason},
    },
};
use uuid::Uuid;

/// Where the enrolment of a learner in a course is found.
pub async fn enrolment_id(writer: &Writer, tenant: &TenantId, course: Uuid, contact: Uuid) -> Result<Uuid, WriteError> {
    Ok(writer.tenant_key(tenant).await?.derived_id("enrolment", &format!("{course}:{contact}")))
}

/// Enrols a learner, with a place if the course's places are limited.
pub async fn enrol(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    course: Uuid,
    contact: Uuid,
    source: EnrolmentSource,
) -> Result<(Uuid, Receipt<Loaded<Enrolment>>), WriteError> {
    let id = enrolment_id(writer, tenant, course, contact).await?;
    let mut hot = vec![writer.subject::<Enrolment>(tenant, id)];
    if writer.load::<Course>(tenant, course).await?.state.details().capacity.is_some() {
        hot.push(writer.subject::<Course>(tenant, course));
    }
    let receipt = writer
        .transact(tenant, meta, &hot, |tx| Box::pin(async move {
            // The course is asked of the log: without a place to take, no expectation would notice an old state.
            let known = writer.load::<Course>(tenant, course).await?;
            let admitted = known.state.admits();
            if admitted.is_err() {
                // Read, not assumed to be new: a retried command is answered although the course has closed since.
                tx.load::<Enrolment>(id).await?;
            }
            let seat = known.state.details().capacity.is_some();
            let outcome = tx.decide::<Enrolment>(id, &admission(&known.state, course, contact, source, seat)).await;
            if tx.replayed() {
                return Ok((outcome?, false));
            }
            admitted?;
            let enrolled = outcome?;
            if seat {
                tx.decide::<Course>(course, &CourseCommand::TakeSeat { enrolment: id }).await?;
            }
            Ok((enrolled, seat))
        }))
        .await?;
    Ok((id, with_revision(receipt)))
}

/// Lets a learner leave the course and gives the place back.
pub async fn withdraw(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    reason: WithdrawalReason,
) -> Result<Receipt<Loaded<Enrolment>>, WriteError> {
    let mut hot = vec![writer.subject::<Enrolment>(tenant, id)];
    if let Some(begun) = writer.load::<Enrolment>(tenant, id).await?.state.begun().filter(|begun| begun.seat) {
        hot.push(writer.subject::<Course>(tenant, begun.course));
    }
    let receipt = writer
        .transact(tenant, meta, &hot, |tx| Box::pin(async move {
            let before = tx.load::<Enrolment>(id).await?.state;
            let left = tx.decide::<Enrolment>(id, &EnrolmentCommand::Withdraw { reason }).await?;
            let leaves = !tx.replayed() && before.status() == Some(EnrolmentStatus::Active);
            let seat = before.begun().filter(|begun| begun.seat && leaves).map(|begun| begun.course);
            let Some(course) = seat else { return Ok((left, false)) };
            let held = tx.load::<Course>(course).await?.state.has_seat(id);
            if held {
                tx.decide::<Course>(course, &CourseCommand::ReleaseSeat { enrolment: id }).await?;
            }
            Ok((left, held))
        }))
        .await?;
    Ok(with_revision(receipt))
}

/// The command with the course's lessons as of now. A course in which nothing is required is completed by everything.
fn admission(course: &Course, id: Uuid, contact: Uuid, source: EnrolmentSource, seat: bool) -> EnrolmentCommand {
    let any_required = course.lessons().iter().any(|lesson| lesson.required);
    let (required, optional): (Vec<_>, Vec<_>) =
        course.lessons().iter().partition(|lesson| lesson.required || !any_required);
    let ids = |lessons: Vec<&Lesson>| lessons.iter().map(|lesson| lesson.id).collect();
    EnrolmentCommand::Enrol { course: id, contact, required: ids(required), optional: ids(optional), source, seat }
}

/// The enrolment is decided first, so that a retried command is recognised before a place is touched. The one event
/// after its own, at the next position, is the course's.
fn with_revision(receipt: Receipt<(Loaded<Enrolment>, bool)>) -> Receipt<Loaded<Enrolment>> {
    let Receipt { value: (mut enrolment, seat), position, replayed } = receipt;
    if !replayed {
        enrolment.revision = position - u64::from(seat);
    }
    Receipt { value: enrolment, position, replayed }
}
