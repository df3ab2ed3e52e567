//! Enrolments as people look at them: who is how far in which course. Learner and course are known by id only.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue},
};
use bus_schema::{
    Keyring, Micros, TenantId,
    learning::enrolment::{EnrolmentEvent, EnrolmentSource, WithdrawalReason},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

pub struct Enrolments;

/// How the newest round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentStatus {
    Active,
    Completed,
    Withdrawn,
}

impl EnrolmentStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// The newest round of a learner in a course; earlier rounds are in its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrolmentRow {
    pub course: Uuid,
    pub contact: Uuid,
    pub round: u32,
    pub source: EnrolmentSource,
    pub status: EnrolmentStatus,
    /// The lessons that complete the course, as they were when the round began.
    pub required: Vec<Uuid>,
    pub optional: Vec<Uuid>,
    pub done: BTreeMap<Uuid, DoneLesson>,
    /// How much of the required lessons is done, 0 to 100.
    pub progress: u8,
    pub enrolled_at: Micros,
    pub completed_at: Option<Micros>,
    pub withdrawn: Option<Leaving>,
}

/// A lesson that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneLesson {
    /// When it was done for the first time.
    pub at: Micros,
    /// The best score, in percent.
    pub score: Option<u8>,
}

/// When and why the learner left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    pub at: Micros,
    pub reason: WithdrawalReason,
}

/// The stored word of a source, also in filters.
pub fn source_word(source: EnrolmentSource) -> &'static str {
    match source {
        EnrolmentSource::Manual => "manual",
        EnrolmentSource::Order => "order",
        EnrolmentSource::Oneself => "self",
    }
}

impl RecordView for Enrolments {
    const NAME: &'static str = "enrolments";
    const VERSION: u32 = 1;
    type Event = EnrolmentEvent;
    type Row = EnrolmentRow;

