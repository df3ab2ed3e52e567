//! Visits on their way to the log. Serving a page puts a small value into a bounded queue and never waits; one task
//! takes what has gathered, counts equal visits together and records them as facts in one durable step.

use crate::http::metrics::{Counter, Registry};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{HOST, REFERER, USER_AGENT},
};
use bus_schema::{
    Actor, CommandId, Micros, TenantId,
    analytics::visit::{PageVisited, VisitEvent},
    time::Clock,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use uuid::Uuid;
use writers::{
    Meta,
    analytics::visit::{VisitRequest, visit},
    facts::{Fact, Facts},
};

/// Visits that may wait. Beyond it they are dropped and the drop is counted.
const QUEUE: usize = 16_384;
/// Visits taken at once; equal ones become one fact, so there are seldom as many facts.
const BATCH: usize = 4_096;
/// Facts recorded in one step.
const FACTS: usize = 500;
/// How long visits gather while there are few: spares a disk sync for each.
const GATHER: Duration = Duration::from_millis(50);

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");

/// A page that is served, as its visits name it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Served {
    pub tenant: TenantId,
    pub site: String,
    pub page: Uuid,
    /// Below the site, starting with a slash.
    pub path: String,
}

struct Visit {
    served: Arc<Served>,
    agent: Option<HeaderValue>,
    referrer: Option<HeaderValue>,
    host: Option<HeaderValue>,
    at: Micros,
}

/// Takes visits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Visits {
    queue: mpsc::Sender<Visit>,
    clock: Clock,
    dropped: Counter,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("served", &self.served).finish_non_exhaustive()
    }
}

impl Visits {
    /// Starts the task that records; it ends when the last clone is dropped.
    pub fn start(facts: Facts, clock: Clock, registry: &Registry) -> Self {
        let counter = |outcome| {
            let help = "Visits of sites by what became of them: recorded, dropped because too many waited, or lost \
                        because the log did not take them.";
            registry.counter("site_visits_total", help, &[("outcome", outcome)])
        };
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(record(facts, waiting, counter("recorded"), counter("lost")));
        Self { queue, clock, dropped: counter("dropped") }
    }

    /// Counts a served page, unless nobody looked at it: not a HEAD, not an answer without the page, not a browser that
    /// loads ahead.
    pub fn seen(&self, served: &Arc<Served>, method: &Method, headers: &HeaderMap, status: StatusCode) {
        if *method != Method::GET || status != StatusCode::OK || is_prefetch(headers) {
            return;
        }
        let visit = Visit {
            served: served.clone(),
            agent: headers.get(USER_AGENT).cloned(),
            referrer: headers.get(REFERER).cloned(),
            host: headers.get(HOST).cloned(),
            at: self.clock.now(),
        };
        if self.queue.try_send(visit).is_err() {
            self.dropped.increment();
        }
    }
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName| {
        headers.get(name).is_some_and(|purpose| purpose.as_bytes().windows(8).any(|part| part == b"prefetch"))
    };
    says(&SEC_PURPOSE) || says(&PURPOSE)
}

async fn record(facts: Facts, mut waiting: mpsc::Receiver<Visit>, recorded: Counter, lost: Counter) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < FACTS {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(visit) = waiting.try_recv()
            {
                batch.push(visit);
            }
        }
        for chunk in gather(batch.drain(..)).chunks(FACTS) {
            let visits = chunk.iter().map(times).sum();
            match facts.record_all(chunk).await {
                Ok(()) => recorded.add(visits),
                Err(error) => {
                    lost.add(visits);
                    tracing::warn!(%error, visits, "visits could not be recorded and are lost");
                }
            }
        }
    }
}

fn times(fact: &Fact<VisitEvent>) -> u64 {
    let VisitEvent::Visited(visited) = &fact.fact;
    u64::from(visited.times)
}

