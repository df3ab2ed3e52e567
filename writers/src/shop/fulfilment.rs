//! The process from a paid order to enrolments: a decider with a stream of its own, whose id is the order's.
//!
//! It is told what the order looks like now ([`FulfilmentCommand::Observe`]), not what happened to it, so a repeated, late or
//! missed event of the order changes nothing. What it wants done follows from its state alone ([`Fulfilment::effects`]);
//! whoever does it says what came of it. See `ops/docs/ARCHITECTURE.md`, "A process".

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::{
    EffectId, Micros,
    shop::fulfilment::{
        CourseLine, FulfilmentBook, FulfilmentEvent, FulfilmentOverdue, FulfilmentStarted, LineEnrolled, LineRefunded,
        LineRefused, LineReopened, LineState, LineWithdrawn, RefusalReason, Withdrawal,
    },
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How long everything may take before somebody has to look, in seconds, unless an installation says otherwise.
pub const PATIENCE_SECONDS: i64 = 15 * 60;

/// How long everything may take before somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub seconds: i64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { seconds: PATIENCE_SECONDS }
    }
}

/// The fulfilment of an order, nothing before it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fulfilment(Option<FulfilmentBook>);

/// An order as far as it concerns courses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderNow {
    pub contact: Option<Uuid>,
    /// The course lines.
    pub lines: Vec<CourseLine>,
    pub paid: bool,
    /// Cancelled, or all its money went back.
    pub ended: bool,
    /// Pieces whose money went back, by product.
    pub refunded: BTreeMap<Uuid, u32>,
    /// The deadline is so long after it is told.
    pub patience: Patience,
}

/// What a process can be told. All but `Reopen` come from its worker.
#[derive(Clone, Debug)]
pub enum FulfilmentCommand {
    Observe(OrderNow),
    Enrolled {
        product: Uuid,
        enrolment: Uuid,
        round: u32,
    },
    Refused {
        product: Uuid,
        reason: RefusalReason,
    },
    Withdrawn {
        product: Uuid,
        outcome: Withdrawal,
    },
    /// The deadline has passed.
    Expire,
    /// A refused line is to be tried again.
    Reopen {
        product: Uuid,
        patience: Patience,
    },
}

/// What a process wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FulfilmentEffect {
    Enrol {
        product: Uuid,
        course: Uuid,
        contact: Option<Uuid>,
    },
    /// Only while the enrolment is in this round.
    Withdraw {
        product: Uuid,
        enrolment: Uuid,
        round: u32,
    },
}

rejections! {
    /// Why a command to a fulfilment is refused.
    pub enum FulfilmentRejection {
        Unknown: Missing, "fulfilment_not_found", "", "the order has no course lines that were paid";
        UnknownLine: Invalid, "not_in_order", "/product", "the order does not have this product as a course";
        NotRefused: State, "line_not_refused", "/product", "only a line that was refused is tried again";
        Refunded: State, "line_refunded", "/product", "the money of the line went back";
    }
}

impl Fulfilment {
    /// What was promised and done; `None` before it began.
    pub fn book(&self) -> Option<&FulfilmentBook> {
        self.0.as_ref()
    }

    /// What is to be done now, each with the id it has in every attempt. `id` is the process's own.
    pub fn effects(&self, id: Uuid) -> Vec<(EffectId, FulfilmentEffect)> {
        let Some(book) = &self.0 else { return Vec::new() };
        let effect = |(product, standing): (&Uuid, &bus_schema::shop::fulfilment::LineStanding)| {
            let (product, round) = (*product, standing.reopened);
            match standing.state {
                LineState::Wanted => {
                    let (course, contact) = (standing.line.course, book.contact);
                    let id = EffectId::of_process(id, &format!("enrol:{product}:{round}"));
                    Some((id, FulfilmentEffect::Enrol { product, course, contact }))
                }
                LineState::Enrolled { enrolment, round: of } if standing.is_refunded() => {
                    let id = EffectId::of_process(id, &format!("withdraw:{product}:{round}"));
                    Some((id, FulfilmentEffect::Withdraw { product, enrolment, round: of }))
                }
                _ => None,
            }
        };
        book.lines.iter().filter_map(effect).collect()
    }
}

