//! Request quotas per caller: a token bucket kept as one number (the generic cell rate algorithm), in memory, bounded.
//!
//! The limits hold per process. They protect the machine and fairness between callers; they are no accounting.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use dashmap::DashMap;

use super::problem::Problem;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Callers beyond the bound share this many buckets instead of getting one each.
const OVERFLOW_BUCKETS: u64 = 1024;

/// How many requests a caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Sustained rate, requests a second (at least 1).
    pub per_second: u32,
    /// How many may come at once after a pause (at least 1).
    pub burst: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self { per_second: 100, burst: 200 }
    }
}

/// Limits of the limiter itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitConfig {
    pub quota: Quota,
    /// Callers that have a bucket of their own; about 50 bytes each.
    pub max_callers: usize,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self { quota: Quota::default(), max_callers: 100_000 }
    }
}

/// The caller a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateKey {
    hash: u64,
    quota: Option<Quota>,
}

impl RateKey {
    /// Gives this caller another quota than the default (a plan, a service account).
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Burst size of the caller.
    pub limit: u32,
    /// Requests the caller could still send at once.
    pub remaining: u32,
    /// Until the whole burst is available again.
    pub reset: Duration,
    /// Until the next request will pass; zero when this one did.
    pub retry_after: Duration,
}

impl Decision {
    /// Writes `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds, rounded up).
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(seconds(self.reset)));
    }

    /// 429 when the request was over the quota.
    pub fn into_result(self) -> Result<Self, Problem> {
        if self.allowed {
            return Ok(self);
        }
        let mut headers = HeaderMap::with_capacity(3);
        self.write(&mut headers);
        Err(Problem::too_many_requests(seconds(self.retry_after)).with_headers(headers))
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

/// All buckets. Each is the time, in nanoseconds since `start`, at which it would be full again.
#[derive(Debug)]
pub struct RateLimiter {
    config: RateLimitConfig,
    start: Instant,
    buckets: DashMap<u64, u64>,
    /// Keyed at random, so that callers cannot choose keys that share a bucket.
    hasher: RandomState,
    /// When full buckets were last thrown away.
    pruned: AtomicU64,
}

impl RateLimiter {
    pub fn new(config: RateLimitConfig) -> Self {
        Self {
            config,
            start: Instant::now(),
            buckets: DashMap::new(),
            hasher: RandomState::new(),
            pruned: AtomicU64::new(0),
        }
    }

    /// The key of a caller: tenant and principal (or the peer's address where nobody is signed in).
    pub fn key(&self, tenant: impl Hash, principal: impl Hash) -> RateKey {
        RateKey { hash: self.hasher.hash_one((tenant, principal)), quota: None }
    }

    /// Takes `cost` requests out of the caller's bucket, if they are there.
    pub fn check(&self, key: RateKey, cost: u32) -> Decision {
        self.check_at(key, cost, self.start.elapsed())
    }

    fn check_at(&self, key: RateKey, cost: u32, now: Duration) -> Decision {
        let quota = key.quota.unwrap_or(self.config.quota);
        let now = now.as_nanos() as u64;
        let step = 1_000_000_000 / u64::from(quota.per_second.max(1));
        let burst = u64::from(quota.burst.max(1));
        let capacity = step.saturating_mul(burst);
        let price = step.saturating_mul(u64::from(cost));

        let mut bucket = self.buckets.entry(self.slot(key.hash, now)).or_insert(0);
        let filled_at = (*bucket).max(now);
        let after = filled_at.saturating_add(price);
        let allowed = after - now <= capacity;
        if allowed {
            *bucket = after;
        }
        let used = if allowed { after - now } else { filled_at - now };
        Decision {
            allowed,
            limit: quota.burst.max(1),
            remaining: (capacity.saturating_sub(used) / step.max(1)) as u32,
            reset: Duration::from_nanos(used),
            retry_after: Duration::from_nanos(if allowed { 0 } else { (after - now).saturating_sub(capacity) }),
        }
    }

    /// The bucket of a caller; when there are too many callers, one of the shared buckets.
    fn slot(&self, hash: u64, now: u64) -> u64 {
        // Known callers first: counting the map visits all its shards.
        if self.buckets.contains_key(&hash) || self.buckets.len() < self.config.max_callers {
            return hash;
        }
        let last = self.pruned.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= 1_000_000_000;
        if due && self.pruned.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // A bucket that is full again says nothing: forgetting it changes no decision.
            self.buckets.retain(|_, full_at| *full_at > now);
        }
        if self.buckets.len() < self.config.max_callers { hash } else { hash % OVERFLOW_BUCKETS }
    }
}

