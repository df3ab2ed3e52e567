//! What an answer of the provider means for its recipient, and for the campaign.

use crate::smtp::{Accepted, Failure, Fault, Retry, permits};
use bus_schema::mail::chunk::{Fate, Outcome};

/// Characters of a provider's id that are kept.
const ID_LIMIT: usize = 100;

/// What a failure says beside what became of its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The provider takes nothing at the moment: try again later.
    Passing(String),
    /// The provider refuses this sender: somebody has to look.
    Refused(String),
}

/// What became of a mail that was handed over.
pub(super) fn of(index: u16, answer: &Result<Accepted, Failure>) -> (Outcome, Option<Trouble>) {
    let failure = match answer {
        Ok(accepted) => {
            let provider_id = accepted.provider_id.as_deref().and_then(kept);
            return (Outcome { provider_id, ..Outcome::new(index, Fate::Accepted) }, None);
        }
        Err(failure) => failure,
    };
    let (permits, cause) = (permits(failure), failure.code());
    let (fate, trouble) = match (permits.unknown, permits.permanent, permits.retry_same, permits.fault) {
        (true, ..) => (Fate::Unknown, permits.breaker.then(|| Trouble::Passing(cause.clone()))),
        // A single recipient's server may refuse like that too, and then it is about that one.
        (_, true, _, Fault::Provider) => (Fate::Rejected, Some(Trouble::Refused(cause.clone()))),
        (_, true, ..) => (Fate::Rejected, None),
        (_, _, Retry::Backoff, Fault::Passing | Fault::Recipient | Fault::Message) => (Fate::Deferred, None),
        _ => (Fate::Unsent, Some(Trouble::Passing(cause.clone()))),
    };
    (Outcome::new(index, fate).because(cause), trouble)
}

/// An id of a provider; anything that looks like an address is not one.
pub(in crate::mail) fn kept(id: &str) -> Option<String> {
    let plain = id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    (plain && !id.is_empty() && id.len() <= ID_LIMIT).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::{Kind, Reply, Stage};

    fn refused(stage: Stage, code: u16, text: &str) -> (Fate, Option<String>, bool) {
        let (outcome, trouble) = of(1, &Err(Failure::refused(stage, Reply { code, text: text.into() })));
        (outcome.fate, outcome.cause, trouble.is_some())
    }

    #[test]
    fn the_table_of_5_2_becomes_fates() {
        let fate = |fate, cause: &str, trouble| (fate, Some(cause.to_owned()), trouble);
        let said = "5.1.1 <ada@x.example> unknown";
        assert_eq!(refused(Stage::Rcpt, 550, said), fate(Fate::Rejected, "rcpt 550 5.1.1", false));
        assert_eq!(refused(Stage::Rcpt, 450, "4.2.1 later"), fate(Fate::Deferred, "rcpt 450 4.2.1", false));
        assert_eq!(refused(Stage::Mail, 421, "busy"), fate(Fate::Unsent, "mail 421", true));
        assert_eq!(refused(Stage::Dot, 454, "Throttling"), fate(Fate::Unsent, "dot 454", true));
        assert_eq!(refused(Stage::Mail, 550, "5.7.1 no"), fate(Fate::Rejected, "mail 550 5.7.1", true));
        assert_eq!(refused(Stage::Dot, 554, "5.6.0 no"), fate(Fate::Rejected, "dot 554 5.6.0", false));
        let lost = |stage| of(1, &Err(Failure::new(stage, Kind::Lost, "reset"))).0.fate;
        assert_eq!(lost(Stage::Dot), Fate::Unknown);
        for stage in [Stage::Connect, Stage::Tls, Stage::Mail, Stage::Body] {
            assert_eq!(lost(stage), Fate::Unsent, "{stage:?}");
        }
        let nobody = Failure::new(Stage::Message, Kind::NotOffered, "SMTPUTF8");
        assert_eq!(of(1, &Err(nobody)).0.fate, Fate::Rejected);
    }

    #[test]
    fn an_id_of_a_provider_is_no_address() {
        let taken = |id: &str| {
            let reply = Reply { code: 250, text: String::new() };
            of(1, &Ok(Accepted { reply, provider_id: Some(id.into()) })).0.provider_id
        };
        assert_eq!(taken("4ZxYq1").as_deref(), Some("4ZxYq1"));
        for bad in ["a@b.example", "", "a b", &"x".repeat(101)] {
            assert_eq!(taken(bad), None, "{bad}");
        }
    }
}
