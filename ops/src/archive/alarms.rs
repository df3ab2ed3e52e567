//! A provider that is not copied to any more, or that stays behind, is an alarm of the tenant that operates the installation.
//!
//! What is wrong is in `/v1/protection` and the metrics at once; an alarm is for those who look at neither. It is raised in the
//! log, so it is there after a restart too, and cleared by what raised it, when the archiver runs again.

use api::protection::{ProtectionDesk, ProviderStatus, StreamStatus};
use bus_schema::{Address, CommandId, EffectId, TenantId, platform::alarm::AlarmRaised};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;
use workers::Worker;
use writers::{
    Meta, WriteError, Writer,
    platform::alarm::{Alarm, AlarmCommand},
};

const NAME: &str = "archive-alarms";
const EVERY: Duration = Duration::from_secs(2);
/// A provider this far behind is one that somebody should look at, in seconds (spec: warn at 10, page at 30).
const BEHIND: f64 = 30.0;
/// It is not any more when it is this close again.
const CLOSE: f64 = 10.0;
/// Looks that find damage before it is an alarm of its own: an archiver that meets it halts within seconds, and that is the alarm then.
const CERTAIN: u32 = 3;

/// What an alarm says of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Halted,
    Behind,
    Damaged,
}

impl What {
    const ALL: [Self; 3] = [Self::Halted, Self::Behind, Self::Damaged];

    fn word(self) -> &'static str {
        match self {
            Self::Halted => "archive_halted",
            Self::Behind => "archive_behind",
            Self::Damaged => "archive_damaged",
        }
    }

    /// Whether it should be raised now; `None`: as it is.
    fn holds(self, status: &ProviderStatus) -> Option<bool> {
        let running = status.state == "running";
        match self {
            Self::Halted if status.state == "halted" => Some(true),
            Self::Halted => running.then_some(false),
            Self::Behind if status.rpo_seconds > BEHIND => Some(true),
            Self::Behind => (running && status.rpo_seconds < CLOSE).then_some(false),
            // An archiver that halts over what it found says so by that.
            Self::Damaged if status.chain_errors > 0 => (status.state != "halted").then_some(true),
            // Counted since this process started: what an earlier one raised stays until each stream was read back.
            Self::Damaged => {
                let whole = |stream: &StreamStatus| stream.confirmed.is_some();
                (running && !status.streams.is_empty() && status.streams.iter().all(whole)).then_some(false)
            }
        }
    }

    fn text(self, status: &ProviderStatus) -> String {
        let cause = status.error.as_deref().unwrap_or("no cause is known");
        let provider = &status.provider;
        match self {
            Self::Halted => format!("the log is not copied to the provider {provider} any more: {cause}"),
            Self::Behind => {
                format!("the provider {provider} is {:.0} seconds behind the log: {cause}", status.rpo_seconds)
            }
            Self::Damaged => format!(
                "the archive at the provider {provider} is not what was written: {cause}; it may not restore the log, see \
                 the runbook a-provider-is-down.md"
            ),
        }
    }
}

