//! Checkpoints: one small table a generation, so that they go with its tables.
//!
//! A checkpoint is written with its position as its timestamp, so a lower one never replaces a higher one, whoever writes it
//! and in whatever order. Beside it stands the *safe* position: one that was a checkpoint at least
//! [`Options::safety_window`](super::Options::safety_window) ago. Servers acknowledge a write before it is on their disks; whoever begins at
//! the safe position writes everything anew that they may have lost in a power cut, and nothing else can be missing.

use super::{
    Shared,
    schema::{self, MARKS_ROW},
    session::Fault,
};
use crate::read_store::{
    Mark, ReadStoreError,
    ledger::{Lane, list_marks},
};
use scylla::statement::prepared::PreparedStatement;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// The statements on one generation's checkpoints.
#[derive(Debug)]
pub(super) struct Marks {
    put: PreparedStatement,
    get: PreparedStatement,
    all: PreparedStatement,
}

/// What was a checkpoint of a lane, and when: the first one is the safe one.
#[derive(Debug, Default)]
pub(super) struct Passed(HashMap<Lane, VecDeque<(Instant, u64)>>);

impl Passed {
    /// Notes a checkpoint that is about to be written; answers the newest one of at least `window` ago, 0 without one.
    fn note(&mut self, lane: Lane, seq: u64, now: Instant, window: Duration) -> u64 {
        let passed = self.0.entry(lane).or_default();
        while passed.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= window) {
            passed.pop_front();
        }
        let safe = passed.front().filter(|(at, _)| now.duration_since(*at) >= window).map_or(0, |(_, seq)| *seq);
        // A few a second are enough to go back to.
        let crowded = passed.back().is_some_and(|(at, _)| now.duration_since(*at) < window / 32);
        if !crowded {
            passed.push_back((now, seq));
        }
        safe
    }

    fn forget(&mut self, generation: &str) {
        self.0.retain(|(view, _), _| view != generation);
    }
}

impl Shared {
    pub(super) async fn write_marks(&self, marks: Vec<Mark>) -> Result<(), ReadStoreError> {
        let mut greatest: BTreeMap<Lane, u64> = BTreeMap::new();
        for mark in marks {
            let seq = greatest.entry((mark.view, mark.cell)).or_default();
            *seq = mark.seq.max(*seq);
        }
        let writes = greatest.into_iter().map(async |(lane, seq)| {
            let safe = self.passed().note(lane.clone(), seq, Instant::now(), self.options.safety_window);
            let written = match self.write_mark(&lane, seq, safe).await {
                Err(Fault::Gone) => {
                    self.forget_marks(&lane.0);
                    self.write_mark(&lane, seq, safe).await
                }
                written => written,
            };
            written.map_err(|fault| fault.into_error(&self.place))
        });
        futures::future::try_join_all(writes).await.map(drop)
    }

    async fn write_mark(&self, (view, cell): &Lane, seq: u64, safe: u64) -> Result<(), Fault> {
        let marks = self.marks_or_create(view).await?;
        let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
        // Zero is kept as what it is: a lane begins there.
        let values = (cell, number(seq), number(safe), number(seq));
        self.session
            .execute_unpaged(&marks.put, values)
            .await
            .map_err(|error| self.fault("write a checkpoint", error))?;
        Ok(())
    }

    /// A checkpoint and its safe position.
    pub(super) async fn mark(&self, view: &str, cell: &str) -> Result<Option<(u64, u64)>, ReadStoreError> {
        let Some(marks) = self.marks_of(view).await? else { return Ok(None) };
        let found = match self.session.execute_unpaged(&marks.get, (cell,)).await {
            Ok(found) => found,
            Err(error) => match self.fault("read a checkpoint", error) {
                Fault::Gone => return Ok(None),
                Fault::Failed(error) => return Err(error),
            },
        };
        let failed = |fault: Fault| fault.into_error(&self.place);
        let rows = found.into_rows_result().map_err(|error| failed(self.fault("read a checkpoint", error)))?;
        let row =
            rows.maybe_first_row::<(i64, i64)>().map_err(|error| failed(self.fault("read a checkpoint", error)))?;
        Ok(row.map(|(seq, safe)| (u64::try_from(seq).unwrap_or(0), u64::try_from(safe).unwrap_or(0))))
    }

