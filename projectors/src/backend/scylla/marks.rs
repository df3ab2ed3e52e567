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
    Mark, ReadStoreError, Resume, Step,
    ledger::{Lane, list_marks},
};
use scylla::statement::prepared::PreparedStatement;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// Checkpoints of a lane that are written within a window; a busy lane has far more batches than that.
const STEPS: u32 = 32;
/// Notes are kept for this many windows after they are of use, for a process that was held up for so long.
const KEPT_WINDOWS: u32 = 5;

/// One generation's table of checkpoints. Its statements are prepared when they are first needed: who only reads views needs one.
#[derive(Debug)]
pub(super) struct Marks {
    name: String,
    put: OnceCell<PreparedStatement>,
    get: OnceCell<PreparedStatement>,
    all: OnceCell<PreparedStatement>,
    note: OnceCell<PreparedStatement>,
    recall: OnceCell<PreparedStatement>,
    forget: OnceCell<PreparedStatement>,
}

impl Marks {
    pub(super) fn new(name: String) -> Self {
        let [put, get, all, note, recall, forget] = std::array::from_fn(|_| OnceCell::new());
        Self { name, put, get, all, note, recall, forget }
    }

    /// `(cell, seq, safe, timestamp)`.
    async fn put(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("INSERT INTO {} (cell, seq, safe) VALUES (?, ?, ?) USING TIMESTAMP ?", self.name);
        self.put.get_or_try_init(|| shared.prepare(cql())).await
    }

    /// `(cell)` to `(seq, safe)`: only the checkpoint of the partition is read, none of its notes.
    async fn get(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("SELECT DISTINCT seq, safe FROM {} WHERE cell = ?", self.name);
        self.get.get_or_try_init(|| shared.prepare_read(cql())).await
    }

    /// `()` to `(cell, seq)`.
    async fn all(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("SELECT DISTINCT cell, seq FROM {}", self.name);
        self.all.get_or_try_init(|| shared.prepare_read(cql())).await
    }

    /// `(cell, until, since, part, body, timestamp)`.
    pub(super) async fn note(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let of_step = "(cell, until, since, part, body)";
        let cql = || format!("INSERT INTO {} {of_step} VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?", self.name);
        self.note.get_or_try_init(|| shared.prepare(cql())).await
    }

    /// `(cell, until)` to `(until, since, body)` of what lies behind.
    pub(super) async fn recall(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("SELECT until, since, body FROM {} WHERE cell = ? AND until > ?", self.name);
        self.recall.get_or_try_init(|| shared.prepare_read(cql())).await
    }

    /// `(timestamp, cell, until)`.
    async fn forget(&self, shared: &Shared) -> Result<&PreparedStatement, Fault> {
        let cql = || format!("DELETE FROM {} USING TIMESTAMP ? WHERE cell = ? AND until <= ?", self.name);
        self.forget.get_or_try_init(|| shared.prepare(cql())).await
    }
}

/// Where lanes stand and stood.
#[derive(Debug, Default)]
pub(super) struct Passed(HashMap<Lane, Trail>);

/// What was a checkpoint of a lane, and when.
#[derive(Debug, Default)]
struct Trail {
    /// Known to be on the disks.
    safe: u64,
    /// Up to here rows were written by whoever carried the lane before; between two of its checkpoints it may not begin.
    until: u64,
    passed: VecDeque<(Instant, u64)>,
    /// When the last checkpoint was written.
    written: Option<Instant>,
    /// What can be forgotten of the notes, once it has been safe for long.
    forget: Option<(Instant, u64)>,
}

/// What is written beside a checkpoint.
#[derive(Debug, PartialEq, Eq)]
struct Beside {
    safe: u64,
    /// Notes up to here are of no use any more.
    forget: Option<u64>,
}

impl Passed {
    /// A lane begins where a store says.
    fn begin(&mut self, lane: Lane, resume: &Resume) {
        self.0.insert(lane, Trail { safe: resume.seq, until: resume.until, ..Trail::default() });
    }

