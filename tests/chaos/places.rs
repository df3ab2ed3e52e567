//! No place where a drill can kill a process is forgotten: they are found in the source, and each is in the table of a drill
//! that starts the real binary, lets it die there, and looks whether anything is lost or doubled.

use super::fulfilment::PLACES;
use crate::{
    scenarios::{
        archives::kills,
        overdue::{alarms, count, done, hanging, paid, raised},
        workers::of_the_future,
    },
    support::{Client, Platform, eventually},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use workers::archive::archiver::KillPoint;

/// Those of a worker that are drilled here.
const HERE: [&str; 2] = ["expired", "parked"];

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).expect("a folder").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.extend(Some(path).filter(|path| path.extension().is_some_and(|ext| ext == "rs"))),
        }
    }
}

#[test]
fn every_place_of_the_source_is_drilled() {
    let (mut files, mut places, mut jobs) = (Vec::new(), BTreeSet::new(), Vec::new());
    sources(&crate::architecture::workspace().join("workers/src"), &mut files);
    for path in files {
        let text = std::fs::read_to_string(&path).expect("readable");
        if text.contains("runtime::start(") {
            jobs.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
        if path.ends_with("runtime/crash.rs") {
            continue;
        }
        for call in text.split("crash::point(").skip(1) {
            let literal = call.split(')').next().and_then(|arguments| arguments.split('"').nth(1));
            let place = literal.unwrap_or_else(|| panic!("{}: a place without a name: {call:.60}", path.display()));
            places.insert(place.to_owned());
        }
    }
    let drilled: BTreeSet<String> = PLACES.iter().chain(&HERE).map(|place| (*place).to_owned()).collect();
    assert_eq!(places, drilled, "each place of the source is drilled, in fulfilment.rs or here");
    assert_eq!(jobs, ["fulfilment"], "a worker over the runtime that is new needs drills of its own");
    let named = |point: KillPoint| {
        let mut name = String::new();
        for letter in format!("{point:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
        }
        name
    };
    let points: BTreeSet<String> = KillPoint::ALL.into_iter().map(named).collect();
    let drilled: BTreeSet<String> = kills::POINTS.iter().map(|(point, _)| (*point).to_owned()).collect();
    assert_eq!(points, drilled, "each point of the archiver is drilled in tests/scenarios/archives/kills.rs");
}

fn dies_at(place: &str) -> (&'static str, String) {
    ("MILLRACE_CRASH_AT", format!("fulfilments.{place}"))
}

async fn dead(client: &Client, platform: Platform) {
    eventually("it dies", 90, async || client.get("/healthz").try_send().await.is_err()).await;
    platform.kill();
}

/// Between "it is late" in the process's stream and the alarm.
#[tokio::test(flavor = "multi_thread")]
async fn a_death_before_the_alarm_raises_it_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let drill = [hanging("armed", 3), vec![dies_at("expired")]].concat();
    let platform = Platform::open_with(dir.path(), &drill);
    let client = platform.client();
    let (order, seat) = paid(&client).await;
    dead(&client, platform).await;
    let platform = Platform::open_with(dir.path(), &hanging("taken", 3));
    let client = platform.client();
    raised(&client, order).await;
    assert_eq!(alarms(&client, order).await.len(), 1);
    platform.kill();
    let platform = Platform::open(dir.path());
    let client = platform.client();
    done(&client, order, seat).await;
    let counted = (
        count(&client, "fulfilment.overdue").await,
        count(&client, "alarm.raised").await,
        count(&client, "alarm.cleared").await,
    );
    assert_eq!(counted, (1, 1, 1));
}

/// Between the parking in the log and the acknowledgement of what is parked.
#[tokio::test(flavor = "multi_thread")]
async fn a_death_after_parking_parks_it_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let platform = Platform::open_with(dir.path(), &[dies_at("parked")]);
    let client = platform.client();
    of_the_future(&platform, &platform.ready.tenant).await;
    dead(&client, platform).await;
    let platform = Platform::open(dir.path());
    let client = platform.client();
    eventually("nothing waits for the worker", 90, async || {
        let workers = client.get("/v1/workers").send().await.json();
        let mut items = workers["items"].as_array().into_iter().flatten();
        items.any(|worker| worker["name"] == "fulfilments" && worker["lag"] == 0 && worker["in_flight"] == 0)
    })
    .await;
    eventually("it is listed", 30, async || client.get("/v1/parked-items").send().await.json()["total"] == 1).await;
    let listed = client.get("/v1/parked-items").send().await.expect(200).json();
    assert_eq!(listed["items"][0]["times_parked"], json!(1), "{listed:#}");
}
