//! What processes of the role `worker` say of themselves once a second, for those of the role `api` that are asked.

use super::archiving::Shown;
use crate::workforce::shown;
use api::{platform::workers::WorkerJson, protection::ProtectionStatus};
use bus_schema::bus::Bus;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use workers::{Worker, runtime::Roster};

const SUBJECT: &str = "workers";
const EVERY: Duration = Duration::from_secs(1);
/// Who has not spoken for so long is gone.
const GONE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);
/// Processes that are remembered at most.
const MAX_PROCESSES: usize = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Report {
    process: String,
    workers: Vec<WorkerJson>,
    /// Of the process that archives.
    protection: Option<ProtectionStatus>,
}

/// Starts telling of these workers.
pub(super) fn tell(bus: Bus, roster: Roster, protection: Shown) -> Worker {
    let process = own_name();
    Worker::start("news", |mut stop| async move {
        while !stop.is_asked() {
            let workers =
                shown(&roster).into_iter().map(|worker| WorkerJson { process: Some(process.clone()), ..worker });
            let report =
                Report { process: process.clone(), workers: workers.collect(), protection: protection.status() };
            if let Ok(body) = serde_json::to_vec(&report) {
                _ = bus.say(SUBJECT, body.into()).await;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.asked() => {}
            }
        }
    })
}

/// What tells this process from all others, for people: machine and process id.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    format!("{host}/{}", std::process::id())
}

/// What was heard of all processes. Cheap to clone.
#[derive(Clone, Default)]
pub struct News(Arc<Mutex<HashMap<String, (Instant, Report)>>>);

impl News {
    pub(super) fn hear(bus: Bus) -> Self {
        let news = Self::default();
        let weak = Arc::downgrade(&news.0);
        tokio::spawn(async move {
            loop {
                if let Ok(mut heard) = bus.hear(SUBJECT).await {
                    while let Some(body) = heard.next().await {
                        let Some(news) = weak.upgrade().map(Self) else { return };
                        match serde_json::from_slice(&body) {
                            Ok(report) => news.note(report),
                            Err(error) => {
                                tracing::warn!(%error, "what a process says of its workers is not understood")
                            }
                        }
                    }
                }
                if weak.strong_count() == 0 {
                    return;
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        news
    }

    fn note(&self, report: Report) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < GONE);
        if known.len() < MAX_PROCESSES || known.contains_key(&report.process) {
            known.insert(report.process.clone(), (Instant::now(), report));
        }
    }

    fn reports(&self) -> Vec<Report> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reports: Vec<Report> =
            known.values().filter(|(at, _)| at.elapsed() < GONE).map(|(_, report)| report.clone()).collect();
        reports.sort_by(|one, other| one.process.cmp(&other.process));
        reports
    }

    /// The workers of all processes.
    pub fn workers(&self) -> Vec<WorkerJson> {
        self.reports().into_iter().flat_map(|report| report.workers).collect()
    }

    /// Of the process that archives.
    pub(super) fn protection(&self) -> Option<ProtectionStatus> {
        self.reports().into_iter().find_map(|report| report.protection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_gone() {
        let news = News::default();
        let report = |process: &str| Report { process: process.into(), workers: Vec::new(), protection: None };
        news.note(report("b"));
        news.note(Report { protection: Some(ProtectionStatus::default()), ..report("a") });
        assert!(news.protection().is_some());
        let names = |news: &News| news.reports().into_iter().map(|report| report.process).collect::<Vec<_>>();
        assert_eq!(names(&news), ["a", "b"]);
        if let Some(long_ago) = Instant::now().checked_sub(GONE) {
            news.0.lock().unwrap().get_mut("a").unwrap().0 = long_ago;
            assert_eq!(names(&news), ["b"]);
            assert!(news.protection().is_none());
        }
        assert!(own_name().ends_with(&std::process::id().to_string()));
    }
}