    /// Notes a checkpoint that is about to be written. The newest one of at least `window` ago is safe.
    fn note(&mut self, lane: Lane, seq: u64, now: Instant, window: Duration) -> Beside {
        let trail = self.0.entry(lane).or_default();
        let old = |at: &Instant| now.duration_since(*at) >= window;
        while let Some((_, seq)) = trail.passed.front().filter(|(at, _)| old(at)).copied() {
            trail.safe = seq;
            trail.passed.pop_front();
        }
        let crowded = trail.passed.back().is_some_and(|(at, _)| now.duration_since(*at) < window / STEPS);
        trail.written = Some(now);
        if !crowded && seq >= trail.until {
            trail.passed.push_back((now, seq));
        }
        let (since, forget) = *trail.forget.get_or_insert((now, trail.safe));
        let due = now.duration_since(since) >= window * KEPT_WINDOWS;
        if due {
            trail.forget = Some((now, trail.safe));
        }
        Beside { safe: trail.safe, forget: due.then_some(forget) }
    }

    /// Whether a lane that goes on needs a checkpoint now: it would begin a window before one anyway.
    fn is_due(&self, lane: &Lane, now: Instant, window: Duration) -> bool {
        let written = self.0.get(lane).and_then(|trail| trail.written);
        written.is_none_or(|at| now.duration_since(at) >= window / STEPS)
    }

    fn forget(&mut self, generation: &str) {
        self.0.retain(|(view, _), _| view != generation);
    }
}