/// Where the decision about a request is kept until its answer is there: whoever finds out who asks decides in the
/// middle of the request, the headers are written at its end.
#[derive(Debug, Clone, Default)]
struct Slot(Arc<OnceLock<Decision>>);

impl RateLimiter {
    /// Counts a request for a caller: 429 when the quota is used up. With [`report`] around it the answer says how much
    /// is left.
    pub fn admit(&self, key: RateKey, request: &Extensions) -> Result<(), Problem> {
        let decision = self.check(key, 1);
        if let Some(Slot(slot)) = request.get::<Slot>() {
            // Counted twice, the first count is the one shown.
            _ = slot.set(decision);
        }
        decision.into_result().map(|_| ())
    }
}

/// Middleware (`axum::middleware::from_fn`): writes the `RateLimit-*` headers of requests that were counted inside.
pub async fn report(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    if let Some(decision) = slot.0.get() {
        decision.write(response.headers_mut());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::codes::ProblemCode;
    use axum::{Router, body::Body, response::IntoResponse, routing::get};
    use tower::ServiceExt;

    fn limiter(per_second: u32, burst: u32, max_callers: usize) -> RateLimiter {
        RateLimiter::new(RateLimitConfig { quota: Quota { per_second, burst }, max_callers })
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let limiter = limiter(10, 3, 100);
        let key = limiter.key("tenant", "key");
        let remaining: Vec<u32> = (0..3).map(|_| limiter.check_at(key, 1, ms(0)).remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = limiter.check_at(key, 1, ms(0));
        assert_eq!((refused.allowed, refused.retry_after, refused.reset), (false, ms(100), ms(300)));
        assert!(!limiter.check_at(key, 1, ms(99)).allowed);
        assert!(limiter.check_at(key, 1, ms(100)).allowed);
        assert!(!limiter.check_at(key, 1, ms(100)).allowed);
        assert_eq!(limiter.check_at(key, 1, ms(10_000)).remaining, 2);
        assert!(limiter.check_at(limiter.key("tenant", "other"), 3, ms(0)).allowed);
        assert!(!limiter.check_at(limiter.key("tenant", "third"), 4, ms(0)).allowed, "dearer than a whole burst");
    }

    #[test]
    fn the_headers_state_the_quota() {
        let limiter = limiter(1, 1, 100);
        let key = limiter.key("t", "p");
        limiter.check_at(key, 1, ms(0)).into_result().unwrap();
        let problem = limiter.check_at(key, 1, ms(1)).into_result().unwrap_err();
        assert_eq!(problem.code(), ProblemCode::TooManyRequests);
        let response = problem.into_response();
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["ratelimit-limit"], "1");
        assert_eq!(response.headers()["ratelimit-remaining"], "0");
        let dear = key.with_quota(Quota { per_second: 1000, burst: 1000 });
        assert!(limiter.check_at(dear, 1, ms(1000)).allowed);
    }

    #[test]
    fn the_map_stays_bounded_and_still_limits() {
        let limiter = limiter(1, 1, 10);
        for caller in 0..5_000 {
            limiter.check_at(limiter.key("t", caller), 1, ms(0));
        }
        assert!(limiter.buckets.len() <= 10 + OVERFLOW_BUCKETS as usize);
        let late = limiter.key("t", "late");
        let allowed = (0..5).filter(|_| limiter.check_at(late, 1, ms(1)).allowed).count();
        assert!(allowed <= 1);
        limiter.check_at(limiter.key("t", "much later"), 1, ms(60_000));
        assert!(limiter.buckets.len() <= 1, "full buckets are forgotten");
    }
    #[tokio::test]
    async fn answers_of_counted_requests_tell_what_is_left() {
        let limiter = Arc::new(limiter(1, 2, 10));
        let counted = move |request: Request| {
            let outcome = limiter.admit(limiter.key("t", "p"), request.extensions());
            async move { outcome.map(|()| "done") }
        };
        let router = Router::new().route("/counted", get(counted)).route("/free", get(|| async { "free" }));
        let router = router.layer(axum::middleware::from_fn(report));
        let ask = async |path: &str| {
            let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let left = response.headers().get("ratelimit-remaining").map(|left| left.to_str().unwrap().to_owned());
            (response.status().as_u16(), left)
        };
        assert_eq!(ask("/counted").await, (200, Some("1".into())));
        assert_eq!(ask("/counted").await, (200, Some("0".into())));
        assert_eq!(ask("/counted").await, (429, Some("0".into())));
        assert_eq!(ask("/free").await, (200, None));
    }
}
