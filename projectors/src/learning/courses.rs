//! Courses as people look at them.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Keyring, Micros, TenantId,
    learning::course::{CourseDetails, CourseEvent, Lesson},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct Courses;

/// Whether somebody can be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CourseStatus {
    Draft,
    Published,
    Retired,
}

impl CourseStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Retired => "retired",
        }
    }
}

/// A course with its lessons in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CourseRow {
    pub details: CourseDetails,
    pub status: CourseStatus,
    pub lessons: Vec<Lesson>,
    /// How many of the limited places are taken; 0 while there is no limit.
    pub seats_taken: u32,
    /// When it was published the last time.
    pub published_at: Option<Micros>,
}

impl CourseRow {
    /// How long all lessons take, in minutes.
    pub fn minutes(&self) -> u64 {
        self.lessons.iter().map(|lesson| u64::from(lesson.minutes)).sum()
    }
}

impl RecordView for Courses {
    const NAME: &'static str = "courses";
    const VERSION: u32 = 1;
    type Event = CourseEvent;
    type Row = CourseRow;

    fn fold(row: Option<CourseRow>, event: &CourseEvent, happening: &Happening) -> Option<CourseRow> {
        if let CourseEvent::Created(created) = event {
            return Some(CourseRow {
                details: created.details.clone(),
                status: CourseStatus::Draft,
                lessons: created.lessons.clone(),
                seats_taken: 0,
                published_at: None,
            });
        }
        let mut row = row?;
        match event {
            CourseEvent::Changed(changed) => row.details = changed.details.clone(),
            CourseEvent::LessonAdded(added) => row.lessons.push(added.lesson.clone()),
            CourseEvent::LessonChanged(changed) => {
                for lesson in row.lessons.iter_mut().filter(|lesson| lesson.id == changed.lesson.id) {
                    *lesson = changed.lesson.clone();
                }
            }
            CourseEvent::LessonRemoved(removed) => row.lessons.retain(|lesson| lesson.id != removed.lesson),
            CourseEvent::LessonsReordered(reordered) => {
                let place = |id: Uuid| reordered.order.iter().position(|named| *named == id);
                row.lessons.sort_by_cached_key(|lesson| place(lesson.id));
            }
            CourseEvent::Published(_) => {
                row.status = CourseStatus::Published;
                row.published_at = Some(happening.at);
            }
            CourseEvent::Retired(_) => row.status = CourseStatus::Retired,
            CourseEvent::SeatTaken(_) => row.seats_taken = row.seats_taken.saturating_add(1),
            CourseEvent::SeatReleased(_) => row.seats_taken = row.seats_taken.saturating_sub(1),
            CourseEvent::Created(_) => {}
        }
        Some(row)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<CourseRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let body = std::iter::once(row.details.description.as_str())
            .chain(row.lessons.iter().map(|lesson| lesson.title.as_str()))
            .collect::<Vec<_>>()
            .join("\n");
        let number = |value: u64| FieldValue::I64(i64::try_from(value).unwrap_or(i64::MAX));
        let mut fields = vec![
            ("title".to_owned(), FieldValue::Str(row.details.title.clone())),
            ("status".to_owned(), FieldValue::Str(row.status.as_str().to_owned())),
            ("seats_taken".to_owned(), number(row.seats_taken.into())),
            ("lesson_count".to_owned(), number(row.lessons.len() as u64)),
            ("minutes".to_owned(), number(row.minutes())),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        if let Some(price) = row.details.price {
            fields.push(("price.amount".to_owned(), FieldValue::I64(price.amount)));
            fields.push(("price.currency".to_owned(), FieldValue::Str(price.currency.to_string())));
        }
        fields.extend(row.details.capacity.map(|seats| ("capacity".to_owned(), number(seats.into()))));
        fields.extend(row.published_at.map(|at| ("published_at".to_owned(), FieldValue::Time(at.0))));
        let heading = TextPart { weight: Weight::Heading, text: row.details.title.clone() };
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![heading, TextPart { weight: Weight::Body, text: body }],
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{at, given};
    use bus_schema::learning::course::{
        CourseChanged, CourseCreated, CoursePublished, CourseRetired, LessonAdded, LessonChanged, LessonKind,
        LessonRemoved, LessonsReordered, SeatReleased, SeatTaken,
    };

    fn lesson(number: u128) -> Lesson {
        let (id, title) = (Uuid::from_u128(number), format!("Lesson {number}"));
        Lesson { id, title, kind: LessonKind::Video, minutes: 10, required: true }
    }

    fn life() -> (CourseDetails, Vec<CourseEvent>) {
        let details = CourseDetails { title: "Roses".into(), capacity: Some(2), ..Default::default() };
        let changed = CourseDetails { title: "Roses and lilies".into(), ..details.clone() };
        let [one, two] = [1, 2].map(Uuid::from_u128);
        let events = vec![
            CourseCreated { details, lessons: vec![lesson(1)] }.into(),
            LessonAdded { lesson: lesson(2) }.into(),
            LessonAdded { lesson: lesson(3) }.into(),
            LessonChanged { lesson: Lesson { minutes: 25, ..lesson(2) } }.into(),
            LessonsReordered { order: [3, 2, 1].map(Uuid::from_u128).to_vec() }.into(),
            LessonRemoved { lesson: one }.into(),
            CoursePublished {}.into(),
            SeatTaken { enrolment: one }.into(),
            SeatTaken { enrolment: two }.into(),
            SeatReleased { enrolment: two }.into(),
            CourseChanged { details: changed.clone() }.into(),
        ];
        (changed, events)
    }

    #[tokio::test]
    async fn a_course_is_what_happened_to_it() {
        let (details, mut events) = life();
        let lessons = vec![lesson(3), Lesson { minutes: 25, ..lesson(2) }];
        let published_at = Some(at(6));
        let row = CourseRow { details, status: CourseStatus::Published, lessons, seats_taken: 1, published_at };
        given::<Courses>(events.clone()).then_row(row.clone()).await;
        events.push(CourseRetired {}.into());
        given::<Courses>(events).then_row(CourseRow { status: CourseStatus::Retired, ..row }).await;
    }

    #[tokio::test]
    async fn a_free_course_has_no_price_to_find_it_by() {
        let document = given::<Courses>(life().1).document(&Keyring::default()).await.unwrap();
        assert!(document.fields.contains(&("minutes".into(), FieldValue::I64(35))));
        assert!(document.fields.contains(&("status".into(), FieldValue::Str("published".into()))));
        assert!(!document.fields.iter().any(|(name, _)| name.starts_with("price")));
    }
}
