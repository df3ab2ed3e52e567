//! Parked items: events a worker has given up, until somebody lets it try again or drops them. The id is the effect's
//! (`EffectId::of`), so one event is parked once for each worker, however often its parking is repeated.

use super::worker::{MAX_REASON, valid_reason};
use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::platform::parked_item::{ItemDropped, ItemHandled, ItemParked, ItemRetryRequested, ParkedItemEvent};
use serde::{Deserialize, Serialize};

/// The longest cause that is kept, in characters.
const MAX_CAUSE: usize = 500;

/// An item, nothing before it was parked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ParkedItem {
    standing: Option<ItemStanding>,
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemStanding {
    /// Nothing happens until somebody decides.
    Parked,
    /// The worker is to try again.
    Retrying,
    Handled,
    Dropped,
}

/// What can be asked of an item. Workers park and report, operators retry and drop.
#[derive(Clone, Debug)]
pub enum ParkedItemCommand {
    Park(ItemParked),
    Retry,
    /// Tried again, it succeeded.
    Handled,
    Drop {
        reason: String,
    },
}

rejections! {
    /// Why a command to a parked item is refused.
    pub enum ParkedItemRejection {
        Unknown: Missing, "parked_item_not_found", "", "there is no such parked item";
        Ended: State, "not_parked", "", "the item is not parked any more: it was handled or dropped";
        InvalidReason: Invalid, "invalid_reason", "/reason", "a reason has at most {MAX_REASON} characters and no control characters";
    }
}

impl ParkedItem {
    /// `None` when it was never parked.
    pub fn standing(&self) -> Option<ItemStanding> {
        self.standing
    }
}

impl Decider for ParkedItem {
    type Event = ParkedItemEvent;
    type Command = ParkedItemCommand;
    type Rejection = ParkedItemRejection;

    fn decide(
        &self,
        command: &ParkedItemCommand,
        _ctx: &Ctx,
    ) -> Result<Decision<ParkedItemEvent>, ParkedItemRejection> {
        use ItemStanding as S;
        use ParkedItemRejection as R;
        match (command, self.standing) {
            (ParkedItemCommand::Park(item), None | Some(S::Retrying)) => {
                let cause = item.cause.chars().filter(|c| !c.is_control()).take(MAX_CAUSE).collect();
                Ok(Decision::event(ItemParked { cause, ..item.clone() }))
            }
            // Its parking is repeated after a crash, or somebody has decided meanwhile.
            (ParkedItemCommand::Park(_), Some(_)) => Ok(Decision::nothing()),
            (_, None) => Err(R::Unknown),
            (ParkedItemCommand::Retry, Some(S::Parked)) => Ok(Decision::event(ItemRetryRequested {})),
            (ParkedItemCommand::Retry, Some(S::Retrying)) => Ok(Decision::nothing()),
            (ParkedItemCommand::Handled, Some(S::Parked | S::Retrying)) => Ok(Decision::event(ItemHandled {})),
            (ParkedItemCommand::Handled, Some(S::Handled | S::Dropped)) => Ok(Decision::nothing()),
            (ParkedItemCommand::Drop { reason }, Some(S::Parked | S::Retrying)) => {
                let reason = valid_reason(reason).ok_or(R::InvalidReason)?;
                Ok(Decision::event(ItemDropped { reason }))
            }
            (ParkedItemCommand::Drop { .. }, Some(S::Dropped)) => Ok(Decision::nothing()),
            (ParkedItemCommand::Retry, Some(S::Handled | S::Dropped))
            | (ParkedItemCommand::Drop { .. }, Some(S::Handled)) => Err(R::Ended),
        }
    }

    fn evolve(&mut self, event: &ParkedItemEvent) {
        self.standing = Some(match event {
            ParkedItemEvent::Parked(_) => ItemStanding::Parked,
            ParkedItemEvent::RetryRequested(_) => ItemStanding::Retrying,
            ParkedItemEvent::Handled(_) => ItemStanding::Handled,
            ParkedItemEvent::Dropped(_) => ItemStanding::Dropped,
        });
    }

    fn creates(command: &ParkedItemCommand) -> bool {
        matches!(command, ParkedItemCommand::Park(_))
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> ParkedItemRejection {
        ParkedItemRejection::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;
    use bus_schema::EventId;
    use uuid::Uuid;

    fn item() -> ItemParked {
        ItemParked {
            worker: "letters".into(),
            position: 7,
            event: EventId(Uuid::from_u128(1)),
            kind: "order.paid".into(),
            subject: "shop.order.x".into(),
            attempts: 8,
            cause: "no provider".into(),
        }
    }

    #[test]
    fn an_item_is_parked_once_and_tried_again_on_demand() {
        let park = || ParkedItemCommand::Park(item());
        let parked = || ParkedItemEvent::from(item());
        let retry = || ParkedItemEvent::from(ItemRetryRequested {});
        given::<ParkedItem>([]).when(park()).then([parked()]);
        given::<ParkedItem>([parked()]).when(park()).then([]);
        given::<ParkedItem>([parked()]).when(ParkedItemCommand::Retry).then([retry()]);
        given::<ParkedItem>([parked(), retry()]).when(park()).then([parked()]);
        let handled =
            given::<ParkedItem>([parked(), retry()]).when(ParkedItemCommand::Handled).then([ItemHandled {}.into()]);
        assert_eq!(handled.standing(), Some(ItemStanding::Handled));
    }

    #[test]
    fn what_has_ended_stays_so() {
        let drop = || ParkedItemCommand::Drop { reason: "a test".into() };
        let dropped = ParkedItemEvent::from(ItemDropped { reason: "a test".into() });
        given::<ParkedItem>([item().into()]).when(drop()).then([dropped.clone()]);
        let after = |command| given::<ParkedItem>([item().into(), dropped.clone()]).when(command);
        after(ParkedItemCommand::Retry).then_rejected(ParkedItemRejection::Ended);
        after(ParkedItemCommand::Park(item())).then([]);
        after(drop()).then([]);
        given::<ParkedItem>([]).when(ParkedItemCommand::Retry).then_rejected(ParkedItemRejection::Unknown);
        given::<ParkedItem>([]).when(drop()).then_rejected(ParkedItemRejection::Unknown);
    }

    #[test]
    fn a_cause_is_bounded() {
        let wordy = ItemParked { cause: "a\n".repeat(2_000), ..item() };
        let kept = ItemParked { cause: "a".repeat(MAX_CAUSE), ..item() };
        given::<ParkedItem>([]).when(ParkedItemCommand::Park(wordy)).then([kept.into()]);
    }
}
