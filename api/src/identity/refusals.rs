//! From what can go wrong with identities to problems.

use crate::{
    errors::rejection,
    http::problem::{FieldError, Problem},
};
use axum::http::{HeaderValue, header::RETRY_AFTER};
use bus_schema::Micros;
use std::borrow::Cow;
use writers::{
    WriteError,
    identity::{
        account::{AccountError, AccountRejection},
        api_key::ApiKeyError,
        password_hash::HashError,
        sign_in::SignInError,
    },
};

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded => Self::too_many_requests(2),
            HashError::Broken(_) => Self::fault(&error),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Write(error) => error.into(),
            AccountError::Hash(error) => error.into(),
        }
    }
}

impl From<ApiKeyError> for Problem {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Write(error) => error.into(),
            ApiKeyError::NoRandomness(error) => Self::fault(&error),
        }
    }
}

/// A refused attempt to sign in: 401, with `Retry-After` while nothing is tried. A tenant that does not exist is
/// answered like a wrong password.
pub(super) fn not_signed_in(error: SignInError, now: Micros) -> Problem {
    match error {
        SignInError::Refused { rejected, retry_at } => {
            let problem = rejection(rejected);
            match retry_at {
                Some(at) => problem.with_header(RETRY_AFTER, HeaderValue::from(seconds_until(at, now))),
                None => problem,
            }
        }
        SignInError::Write(WriteError::NoTenant(_)) => wrong_credentials(),
        SignInError::Write(error) => error.into(),
        SignInError::Hash(error) => error.into(),
        SignInError::NoRandomness(error) => Problem::fault(&error),
    }
}

pub(super) fn wrong_credentials() -> Problem {
    rejection(AccountRejection::WrongCredentials.into())
}

fn seconds_until(at: Micros, now: Micros) -> u64 {
    let micros = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0);
    micros.div_ceil(1_000_000).max(1)
}

/// A field of the body that is not acceptable, found here.
pub(super) fn invalid(pointer: &str, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Problem {
    Problem::validation(vec![FieldError::new(pointer, code, message)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::ProblemCode;
    use axum::response::IntoResponse;

    #[test]
    fn a_lock_is_a_401_that_says_when_to_come_again() {
        let now = Micros(1_000_000);
        let until = now.plus_seconds(30);
        let refused = |retry_at| SignInError::Refused { rejected: AccountRejection::Locked { until }.into(), retry_at };
        let response = not_signed_in(refused(Some(until)), now).into_response();
        assert_eq!(response.status().as_u16(), 401);
        assert_eq!(response.headers()[RETRY_AFTER], "30");
        let tenant = bus_schema::TenantId::try_new("nobody").unwrap();
        let nobody = not_signed_in(WriteError::NoTenant(tenant).into(), now);
        assert_eq!(nobody, wrong_credentials());
        assert_eq!(Problem::from(HashError::Overloaded).code(), ProblemCode::TooManyRequests);
    }
}
