//! Double opt-in: what a question and its answer do.

use super::*;
use crate::harness::{ID, NOW, given, key, opened, sealed};

fn created() -> ContactEvent {
    let details = ContactDetails { email: "ada@example.org".into(), ..ContactDetails::default() };
    ContactCreated { details: sealed(&details), home: ID, tags: vec!["vip".into()], import: None }.into()
}

fn request() -> ConsentRequest {
    ConsentRequest {
        source: "footer".into(),
        text_version: "2026-01".into(),
        ip: Some("192.0.2.7".into()),
        tags: vec!["letter".into(), "vip".into()],
    }
}

fn ask(although: bool) -> ContactCommand {
    ContactCommand::AskConsent { purpose: Purpose::Marketing, request: request(), although }
}

/// A question so many seconds before now.
fn asked(round: u32, ago: i64) -> ContactEvent {
    let at = NOW.plus_seconds(-ago);
    let (request, expires_at) = (sealed(&request()), at.plus_seconds(CONFIRMATION_LIFE));
    ConsentAsked { purpose: Purpose::Marketing, round, request, at, expires_at }.into()
}

fn given_consent() -> ContactEvent {
    let evidence =
        ConsentEvidence { source: "phone".into(), text_version: "1".into(), ip: None, given_at: NOW.plus_seconds(-1) };
    ConsentGiven { purpose: Purpose::Marketing, evidence: sealed(&evidence) }.into()
}

fn confirm(round: u32) -> ContactCommand {
    ContactCommand::ConfirmConsent { purpose: Purpose::Marketing, round, ip: Some("192.0.2.9".into()) }
}

fn withdrawn() -> ContactEvent {
    ConsentWithdrawn { purpose: Purpose::Marketing, source: "link".into() }.into()
}

#[test]
fn a_question_is_no_consent_and_keeps_what_was_asked_for_sealed() {
    let decision = given::<Contact>([created()]).when(ask(false)).decision();
    let [ContactEvent::ConsentAsked(event)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!((event.round, event.at, event.expires_at), (1, NOW, NOW.plus_seconds(CONFIRMATION_LIFE)));
    assert_eq!(opened(&event.request), request());
    assert!(!format!("{decision:?}").contains("footer"), "nothing personal in the clear");
    let state = given::<Contact>([created(), event.clone().into()]).when(ask(false)).then([]);
    assert!(!state.consents_to(Purpose::Marketing) && state.asked(Purpose::Marketing).is_some());
    assert_eq!(state.link(Purpose::Marketing, 1, NOW), LinkState::Open);
    assert_eq!(state.link(Purpose::Service, 1, NOW), LinkState::Closed);
}

#[test]
fn questions_without_an_answer_come_more_and_more_seldom() {
    let (minute, hour) = (60, 60 * 60);
    let table: [(&[i64], bool); 8] = [
        (&[9 * minute], false),
        (&[10 * minute], true),
        (&[20 * minute, 10 * minute], false),
        (&[2 * hour, hour], true),
        (&[8 * hour, 7 * hour, 5 * hour], false),
        (&[9 * hour, 8 * hour, 6 * hour], true),
        (&[40 * hour, 39 * hour, 33 * hour, 23 * hour], false),
        (&[99 * hour, 98 * hour, 72 * hour, 48 * hour, 24 * hour], true),
    ];
    for (questions, due) in table {
        let rounds = questions.iter().zip(1..).map(|(ago, round)| asked(round, *ago));
        let decision = given::<Contact>([created()].into_iter().chain(rounds)).when(ask(false)).decision();
        assert_eq!(decision.events.len(), usize::from(due), "{questions:?}");
    }
    // An answer begins anew, and a consent in force is not asked for.
    let answered = [created(), asked(1, 3 * minute), asked(2, 2 * minute), given_consent()];
    given::<Contact>(answered.clone()).when(ask(false)).then([]);
    let again = given::<Contact>(answered.into_iter().chain([withdrawn()])).when(ask(false)).decision();
    assert_eq!(again.events.len(), 1);
    let stopped = given::<Contact>([created(), given_consent()]).when(ask(true)).decision();
    assert_eq!(stopped.events.len(), 1, "mail is stopped although there is a consent");
}

#[test]
fn a_yes_is_a_consent_with_its_evidence_and_the_tags_that_were_asked_for() {
    let decision = given::<Contact>([created(), asked(1, 60)]).when(confirm(1)).decision();
    let [ContactEvent::ConsentGiven(event), ContactEvent::Tagged(tagged)] = &decision.events[..] else {
        panic!("{decision:?}")
    };
    let evidence = ConsentEvidence {
        source: "double opt-in: footer".into(),
        text_version: "2026-01".into(),
        ip: Some("192.0.2.9".into()),
        given_at: NOW,
    };
    assert_eq!((opened(&event.evidence), tagged.tag.as_str()), (evidence, "letter"));
    let state = given::<Contact>([created(), asked(1, 60), event.clone().into()]).when(confirm(1)).then([]);
    assert!(state.consents_to(Purpose::Marketing) && state.asked(Purpose::Marketing).is_none());
    assert_eq!(state.link(Purpose::Marketing, 1, NOW), LinkState::Confirmed);
}

#[test]
fn a_link_that_is_over_does_nothing() {
    use ContactRejection as R;
    let late = CONFIRMATION_LIFE;
    given::<Contact>([created(), asked(1, late)]).when(confirm(1)).then_rejected(R::LinkExpired);
    given::<Contact>([created(), asked(1, late - 1)]).when(confirm(1)).decision();
    given::<Contact>([created(), asked(1, 900), asked(2, 60)]).when(confirm(1)).then_rejected(R::LinkClosed);
    given::<Contact>([created()]).when(confirm(1)).then_rejected(R::LinkClosed);
    // Withdrawn: before the answer and after it.
    given::<Contact>([created(), asked(1, 60), withdrawn()]).when(confirm(1)).then_rejected(R::LinkClosed);
    let left = [created(), asked(1, 60), given_consent(), withdrawn()];
    given::<Contact>(left).when(confirm(1)).then_rejected(R::LinkClosed);
    let erased: ContactEvent = ContactErased { key: key().id }.into();
    given::<Contact>([created(), asked(1, 60), erased]).when(confirm(1)).then_rejected(R::Erased);
}

#[test]
fn a_question_can_be_withdrawn() {
    let withdraw = ContactCommand::WithdrawConsent { purpose: Purpose::Marketing, source: "link".into() };
    let state = given::<Contact>([created(), asked(1, 60)]).when(withdraw.clone()).then([withdrawn()]);
    assert!(state.asked(Purpose::Marketing).is_none());
    given::<Contact>([created()]).when(withdraw).then([]);
}

#[test]
fn what_is_asked_for_has_limits() {
    use ContactRejection as R;
    let table = [
        (ConsentRequest { source: " ".into(), ..request() }, R::Required { field: "source" }),
        (ConsentRequest { source: "x".repeat(101), ..request() }, R::TooLong { field: "source", max: 100 }),
        (ConsentRequest { text_version: "a\nb".into(), ..request() }, R::InvalidText { field: "text_version" }),
        (ConsentRequest { tags: vec!["a".into(); 11], ..request() }, R::TooManyAsked),
        (ConsentRequest { tags: vec!["<".into()], ..request() }, R::InvalidTag),
    ];
    for (request, rejection) in table {
        let ask = ContactCommand::AskConsent { purpose: Purpose::Marketing, request, although: false };
        given::<Contact>([created()]).when(ask).then_rejected(rejection);
    }
}
