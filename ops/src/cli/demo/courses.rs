//! 12 courses with learners under way.

use super::{DAYS, Demo, LAST_DAY, Rng, Step, people::Contact};
use crate::cli::client::CliError;
use serde_json::json;

const COURSES: &[(&str, &[&str])] = &[
    ("Map and compass", &["Reading contours", "Bearings", "Night navigation", "Final walk"]),
    ("First aid outside", &["The first minute", "Bleeding and breaks", "Cold and heat", "Calling for help"]),
    ("Winter camping", &["The right kit", "Building a platform", "Melting snow", "Sleeping warm"]),
    ("Knots and ropes", &["Five knots", "Anchors", "Belaying", "Rescue"]),
    ("Repair workshop", &["Needles and threads", "Zippers", "Tents", "Soles"]),
    ("Avalanche awareness", &["Snowpack", "Reading the report", "Searching", "Decisions"]),
    ("Bikepacking", &["Bags", "Routes", "Nights", "Repairs on the road"]),
    ("Trail photography", &["Light", "Lenses", "People", "Editing"]),
    ("Leading a group", &["Planning", "Pace", "Trouble", "Afterwards"]),
    ("Foraging", &["Law and sense", "Berries", "Mushrooms", "Cooking"]),
    ("Ultralight", &["The scale", "Shelter", "Food", "What to leave"]),
    ("Families outside", &["Small steps", "Games", "Food", "Safety"]),
];

pub async fn fill(demo: &Demo, contacts: &[Contact]) -> Result<(usize, usize), CliError> {
    let enrolled = demo.all((0..COURSES.len()).map(|number| course(demo, number, contacts))).await?;
    Ok((enrolled.len(), enrolled.into_iter().sum()))
}

async fn course(demo: &Demo, number: usize, contacts: &[Contact]) -> Result<usize, CliError> {
    let mut rng = Rng::of("course", number);
    let (title, lessons) = COURSES[number];
    let at = LAST_DAY - (DAYS as i64 - 30 * number as i64) * 86_400;
    let price = json!({ "amount": 4_900 + 1_000 * rng.below(10), "currency": "EUR" });
    let body = json!({ "title": title, "description": format!("{title}: four evenings online, one day outside."), "price": price });
    let key = |what: &str| format!("demo-course-{number}-{what}");
    let id = demo.run(Step::post(key("create"), "/v1/courses", body).on(at)).await?;
    for (index, lesson) in lessons.iter().enumerate() {
        let lesson = json!({ "title": lesson, "kind": if index == 3 { "quiz" } else { "video" }, "minutes": 25, "required": true });
        let path = format!("/v1/courses/{id}/lessons");
        demo.run(Step::post(key(&format!("lesson-{index}")), path, lesson).on(at + 60 * (index as i64 + 1))).await?;
    }
    demo.run(Step::act(key("publish"), format!("/v1/courses/{id}/publish")).on(at + 3_600)).await?;
    let course = demo.get(&format!("/v1/courses/{id}")).await?;
    let lessons: Vec<String> = course["lessons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|lesson| lesson["id"].as_str().map(str::to_owned))
        .collect();
    let learners = 10 + rng.below(20);
    // Nobody twice: steps of a number that shares no divisor with the count of contacts.
    let first = rng.below(contacts.len());
    for learner in 0..learners {
        let contact = &contacts[(first + learner * 31) % contacts.len()];
        let since = (at + 7 * 86_400).max(contact.since + 86_400);
        let key = |what: &str| format!("demo-course-{number}-learner-{learner}-{what}");
        let body = json!({ "course": id, "contact": contact.id });
        let enrolment = demo.run(Step::post(key("enrol"), "/v1/enrolments", body).on(since)).await?;
        let done = rng.below(lessons.len() + 1);
        for (index, lesson) in lessons.iter().take(done).enumerate() {
            let path = format!("/v1/enrolments/{enrolment}/lessons/{lesson}/complete");
            let score = json!({ "score": 60 + rng.below(41) });
            demo.run(Step::post(key(&format!("lesson-{index}")), path, score).on(since + 86_400 * (index as i64 + 1)))
                .await?;
        }
    }
    Ok(learners)
}
