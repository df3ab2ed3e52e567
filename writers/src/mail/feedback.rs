//! What came back about a mail: a bounce is known once for each degree, a complaint until it is taken back.
//!
//! Reports are repeated and come in any order: the gravest bounce stays whichever came first, and a delivery that is reported
//! after a bounce changes nothing of it (a server may take a mail and send it back later).

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::{self, TextFault},
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    TenantId,
    mail::{
        feedback::{
            BounceKind, ComplaintWithdrawn, FeedbackEvent, MailBounced, MailComplained, MailDelivered, feedback_id,
        },
        response::MailRef,
    },
};
use serde::{Deserialize, Serialize};

/// What is known about a mail that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    mail: Option<MailRef>,
    bounce: Option<BounceKind>,
    delivered: bool,
    complained: bool,
}

/// A report about a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    pub mail: MailRef,
    pub what: Told,
    /// What said so: `dsn`, `arf`, `smtp`, `sns`.
    pub via: String,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// With a status such as `5.1.1`.
    Bounced {
        kind: BounceKind,
        status: Option<String>,
    },
    Delivered,
    /// With a word such as `abuse`.
    Complained {
        kind: String,
    },
    NotSpam,
}

rejections! {
    /// Why a report is refused.
    pub enum FeedbackRejection {
        OtherMail: Invalid, "other_mail", "/mail", "the report is about another mail";
        InvalidStatus: Invalid, "invalid_status", "/status", "a status has the form 5.1.1 (RFC 3463)";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters are allowed";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters and line breaks are not allowed";
    }
}

impl From<TextFault> for FeedbackRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Feedback {
    pub fn bounce(&self) -> Option<BounceKind> {
        self.bounce
    }

    pub fn complained(&self) -> bool {
        self.complained
    }

    pub fn delivered(&self) -> bool {
        self.delivered
    }
}

impl Decider for Feedback {
    type Event = FeedbackEvent;
    type Command = Tell;
    type Rejection = FeedbackRejection;

    fn decide(&self, tell: &Tell, _: &Ctx) -> Result<Decision<FeedbackEvent>, FeedbackRejection> {
        let mail = tell.mail;
        if self.mail.is_some_and(|known| feedback_id(&known) != feedback_id(&mail)) {
            return Err(FeedbackRejection::OtherMail);
        }
        let via = text::required_line("via", &tell.via, 20)?;
        Ok(match &tell.what {
            Told::Bounced { kind, status } => {
                if status.as_deref().is_some_and(|status| !is_status(status)) {
                    return Err(FeedbackRejection::InvalidStatus);
                }
                if self.bounce >= Some(*kind) {
                    return Ok(Decision::nothing());
                }
                let (kind, status, instead_of) = (*kind, status.clone(), self.bounce);
                Decision::event(MailBounced { mail, kind, instead_of, status, via })
            }
            Told::Delivered if self.delivered => Decision::nothing(),
            Told::Delivered => Decision::event(MailDelivered { mail, via }),
            Told::Complained { .. } if self.complained => Decision::nothing(),
            Told::Complained { kind } => {
                Decision::event(MailComplained { mail, kind: text::required_line("kind", kind, 40)?, via })
            }
            Told::NotSpam if self.complained => Decision::event(ComplaintWithdrawn { mail, via }),
            Told::NotSpam => Decision::nothing(),
        })
    }

    fn evolve(&mut self, event: &FeedbackEvent) {
        self.mail = Some(event.mail());
        match event {
            FeedbackEvent::Bounced(bounced) => self.bounce = self.bounce.max(Some(bounced.kind)),
            FeedbackEvent::Delivered(_) => self.delivered = true,
            FeedbackEvent::Complained(_) => self.complained = true,
            FeedbackEvent::ComplaintWithdrawn(_) => self.complained = false,
        }
    }

    /// A report claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> FeedbackRejection {
        FeedbackRejection::OtherMail
    }
}

/// Tells what came back. Whether anything of it was new is in the receipt.
pub async fn tell(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    tell: &Tell,
) -> Result<Receipt<Loaded<Feedback>>, WriteError> {
    writer.execute::<Feedback>(tenant, feedback_id(&tell.mail), meta, tell).await
}

/// Class, subject and detail of RFC 3463.
pub fn is_status(text: &str) -> bool {
    let mut parts = text.split('.');
    let class = parts.next().is_some_and(|class| ["2", "4", "5"].contains(&class));
    let mut number =
        || parts.next().is_some_and(|part| (1..=3).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit()));
    class && number() && number() && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;
    use uuid::Uuid;

    fn mail() -> MailRef {
        MailRef { campaign: Uuid::from_u128(1), contact: Uuid::from_u128(2), seat: None, generation: 0 }
    }

    fn tell(what: Told) -> Tell {
        Tell { mail: mail(), what, via: "dsn".into() }
    }

    fn bounce(kind: BounceKind) -> Tell {
        tell(Told::Bounced { kind, status: Some("5.1.1".into()) })
    }

    fn bounced(kind: BounceKind, instead_of: Option<BounceKind>) -> FeedbackEvent {
        MailBounced { mail: mail(), kind, instead_of, status: Some("5.1.1".into()), via: "dsn".into() }.into()
    }

    /// Every report in this order; what is known then.
    fn after(reports: &[Tell]) -> Feedback {
        let mut events = Vec::new();
        for report in reports {
            events.extend(given::<Feedback>(events.clone()).when(report.clone()).decision().events);
        }
        let mut state = Feedback::default();
        events.iter().for_each(|event| state.evolve(event));
        state
    }

    #[test]
    fn check_57_the_same_report_again_says_nothing_new() {
        given::<Feedback>([]).when(bounce(BounceKind::Permanent)).then([bounced(BounceKind::Permanent, None)]);
        let known = [bounced(BounceKind::Transient, None)];
        given::<Feedback>(known.clone()).when(bounce(BounceKind::Transient)).then([]);
        given::<Feedback>(known)
            .when(bounce(BounceKind::Permanent))
            .then([bounced(BounceKind::Permanent, Some(BounceKind::Transient))]);
    }

    #[test]
    fn check_58_what_is_known_does_not_depend_on_the_order() {
        let complaint = tell(Told::Complained { kind: "abuse".into() });
        let reports = [bounce(BounceKind::Transient), tell(Told::Delivered), complaint, bounce(BounceKind::Permanent)];
        let mail = Some(mail());
        let expected = Feedback { mail, bounce: Some(BounceKind::Permanent), delivered: true, complained: true };
        for first in 0..4 {
            for step in [1, 3] {
                let order: Vec<Tell> = (0..4).map(|at| reports[(first + at * step) % 4].clone()).collect();
                assert_eq!(after(&order), expected, "{order:?}");
                assert_eq!(after(&[order.clone(), order].concat()), expected);
            }
        }
    }

    #[test]
    fn check_55_a_complaint_is_taken_back() {
        let complaint = tell(Told::Complained { kind: "abuse".into() });
        assert!(!after(&[complaint.clone(), tell(Told::NotSpam)]).complained());
        assert!(after(&[tell(Told::NotSpam), complaint]).complained());
    }

    #[test]
    fn a_status_is_one() {
        for (text, good) in
            [("5.1.1", true), ("4.7.650", true), ("3.1.1", false), ("5.1", false), ("5.1.1 <a@b>", false)]
        {
            assert_eq!(is_status(text), good, "{text}");
        }
    }
}
