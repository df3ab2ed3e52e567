//! Notes of what the events of each batch looked at, beside the checkpoints of their lane.
//!
//! A note says: this row was so at position `since`, when the batch up to `until` was applied. They are written before the rows of
//! the batch, so whatever rows are there, what was there before is known. A lane that begins at its safe position `s` takes from
//! the notes since `s` the earliest of each row: how the row was at `s`. While it passes what was written before, it reads its own
//! results instead of the store, and so makes the very same rows once more ([`Resume`]).
//!
//! Two processes may carry a lane for a moment, each with batches of its own. A safe position of one then can lie inside a batch
//! of the other, whose notes do not say how rows were there: the lane then begins where that batch began.
//!
//! Notes lie in the partition of their checkpoint, ordered by `until`, and are removed from the low end; a read begins behind the
//! safe position and so never walks over what was removed.

use super::{
    Shared,
    marks::{Marks, number},
    session::Fault,
};
use crate::read_store::{ReadStoreError, Resume, RowKey, Seen, Step, TableId};
use bus_schema::codec;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc};

/// Bytes of one note, but for a single row that is larger.
const BYTES: usize = 32 * 1024;
/// Notes under way at once.
const REQUESTS: usize = 64;

/// A row as it is kept in a note.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    #[serde(rename = "t")]
    table: String,
    #[serde(rename = "o")]
    tenant: String,
    #[serde(rename = "p")]
    partition: String,
    #[serde(rename = "s")]
    sort: Bytes,
    #[serde(rename = "b")]
    body: Option<Bytes>,
}

/// One note as it is read back.
#[derive(Debug)]
struct Note {
    since: u64,
    until: u64,
    rows: Vec<Row>,
}

impl Shared {
    /// Before the rows of a batch are written.
    pub(super) async fn note(&self, steps: &[Step]) -> Result<(), ReadStoreError> {
        let mut notes = Vec::new();
        for step in steps.iter().filter(|step| step.applied) {
            for (part, rows) in parts(&step.seen).into_iter().enumerate() {
                notes.push(self.write_note(step, part, rows));
            }
        }
        stream::iter(notes).buffer_unordered(REQUESTS).try_collect().await
    }

    async fn write_note(&self, step: &Step, part: usize, rows: Vec<Row>) -> Result<(), ReadStoreError> {
        let body = codec::encode(&rows).map_err(|error| ReadStoreError::Unavailable {
            doing: "encode a note",
            place: self.place.clone(),
            source: Box::new(error),
        })?;
        let written = match self.send_note(step, part, &body).await {
            Err(Fault::Gone) => {
                self.forget_marks(&step.mark.view);
                self.send_note(step, part, &body).await
            }
            written => written,
        };
        written.map_err(|fault| fault.into_error(&self.place))
    }

    async fn send_note(&self, step: &Step, part: usize, body: &[u8]) -> Result<(), Fault> {
        let marks = self.marks_or_create(&step.mark.view).await?;
        let (until, since, part) = (number(step.mark.seq), number(step.since), i32::try_from(part).unwrap_or(i32::MAX));
        let values = (&step.mark.cell, until, since, part, body, until);
        let sent = self.session.execute_unpaged(marks.note(self).await?, values).await;
        sent.map(drop).map_err(|error| self.fault("write a note", error))
    }

    /// Where a lane with this safe position begins.
    pub(super) async fn recall(&self, marks: &Arc<Marks>, cell: &str, safe: u64) -> Result<Resume, Fault> {
        let mut seq = safe;
        loop {
            let notes = self.notes(marks, cell, seq).await?;
            match notes.iter().map(|note| note.since).min() {
                Some(since) if since < seq => seq = since,
                _ => return Ok(resume(seq, notes)),
            }
        }
    }

    async fn notes(&self, marks: &Marks, cell: &str, behind: u64) -> Result<Vec<Note>, Fault> {
        let failed = |error| self.fault("read notes", error);
        let found = self.session.execute_iter(marks.recall(self).await?.clone(), (cell, number(behind))).await;
        let found = found.map_err(|error| self.fault("read notes", error))?;
        let rows = found.rows_stream::<(i64, i64, Bytes)>().map_err(|error| self.fault("read notes", error))?;
        let rows: Vec<(i64, i64, Bytes)> = rows.try_collect().await.map_err(failed)?;
        let position = |number: i64| u64::try_from(number).unwrap_or(0);
        let note = |(until, since, body): (i64, i64, Bytes)| {
            let rows = codec::decode(&body)
                .map_err(|error| Fault::Failed(ReadStoreError::corrupt("notes", format!("a note: {error}"))))?;
            Ok(Note { since: position(since), until: position(until), rows })
        };
        rows.into_iter().map(note).collect()
    }
}

/// Of each row the earliest note.
fn resume(seq: u64, mut notes: Vec<Note>) -> Resume {
    notes.sort_by_key(|note| (note.since, note.until));
    let until = notes.iter().map(|note| note.until).max().unwrap_or(seq);
    let (mut known, mut seen) = (HashSet::new(), Vec::new());
    for row in notes.into_iter().flat_map(|note| note.rows) {
        // Its table was valid when it was noted.
        let Ok(table) = TableId::try_new(&row.table) else { continue };
        let key = RowKey { table, tenant: row.tenant.into(), partition: row.partition, sort: row.sort.to_vec() };
        if known.insert(key.clone()) {
            seen.push(Seen { key, body: row.body });
        }
    }
    Resume { seq, until: until.max(seq), seen }
}

/// Cut so that no request is large. A batch that looked at nothing has a note too: it says how far rows can be.
fn parts(seen: &[Seen]) -> Vec<Vec<Row>> {
    let mut out = vec![Vec::new()];
    let mut bytes = 0;
    for Seen { key, body } in seen {
        let size = key.partition.len() + key.sort.len() + body.as_ref().map_or(0, |body| body.len()) + 64;
        if bytes > 0 && bytes + size > BYTES {
            out.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        let row = Row {
            table: key.table.as_str().to_owned(),
            tenant: key.tenant.to_string(),
            partition: key.partition.clone(),
            sort: Bytes::copy_from_slice(&key.sort),
            body: body.clone(),
        };
        out.last_mut().expect("it begins with one").push(row);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(partition: &str, body: &'static str) -> Seen {
        let table = TableId::try_new("v_v1_g0.records").unwrap();
        let key = RowKey { table, tenant: "acme".into(), partition: partition.into(), sort: vec![] };
        Seen { key, body: (!body.is_empty()).then(|| Bytes::from_static(body.as_bytes())) }
    }

    fn note(since: u64, until: u64, rows: &[Seen]) -> Note {
        Note { since, until, rows: parts(rows).into_iter().flatten().collect() }
    }

    #[test]
    fn the_earliest_note_of_a_row_counts() {
        let notes = vec![
            note(20, 30, &[seen("a", "20"), seen("b", "")]),
            note(10, 20, &[seen("a", "10")]),
            note(10, 25, &[seen("a", "10"), seen("c", "10")]),
        ];
        let resume = resume(10, notes);
        assert_eq!((resume.seq, resume.until), (10, 30));
        assert_eq!(resume.seen, [seen("a", "10"), seen("c", "10"), seen("b", "")]);
    }

    #[test]
    fn a_note_is_never_large_and_never_missing() {
        let large: &'static str = Box::leak("x".repeat(20_000).into_boxed_str());
        let rows: Vec<Seen> = ["a", "b", "c"].iter().map(|partition| seen(partition, large)).collect();
        assert_eq!(parts(&rows).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(parts(&[]).len(), 1);
    }
}
