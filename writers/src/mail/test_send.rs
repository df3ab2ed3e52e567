//! Test sends: requested once, finished once.

use super::feedback::{Told, is_status};
use crate::{
    decider::{Ctx, Decider, Decision},
    rejections, text,
};
use bus_schema::{
    claim::ClaimHash,
    mail::{
        chunk::Fate,
        feedback::BounceKind,
        test_send::{
            TestOutcome, TestSendBounced, TestSendComplained, TestSendEvent, TestSendFinished, TestSendRequested,
        },
    },
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Addresses of one test.
pub const MAX_ADDRESSES: usize = 10;

/// A test send.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TestSend {
    #[serde(default)]
    campaign: Option<Uuid>,
    addresses: Option<Vec<ClaimHash>>,
    outcomes: Option<Vec<TestOutcome>>,
    /// What came back, by the place of the address.
    #[serde(default)]
    returned: BTreeMap<u16, TestReturned>,
}

/// What came back about one mail of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReturned {
    pub bounce: Option<BounceKind>,
    /// Of the bounce, when it is told.
    pub status: Option<String>,
    pub complained: bool,
}

/// What can be asked of a test send.
#[derive(Clone, Debug)]
pub enum TestSendCommand {
    Request {
        campaign: Uuid,
        addresses: Vec<ClaimHash>,
    },
    Finish {
        outcomes: Vec<TestOutcome>,
    },
    /// Something came back about the mail to the address in this place.
    Tell {
        place: u16,
        what: Told,
    },
}

rejections! {
    /// Why a command to a test send is refused.
    pub enum TestSendRejection {
        Unknown: Missing, "test_send_not_found", "", "there is no such test send";
        Exists: State, "test_send_exists", "", "the test was sent already";
        WrongCount: Invalid, "wrong_count", "/emails", "a test goes to 1 to 10 addresses";
        InvalidReport: Invalid, "invalid_report", "", "a status has the form 5.1.1, a complaint a word";
    }
}

impl TestSend {
    /// What became of each address. When it was cut off, nobody can tell, and nothing is sent again.
    pub fn outcomes(&self) -> Vec<TestOutcome> {
        let unknown = TestOutcome { fate: Fate::Unknown, cause: Some("the test was cut off".to_owned()) };
        let count = self.addresses.as_ref().map_or(0, Vec::len);
        self.outcomes.clone().unwrap_or_else(|| vec![unknown; count])
    }

    pub fn campaign(&self) -> Option<Uuid> {
        self.campaign
    }

    /// Keyed hashes, in the order of the request.
    pub fn addresses(&self) -> &[ClaimHash] {
        self.addresses.as_deref().unwrap_or_default()
    }

    pub fn returned(&self, place: u16) -> Option<&TestReturned> {
        self.returned.get(&place)
    }

    fn tell(&self, place: u16, what: &Told) -> Result<Decision<TestSendEvent>, TestSendRejection> {
        let known = self.returned(place).cloned().unwrap_or_default();
        Ok(match what {
            Told::Bounced { status, .. } if status.as_deref().is_some_and(|status| !is_status(status)) => {
                return Err(TestSendRejection::InvalidReport);
            }
            Told::Bounced { kind, status } if known.bounce < Some(*kind) => {
                Decision::event(TestSendBounced { place, kind: *kind, status: status.clone() })
            }
            Told::Complained { kind } if !known.complained => {
                let kind = text::required_line("kind", kind, 40).map_err(|_| TestSendRejection::InvalidReport)?;
                Decision::event(TestSendComplained { place, kind })
            }
            // That it arrived its author sees.
            _ => Decision::nothing(),
        })
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
            (TestSendCommand::Tell { place, .. }, addresses)
                if addresses.as_ref().is_none_or(|addresses| addresses.len() <= usize::from(*place)) =>
            {
                Err(R::Unknown)
            }
            (TestSendCommand::Tell { place, what }, _) => self.tell(*place, what),
        }
    }

    fn evolve(&mut self, event: &TestSendEvent) {
        match event {
            TestSendEvent::Requested(requested) => {
                (self.campaign, self.addresses) = (Some(requested.campaign), Some(requested.addresses.clone()));
            }
            TestSendEvent::Finished(finished) => self.outcomes = Some(finished.outcomes.clone()),
            TestSendEvent::Bounced(bounced) => {
                let known = self.returned.entry(bounced.place).or_default();
                (known.bounce, known.status) = (Some(bounced.kind), bounced.status.clone());
            }
            TestSendEvent::Complained(complained) => {
                self.returned.entry(complained.place).or_default().complained = true;
            }
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

    #[test]
    fn check_57_what_comes_back_about_one_of_its_mails_is_known_once() {
        let addresses = vec![ClaimHash("a".into()), ClaimHash("b".into())];
        let requested: TestSendEvent = TestSendRequested { campaign: Uuid::from_u128(1), addresses }.into();
        let bounce = |place, kind| {
            let what = Told::Bounced { kind, status: Some("5.1.1".into()) };
            TestSendCommand::Tell { place, what }
        };
        let bounced =
            |kind| -> TestSendEvent { TestSendBounced { place: 1, kind, status: Some("5.1.1".into()) }.into() };
        let (full, gone) = (BounceKind::Transient, BounceKind::Permanent);
        given::<TestSend>([requested.clone()]).when(bounce(1, full)).then([bounced(full)]);
        let once = [requested.clone(), bounced(full)];
        given::<TestSend>(once.clone()).when(bounce(1, full)).then([]);
        let state = given::<TestSend>(once).when(bounce(1, gone)).then([bounced(gone)]);
        assert_eq!(state.returned(1).and_then(|returned| returned.bounce), Some(gone));
        assert_eq!(state.returned(0), None);
        given::<TestSend>([requested.clone()]).when(bounce(2, full)).then_rejected(TestSendRejection::Unknown);
        given::<TestSend>([]).when(bounce(0, full)).then_rejected(TestSendRejection::Unknown);
        let spam = |kind: &str| TestSendCommand::Tell { place: 0, what: Told::Complained { kind: kind.into() } };
        let complained: TestSendEvent = TestSendComplained { place: 0, kind: "abuse".into() }.into();
        given::<TestSend>([requested.clone()]).when(spam("abuse")).then([complained.clone()]);
        given::<TestSend>([requested.clone(), complained]).when(spam("abuse")).then([]);
        given::<TestSend>([requested.clone()]).when(spam("")).then_rejected(TestSendRejection::InvalidReport);
        let delivered = TestSendCommand::Tell { place: 0, what: Told::Delivered };
        given::<TestSend>([requested]).when(delivered).then([]);
    }
}
