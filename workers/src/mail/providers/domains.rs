//! How much a recipient's domain gets at once and a second, whichever provider it goes through. Large receivers slow down
//! or block a sender that comes too fast.

use super::{ProvidersError, bucket};
use crate::mail::Domain;
use bucket::Bucket;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// Domains that are remembered; those nobody uses are forgotten beyond it.
const KNOWN: usize = 10_000;
const RULES: usize = 1_000;
/// How long a mail waits for its domain. Longer, and it makes room for mails to others: it stays to be sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one domain gets, or with [`DomainLimit::ANY`] each that has no limit of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainLimit {
    /// In ASCII and small letters; `*` is any.
    pub domain: String,
    /// Mails under way to it at once.
    pub connections: Option<usize>,
    pub per_second: Option<f64>,
}

impl DomainLimit {
    pub const ANY: &str = "*";
}

#[derive(Debug, Default)]
pub(super) struct Domains {
    rules: HashMap<String, DomainLimit>,
    any: Option<DomainLimit>,
    known: Mutex<HashMap<String, Arc<Limited>>>,
}

#[derive(Debug)]
struct Limited {
    places: Option<Arc<Semaphore>>,
    bucket: Option<Bucket>,
}

/// A mail's place at its domain, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Domains {
    pub(super) fn try_new(limits: Vec<DomainLimit>) -> Result<Self, ProvidersError> {
        let mut this = Self::default();
        if limits.len() > RULES {
            return Err(ProvidersError::TooManyLimits { most: RULES });
        }
        for limit in limits {
            let named = limit.domain == DomainLimit::ANY || Domain::try_new(&limit.domain).is_ok();
            let rate = limit.per_second.is_none_or(bucket::is_rate);
            let places = limit.connections.is_none_or(|count| (1..=1_000).contains(&count));
            if !named || !rate || !places {
                return Err(ProvidersError::DomainLimit { domain: limit.domain });
            }
            let twice = match limit.domain.as_str() {
                DomainLimit::ANY => this.any.replace(limit.clone()),
                name => this.rules.insert(name.to_owned(), limit.clone()),
            };
            if twice.is_some() {
                return Err(ProvidersError::DomainTwice { domain: limit.domain });
            }
        }
        Ok(this)
    }

    /// The same limits, with nobody under way.
    pub(super) fn apart(&self) -> Self {
        Self { rules: self.rules.clone(), any: self.any.clone(), known: Mutex::default() }
    }

    /// Waits for a place. `Err`: there is none soon; how long to stay away.
    pub(super) async fn enter(&self, domain: &Domain) -> Result<Place, Duration> {
        let Some(limited) = self.limited(domain.as_str()) else { return Ok(Place { _permit: None }) };
        if let Some(bucket) = &limited.bucket {
            tokio::time::sleep(bucket.reserve(Instant::now(), PATIENCE)?).await;
        }
        let Some(places) = &limited.places else { return Ok(Place { _permit: None }) };
        match timeout(PATIENCE, places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: Some(permit) }),
            Ok(Err(_)) | Err(_) => Err(PATIENCE),
        }
    }

    fn limited(&self, domain: &str) -> Option<Arc<Limited>> {
        let limit = self.rules.get(domain).or(self.any.as_ref())?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limited) = known.get(domain) {
            return Some(limited.clone());
        }
        if known.len() >= KNOWN {
            let now = Instant::now();
            known.retain(|_, limited| {
                Arc::strong_count(limited) > 1 || limited.bucket.as_ref().is_some_and(|bucket| !bucket.is_idle(now))
            });
        }
        let places = limit.connections.map(|count| Arc::new(Semaphore::new(count)));
        let limited = Arc::new(Limited { places, bucket: limit.per_second.map(Bucket::new) });
        known.insert(domain.to_owned(), limited.clone());
        Some(limited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(domain: &str, connections: Option<usize>, per_second: Option<f64>) -> DomainLimit {
        DomainLimit { domain: domain.into(), connections, per_second }
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_gets_its_share_and_others_theirs() {
        let domains =
            Domains::try_new(vec![limit("slow.example", Some(2), None), limit("*", None, Some(1.0))]).unwrap();
        let (slow, other) = (Domain::try_new("slow.example").unwrap(), Domain::try_new("other.example").unwrap());
        let first = domains.enter(&slow).await.unwrap();
        let _second = domains.enter(&slow).await.unwrap();
        assert_eq!(domains.enter(&slow).await.unwrap_err(), PATIENCE);
        drop(first);
        domains.enter(&slow).await.unwrap();
        // At one a second three find their place within two seconds; the fourth is asked to stay away.
        let began = Instant::now();
        let all = futures::future::join_all((0..4).map(|_| domains.enter(&other))).await;
        assert_eq!(all.iter().filter(|entered| entered.is_ok()).count(), 3);
        assert_eq!(all[3].as_ref().unwrap_err(), &Duration::from_secs(3));
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert!(Domains::default().enter(&other).await.is_ok());
    }

    #[test]
    fn limits_that_mean_nothing_are_refused() {
        let refused = |limits: Vec<DomainLimit>| Domains::try_new(limits).unwrap_err();
        for bad in [
            limit("no domain", Some(1), None),
            limit("x.example", Some(0), None),
            limit("x.example", None, Some(0.0)),
            limit("*", None, Some(f64::NAN)),
        ] {
            let domain = bad.domain.clone();
            assert_eq!(refused(vec![bad]), ProvidersError::DomainLimit { domain });
        }
        let twice = vec![limit("x.example", Some(1), None), limit("x.example", Some(2), None)];
        assert_eq!(refused(twice), ProvidersError::DomainTwice { domain: "x.example".into() });
    }
}
