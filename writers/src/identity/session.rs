//! A session: somebody has signed in. Its id follows from the token (keyed), so who presents the token finds it and who
//! reads the log cannot make the token.

use super::token::{SessionToken, hex};
use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    Micros,
    identity::session::{CloseReason, SessionClosed, SessionEvent, SessionOpened},
    keys::TenantKey,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a session lasts at most: half a day.
pub const LIFETIME_SECONDS: i64 = 12 * 60 * 60;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Session {
    opened: Option<SessionOpened>,
    closed: bool,
}

#[derive(Clone, Debug)]
pub enum SessionCommand {
    /// `password` is the account's password as of now, by count of changes.
    Open {
        account: Uuid,
        password: u32,
    },
    Close {
        reason: CloseReason,
    },
}

rejections! {
    /// Why a command to a session is refused.
    pub enum SessionRejection {
        Unknown: Missing, "session_not_found", "", "there is no such session";
        Exists: State, "session_exists", "", "this token has served a session before";
    }
}

impl Session {
    /// What it was opened with, unless it was closed. Whether it has expired depends on the time.
    pub fn open(&self) -> Option<&SessionOpened> {
        self.opened.as_ref().filter(|_| !self.closed)
    }

    pub fn account(&self) -> Option<Uuid> {
        self.opened.as_ref().map(|opened| opened.account)
    }

    pub fn expires_at(&self) -> Option<Micros> {
        self.opened.as_ref().map(|opened| opened.expires_at)
    }
}

impl Decider for Session {
    type Event = SessionEvent;
    type Command = SessionCommand;
    type Rejection = SessionRejection;

    fn decide(&self, command: &SessionCommand, ctx: &Ctx) -> Result<Decision<SessionEvent>, SessionRejection> {
        match command {
            SessionCommand::Open { .. } if self.opened.is_some() => Err(SessionRejection::Exists),
            SessionCommand::Open { account, password } => Ok(Decision::event(SessionOpened {
                account: *account,
                password: *password,
                expires_at: ctx.now.plus_seconds(LIFETIME_SECONDS),
            })),
            SessionCommand::Close { .. } if self.opened.is_none() => Err(SessionRejection::Unknown),
            SessionCommand::Close { .. } if self.closed => Ok(Decision::nothing()),
            SessionCommand::Close { reason } => Ok(Decision::event(SessionClosed { reason: *reason })),
        }
    }

    fn evolve(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Opened(opened) => self.opened = Some(opened.clone()),
            SessionEvent::Closed(_) => self.closed = true,
        }
    }

    fn creates(command: &SessionCommand) -> bool {
        matches!(command, SessionCommand::Open { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> SessionRejection {
        SessionRejection::Exists
    }
}

/// The session a token belongs to.
pub fn session_of(tenant_key: &TenantKey, token: &SessionToken) -> Uuid {
    tenant_key.derived_id("session", &hex(&token.hash()))
}

/// Ends the session of a token; the next request with it is refused.
pub async fn close(
    writer: &Writer,
    token: &SessionToken,
    meta: &Meta,
    reason: CloseReason,
) -> Result<Receipt<Loaded<Session>>, WriteError> {
    let id = session_of(&*writer.tenant_key(&token.tenant).await?, token);
    writer.execute::<Session>(&token.tenant, id, meta, &SessionCommand::Close { reason }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{NOW, given};

    const ACCOUNT: Uuid = Uuid::from_u128(5);

    fn opened() -> SessionEvent {
        SessionOpened { account: ACCOUNT, password: 1, expires_at: NOW.plus_seconds(43_200) }.into()
    }

    fn closed() -> SessionEvent {
        SessionClosed { reason: CloseReason::LoggedOut }.into()
    }

    #[test]
    fn a_token_serves_one_session_for_half_a_day() {
        let open = || SessionCommand::Open { account: ACCOUNT, password: 1 };
        let state = given::<Session>([]).when(open()).then([opened()]);
        assert_eq!((state.account(), state.open().is_some()), (Some(ACCOUNT), true));
        given::<Session>([opened()]).when(open()).then_rejected(SessionRejection::Exists);
        given::<Session>([opened(), closed()]).when(open()).then_rejected(SessionRejection::Exists);
    }

    #[test]
    fn a_session_is_closed_once() {
        let close = || SessionCommand::Close { reason: CloseReason::LoggedOut };
        let state = given::<Session>([opened()]).when(close()).then([closed()]);
        assert!(state.open().is_none());
        given::<Session>([opened(), closed()]).when(close()).then([]);
        given::<Session>([]).when(close()).then_rejected(SessionRejection::Unknown);
    }

    #[test]
    fn the_id_follows_from_token_and_tenant() {
        let token = SessionToken::random(&bus_schema::TenantId::try_new("demo").unwrap()).unwrap();
        let (one, other) = (TenantKey::fixed([1; 32]), TenantKey::fixed([2; 32]));
        assert_eq!(session_of(&one, &token), session_of(&one, &SessionToken::parse(&token.expose()).unwrap()));
        assert_ne!(session_of(&one, &token), session_of(&other, &token));
    }
}
