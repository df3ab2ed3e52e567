//! Alarms: what needs a person. Whoever watches something raises and clears; the id follows from what it is about, so
//! raising twice changes nothing.

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::platform::alarm::{AlarmCleared, AlarmEvent, AlarmRaised};
use serde::{Deserialize, Serialize};

/// An alarm, quiet until it is raised.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Alarm {
    raised: bool,
}

/// What can be asked of an alarm.
#[derive(Clone, Debug)]
pub enum AlarmCommand {
    Raise(AlarmRaised),
    Clear,
}

rejections! {
    /// Why a command to an alarm is refused.
    pub enum AlarmRejection {
        Unclaimed: State, "nothing_claimed", "", "an alarm claims no value";
    }
}

impl Alarm {
    pub fn is_raised(&self) -> bool {
        self.raised
    }
}

impl Decider for Alarm {
    type Event = AlarmEvent;
    type Command = AlarmCommand;
    type Rejection = AlarmRejection;

    fn decide(&self, command: &AlarmCommand, _ctx: &Ctx) -> Result<Decision<AlarmEvent>, AlarmRejection> {
        Ok(match (command, self.raised) {
            (AlarmCommand::Raise(alarm), false) => Decision::event(alarm.clone()),
            (AlarmCommand::Clear, true) => Decision::event(AlarmCleared {}),
            (AlarmCommand::Raise(_), true) | (AlarmCommand::Clear, false) => Decision::nothing(),
        })
    }

    fn evolve(&mut self, event: &AlarmEvent) {
        self.raised = matches!(event, AlarmEvent::Raised(_));
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> AlarmRejection {
        AlarmRejection::Unclaimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;

    #[test]
    fn an_alarm_is_raised_once_and_cleared_once() {
        let raised = || AlarmRaised { what: "overdue".into(), about: "shop.fulfilment.x".into(), text: "late".into() };
        given::<Alarm>([]).when(AlarmCommand::Raise(raised())).then([raised().into()]);
        given::<Alarm>([raised().into()]).when(AlarmCommand::Raise(raised())).then([]);
        given::<Alarm>([raised().into()]).when(AlarmCommand::Clear).then([AlarmCleared {}.into()]);
        given::<Alarm>([]).when(AlarmCommand::Clear).then([]);
    }
}
