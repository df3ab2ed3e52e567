use super::*;
use crate::harness::{NOW, given};
use bus_schema::{Currency, Money};

const PRODUCT: Uuid = Uuid::from_u128(0xa);
const COURSE: Uuid = Uuid::from_u128(0xc);
const BUYER: Uuid = Uuid::from_u128(0xb);
const ENROLMENT: Uuid = Uuid::from_u128(0xe);

fn course_line(quantity: u32) -> CourseLine {
    CourseLine { product: PRODUCT, course: COURSE, quantity, unit_price: Money::new(5_000, Currency::EUR) }
}

fn order(quantity: u32) -> OrderNow {
    OrderNow { contact: Some(BUYER), lines: vec![course_line(quantity)], paid: true, ..OrderNow::default() }
}

fn deadline() -> Micros {
    NOW.plus_seconds(PATIENCE_SECONDS)
}

fn started(quantity: u32) -> FulfilmentEvent {
    FulfilmentStarted { contact: Some(BUYER), lines: vec![course_line(quantity)], deadline: deadline() }.into()
}

fn enrolled() -> FulfilmentEvent {
    LineEnrolled { product: PRODUCT, enrolment: ENROLMENT, round: 1 }.into()
}

fn refused() -> FulfilmentEvent {
    LineRefused { product: PRODUCT, reason: RefusalReason::CourseFull }.into()
}

fn refunded(pieces: u32) -> FulfilmentEvent {
    LineRefunded { product: PRODUCT, pieces, deadline: deadline() }.into()
}

fn observe(now: OrderNow) -> FulfilmentCommand {
    FulfilmentCommand::Observe(now)
}

#[test]
fn it_begins_when_course_lines_are_paid() {
    let state = given::<Fulfilment>([]).when(observe(order(1))).then([started(1)]);
    let effects: Vec<_> = state.effects(Uuid::from_u128(1)).into_iter().map(|(_, effect)| effect).collect();
    let contact = Some(BUYER);
    assert_eq!(effects, [FulfilmentEffect::Enrol { product: PRODUCT, course: COURSE, contact }]);
    given::<Fulfilment>([]).when(observe(OrderNow { paid: false, ..order(1) })).then([]);
    given::<Fulfilment>([]).when(observe(OrderNow { lines: vec![], ..order(1) })).then([]);
    given::<Fulfilment>([]).when(observe(OrderNow { ended: true, ..order(1) })).then([]);
    let refunds = BTreeMap::from([(PRODUCT, 1)]);
    given::<Fulfilment>([]).when(observe(OrderNow { refunded: refunds.clone(), ..order(1) })).then([]);
    given::<Fulfilment>([]).when(observe(OrderNow { refunded: refunds, ..order(3) })).then([started(3), refunded(1)]);
}

#[test]
fn a_line_is_enrolled_once() {
    let record = || FulfilmentCommand::Enrolled { product: PRODUCT, enrolment: ENROLMENT, round: 1 };
    let state = given::<Fulfilment>([started(1)]).when(record()).then([enrolled()]);
    assert!(state.effects(ENROLMENT).is_empty() && state.book().unwrap().is_settled());
    given::<Fulfilment>([started(1), enrolled()]).when(record()).then([]);
    given::<Fulfilment>([]).when(record()).then_rejected(FulfilmentRejection::Unknown);
    let other = FulfilmentCommand::Enrolled { product: COURSE, enrolment: ENROLMENT, round: 1 };
    given::<Fulfilment>([started(1)]).when(other).then_rejected(FulfilmentRejection::UnknownLine);
}

#[test]
fn pieces_beyond_the_first_are_to_be_refunded() {
    let book = |events: Vec<FulfilmentEvent>| given::<Fulfilment>(events).when(observe(order(3)));
    let state = book(vec![started(3), enrolled()]).then([]);
    assert_eq!(state.book().unwrap().lines[&PRODUCT].refund_due(), 2);
    let state = book(vec![started(3), refused()]).then([]);
    assert_eq!(state.book().unwrap().lines[&PRODUCT].refund_due(), 3);
    let two = OrderNow { refunded: BTreeMap::from([(PRODUCT, 2)]), ..order(3) };
    let state = given::<Fulfilment>([started(3), enrolled()]).when(observe(two)).then([refunded(2)]);
    let book = state.book().unwrap();
    assert!(!book.needs_refund() && book.is_settled(), "the one piece that is served stays");
}

