//! What an answer of the provider means for a message: the table of spec/EMAIL.md 5.2 under the rule of its class.
//!
//! At least once: a mail of which nobody can tell is sent again after a while, with the same Message-ID.

use crate::{
    mail::{Class, campaign::fate},
    smtp::{Accepted, Failure, Fault, Retry, Stage, permits},
};
use bus_schema::Micros;
use uuid::Uuid;

/// Seconds between one attempt and the next: quick at first, because somebody waits; a day and a half in all.
const PAUSES: [i64; 13] = [5, 15, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 21_600, 28_800, 28_800];
/// So many attempts park a message, and so many more after each retry of a person.
pub(super) const ATTEMPTS: u32 = 14;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted {
        provider_id: Option<String>,
    },
    /// Nothing was said about this mail: the provider cannot be reached, or lets nobody in.
    Unreached {
        cause: String,
    },
    Rejected {
        cause: String,
    },
    /// To be tried again. `unknown`: the provider may have taken it.
    Deferred {
        cause: String,
        unknown: bool,
    },
}

pub(super) fn of(answer: &Result<Accepted, Failure>) -> Verdict {
    let failure = match answer {
        Ok(accepted) => {
            return Verdict::Accepted { provider_id: accepted.provider_id.as_deref().and_then(fate::kept) };
        }
        Err(failure) => failure,
    };
    let (permits, cause) = (permits(failure), failure.code());
    if failure.stage < Stage::Message {
        return Verdict::Unreached { cause };
    }
    // A provider that refuses the sender may be set right; then the mail goes out after all.
    let hopeless = permits.retry_same.under(Class::Transactional) == Retry::Never && permits.fault != Fault::Provider;
    if hopeless { Verdict::Rejected { cause } } else { Verdict::Deferred { cause, unknown: permits.unknown } }
}

/// When the attempt after this one is made; `None`: a person has to look first. Messages that failed together are spread by
/// up to a tenth of the pause.
pub(super) fn retry_at(id: Uuid, attempt: u32, now: Micros) -> Option<Micros> {
    if attempt.is_multiple_of(ATTEMPTS) {
        return None;
    }
    let place = (attempt % ATTEMPTS).saturating_sub(1) as usize;
    let pause = PAUSES.get(place).copied().unwrap_or(PAUSES[PAUSES.len() - 1]);
    let spread = i64::from(id.as_bytes()[15]) * pause * 1_000_000 / 2_550;
    Some(Micros(now.plus_seconds(pause).0.saturating_add(spread)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::{Kind, Reply};

    fn refused(stage: Stage, code: u16, text: &str) -> Verdict {
        of(&Err(Failure::refused(stage, Reply { code, text: text.into() })))
    }

    #[test]
    fn the_table_of_5_2_for_mail_to_one() {
        let deferred = |cause: &str, unknown| Verdict::Deferred { cause: cause.into(), unknown };
        let rejected = |cause: &str| Verdict::Rejected { cause: cause.into() };
        assert_eq!(refused(Stage::Rcpt, 550, "5.1.1 <ada@x.example> unknown"), rejected("rcpt 550 5.1.1"));
        assert_eq!(refused(Stage::Rcpt, 450, "4.2.1 later"), deferred("rcpt 450 4.2.1", false));
        assert_eq!(refused(Stage::Mail, 421, "busy"), deferred("mail 421", false));
        assert_eq!(refused(Stage::Mail, 550, "5.7.1 no"), deferred("mail 550 5.7.1", false));
        assert_eq!(refused(Stage::Dot, 454, "Throttling"), deferred("dot 454", false));
        assert_eq!(refused(Stage::Dot, 554, "5.6.0 no"), rejected("dot 554 5.6.0"));
        let lost = |stage| of(&Err(Failure::new(stage, Kind::Lost, "reset")));
        assert_eq!(lost(Stage::Dot), deferred("dot: connection lost", true), "unknown is sent again");
        assert_eq!(lost(Stage::Body), deferred("body: connection lost", false));
        for stage in [Stage::Resolve, Stage::Connect, Stage::Tls, Stage::Greeting, Stage::Ehlo] {
            assert!(matches!(lost(stage), Verdict::Unreached { .. }), "{stage:?}");
        }
        assert!(matches!(refused(Stage::Auth, 535, "no"), Verdict::Unreached { .. }));
        let nobody = Failure::new(Stage::Message, Kind::NotOffered, "SMTPUTF8");
        assert!(matches!(of(&Err(nobody)), Verdict::Rejected { .. }));
    }

    #[test]
    fn pauses_grow_and_end() {
        let (now, id) = (Micros(0), Uuid::from_u128(0xff));
        let at: Vec<i64> = (1..ATTEMPTS).map(|attempt| retry_at(id, attempt, now).unwrap().0).collect();
        assert!(at.is_sorted() && at[0] == 5_500_000, "{at:?}");
        assert_eq!(retry_at(Uuid::nil(), 1, now), Some(Micros(5_000_000)));
        assert_eq!(retry_at(id, ATTEMPTS, now), None);
        // A person had it tried again, and it begins with a short pause.
        assert_eq!(retry_at(id, ATTEMPTS + 1, now), Some(Micros(5_500_000)));
        assert_eq!(retry_at(id, 2 * ATTEMPTS, now), None);
    }
}
