//! Learning: from a draft course to a learner who has completed it.

use super::{tenant, unique};
use crate::support::{Answer, Client};
use serde_json::{Value, json};
use uuid::Uuid;

/// A course with two required lessons and one that may be passed over; its id and theirs.
async fn course(client: &Client, capacity: Option<u32>) -> (Uuid, Vec<String>) {
    let body = json!({"title": unique("Course "), "description": "Much to learn", "capacity": capacity});
    let course = client.make("/v1/courses", &body).await;
    let at = |what: &str| format!("/v1/courses/{course}/{what}");
    client.post(&at("publish"), &json!({})).send().await.refused(409, "no_lessons");
    for (title, kind, required) in [("Begin", "video", true), ("Aside", "page", false), ("Prove", "quiz", true)] {
        let lesson = json!({"title": title, "kind": kind, "minutes": 10, "required": required});
        let added = client.post(&at("lessons"), &lesson).send().await;
        assert!(matches!(added.status, 200 | 201), "{}", added.text());
    }
    let shown = client.read(&format!("/v1/courses/{course}")).await.expect(200).json();
    let id = |lesson: &Value| lesson["id"].as_str().expect("an id").to_owned();
    let lessons = shown["lessons"].as_array().expect("lessons").iter().map(id).collect();
    client.post(&at("publish"), &json!({})).send().await.expect(200);
    (course, lessons)
}

async fn contact(client: &Client) -> Uuid {
    client.make("/v1/contacts", &json!({"email": format!("{}@x.example", unique("c"))})).await
}

async fn enrol(client: &Client, course: Uuid, contact: Uuid) -> Answer {
    client.post("/v1/enrolments", &json!({"course": course, "contact": contact})).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_completes_a_course() {
    let client = tenant().await;
    let (course, lessons) = course(&client, None).await;
    let learner = contact(&client).await;
    let enrolment = enrol(&client, course, learner).await.expect(201).id();
    enrol(&client, course, learner).await.refused(409, "already_enrolled");
    let path = format!("/v1/enrolments/{enrolment}");
    let complete = |lesson: &str, body: Value| client.post(&format!("{path}/lessons/{lesson}/complete"), &body).send();
    let status = async || client.read(&path).await.expect(200).json()["status"].clone();
    complete(&lessons[0], json!({})).await.expect(200);
    complete(&lessons[0], json!({})).await.expect(200);
    complete(&lessons[2], json!({"score": 101})).await.refused(422, "invalid_score");
    complete(&Uuid::nil().to_string(), json!({})).await.refused(404, "lesson_not_found");
    assert_eq!(status().await, "active");
    complete(&lessons[2], json!({"score": 90})).await.expect(200);
    assert_eq!(status().await, "completed");
    enrol(&client, course, learner).await.refused(409, "already_completed");
    let of_course = client.read(&format!("/v1/enrolments?filter[course][_eq]={course}")).await.expect(200).json();
    assert_eq!(of_course["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_course_has_no_more_learners_than_places() {
    let client = tenant().await;
    let (course, _) = course(&client, Some(2)).await;
    let mut learners = Vec::new();
    for _ in 0..8 {
        learners.push(contact(&client).await);
    }
    let answers = futures::future::join_all(learners.iter().map(|learner| enrol(&client, course, *learner))).await;
    let enrolled: Vec<Uuid> = answers.iter().filter(|answer| answer.status == 201).map(Answer::id).collect();
    assert_eq!(enrolled.len(), 2);
    answers.into_iter().filter(|answer| answer.status != 201).for_each(|answer| _ = answer.refused(409, "course_full"));
    let withdraw = format!("/v1/enrolments/{}/withdraw", enrolled[0]);
    client.post(&withdraw, &json!({"reason": "requested"})).send().await.expect(200);
    let late = contact(&client).await;
    enrol(&client, course, late).await.expect(201);
    client.post(&format!("/v1/courses/{course}/retire"), &json!({})).send().await.expect(200);
    let later = contact(&client).await;
    enrol(&client, course, later).await.refused(409, "course_not_published");
}

#[tokio::test(flavor = "multi_thread")]
async fn lessons_keep_their_ids_through_changes_and_reordering() {
    let client = tenant().await;
    let (course, lessons) = course(&client, None).await;
    let at = |what: &str| format!("/v1/courses/{course}/{what}");
    let order = json!({"lessons": [lessons[2], lessons[0], lessons[1]]});
    client.put(&at("lesson-order"), &order).send().await.expect(200);
    client.put(&at("lesson-order"), &json!({"lessons": [lessons[0]]})).send().await.refused(422, "invalid_order");
    let renamed = client.patch(&at(&format!("lessons/{}", lessons[0])), &json!({"title": "Start"})).send().await;
    renamed.expect(200);
    client.delete(&at(&format!("lessons/{}", lessons[1]))).send().await.expect(200);
    let shown = client.read(&format!("/v1/courses/{course}")).await.expect(200).json();
    let left: Vec<(&str, &str)> = shown["lessons"]
        .as_array()
        .expect("lessons")
        .iter()
        .filter_map(|lesson| Some((lesson["id"].as_str()?, lesson["title"].as_str()?)))
        .collect();
    assert_eq!(left, [(lessons[2].as_str(), "Prove"), (lessons[0].as_str(), "Start")]);
}