#[test]
fn a_refunded_line_is_withdrawn() {
    let all = OrderNow { refunded: BTreeMap::from([(PRODUCT, 1)]), ..order(1) };
    let state = given::<Fulfilment>([started(1), enrolled()]).when(observe(all)).then([refunded(1)]);
    let effects: Vec<_> = state.effects(BUYER).into_iter().map(|(_, effect)| effect).collect();
    assert_eq!(effects, [FulfilmentEffect::Withdraw { product: PRODUCT, enrolment: ENROLMENT, round: 1 }]);
    let ended = OrderNow { ended: true, ..order(1) };
    given::<Fulfilment>([started(1), enrolled()]).when(observe(ended)).then([refunded(1)]);
    let withdrawn = FulfilmentCommand::Withdrawn { product: PRODUCT, outcome: Withdrawal::Withdrawn };
    let event = LineWithdrawn { product: PRODUCT, outcome: Withdrawal::Withdrawn };
    let state = given::<Fulfilment>([started(1), enrolled(), refunded(1)]).when(withdrawn).then([event.into()]);
    assert!(state.book().unwrap().is_settled());
}

#[test]
fn what_is_not_done_by_the_deadline_is_overdue_until_it_is() {
    let early = FulfilmentStarted { contact: Some(BUYER), lines: vec![course_line(1)], deadline: Micros(NOW.0 - 1) };
    let overdue = || FulfilmentEvent::from(FulfilmentOverdue {});
    given::<Fulfilment>([started(1)]).when(FulfilmentCommand::Expire).then([]);
    let state = given::<Fulfilment>([early.clone().into()]).when(FulfilmentCommand::Expire).then([overdue()]);
    assert!(state.book().unwrap().overdue);
    given::<Fulfilment>([early.clone().into(), enrolled()]).when(FulfilmentCommand::Expire).then([]);
    let record = FulfilmentCommand::Enrolled { product: PRODUCT, enrolment: ENROLMENT, round: 1 };
    let state = given::<Fulfilment>([early.into(), overdue()]).when(record).then([enrolled()]);
    assert!(!state.book().unwrap().overdue);
}

#[test]
fn a_refused_line_is_tried_again_under_another_effect() {
    let reopen = || FulfilmentCommand::Reopen { product: PRODUCT, patience: Patience::default() };
    let reopened = FulfilmentEvent::from(LineReopened { product: PRODUCT, deadline: deadline() });
    let state = given::<Fulfilment>([started(1), refused()]).when(reopen()).then([reopened]);
    let mut first = Fulfilment::default();
    first.evolve(&started(1));
    let ids = |state: &Fulfilment| state.effects(BUYER).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_ne!(ids(&state), ids(&first), "the first one was answered with a refusal");
    given::<Fulfilment>([started(1), enrolled()]).when(reopen()).then_rejected(FulfilmentRejection::NotRefused);
    given::<Fulfilment>([started(1)]).when(reopen()).then_rejected(FulfilmentRejection::NotRefused);
    let gone = [started(1), refused(), refunded(1)];
    given::<Fulfilment>(gone).when(reopen()).then_rejected(FulfilmentRejection::Refunded);
}

#[test]
fn the_deadline_is_what_an_installation_allows() {
    let patience = Patience { seconds: 7 };
    let begun = FulfilmentStarted { contact: Some(BUYER), lines: vec![course_line(1)], deadline: NOW.plus_seconds(7) };
    given::<Fulfilment>([]).when(observe(OrderNow { patience, ..order(1) })).then([begun.into()]);
    let reopened = LineReopened { product: PRODUCT, deadline: NOW.plus_seconds(7) };
    let reopen = FulfilmentCommand::Reopen { product: PRODUCT, patience };
    given::<Fulfilment>([started(1), refused()]).when(reopen).then([reopened.into()]);
}
