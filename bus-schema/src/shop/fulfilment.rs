//! What an order's course lines still owe their buyer. The process that turns paid lines into enrolments keeps its state
//! here; its id is the order's.

use crate::{events, money::Money, time::Micros};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

events! {
    /// What can happen to the fulfilment of an order.
    pub enum FulfilmentEvent {
        Started(FulfilmentStarted) = "fulfilment.started" @ 1,
        LineEnrolled(LineEnrolled) = "fulfilment.line_enrolled" @ 1,
        LineRefused(LineRefused) = "fulfilment.line_refused" @ 1,
        LineReopened(LineReopened) = "fulfilment.line_reopened" @ 1,
        LineRefunded(LineRefunded) = "fulfilment.line_refunded" @ 1,
        LineWithdrawn(LineWithdrawn) = "fulfilment.line_withdrawn" @ 1,
        Overdue(FulfilmentOverdue) = "fulfilment.overdue" @ 1,
    }
}

/// A line of the order that enrols its buyer. A product is in one line of an order, so it names the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourseLine {
    pub product: Uuid,
    pub course: Uuid,
    /// Pieces that are paid and not given back. A buyer is one learner: every piece beyond the first is to be refunded.
    pub quantity: u32,
    pub unit_price: Money,
}

/// The order is paid and has course lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FulfilmentStarted {
    /// The learner; absent when the order was placed without a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Uuid>,
    pub lines: Vec<CourseLine>,
    /// What is not done by then is overdue.
    pub deadline: Micros,
}

/// The buyer is in the course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineEnrolled {
    pub product: Uuid,
    pub enrolment: Uuid,
    /// Which time the learner is in the course: an enrolment of another round is not this line's.
    pub round: u32,
}

/// Why a line has no enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    CourseFull,
    /// It is not published, was retired, has no lessons or never was.
    CourseClosed,
    /// The learner is in the course already, or has completed it.
    AlreadyEnrolled,
    /// The order has no contact, so nobody can be enrolled.
    NoContact,
    /// The contact was erased.
    ContactErased,
}

impl RefusalReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CourseFull => "course_full",
            Self::CourseClosed => "course_closed",
            Self::AlreadyEnrolled => "already_enrolled",
            Self::NoContact => "no_contact",
            Self::ContactErased => "contact_erased",
        }
    }
}

/// The line cannot be fulfilled: its money is to go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineRefused {
    pub product: Uuid,
    pub reason: RefusalReason,
}

/// Somebody wants a refused line tried again, because there is a place now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineReopened {
    pub product: Uuid,
    pub deadline: Micros,
}

/// Money of the line went back, for so many of its pieces in all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineRefunded {
    pub product: Uuid,
    pub pieces: u32,
    pub deadline: Micros,
}

/// What became of the enrolment of a line that was refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    Withdrawn,
    /// The learner had completed the course, which stays so.
    Completed,
    /// The learner had left the course before, or is in it for another reason now.
    Left,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineWithdrawn {
    pub product: Uuid,
    pub outcome: Withdrawal,
}

/// The deadline has passed and something is not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FulfilmentOverdue {}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// The buyer is to be enrolled. What was begun is finished, also when the money went back meanwhile.
    Wanted,
    Enrolled {
        enrolment: Uuid,
        round: u32,
    },
    Refused(RefusalReason),
    Closed(Withdrawal),
}

/// A line with where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineStanding {
    pub line: CourseLine,
    pub state: LineState,
    /// Pieces whose money went back.
    pub refunded: u32,
    /// How often it was tried again after a refusal.
    pub reopened: u32,
}

impl LineStanding {
    /// All of its money went back.
    pub fn is_refunded(&self) -> bool {
        self.refunded >= self.line.quantity
    }

    /// There is nothing to do for it.
    pub fn is_settled(&self) -> bool {
        match self.state {
            LineState::Wanted => false,
            LineState::Enrolled { .. } => !self.is_refunded(),
            LineState::Refused(_) | LineState::Closed(_) => true,
        }
    }

    /// Pieces whose money is to go back: all of a line that was refused, those beyond the first of others.
    pub fn refund_due(&self) -> u32 {
        let served = match self.state {
            LineState::Wanted | LineState::Enrolled { .. } => 1,
            LineState::Refused(_) => 0,
            LineState::Closed(_) => return 0,
        };
        self.line.quantity.saturating_sub(self.refunded).saturating_sub(served)
    }
}

/// The fulfilment of an order: what its events make of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FulfilmentBook {
    pub contact: Option<Uuid>,
    pub lines: BTreeMap<Uuid, LineStanding>,
    pub deadline: Micros,
    /// The deadline passed before everything was done; until it is.
    pub overdue: bool,
}

impl FulfilmentBook {
    /// The book after one more event; `None` before the first.
    pub fn after(book: Option<Self>, event: &FulfilmentEvent) -> Option<Self> {
        if let FulfilmentEvent::Started(started) = event {
            let standing = |line: &CourseLine| {
                (line.product, LineStanding { line: line.clone(), state: LineState::Wanted, refunded: 0, reopened: 0 })
            };
            let FulfilmentStarted { contact, lines, deadline } = started;
            let lines = lines.iter().map(standing).collect();
            return Some(Self { contact: *contact, lines, deadline: *deadline, overdue: false });
        }
        let mut book = book?;
        let mut at =
            |product: &Uuid, edit: &dyn Fn(&mut LineStanding)| book.lines.get_mut(product).into_iter().for_each(edit);
        match event {
            FulfilmentEvent::Started(_) => {}
            FulfilmentEvent::LineEnrolled(LineEnrolled { product, enrolment, round }) => {
                at(product, &|line| line.state = LineState::Enrolled { enrolment: *enrolment, round: *round });
            }
            FulfilmentEvent::LineRefused(LineRefused { product, reason }) => {
                at(product, &|line| line.state = LineState::Refused(*reason));
            }
            FulfilmentEvent::LineReopened(LineReopened { product, deadline }) => {
                at(product, &|line| {
                    line.state = LineState::Wanted;
                    line.reopened += 1;
                });
                book.deadline = *deadline;
            }
            FulfilmentEvent::LineRefunded(LineRefunded { product, pieces, deadline }) => {
                at(product, &|line| line.refunded = *pieces);
                book.deadline = *deadline;
            }
            FulfilmentEvent::LineWithdrawn(LineWithdrawn { product, outcome }) => {
                at(product, &|line| line.state = LineState::Closed(*outcome));
            }
            FulfilmentEvent::Overdue(_) => book.overdue = true,
        }
        book.overdue &= !book.is_settled();
        Some(book)
    }

    /// There is nothing to do until the order changes.
    pub fn is_settled(&self) -> bool {
        self.lines.values().all(LineStanding::is_settled)
    }

    /// Somebody has to give money back.
    pub fn needs_refund(&self) -> bool {
        self.lines.values().any(|line| line.refund_due() > 0)
    }
}
