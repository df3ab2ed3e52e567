use super::*;
use crate::process::harness::{Surroundings, check};
use bus_schema::{Currency, Money};
use std::collections::{BTreeMap, BTreeSet};

const CONTACT: Uuid = Uuid::from_u128(0xb);

/// Courses with places.
#[derive(Clone)]
struct Courses {
    places: BTreeMap<Uuid, u32>,
    learners: BTreeSet<(Uuid, Uuid)>,
}

impl Surroundings<Fulfilment> for Courses {
    fn perform(&mut self, effect: &FulfilmentEffect) -> FulfilmentCommand {
        match *effect {
            FulfilmentEffect::Enrol { product, contact: None, .. } => {
                FulfilmentCommand::Refused { product, reason: RefusalReason::NoContact }
            }
            FulfilmentEffect::Enrol { product, course, contact: Some(contact) } => {
                let places = self.places.entry(course).or_default();
                if !self.learners.insert((course, contact)) {
                    return FulfilmentCommand::Refused { product, reason: RefusalReason::AlreadyEnrolled };
                }
                if *places == 0 {
                    return FulfilmentCommand::Refused { product, reason: RefusalReason::CourseFull };
                }
                *places -= 1;
                FulfilmentCommand::Enrolled { product, enrolment: course, round: 1 }
            }
            FulfilmentEffect::Withdraw { product, enrolment, .. } => {
                *self.places.entry(enrolment).or_default() += 1;
                FulfilmentCommand::Withdrawn { product, outcome: Withdrawal::Withdrawn }
            }
        }
    }
}

fn line(product: u128, quantity: u32) -> CourseLine {
    let (product, course) = (Uuid::from_u128(product), Uuid::from_u128(product + 100));
    CourseLine { product, course, quantity, unit_price: Money::new(1_000, Currency::EUR) }
}

fn order(refunded: &[(u128, u32)]) -> OrderNow {
    let refunded = refunded.iter().map(|(product, pieces)| (Uuid::from_u128(*product), *pieces)).collect();
    OrderNow {
        contact: Some(CONTACT),
        lines: vec![line(1, 1), line(2, 3), line(3, 1)],
        paid: true,
        ended: false,
        refunded,
        patience: Patience::default(),
    }
}

fn courses() -> Courses {
    // The third course is full.
    let places = [(Uuid::from_u128(101), 5), (Uuid::from_u128(102), 5)].into();
    Courses { places, learners: BTreeSet::new() }
}

#[test]
fn deaths_repetitions_and_cuts_make_no_difference() {
    let observe = |at: i64, order| (Micros(at * 1_000_000), FulfilmentCommand::Observe(order));
    let expire = |at: i64| (Micros(at * 1_000_000), FulfilmentCommand::Expire);
    let inputs = [
        observe(1, OrderNow { paid: false, ..order(&[]) }),
        observe(2, order(&[])),
        expire(1_000),
        observe(1_100, order(&[(2, 2)])),
        observe(1_200, order(&[(1, 1), (2, 2), (3, 1)])),
        observe(1_300, OrderNow { ended: true, ..order(&[(1, 1), (2, 2), (3, 1)]) }),
        expire(5_000),
    ];
    let (state, effects) = check::<Fulfilment, _>(courses(), &inputs);
    let book = state.book().unwrap();
    assert!(book.is_settled() && !book.overdue && !book.needs_refund());
    let enrols = effects.iter().filter(|effect| matches!(effect, FulfilmentEffect::Enrol { .. })).count();
    assert_eq!((enrols, effects.len() - enrols), (3, 2), "each line once, and a withdrawal for each that was enrolled");
}

#[test]
fn an_order_without_contact_is_refused_in_every_way() {
    let nobody = OrderNow { contact: None, ..order(&[]) };
    let (state, effects) = check::<Fulfilment, _>(courses(), &[(Micros(0), FulfilmentCommand::Observe(nobody))]);
    assert_eq!(effects.len(), 3);
    assert_eq!(state.book().unwrap().lines.values().map(|line| line.refund_due()).sum::<u32>(), 5);
}

#[test]
fn refusals_are_known_by_their_codes() {
    use bus_schema::shop::fulfilment::RefusalReason as R;
    let of = |code| {
        refusal(&Rejected { code, class: writers::Class::State, message: String::new(), pointer: String::new() })
    };
    assert_eq!(of("course_full"), Some(R::CourseFull));
    assert_eq!(of("course_not_found"), Some(R::CourseClosed));
    assert_eq!(of("already_completed"), Some(R::AlreadyEnrolled));
    assert_eq!(of("something_new"), None);
    // The codes themselves are the deciders'.
    for code in [
        "course_full",
        "course_not_published",
        "course_not_found",
        "no_lessons",
        "already_enrolled",
        "already_completed",
    ] {
        assert!(writers::rejection_catalog::all().any(|spec| spec.code == code), "{code}");
    }
}
