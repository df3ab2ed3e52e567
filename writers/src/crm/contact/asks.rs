//! Questions to a contact whether they want mail (double opt-in), and which of them are still to be answered.
//!
//! Anybody can write anybody's address into a form, so a question that is not answered makes the next one wait longer: ten
//! minutes, an hour, six hours, then a day. An answer begins anew. That holds for the contact, whatever is asked for, in every
//! process and after every restart, because it is decided here.

use bus_schema::{
    Micros, Sealed,
    crm::contact::{ConsentAsked, ConsentRequest, Purpose},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long a link can be used, in seconds: two days.
pub const CONFIRMATION_LIFE: i64 = 2 * 24 * 60 * 60;
/// How long the next question waits, in seconds, after so many in a row without an answer.
const PAUSES: [i64; 5] = [0, 10 * 60, 60 * 60, 6 * 60 * 60, 24 * 60 * 60];

/// The questions to one contact.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Asks {
    /// All that there were.
    rounds: u32,
    /// Those in a row without an answer.
    unanswered: usize,
    last_at: Micros,
    open: BTreeMap<Purpose, Ask>,
    /// The question that a consent in force is the answer to.
    answered: BTreeMap<Purpose, u32>,
}

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub round: u32,
    pub request: Sealed<ConsentRequest>,
    pub expires_at: Micros,
}

/// What a link is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can be confirmed.
    Open,
    /// It was, and the consent is in force.
    Confirmed,
    /// It was not in time.
    Expired,
    /// Its consent was withdrawn, or a later question took its place, or there is nobody any more.
    Closed,
}

impl Asks {
    /// Whether the contact may be asked now.
    pub(super) fn is_due(&self, now: Micros) -> bool {
        let pause = PAUSES[self.unanswered.min(PAUSES.len() - 1)];
        now >= self.last_at.plus_seconds(pause)
    }

    pub(super) fn next_round(&self) -> u32 {
        self.rounds.saturating_add(1)
    }

    pub(super) fn open(&self, purpose: Purpose) -> Option<&Ask> {
        self.open.get(&purpose)
    }

    pub(super) fn link(&self, purpose: Purpose, round: u32, now: Micros) -> LinkState {
        match self.open.get(&purpose).filter(|ask| ask.round == round) {
            Some(ask) if now < ask.expires_at => LinkState::Open,
            Some(_) => LinkState::Expired,
            None if self.answered.get(&purpose) == Some(&round) => LinkState::Confirmed,
            None => LinkState::Closed,
        }
    }

    pub(super) fn asked(&mut self, asked: &ConsentAsked) {
        let ConsentAsked { purpose, round, request, at, expires_at } = asked.clone();
        self.rounds = round;
        self.unanswered = self.unanswered.saturating_add(1);
        self.last_at = at;
        self.open.insert(purpose, Ask { round, request, expires_at });
    }

    /// A consent is an answer, whoever recorded it.
    pub(super) fn given(&mut self, purpose: Purpose) {
        if let Some(ask) = self.open.remove(&purpose) {
            self.answered.insert(purpose, ask.round);
            self.unanswered = 0;
        }
    }

    pub(super) fn withdrawn(&mut self, purpose: Purpose) {
        self.open.remove(&purpose);
        self.answered.remove(&purpose);
    }
}
