//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key): the same request sent again has the same command id, so the
//! aggregate's own history recognises it; two that run at once are kept apart here.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use uuid::Uuid;

use super::problem::Problem;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Set to `true` on an answer that was given before.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The longest key, in characters.
pub const MAX_KEY: usize = 255;

/// Fixed for ever: changing it would make every retried request a new command.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d69_6c6c_7261_5365_8001_6964_656d_706f);

/// The key of a request, if it has one: 1 to 255 visible ASCII characters, with or without the quotes of the draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let refused = || Problem::header("Idempotency-Key", "one value of 1 to 255 visible ASCII characters");
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(refused());
        }
        let text = value.to_str().map_err(|_| refused())?.trim();
        let key = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text);
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if key.is_empty() || key.len() > MAX_KEY || !visible {
            return Err(refused());
        }
        Ok(Self(Some(key.to_owned())))
    }

    /// The id of the command this request stands for. The scope of a key is tenant, principal, method and path, so
    /// nobody can collide with, or probe for, another caller's keys. Without a key every request is a new command.
    pub fn command_id(&self, tenant: &str, principal: &str, method: &str, path: &str) -> CommandId {
        match &self.0 {
            None => CommandId { id: bus_schema::CommandId::random(), repeatable: false },
            Some(key) => {
                let mut name = Vec::with_capacity(40 + tenant.len() + principal.len() + path.len() + key.len());
                for part in [tenant, principal, method, path, key] {
                    // The length stands before each part, so that no two different tuples give equal bytes.
                    name.extend_from_slice(&(part.len() as u64).to_be_bytes());
                    name.extend_from_slice(part.as_bytes());
                }
                CommandId { id: bus_schema::CommandId(Uuid::new_v5(&NAMESPACE, &name)), repeatable: true }
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::from_headers(&parts.headers)
    }
}

/// Identifies a command over all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandId {
    pub id: bus_schema::CommandId,
    /// Whether the caller can send the same command again; only such commands need the registry and a stored answer.
    pub repeatable: bool,
}

/// The commands that run in this process at this moment. Two processes are kept apart by the expected sequence of the
/// append; this registry only gives the better answer (409 instead of doing the work twice).
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<DashMap<bus_schema::CommandId, ()>>);

impl Running {
    pub fn new() -> Self {
        Self::default()
    }

    /// 409 while the same command runs; otherwise it is registered until the guard is dropped, which also happens when
    /// the handler fails, panics or is cancelled.
    pub fn begin(&self, command: CommandId) -> Result<RunningGuard, Problem> {
        if !command.repeatable {
            return Ok(RunningGuard { registry: self.clone(), id: None });
        }
        match self.0.entry(command.id) {
            Entry::Occupied(_) => Err(Problem::request_in_progress()),
            Entry::Vacant(free) => {
                free.insert(());
                Ok(RunningGuard { registry: self.clone(), id: Some(command.id) })
            }
        }
    }

    /// How many repeatable commands run now.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Keeps a command registered as running.
#[derive(Debug)]
#[must_use = "the command counts as finished when the guard is dropped"]
pub struct RunningGuard {
    registry: Running,
    id: Option<bus_schema::CommandId>,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.registry.0.remove(&id);
        }
    }
}

/// Marks an answer as a repetition of an earlier one.
pub fn mark_replayed(headers: &mut HeaderMap) {
    headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::ProblemCode;

    fn parse(value: &str) -> Result<IdempotencyKey, Problem> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        IdempotencyKey::from_headers(&HeaderMap::from_iter([(IDEMPOTENCY_KEY, value)]))
    }

    #[test]
    fn keys_are_visible_ascii_of_bounded_length() {
        assert_eq!(parse("abc-1").unwrap(), parse("\"abc-1\"").unwrap());
        for bad in ["", "\"\"", "a b", "é", "a\"b", "\"a", &"k".repeat(256)] {
            assert_eq!(parse(bad).unwrap_err().code(), ProblemCode::InvalidHeader, "{bad}");
        }
        parse(&"k".repeat(255)).unwrap();
        let mut twice = HeaderMap::new();
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(IdempotencyKey::from_headers(&twice).is_err());
        assert_eq!(IdempotencyKey::from_headers(&HeaderMap::new()).unwrap().0, None);
    }

    #[test]
    fn the_command_id_depends_on_everything_and_nothing_else() {
        let key = parse("k1").unwrap();
        let id = key.command_id("t1", "p1", "POST", "/v1/orders");
        assert_eq!(id, key.command_id("t1", "p1", "POST", "/v1/orders"));
        assert_eq!(
            id.id.to_string(),
            "29b59173-dae4-5f00-8c04-10238dbf440f",
            "a changed id breaks retries over a release"
        );
        for other in [
            key.command_id("t2", "p1", "POST", "/v1/orders"),
            key.command_id("t1p", "1", "POST", "/v1/orders"),
            key.command_id("t1", "p1", "PATCH", "/v1/orders"),
            key.command_id("t1", "p1", "POST", "/v1/carts"),
            parse("k2").unwrap().command_id("t1", "p1", "POST", "/v1/orders"),
        ] {
            assert_ne!(id.id, other.id);
        }
        let none = IdempotencyKey(None);
        assert_ne!(none.command_id("t", "p", "m", "/").id, none.command_id("t", "p", "m", "/").id);
    }

    #[test]
    fn a_running_command_is_refused_until_its_guard_falls() {
        let running = Running::new();
        let command = parse("k").unwrap().command_id("t", "p", "POST", "/");
        let guard = running.begin(command).unwrap();
        assert_eq!(running.begin(command).unwrap_err().code(), ProblemCode::RequestInProgress);
        drop(guard);
        drop(running.begin(command).unwrap());
        let once = IdempotencyKey(None).command_id("t", "p", "POST", "/");
        let _both = (running.begin(once).unwrap(), running.begin(once).unwrap());
        assert!(running.is_empty());
    }
}