/// Pieces given back of a line, as the order has it.
fn given_back(now: &OrderNow, line: &CourseLine) -> u32 {
    let refunded = now.refunded.get(&line.product).copied().unwrap_or(0).min(line.quantity);
    if now.ended { line.quantity } else { refunded }
}

fn begin(now: &OrderNow, deadline: Micros) -> Decision<FulfilmentEvent> {
    let left = |line: &CourseLine| {
        let quantity = line.quantity.saturating_sub(given_back(now, line));
        (quantity > 0).then(|| line.clone())
    };
    let lines: Vec<CourseLine> = now.lines.iter().filter_map(left).collect();
    if !now.paid || lines.is_empty() {
        return Decision::nothing();
    }
    let refunded = |line: &CourseLine| {
        let (product, pieces) = (line.product, given_back(now, line));
        (pieces > 0).then_some(LineRefunded { product, pieces, deadline })
    };
    let refunds: Vec<_> = lines.iter().filter_map(refunded).collect();
    let started = Decision::event(FulfilmentStarted { contact: now.contact, lines, deadline });
    refunds.into_iter().fold(started, Decision::and)
}

impl Decider for Fulfilment {
    type Event = FulfilmentEvent;
    type Command = FulfilmentCommand;
    type Rejection = FulfilmentRejection;

    fn decide(&self, command: &FulfilmentCommand, ctx: &Ctx) -> Result<Decision<FulfilmentEvent>, FulfilmentRejection> {
        use FulfilmentRejection as R;
        let after = |patience: &Patience| ctx.now.plus_seconds(patience.seconds);
        let book = match (&self.0, command) {
            (Some(book), _) => book,
            (None, FulfilmentCommand::Observe(now)) => return Ok(begin(now, after(&now.patience))),
            (None, _) => return Err(R::Unknown),
        };
        let line = |product: &Uuid| book.lines.get(product).ok_or(R::UnknownLine);
        let nothing = Ok(Decision::nothing());
        match command {
            FulfilmentCommand::Observe(now) => {
                let deadline = after(&now.patience);
                let more = book.lines.values().filter_map(|standing| {
                    let (product, pieces) = (standing.line.product, given_back(now, &standing.line));
                    (pieces > standing.refunded).then_some(LineRefunded { product, pieces, deadline })
                });
                Ok(more.fold(Decision::nothing(), Decision::and))
            }
            FulfilmentCommand::Enrolled { product, enrolment, round } => match line(product)?.state {
                LineState::Wanted => {
                    let (product, enrolment, round) = (*product, *enrolment, *round);
                    Ok(Decision::event(LineEnrolled { product, enrolment, round }))
                }
                _ => nothing,
            },
            FulfilmentCommand::Refused { product, reason } => match line(product)?.state {
                LineState::Wanted => Ok(Decision::event(LineRefused { product: *product, reason: *reason })),
                _ => nothing,
            },
            FulfilmentCommand::Withdrawn { product, outcome } => match line(product)?.state {
                LineState::Enrolled { .. } => {
                    Ok(Decision::event(LineWithdrawn { product: *product, outcome: *outcome }))
                }
                _ => nothing,
            },
            FulfilmentCommand::Expire if book.is_settled() || book.overdue || ctx.now < book.deadline => nothing,
            FulfilmentCommand::Expire => Ok(Decision::event(FulfilmentOverdue {})),
            FulfilmentCommand::Reopen { product, patience } => {
                let deadline = after(patience);
                let standing = line(product)?;
                match standing.state {
                    _ if standing.is_refunded() => Err(R::Refunded),
                    LineState::Refused(_) => Ok(Decision::event(LineReopened { product: *product, deadline })),
                    LineState::Wanted if standing.reopened > 0 => nothing,
                    _ => Err(R::NotRefused),
                }
            }
        }
    }

    fn evolve(&mut self, event: &FulfilmentEvent) {
        self.0 = FulfilmentBook::after(self.0.take(), event);
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> FulfilmentRejection {
        FulfilmentRejection::Unknown
    }
}

#[cfg(test)]
mod tests;