/// Watches until it is stopped.
pub fn start(desk: Arc<dyn ProtectionDesk>, writer: Writer, cell: String, tenant: TenantId) -> Worker {
    Worker::start(NAME, |mut stop| async move {
        let mut alarms = Alarms { writer, cell, tenant, raised: BTreeMap::new(), damaged: BTreeMap::new() };
        while !stop.is_asked() {
            for status in desk.status().providers {
                if let Err(error) = alarms.look(&status).await {
                    tracing::warn!(provider = status.provider, %error, "an alarm of the archive is not recorded yet");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.asked() => {}
            }
        }
    })
}

struct Alarms {
    writer: Writer,
    cell: String,
    tenant: TenantId,
    /// As the log has them, once they were looked up.
    raised: BTreeMap<(String, What), bool>,
    /// Looks in a row that found a provider's archive damaged and its archiver at work.
    damaged: BTreeMap<String, u32>,
}

impl Alarms {
    async fn look(&mut self, status: &ProviderStatus) -> Result<(), WriteError> {
        let damaged = What::Damaged.holds(status) == Some(true);
        let looks = self.damaged.entry(status.provider.clone()).or_default();
        *looks = if damaged { looks.saturating_add(1) } else { 0 };
        let certain = *looks >= CERTAIN;
        for what in What::ALL {
            let Some(wanted) = what.holds(status) else { continue };
            if what == What::Damaged && wanted && !certain {
                continue;
            }
            let id = id(&self.cell, &status.provider, what);
            let key = (status.provider.clone(), what);
            let known = match self.raised.get(&key) {
                Some(known) => *known,
                None => self.writer.load::<Alarm>(&self.tenant, id).await?.state.is_raised(),
            };
            if known != wanted {
                let about = Address::new("platform", "archive", &status.provider).to_string();
                let command = match wanted {
                    true => AlarmCommand::Raise(AlarmRaised {
                        what: what.word().to_owned(),
                        about,
                        text: what.text(status),
                    }),
                    false => AlarmCommand::Clear,
                };
                let meta = Meta::system(NAME, CommandId::random());
                self.writer.execute::<Alarm>(&self.tenant, id, &meta, &command).await?;
            }
            self.raised.insert(key, wanted);
        }
        Ok(())
    }
}

/// The same for the same provider of a cell, in every life of the platform.
fn id(cell: &str, provider: &str, what: What) -> Uuid {
    EffectId::of_process(Uuid::nil(), &format!("archive:{cell}:{provider}:{}", what.word())).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{Cell, keys::KeyDirectory, time::Clock};
    use writers::{EventStore, backend::memory::MemoryStore};

    fn status(state: &str, rpo_seconds: f64) -> ProviderStatus {
        ProviderStatus {
            provider: "b".into(),
            state: state.into(),
            rpo_seconds,
            rpo_events: 0,
            history_seconds: None,
            chain_errors: 0,
            error: Some("messages are missing".into()),
            streams: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        for (state, seconds, halted, behind) in [
            ("running", 0.4, Some(false), Some(false)),
            ("running", 20.0, Some(false), None),
            ("retrying", 31.0, None, Some(true)),
            ("retrying", 2.0, None, None),
            ("halted", 2.0, Some(true), None),
            ("halted", 90.0, Some(true), Some(true)),
            ("starting", 0.0, None, None),
            ("stopped", 0.0, None, None),
        ] {
            let status = status(state, seconds);
            assert_eq!(
                (What::Halted.holds(&status), What::Behind.holds(&status)),
                (halted, behind),
                "{state} {seconds}"
            );
        }
        let text = What::Halted.text(&status("halted", 0.0));
        assert!(text.contains("provider b") && text.contains("messages are missing"), "{text}");
        assert_ne!(id("eu1", "a", What::Halted), id("eu1", "b", What::Halted));
        assert_ne!(id("eu1", "a", What::Halted), id("eu1", "a", What::Behind));
    }

    #[test]
    fn damage_is_an_alarm_until_everything_was_read_back() {
        let stream = |archived, confirmed| StreamStatus {
            stream: "EV_eu1".into(),
            state: "running".into(),
            epoch: 1,
            archived,
            confirmed,
            log: archived,
            segments: 1,
            lag_events: 0,
            lag_seconds: 0.0,
            error: None,
        };
        let with = |chain_errors, streams| ProviderStatus { chain_errors, streams, ..status("running", 0.0) };
        assert_eq!(What::Damaged.holds(&with(1, vec![stream(9, Some(0))])), Some(true));
        let halted = ProviderStatus { state: "halted".into(), ..with(1, Vec::new()) };
        assert_eq!(What::Damaged.holds(&halted), None, "the halt is the alarm");
        assert_eq!(What::Damaged.holds(&with(0, vec![stream(9, None), stream(2, Some(2))])), None);
        assert_eq!(What::Damaged.holds(&with(0, Vec::new())), None);
        assert_eq!(What::Damaged.holds(&with(0, vec![stream(9, Some(9)), stream(2, Some(2))])), Some(false));
        let text = What::Damaged.text(&with(1, vec![stream(9, Some(0))]));
        assert!(text.contains("provider b") && text.contains("messages are missing"), "{text}");
    }

    #[tokio::test]
    async fn damage_that_makes_an_archiver_halt_is_one_alarm() {
        let (tenant, keys) = (TenantId::try_new("demo").unwrap(), KeyDirectory::in_memory());
        keys.create_tenant(&tenant).await.unwrap();
        let store = EventStore::Memory(MemoryStore::default());
        let writer = Writer::new(Cell::try_new("eu1").unwrap(), store, keys, Clock::System);
        let mut alarms =
            Alarms { writer, cell: "eu1".into(), tenant, raised: BTreeMap::new(), damaged: BTreeMap::new() };
        let damaged = |state: &str| ProviderStatus { chain_errors: 1, ..status(state, 0.0) };
        let mut raised = Vec::new();
        // It halts after two looks; somebody repairs it, and the archive is found damaged once more.
        for state in ["starting", "running", "halted", "running", "running", "running"] {
            alarms.look(&damaged(state)).await.unwrap();
            let mut now = Vec::new();
            for what in What::ALL {
                let id = id("eu1", "b", what);
                if alarms.writer.load::<Alarm>(&alarms.tenant, id).await.unwrap().state.is_raised() {
                    now.push(what);
                }
            }
            raised.push(now);
        }
        assert_eq!(raised, [vec![], vec![], vec![What::Halted], vec![], vec![], vec![What::Damaged]]);
    }
}
