//! Test sends: requested once, finished once.

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
};
use bus_schema::{
    claim::ClaimHash,
    mail::{
        chunk::Fate,
        test_send::{TestOutcome, TestSendEvent, TestSendFinished, TestSendRequested},
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Addresses of one test.
pub const MAX_ADDRESSES: usize = 10;

/// A test send.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TestSend {
    addresses: Option<Vec<ClaimHash>>,
    outcomes: Option<Vec<TestOutcome>>,
}

/// What can be asked of a test send.
#[derive(Clone, Debug)]
pub enum TestSendCommand {
    Request { campaign: Uuid, addresses: Vec<ClaimHash> },
    Finish { outcomes: Vec<TestOutcome> },
}

rejections! {
    /// Why a command to a test send is refused.
    pub enum TestSendRejection {
        Unknown: Missing, "test_send_not_found", "", "there is no such test send";
        Exists: State, "test_send_exists", "", "the test was sent already";
        WrongCount: Invalid, "wrong_count", "/emails", "a test goes to 1 to 10 addresses";
    }
}

impl TestSend {
    /// What became of each address. When it was cut off, nobody can tell, and nothing is sent again.
    pub fn outcomes(&self) -> Vec<TestOutcome> {
        let unknown = TestOutcome { fate: Fate::Unknown, cause: Some("the test was cut off".to_owned()) };
        let count = self.addresses.as_ref().map_or(0, Vec::len);
        self.outcomes.clone().unwrap_or_else(|| vec![unknown; count])
    }
}

impl Decider for TestSend {
    type Event = TestSendEvent;
    type Command = TestSendCommand;
    type Rejection = TestSendRejection;

    fn decide(&self, command: &TestSendCommand, _ctx: &Ctx) -> Result<Decision<TestSendEvent>, TestSendRejection> {
        use TestSendRejection as R;
        match (command, &self.addresses) {
            (TestSendCommand::Request { .. }, Some(_)) => Err(R::Exists),
            (TestSendCommand::Request { campaign, addresses }, None) => {
                if !(1..=MAX_ADDRESSES).contains(&addresses.len()) {
                    return Err(R::WrongCount);
                }
                let (campaign, addresses) = (*campaign, addresses.clone());
                Ok(Decision::event(TestSendRequested { campaign, addresses }))
            }
            (TestSendCommand::Finish { .. }, None) => Err(R::Unknown),
            (TestSendCommand::Finish { .. }, Some(_)) if self.outcomes.is_some() => Ok(Decision::nothing()),
            (TestSendCommand::Finish { outcomes }, Some(addresses)) => {
                if outcomes.len() != addresses.len() {
                    return Err(R::WrongCount);
                }
                Ok(Decision::event(TestSendFinished { outcomes: outcomes.clone() }))
            }
        }
    }

    fn evolve(&mut self, event: &TestSendEvent) {
        match event {
            TestSendEvent::Requested(requested) => self.addresses = Some(requested.addresses.clone()),
            TestSendEvent::Finished(finished) => self.outcomes = Some(finished.outcomes.clone()),
        }
    }

    fn creates(command: &TestSendCommand) -> bool {
        matches!(command, TestSendCommand::Request { .. })
    }

    /// A test send claims no value.
    fn claim_taken(_what: &'static str, _owner: &str) -> TestSendRejection {
        TestSendRejection::Exists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::given;

    #[test]
    fn a_test_is_sent_once_and_what_was_cut_off_is_unknown() {
        let addresses = vec![ClaimHash("a".into()), ClaimHash("b".into())];
        let campaign = Uuid::from_u128(1);
        let request = |addresses: &[ClaimHash]| TestSendCommand::Request { campaign, addresses: addresses.to_vec() };
        let requested = TestSendEvent::from(TestSendRequested { campaign, addresses: addresses.clone() });
        let state = given::<TestSend>([]).when(request(&addresses)).then([requested.clone()]);
        assert!(state.outcomes().iter().all(|outcome| outcome.fate == Fate::Unknown) && state.outcomes().len() == 2);
        given::<TestSend>([]).when(request(&[])).then_rejected(TestSendRejection::WrongCount);
        let many = vec![ClaimHash("a".into()); 11];
        given::<TestSend>([]).when(request(&many)).then_rejected(TestSendRejection::WrongCount);
        let accepted = TestOutcome { fate: Fate::Accepted, cause: None };
        let finish = |count| TestSendCommand::Finish { outcomes: vec![accepted.clone(); count] };
        let finished = TestSendEvent::from(TestSendFinished { outcomes: vec![accepted.clone(); 2] });
        let state = given::<TestSend>([requested.clone()]).when(finish(2)).then([finished]);
        assert_eq!(state.outcomes(), vec![accepted.clone(); 2]);
        given::<TestSend>([requested]).when(finish(1)).then_rejected(TestSendRejection::WrongCount);
        given::<TestSend>([]).when(finish(1)).then_rejected(TestSendRejection::Unknown);
    }
}
