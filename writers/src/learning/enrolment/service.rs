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
    let mut receipt = writer
        .transact(tenant, meta, &hot, |tx| {
            Box::pin(async move {
                let opened = tx.open::<Enrolment>(id).await?;
                // The course is asked of the log: without a place to take, no expectation would notice an old state.
                let known = writer.load::<Course>(tenant, course).await?;
                let seat = known.state.details().capacity.is_some();
                // A retried command is answered although the course may have closed since.
                if opened.is_some() {
                    known.state.admits()?;
                    if seat {
                        tx.decide::<Course>(course, &CourseCommand::TakeSeat { enrolment: id }).await?;
                    }
                }
                tx.decide::<Enrolment>(id, &admission(&known.state, course, contact, source, seat)).await
            })
        })
        .await?;
    receipt.value.revision = receipt.position;
    Ok((id, receipt))
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
    let mut receipt = writer
        .transact(tenant, meta, &hot, |tx| {
            Box::pin(async move {
                let active = |opened: &Loaded<Enrolment>| opened.state.status() == Some(EnrolmentStatus::Active);
                let opened = tx.open::<Enrolment>(id).await?.filter(active);
                if let Some(begun) = opened.as_ref().and_then(|opened| opened.state.begun()).filter(|begun| begun.seat)
                {
                    tx.decide::<Course>(begun.course, &CourseCommand::ReleaseSeat { enrolment: id }).await?;
                }
                tx.decide::<Enrolment>(id, &EnrolmentCommand::Withdraw { reason }).await
            })
        })
        .await?;
    receipt.value.revision = receipt.position;
    Ok(receipt)
}

/// The command with the course's lessons as of now. A course in which nothing is required is completed by everything.
fn admission(course: &Course, id: Uuid, contact: Uuid, source: EnrolmentSource, seat: bool) -> EnrolmentCommand {
    let any_required = course.lessons().iter().any(|lesson| lesson.required);
    let (required, optional): (Vec<_>, Vec<_>) =
        course.lessons().iter().partition(|lesson| lesson.required || !any_required);
    let ids = |lessons: Vec<&Lesson>| lessons.iter().map(|lesson| lesson.id).collect();
    EnrolmentCommand::Enrol { course: id, contact, required: ids(required), optional: ids(optional), source, seat }
}
