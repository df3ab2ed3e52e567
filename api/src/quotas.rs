//! How many requests a caller has, and the counting of them.

use crate::{
    caller::Caller,
    http::{
        network::PeerNetwork,
        problem::Problem,
        ratelimit::{Quota, RateLimitConfig, RateLimiter},
    },
};
use axum::http::Extensions;
use bus_schema::Actor;

/// The quotas of a process, for each caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// A person who is signed in, over all their sessions.
    pub account: Quota,
    /// A program's key. `None`: as much as the machine gives.
    pub api_key: Option<Quota>,
    /// A network from which somebody asks who is not signed in, each attempt to sign in included.
    pub anonymous: Quota,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            account: Quota { per_second: 2_000, burst: 4_000 },
            api_key: None,
            anonymous: Quota { per_second: 20, burst: 40 },
        }
    }
}

/// Counts requests by who asks.
#[derive(Debug)]
pub struct Limits {
    quotas: Quotas,
    limiter: RateLimiter,
}

impl Limits {
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, limiter: RateLimiter::new(RateLimitConfig::default()) }
    }

    /// Counts a request of somebody who is known: 429 when their quota is used up.
    pub fn admit(&self, caller: &Caller, request: &Extensions) -> Result<(), Problem> {
        let quota = match caller.actor {
            Actor::ApiKey(_) => self.quotas.api_key,
            _ => Some(self.quotas.account),
        };
        let Some(quota) = quota else { return Ok(()) };
        let key = self.limiter.key(caller.tenant.as_str(), caller.principal());
        self.limiter.admit(key.with_quota(quota), request)
    }

    /// Counts something dearer than a request, for a tenant or a stranger: `most` within an hour, however they are spread.
    pub fn admit_hourly(&self, tenant: &str, what: &str, most: u32, count: u32) -> Result<(), Problem> {
        const HOUR: u32 = 3_600;
        let key = self.limiter.key(tenant, what).with_quota(Quota { per_second: 1, burst: HOUR });
        self.limiter.check(key, (HOUR / most.max(1)).saturating_mul(count)).into_result().map(|_| ())
    }

    /// Counts a request of somebody unknown by where it comes from.
    pub fn admit_stranger(&self, PeerNetwork(network): &PeerNetwork, request: &Extensions) -> Result<(), Problem> {
        // No tenant is named so, and no principal looks like a network.
        let key = self.limiter.key("", network.as_deref().unwrap_or_default());
        self.limiter.admit(key.with_quota(self.quotas.anonymous), request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::ProblemCode;
    use bus_schema::{TenantId, identity::scope::Scopes};
    use uuid::Uuid;

    fn caller(actor: Actor, tenant: &str) -> Caller {
        Caller::of(TenantId::try_new(tenant).unwrap(), actor, Scopes::default())
    }

    #[test]
    fn dear_things_are_counted_by_the_hour() {
        let limits = Limits::new(Quotas::default());
        assert!((0..6).all(|_| limits.admit_hourly("demo", "test mails", 60, 10).is_ok()));
        assert_eq!(limits.admit_hourly("demo", "test mails", 60, 1).unwrap_err().code(), ProblemCode::TooManyRequests);
        assert!(limits.admit_hourly("demo", "other", 60, 1).is_ok());
        assert!(limits.admit_hourly("other", "test mails", 60, 60).is_ok());
    }

    #[test]
    fn each_caller_has_its_own_quota_and_keys_have_none_by_default() {
        let one = Quota { per_second: 1, burst: 1 };
        let limits = Limits::new(Quotas { account: one, anonymous: one, ..Quotas::default() });
        let none = Extensions::new();
        let ada = caller(Actor::Account(Uuid::from_u128(1)), "demo");
        assert!(limits.admit(&ada, &none).is_ok());
        assert_eq!(limits.admit(&ada, &none).unwrap_err().code(), ProblemCode::TooManyRequests);
        assert!(limits.admit(&caller(Actor::Account(Uuid::from_u128(1)), "other"), &none).is_ok());
        let key = caller(Actor::ApiKey(Uuid::from_u128(1)), "demo");
        assert!((0..10_000).all(|_| limits.admit(&key, &none).is_ok()));
        let home = PeerNetwork(Some("192.0.2.7".into()));
        assert!(limits.admit_stranger(&home, &none).is_ok());
        assert!(limits.admit_stranger(&home, &none).is_err());
        assert!(limits.admit_stranger(&PeerNetwork(None), &none).is_ok());
    }
}
