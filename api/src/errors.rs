//! From the errors of the layers below to problems.

use crate::http::{
    codes::{ProblemCode, field},
    problem::{FieldError, Problem},
};
use bus_schema::keys::KeyError;
use projectors::{ViewError, search::SearchError};
use writers::{Class, Rejected, StoreError, WriteError};

/// A rejection as the caller sees it: its own stable code with the pointer of the field at fault.
pub fn rejection(rejected: Rejected) -> Problem {
    let error = FieldError::new(rejected.pointer, rejected.code, rejected.message.clone());
    match code_of(rejected.class) {
        ProblemCode::Unauthenticated => Problem::unauthenticated(rejected.message).with_error(error),
        code => Problem::new(code, rejected.message).with_error(error),
    }
}

/// The problem a class of rejections is answered with.
pub fn code_of(class: Class) -> ProblemCode {
    match class {
        Class::Missing => ProblemCode::NotFound,
        Class::Invalid => ProblemCode::ValidationFailed,
        Class::State => ProblemCode::Rejected,
        Class::Denied => ProblemCode::Unauthenticated,
    }
}

/// A refusal whose pointer names a place of the command, turned to where the request's body has it.
pub fn refused_at(error: WriteError, of_command: &str, of_body: &str) -> Problem {
    let WriteError::Rejected(mut rejected) = error else { return error.into() };
    if let Some(rest) = rejected.pointer.strip_prefix(of_command) {
        rejected.pointer = format!("{of_body}{rest}");
    }
    rejection(rejected)
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Rejected(rejected) => rejection(rejected),
            WriteError::NoTenant(_) => Self::not_found("tenant"),
            WriteError::Stale { current } => Self::precondition_failed(Some(current)),
            WriteError::KeyReused => Self::idempotency_key_reused(),
            WriteError::Conflict => Self::conflict(1),
            error if error.is_outage() => Self::unavailable(&error, 2),
            WriteError::Store(StoreError::Full(_)) => Self::unavailable(&error, 2),
            other => Self::fault(&other),
        }
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Behind { .. } => Self::view_behind(1),
            ViewError::Cursor => unknown_cursor(),
            ViewError::NoView(_) => Self::not_found("view"),
            ViewError::Building(_)
            | ViewError::NothingBuilt(_)
            | ViewError::Serving(_)
            | ViewError::NotBefore { .. }
            | ViewError::NotStarted => Self::new(ProblemCode::Rejected, error.to_string()),
            ViewError::Store(_) | ViewError::NotCarried(_) => Self::unavailable(&error, 2),
            ViewError::Elsewhere(_) => Self::unavailable(&error, 5),
            ViewError::Row(_) => Self::fault(&error),
        }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        if error.is_client_mistake() {
            let message = error.to_string();
            return Self::parameters(vec![FieldError::new("", error.code(), message)]);
        }
        Self::unavailable(&error, 2)
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        Self::unavailable(&error, 2)
    }
}

impl From<bus_schema::bus::ReadError> for Problem {
    fn from(error: bus_schema::bus::ReadError) -> Self {
        Self::unavailable(&error, 2)
    }
}

pub fn unknown_cursor() -> Problem {
    let message = "this cursor does not belong to this list; start again without `after`";
    Problem::parameters(vec![FieldError::new("after", field::UNKNOWN_CURSOR, message)])
}

pub fn invalid_time(pointer: &str) -> Problem {
    let message = "a time such as 2026-01-31T12:00:00Z is expected";
    Problem::validation(vec![FieldError::new(pointer, field::INVALID_TIME, message)])
}
