//! The log on JetStream.

mod group;

use crate::store::{Commit, StoreError};
use bus_schema::{
    StoredEvent,
    bus::{Bus, Outgoing},
    subject::{Family, Subject},
};
use bytes::Bytes;
use group::GroupCommit;
pub use group::GroupOptions;

const SNAPSHOTS: &str = "snapshots";

/// The log of one cell on JetStream. Cheap to clone; clones share the group commit.
#[derive(Clone)]
pub struct NatsStore {
    bus: Bus,
    group: GroupCommit,
}

impl NatsStore {
    /// Must be called inside a tokio runtime: the group commit runs as a task.
    pub fn new(bus: Bus, options: GroupOptions) -> Self {
        Self { group: GroupCommit::start(bus.clone(), options), bus }
    }

    pub(crate) async fn load(&self, subject: &Subject, after: u64) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.bus.read_subject(subject.family, &subject.to_string(), after).await?)
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        self.group.commit(commit).await
    }

    pub(crate) async fn last_events(&self, subjects: &[Subject]) -> Result<Vec<StoredEvent>, StoreError> {
        let names: Vec<String> = subjects.iter().map(Subject::to_string).collect();
        Ok(self.bus.last_events(Family::Events, &names).await?)
    }

    pub(crate) async fn snapshot(&self, subject: &Subject) -> Result<Option<Bytes>, StoreError> {
        let name = self.snapshot_subject(subject);
        let mut found = self.bus.latest(SNAPSHOTS, std::slice::from_ref(&name)).await?;
        Ok(found.remove(&name).map(|(_, body)| body))
    }

    pub(crate) async fn keep_snapshot(&self, subject: &Subject, body: Bytes) -> Result<(), StoreError> {
        let subject = self.snapshot_subject(subject);
        self.bus.publish(Outgoing { subject, envelope: None, body, expect: None }).await?;
        Ok(())
    }

    fn snapshot_subject(&self, subject: &Subject) -> String {
        format!("{SNAPSHOTS}.{}.{}.{}", subject.cell, subject.tenant, subject.address)
    }
}