/// A position as the servers keep it.
pub(super) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl Shared {
    /// The checkpoints of a batch that are worth a write.
    pub(super) fn due_marks(&self, steps: &[Step]) -> Vec<Mark> {
        let (passed, now) = (self.passed(), Instant::now());
        let marks = steps.iter().map(|step| step.mark.clone());
        let is_due =
            |mark: &Mark| passed.is_due(&(mark.view.clone(), mark.cell.clone()), now, self.options.safety_window);
        marks.filter(is_due).collect()
    }

    pub(super) async fn write_marks(&self, marks: Vec<Mark>) -> Result<(), ReadStoreError> {
        let mut greatest: BTreeMap<Lane, u64> = BTreeMap::new();
        for mark in marks {
            let seq = greatest.entry((mark.view, mark.cell)).or_default();
            *seq = mark.seq.max(*seq);
        }
        let writes = greatest.into_iter().map(async |(lane, seq)| {
            let beside = self.passed().note(lane.clone(), seq, Instant::now(), self.options.safety_window);
            let written = match self.write_mark(&lane, seq, &beside).await {
                Err(Fault::Gone) => {
                    self.forget_marks(&lane.0);
                    self.write_mark(&lane, seq, &beside).await
                }
                written => written,
            };
            written.map_err(|fault| fault.into_error(&self.place))
        });
        futures::future::try_join_all(writes).await.map(drop)
    }

    async fn write_mark(&self, (view, cell): &Lane, seq: u64, beside: &Beside) -> Result<(), Fault> {
        let marks = self.marks_or_create(view).await?;
        // Zero is kept as what it is: a lane begins there.
        let values = (cell, number(seq), number(beside.safe), number(seq));
        let failed = |error| self.fault("write a checkpoint", error);
        self.session.execute_unpaged(marks.put(self).await?, values).await.map_err(failed)?;
        if let Some(forget) = beside.forget {
            let values = (number(forget), cell, number(forget));
            self.session.execute_unpaged(marks.forget(self).await?, values).await.map_err(failed)?;
        }
        Ok(())
    }

    /// A checkpoint and its safe position.
    pub(super) async fn mark(&self, view: &str, cell: &str) -> Result<Option<(u64, u64)>, ReadStoreError> {
        let Some(marks) = self.marks_of(view).await? else { return Ok(None) };
        let failed = |error| self.fault("read a checkpoint", error);
        let read = async {
            let found = self.session.execute_unpaged(marks.get(self).await?, (cell,)).await.map_err(failed)?;
            let rows = found.into_rows_result().map_err(|error| self.fault("read a checkpoint", error))?;
            rows.maybe_first_row::<(Option<i64>, Option<i64>)>().map_err(|error| self.fault("read a checkpoint", error))
        };
        let row = match read.await {
            Ok(row) => row,
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Gone) => {
                self.forget_marks(view);
                return Ok(None);
            }
        };
        let position = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(row.and_then(|(seq, safe)| Some((position(seq?), position(safe.unwrap_or(0))))))
    }

    /// Where a lane begins, see [`super::notes`]. From then on its safe positions are counted from there.
    pub(super) async fn resume(&self, view: &str, cell: &str) -> Result<Option<Resume>, ReadStoreError> {
        let Some(marks) = self.marks_of(view).await? else { return Ok(None) };
        let (seq, safe) = self.mark(view, cell).await?.unwrap_or((0, 0));
        let resume = match self.recall(&marks, cell, safe).await {
            Ok(resume) => Resume { until: resume.until.max(seq), ..resume },
            Err(Fault::Gone) => return Ok(None),
            Err(Fault::Failed(error)) => return Err(error),
        };
        self.passed().begin((view.to_owned(), cell.to_owned()), &resume);
        Ok(Some(resume))
    }

    pub(super) async fn marks(&self) -> Result<Vec<Mark>, ReadStoreError> {
        let mut out = BTreeMap::new();
        for (row, _) in self.registered().await? {
            let Some(view) = row.strip_prefix(MARKS_ROW) else { continue };
            let Some(marks) = self.marks_of(view).await? else { continue };
            let failed = |error| self.fault("read checkpoints", error);
            let read = async {
                let found = self.session.execute_unpaged(marks.all(self).await?, ()).await.map_err(failed)?;
                let rows = found.into_rows_result().map_err(|error| self.fault("read checkpoints", error))?;
                let rows = rows
                    .rows::<(String, Option<i64>)>()
                    .map_err(|error| self.fault("read checkpoints", error))?
                    .collect::<Result<Vec<_>, _>>();
                rows.map_err(|error| self.fault("read checkpoints", error))
            };
            match read.await {
                Ok(rows) => out.extend(
                    rows.into_iter()
                        .filter_map(|(cell, seq)| Some(((view.to_owned(), cell), u64::try_from(seq?).unwrap_or(0)))),
                ),
                Err(Fault::Gone) => self.forget_marks(view),
                Err(Fault::Failed(error)) => return Err(error),
            }
        }
        Ok(list_marks(&out))
    }

    async fn marks_of(&self, view: &str) -> Result<Option<Arc<Marks>>, ReadStoreError> {
        if let Some(marks) = self.known_marks(view) {
            return Ok(Some(marks));
        }
        let name = self.registered_as(&format!("{MARKS_ROW}{view}")).await?;
        Ok(name.map(|name| self.remember_marks(view, name)))
    }

    pub(super) async fn marks_or_create(&self, view: &str) -> Result<Arc<Marks>, Fault> {
        if let Some(marks) = self.known_marks(view) {
            return Ok(marks);
        }
        let _one_at_a_time = self.creating.lock().await;
        if let Some(marks) = self.known_marks(view) {
            return Ok(marks);
        }
        let name = self.names.marks(view);
        self.create(&format!("{MARKS_ROW}{view}"), &name, schema::create_marks(&name)).await?;
        Ok(self.remember_marks(view, name))
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
        let note = |passed: &mut Passed, seconds: u64, seq| {
            passed.note(lane(), seq, start + Duration::from_secs(seconds), window)
        };
        let mut safe = |seconds, seq| note(&mut passed, seconds, seq).safe;
        assert_eq!(safe(0, 5), 0, "nothing is older than the window");
        assert_eq!(safe(4, 7), 0);
        assert_eq!(safe(10, 9), 5);
        assert_eq!(safe(13, 11), 5);
        assert_eq!(safe(14, 12), 7);
        assert_eq!(safe(49, 13), 12);
        assert_eq!(note(&mut passed, 51, 14), Beside { safe: 12, forget: Some(0) });
        assert_eq!(note(&mut passed, 100, 20), Beside { safe: 14, forget: None });
        assert_eq!(note(&mut passed, 101, 21), Beside { safe: 14, forget: Some(12) });
        // A lane that begins anew does not fall back to the start of the log, and begins nowhere between the
        // checkpoints of the one before it.
        passed.begin(lane(), &Resume { seq: 14, until: 22, seen: Vec::new() });
        for (seconds, seq, safe) in [(102, 17, 14), (115, 22, 14), (126, 25, 22)] {
            assert_eq!(note(&mut passed, seconds, seq).safe, safe, "at {seconds} s");
        }
    }
}