/// Equal visits become one fact, at the time of the first of them.
fn gather(visits: impl Iterator<Item = Visit>) -> Vec<Fact<VisitEvent>> {
    // First by what was asked, which is cheap to compare; reading agents and referrers is done once for each.
    let mut asked: HashMap<Asked, (Micros, u32)> = HashMap::new();
    for Visit { served, agent, referrer, host, at } in visits {
        let counted = asked.entry(Asked { served, agent, referrer, host }).or_insert((at, 0));
        counted.1 += 1;
    }
    let mut facts: HashMap<(TenantId, PageVisited), (Micros, u32)> = HashMap::new();
    for (asked, (at, times)) in asked {
        let counted = facts.entry(asked.visited()).or_insert((at, 0));
        *counted = (counted.0.min(at), counted.1 + times);
    }
    let fact = |((tenant, visited), (at, times))| Fact {
        tenant,
        meta: Meta { actor: Actor::Visitor, ..Meta::system("sites", CommandId::random()) },
        at,
        fact: VisitEvent::Visited(PageVisited { times, ..visited }),
    };
    facts.into_iter().map(fact).collect()
}

#[derive(PartialEq, Eq, Hash)]
struct Asked {
    served: Arc<Served>,
    agent: Option<HeaderValue>,
    referrer: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Asked {
    fn visited(&self) -> (TenantId, PageVisited) {
        let text = |value: &Option<HeaderValue>| {
            value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (agent, referrer, host) = (text(&self.agent), text(&self.referrer), text(&self.host));
        let request = VisitRequest {
            site: &self.served.site,
            host: host.as_deref().unwrap_or_default(),
            path: &self.served.path,
            page: Some(self.served.page),
            referrer: referrer.as_deref(),
            user_agent: agent.as_deref(),
        };
        (self.served.tenant.clone(), visit(&request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{AnyEvent, Cell, analytics::visit::Device};
    use writers::{EventStore, backend::memory::MemoryStore};

    fn served(path: &str) -> Arc<Served> {
        Arc::new(Served {
            tenant: TenantId::try_new("demo").unwrap(),
            site: "main".into(),
            page: Uuid::from_u128(1),
            path: path.into(),
        })
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[tokio::test]
    async fn equal_visits_become_one_fact_and_none_is_lost() {
        let log = MemoryStore::default();
        let facts = Facts::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()));
        let registry = Registry::new();
        let visits = Visits::start(facts, Clock::manual(Micros(5)), &registry);
        let (home, team) = (served("/"), served("/team"));
        let (phone, bot) = (headers(&[(USER_AGENT, "iPhone")]), headers(&[(USER_AGENT, "curl/8")]));
        for _ in 0..100 {
            visits.seen(&home, &Method::GET, &phone, StatusCode::OK);
        }
        visits.seen(&team, &Method::GET, &phone, StatusCode::OK);
        visits.seen(&home, &Method::GET, &bot, StatusCode::OK);
        // None of these is a visit.
        visits.seen(&home, &Method::HEAD, &phone, StatusCode::OK);
        visits.seen(&home, &Method::GET, &phone, StatusCode::NOT_MODIFIED);
        let ahead = headers(&[(SEC_PURPOSE, "prefetch;prerender")]);
        visits.seen(&home, &Method::GET, &ahead, StatusCode::OK);
        let recorded = registry.counter("site_visits_total", "", &[("outcome", "recorded")]);
        while recorded.get() < 102 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut found: Vec<_> = log
            .events()
            .iter()
            .map(|stored| match stored.decode().unwrap() {
                Some(AnyEvent::Visit(VisitEvent::Visited(visited))) => (visited.path, visited.device, visited.times),
                other => panic!("{other:?}"),
            })
            .collect();
        found.sort();
        let expected = [("/", Device::Mobile, 100), ("/", Device::Bot, 1), ("/team", Device::Mobile, 1)];
        assert_eq!(found, expected.map(|(path, device, times)| (path.to_owned(), device, times)));
        assert_eq!(recorded.get(), 102);
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let (queue, _waiting) = mpsc::channel(1);
        let visits = Visits { queue, clock: Clock::manual(Micros(5)), dropped: Counter::default() };
        for _ in 0..3 {
            visits.seen(&served("/"), &Method::GET, &HeaderMap::new(), StatusCode::OK);
        }
        assert_eq!(visits.dropped.get(), 2);
    }
}