    pub(super) async fn marks(&self) -> Result<Vec<Mark>, ReadStoreError> {
        let mut out = BTreeMap::new();
        for (row, _) in self.registered().await? {
            let Some(view) = row.strip_prefix(MARKS_ROW) else { continue };
            let Some(marks) = self.marks_of(view).await? else { continue };
            let failed = |error| self.fault("read checkpoints", error);
            let read = async {
                let found = self.session.execute_unpaged(&marks.all, ()).await.map_err(failed)?;
                let rows = found.into_rows_result().map_err(|error| self.fault("read checkpoints", error))?;
                let rows = rows
                    .rows::<(String, i64)>()
                    .map_err(|error| self.fault("read checkpoints", error))?
                    .collect::<Result<Vec<_>, _>>();
                rows.map_err(|error| self.fault("read checkpoints", error))
            };
            match read.await {
                Ok(rows) => out.extend(
                    rows.into_iter().map(|(cell, seq)| ((view.to_owned(), cell), u64::try_from(seq).unwrap_or(0))),
                ),
                Err(Fault::Gone) => {}
                Err(Fault::Failed(error)) => return Err(error),
            }
        }
        Ok(list_marks(&out))
    }

    async fn marks_of(&self, view: &str) -> Result<Option<Arc<Marks>>, ReadStoreError> {
        if let Some(marks) = self.known_marks(view) {
            return Ok(Some(marks));
        }
        if self.registered_as(&format!("{MARKS_ROW}{view}")).await?.is_none() {
            return Ok(None);
        }
        match self.prepare_marks(view).await {
            Ok(marks) => Ok(Some(marks)),
            Err(Fault::Gone) => Ok(None),
            Err(Fault::Failed(error)) => Err(error),
        }
    }

    async fn marks_or_create(&self, view: &str) -> Result<Arc<Marks>, Fault> {
        if let Some(marks) = self.known_marks(view) {
            return Ok(marks);
        }
        let _one_at_a_time = self.creating.lock().await;
        if let Some(marks) = self.known_marks(view) {
            return Ok(marks);
        }
        let name = self.names.marks(view);
        self.create(&format!("{MARKS_ROW}{view}"), &name, schema::create_marks(&name)).await?;
        self.prepare_marks(view).await
    }

    async fn prepare_marks(&self, view: &str) -> Result<Arc<Marks>, Fault> {
        let name = self.names.marks(view);
        let marks = Arc::new(Marks {
            put: self
                .prepare(format!("INSERT INTO {name} (cell, seq, safe) VALUES (?, ?, ?) USING TIMESTAMP ?"))
                .await?,
            get: self.prepare_read(format!("SELECT seq, safe FROM {name} WHERE cell = ?")).await?,
            all: self.prepare_read(format!("SELECT cell, seq FROM {name}")).await?,
        });
        self.remember_marks(view, &marks);
        Ok(marks)
    }

    pub(super) fn forget_passed(&self, generation: &str) {
        self.passed().forget(generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_safe_position_is_one_of_a_window_ago() {
        let (mut passed, start, window) = (Passed::default(), Instant::now(), Duration::from_secs(10));
        let lane = || ("v".to_owned(), "eu1".to_owned());
        let mut note = |seconds: u64, seq| passed.note(lane(), seq, start + Duration::from_secs(seconds), window);
        assert_eq!(note(0, 5), 0, "nothing is older than the window");
        assert_eq!(note(4, 7), 0);
        assert_eq!(note(10, 9), 5);
        assert_eq!(note(13, 11), 5);
        assert_eq!(note(14, 12), 7);
        assert_eq!(note(100, 20), 12);
    }
}
