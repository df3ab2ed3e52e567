//! Subjects, names and actors.

use super::mutate::run;
use bus_schema::{Actor, Cell, Micros, Money, Subject, TenantId, ids::random_uuid};

const WORDS: &[&[u8]] = &[
    b".",
    b"*",
    b">",
    b" ",
    b"ev",
    b"fx",
    b"..",
    b"\r\n",
    b"\0",
    "ä".as_bytes(),
    b"$JS",
    b"account:",
    b"system:",
    b"-",
];

#[test]
fn subjects() {
    let corpus: [&[u8]; 3] = [
        b"ev.eu1.demo.crm.contact.0198c0de-0000-7000-8000-000000000001",
        b"fx.eu1.demo.analytics.visit.b7",
        b"ev.eu1.demo.claim.page-slug.0123456789abcdef",
    ];
    run("subjects", &corpus, WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        let Ok(subject) = Subject::parse(&text) else { return false };
        assert_eq!(subject.to_string(), text, "one way to write each subject");
        assert!(!text.contains(['*', '>', ' ', '\r', '\n']), "{text:?}");
        true
    });
}

#[test]
fn names_and_actors() {
    let account = format!("account:{}", random_uuid());
    let corpus: [&[u8]; 5] = [b"demo", b"eu1", account.as_bytes(), b"visitor", b"system:import"];
    run("names and actors", &corpus, WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        let tenant = TenantId::try_new(&text).inspect(|name| assert_eq!(name.as_str(), text)).is_ok();
        let cell = Cell::try_new(&text).is_ok();
        let actor = text.parse::<Actor>().inspect(|actor| {
            assert_eq!(actor.to_string().parse::<Actor>().as_ref(), Ok(actor), "{text:?}");
        });
        tenant || cell || actor.is_ok()
    });
}

#[test]
fn times_and_money() {
    let corpus: [&[u8]; 3] = [b"2026-11-22T02:50:00Z", b"-9223372036854775808", br#"{"minor":1,"currency":"EUR"}"#];
    let words: [&[u8]; 5] = [b"T", b"+25:00", b"9999", b"EUR", b"\"minor\""];
    run("times and money", &corpus, &words, |input| {
        let text = String::from_utf8_lossy(input);
        let time =
            Micros::parse(&text).inspect(|time| _ = (time.to_string(), time.date(), time.plus_seconds(i64::MAX)));
        time.is_some() || serde_json::from_str::<Money>(&text).is_ok()
    });
}
