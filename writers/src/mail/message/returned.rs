//! What came back about the mail of a message. As with campaigns ([`Feedback`](crate::mail::feedback::Feedback)): a bounce is known once for
//! each degree, a complaint until it is taken back, and the order says nothing.

use super::{MessageEvent, MessageRejection};
use crate::{
    decider::Decision,
    mail::feedback::{Told, is_status},
    text,
};
use bus_schema::mail::{
    feedback::BounceKind,
    message::{MessageBounced, MessageComplained, MessageComplaintWithdrawn, MessageDelivered},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Returned {
    bounce: Option<BounceKind>,
    delivered: bool,
    complained: bool,
}

impl Returned {
    pub(super) fn tell(self, generation: u32, what: &Told) -> Result<Decision<MessageEvent>, MessageRejection> {
        Ok(match what {
            Told::Bounced { status, .. } if status.as_deref().is_some_and(|status| !is_status(status)) => {
                return Err(MessageRejection::InvalidStatus);
            }
            Told::Bounced { kind, .. } if self.bounce >= Some(*kind) => Decision::nothing(),
            Told::Bounced { kind, status } => {
                let cause = status.clone().unwrap_or_else(|| kind.as_str().to_owned());
                Decision::event(MessageBounced { generation, cause, kind: Some(*kind) })
            }
            Told::Delivered if self.delivered => Decision::nothing(),
            Told::Delivered => Decision::event(MessageDelivered { generation }),
            Told::Complained { .. } if self.complained => Decision::nothing(),
            Told::Complained { kind } => {
                Decision::event(MessageComplained { generation, kind: text::required_line("kind", kind, 40)? })
            }
            Told::NotSpam if self.complained => Decision::event(MessageComplaintWithdrawn { generation }),
            Told::NotSpam => Decision::nothing(),
        })
    }

    pub(super) fn evolve(&mut self, event: &MessageEvent) {
        match event {
            // One of old says nothing of its degree.
            MessageEvent::Bounced(bounced) => {
                self.bounce = self.bounce.max(Some(bounced.kind.unwrap_or(BounceKind::Undetermined)));
            }
            MessageEvent::Delivered(_) => self.delivered = true,
            MessageEvent::Complained(_) => self.complained = true,
            MessageEvent::ComplaintWithdrawn(_) => self.complained = false,
            // The mail that is made next is tried anew, under its old name or another one.
            MessageEvent::Requeued(_) => *self = Self::default(),
            _ => {}
        }
    }
}
