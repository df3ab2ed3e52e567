//! A session: a person has signed in. The log knows neither the token nor its hash, only the id that follows from it.

use crate::{events, time::Micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// What can happen to a session.
    pub enum SessionEvent {
        Opened(SessionOpened) = "session.opened" @ 1,
        Closed(SessionClosed) = "session.closed" @ 1,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionOpened {
    pub account: Uuid,
    /// The account's password as of then, by count of changes: another password ends the session.
    pub password: u32,
    pub expires_at: Micros,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionClosed {
    pub reason: CloseReason,
}

/// Why a session was ended before it expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The person signed out.
    LoggedOut,
    /// Somebody with the right to do so ended it.
    Revoked,
    /// Another token took its place.
    Rotated,
}