    fn fold(row: Option<EnrolmentRow>, event: &EnrolmentEvent, happening: &Happening) -> Option<EnrolmentRow> {
        if let EnrolmentEvent::Enrolled(enrolled) = event {
            return Some(EnrolmentRow {
                course: enrolled.course,
                contact: enrolled.contact,
                round: enrolled.round,
                source: enrolled.source,
                status: EnrolmentStatus::Active,
                required: enrolled.required.clone(),
                optional: enrolled.optional.clone(),
                done: BTreeMap::new(),
                progress: 0,
                enrolled_at: happening.at,
                completed_at: None,
                withdrawn: None,
            });
        }
        let mut row = row?;
        match event {
            EnrolmentEvent::LessonCompleted(done) => {
                let at = row.done.get(&done.lesson).map_or(happening.at, |before| before.at);
                row.done.insert(done.lesson, DoneLesson { at, score: done.score });
                row.progress = done.progress;
            }
            EnrolmentEvent::Completed(_) => {
                row.status = EnrolmentStatus::Completed;
                row.completed_at = Some(happening.at);
            }
            EnrolmentEvent::Withdrawn(withdrawn) => {
                row.status = EnrolmentStatus::Withdrawn;
                row.withdrawn = Some(Leaving { at: happening.at, reason: withdrawn.reason });
            }
            EnrolmentEvent::Enrolled(_) => {}
        }
        Some(row)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<EnrolmentRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let word = |word: &str| FieldValue::Str(word.to_owned());
        let mut fields = vec![
            ("course".to_owned(), FieldValue::Str(row.course.to_string())),
            ("contact".to_owned(), FieldValue::Str(row.contact.to_string())),
            ("status".to_owned(), word(row.status.as_str())),
            ("source".to_owned(), word(source_word(row.source))),
            ("round".to_owned(), FieldValue::I64(row.round.into())),
            ("progress".to_owned(), FieldValue::I64(row.progress.into())),
            ("lessons_done".to_owned(), FieldValue::I64(row.done.len() as i64)),
            ("enrolled_at".to_owned(), FieldValue::Time(row.enrolled_at.0)),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        fields.extend(row.completed_at.map(|at| ("completed_at".to_owned(), FieldValue::Time(at.0))));
        fields.extend(row.withdrawn.map(|left| ("withdrawn_at".to_owned(), FieldValue::Time(left.at.0))));
        let (tenant, collection) = (tenant.to_string(), Self::NAME.to_owned());
        Some(Doc { tenant, collection, id: id.to_string(), text: Vec::new(), fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{at, given};
    use bus_schema::learning::enrolment::{Enrolled, EnrolmentCompleted, LessonCompleted, Withdrawn};

    const COURSE: Uuid = Uuid::from_u128(0xc0);
    const LEARNER: Uuid = Uuid::from_u128(0x1e);
    const FIRST: Uuid = Uuid::from_u128(1);
    const SECOND: Uuid = Uuid::from_u128(2);

    fn enrolled(round: u32) -> EnrolmentEvent {
        let (course, contact, source) = (COURSE, LEARNER, EnrolmentSource::Oneself);
        Enrolled { course, contact, round, required: vec![FIRST, SECOND], optional: vec![], source, seat: false }.into()
    }

    fn done(round: u32, lesson: Uuid, score: Option<u8>, progress: u8) -> EnrolmentEvent {
        LessonCompleted { course: COURSE, contact: LEARNER, round, lesson, score, progress }.into()
    }

    fn row(round: u32, enrolled_at: Micros) -> EnrolmentRow {
        EnrolmentRow {
            course: COURSE,
            contact: LEARNER,
            round,
            source: EnrolmentSource::Oneself,
            status: EnrolmentStatus::Active,
            required: vec![FIRST, SECOND],
            optional: vec![],
            done: BTreeMap::new(),
            progress: 0,
            enrolled_at,
            completed_at: None,
            withdrawn: None,
        }
    }

    #[tokio::test]
    async fn a_lesson_has_its_first_time_and_its_best_score() {
        let events = [enrolled(1), done(1, FIRST, Some(40), 50), done(1, FIRST, Some(90), 50)];
        let done = BTreeMap::from([(FIRST, DoneLesson { at: at(1), score: Some(90) })]);
        given::<Enrolments>(events).then_row(EnrolmentRow { done, progress: 50, ..row(1, at(0)) }).await;
    }

    #[tokio::test]
    async fn a_round_begins_from_nothing() {
        let reason = WithdrawalReason::Requested;
        let left = Withdrawn { course: COURSE, contact: LEARNER, round: 1, reason };
        let mut events = vec![enrolled(1), done(1, FIRST, Some(40), 50), left.into()];
        let before = EnrolmentRow {
            done: BTreeMap::from([(FIRST, DoneLesson { at: at(1), score: Some(40) })]),
            progress: 50,
            status: EnrolmentStatus::Withdrawn,
            withdrawn: Some(Leaving { at: at(2), reason }),
            ..row(1, at(0))
        };
        given::<Enrolments>(events.clone()).then_row(before).await;
        let completed = EnrolmentCompleted { course: COURSE, contact: LEARNER, round: 2 };
        events.extend([enrolled(2), done(2, SECOND, None, 50), done(2, FIRST, None, 100), completed.into()]);
        let now = |index| DoneLesson { at: at(index), score: None };
        let after = EnrolmentRow {
            done: BTreeMap::from([(FIRST, now(5)), (SECOND, now(4))]),
            progress: 100,
            status: EnrolmentStatus::Completed,
            completed_at: Some(at(6)),
            ..row(2, at(3))
        };
        let given = given::<Enrolments>(events);
        assert_eq!(given.then_row(after).await.created_at, at(0), "its place in lists is that of the first round");
        let document = given.document(&Keyring::default()).await.unwrap();
        assert!(document.fields.contains(&("progress".into(), FieldValue::I64(100))));
        assert!(document.fields.contains(&("source".into(), FieldValue::Str("self".into()))));
        assert!(document.fields.contains(&("completed_at".into(), FieldValue::Time(at(6).0))));
    }
}
