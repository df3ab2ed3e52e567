//! The streams of a cell and the settings that make them a log: nothing is ever deleted, discarded or aged out.

use super::{Bus, lease, timers};
use crate::{ids::Cell, subject::Family};
use async_nats::jetstream::stream::{Config, DiscardPolicy, State, StorageType};
use std::time::Duration;

/// A retry within this window is refused by the server itself; beyond it the aggregate's own history decides.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The stream of latest values (keys, snapshots) of one kind in a cell.
pub(crate) fn latest_stream(kind: &str, cell: &Cell) -> String {
    format!("{}_{cell}", kind.to_uppercase())
}

impl Bus {
    /// Makes sure the streams of this cell exist with the settings the platform relies on.
    pub async fn ensure_streams(&self) -> Result<(), StreamError> {
        let cell = self.cell();
        for family in [Family::Events, Family::Facts] {
            self.ensure(self.log_config(family, cell)).await?;
        }
        for kind in ["keys", "snapshots", lease::KIND] {
            self.ensure(self.latest_config(kind, cell)).await?;
        }
        self.ensure(timers::config(cell, self.replicas())).await?;
        Ok(())
    }

    pub(super) fn log_config(&self, family: Family, cell: &Cell) -> Config {
        Config {
            name: family.stream(cell),
            subjects: vec![family.filter(cell, None)],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: self.replicas(),
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            allow_atomic_publish: true,
            deny_delete: true,
            deny_purge: true,
            ..Config::default()
        }
    }

    fn latest_config(&self, kind: &str, cell: &Cell) -> Config {
        Config {
            name: latest_stream(kind, cell),
            subjects: vec![format!("{kind}.{cell}.>")],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            num_replicas: self.replicas(),
            allow_direct: true,
            allow_atomic_publish: true,
            ..Config::default()
        }
    }

    async fn ensure(&self, config: Config) -> Result<(), StreamError> {
        let name = config.name.clone();
        let failed = |source| StreamError { stream: name.clone(), source };
        let info = self
            .jetstream()
            .get_or_create_stream(config.clone())
            .await
            .map_err(|error| failed(Box::new(error)))?
            .get_info()
            .await
            .map_err(|error| failed(Box::new(error)))?;
        let found = &info.config;
        let differs = found.allow_atomic_publish != config.allow_atomic_publish
            || found.allow_direct != config.allow_direct
            || found.deny_delete != config.deny_delete
            || found.deny_purge != config.deny_purge
            || found.discard != config.discard
            || !found.max_age.is_zero();
        if found.num_replicas != config.num_replicas {
            let (has, wanted) = (found.num_replicas, config.num_replicas);
            let what = format!("it keeps {has} copies, {wanted} were asked for: ask for {has}, or change the stream");
            return Err(failed(Box::new(Misfit(what))));
        }
        if differs {
            let what = "it exists with other settings than a log needs (atomic publish, direct get, no deletion, no age limit)";
            return Err(failed(Box::new(Misfit(what.to_owned()))));
        }
        Ok(())
    }

    /// The last position of a family's stream; 0 when it is empty.
    pub async fn last_seq(&self, family: Family) -> Result<u64, StreamError> {
        Ok(self.state(family.stream(self.cell())).await?.last_sequence)
    }

    /// The first and the last position that a family's stream holds; the first is one behind the last when it is empty.
    pub async fn bounds(&self, family: Family) -> Result<Bounds, StreamError> {
        let state = self.state(family.stream(self.cell())).await?;
        let first = if state.messages == 0 { state.last_sequence + 1 } else { state.first_sequence };
        Ok(Bounds { first, last: state.last_sequence })
    }

    pub(super) async fn state(&self, name: String) -> Result<State, StreamError> {
        match self.jetstream().get_stream(&name).await {
            Ok(stream) => Ok(stream.cached_info().state.clone()),
            Err(error) => Err(StreamError { stream: name, source: Box::new(error) }),
        }
    }
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub first: u64,
    pub last: u64,
}

/// A stream is there and is another one than is wanted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misfit(String);

impl StreamError {
    /// Whether asking again may help: servers elect leaders, and make a stream once when several ask.
    pub fn may_pass(&self) -> bool {
        !self.source.is::<Misfit>()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the stream {stream} is not usable: {source}")]
pub struct StreamError {
    pub(super) stream: String,
    pub(super) source: async_nats::Error,
}
