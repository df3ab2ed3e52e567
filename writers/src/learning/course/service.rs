//! Making a course, and changes that are made from what it is at present.

use super::{Course, CourseCommand, CourseRejection, lesson_id};
use crate::writer::{Loaded, Meta, Receipt, WriteError, Writer};
use bus_schema::{
    TenantId,
    learning::course::{CourseDetails, Lesson},
};
use uuid::Uuid;

/// Makes a course under an id that follows from the command; so do those of its lessons, whatever they are now.
pub async fn create(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    details: CourseDetails,
    lessons: Vec<Lesson>,
) -> Result<(Uuid, Receipt<Loaded<Course>>), WriteError> {
    let id = meta.command.aggregate(0);
    let named = lessons.into_iter().enumerate();
    let lessons = named.map(|(index, lesson)| Lesson { id: lesson_id(meta.command, index), ..lesson }).collect();
    let command = CourseCommand::Create { details, lessons };
    Ok((id, writer.execute::<Course>(tenant, id, meta, &command).await?))
}

/// Changes a course's details; `edit` sees the present ones.
pub async fn change(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    edit: impl Fn(CourseDetails) -> CourseDetails + Send + Sync,
) -> Result<Receipt<Loaded<Course>>, WriteError> {
    decide(writer, tenant, id, meta, |course| Ok(CourseCommand::Change { details: edit(course.details().clone()) }))
        .await
}

/// Changes a lesson; `edit` sees the present one. Its id stays.
pub async fn change_lesson(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    lesson: Uuid,
    edit: impl Fn(Lesson) -> Lesson + Send + Sync,
) -> Result<Receipt<Loaded<Course>>, WriteError> {
    let change = |course: &Course| {
        let present = course.lesson(lesson).ok_or(CourseRejection::UnknownLesson)?;
        Ok(CourseCommand::ChangeLesson { lesson: Lesson { id: lesson, ..edit(present.clone()) } })
    };
    decide(writer, tenant, id, meta, change).await
}

/// A command that follows from the course as it is; decided anew when somebody else was faster.
async fn decide(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    command: impl Fn(&Course) -> Result<CourseCommand, CourseRejection> + Send + Sync,
) -> Result<Receipt<Loaded<Course>>, WriteError> {
    let (subjects, command) = ([writer.subject::<Course>(tenant, id)], &command);
    let mut receipt = writer
        .transact(tenant, meta, &subjects, |tx| {
            Box::pin(async move {
                let command = match tx.open::<Course>(id).await? {
                    Some(course) => {
                        course.state.exists()?;
                        command(&course.state)?
                    }
                    // Carried out before: whatever is asked now, the answer is that of then.
                    None => CourseCommand::Publish,
                };
                tx.decide::<Course>(id, &command).await
            })
        })
        .await?;
    receipt.value.revision = receipt.position;
    Ok(receipt)
}
