//! What became of each row: one JSON object a line, in the order of the rows, in a file beside the import.
//!
//! The report repeats the beginning of faulty values, so it is personal data: whoever keeps the file deletes it with the
//! import. A crash may leave lines after the last checkpoint; [`ReportWriter::open`] cuts them off.

use super::row::{RowError, shortened};
use serde::{Deserialize, Serialize};
use std::{io::SeekFrom, path::Path};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader},
};
use uuid::Uuid;

/// Written lines wait in memory up to this many bytes.
const BUFFER: usize = 64 * 1024;
/// Characters of a message.
const MAX_MESSAGE: usize = 1_000;
/// A line is never longer: the texts in it are bounded.
const MAX_LINE: u64 = 64 * 1024;
/// Bytes one page reads at most, however few lines it finds.
const MAX_SCAN: u64 = 8 * 1024 * 1024;
/// Lines of a page.
pub const MAX_PAGE: usize = 1_000;

/// What became of a row. The last five are of taking an import back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Created,
    /// The contact existed and was filled or overwritten.
    Merged,
    /// The contact existed and had all of it already.
    Unchanged,
    /// The contact existed and was left as it is.
    Skipped,
    Failed,
    WouldCreate,
    WouldMerge,
    WouldSkip,
    /// A contact the import created is gone again.
    Removed,
    /// A contact has again what it had before the import.
    Reverted,
    /// As `Reverted`, but for what somebody changed since.
    PartlyReverted,
    /// Somebody built on it since, so it stays as it is.
    Kept,
    /// The person was erased since; there is nothing to take back.
    Gone,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    pub row: u64,
    pub line: u64,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Stable; for `failed` the code of the fault, for `kept` the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl ReportRow {
    pub fn new(row: u64, line: u64, outcome: Outcome, contact: Option<Uuid>) -> Self {
        Self { row, line, outcome, contact, field: None, code: None, message: None, value: None }
    }

    pub fn because(mut self, code: &str, message: impl AsRef<str>) -> Self {
        self.code = Some(shortened(code));
        self.message = Some(message.as_ref().chars().take(MAX_MESSAGE).collect());
        self
    }
}

impl From<RowError> for ReportRow {
    fn from(error: RowError) -> Self {
        let row = Self::new(error.number, error.line, Outcome::Failed, None).because(error.code, &error.message);
        Self { field: error.field.map(|field| field.name().to_owned()), value: error.value, ..row }
    }
}

/// The report could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the report of the import cannot be {what}: {source}")]
    File { what: &'static str, source: std::io::Error },
    #[error(
        "the report of the import is shorter ({length} bytes) than at its last checkpoint ({expected} bytes); start the import again from its first row, rows that were done are not done twice"
    )]
    Short { length: u64, expected: u64 },
    #[error("the report of the import holds something else at byte {offset}; it was changed by another program")]
    Malformed { offset: u64 },
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> ReportError {
    move |source| ReportError::File { what, source }
}

/// A report being written.
pub struct ReportWriter {
    file: File,
    buffer: Vec<u8>,
    /// Bytes in the file and in the buffer.
    length: u64,
}

impl ReportWriter {
    /// Opens a report to go on at `length` bytes, as the checkpoint says; 0 begins anew. What stands after is cut off.
    pub async fn open(path: &Path, length: u64) -> Result<Self, ReportError> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).write(true).open(path).await.map_err(failed("opened"))?;
        let present = file.metadata().await.map_err(failed("opened"))?.len();
        if present < length {
            return Err(ReportError::Short { length: present, expected: length });
        }
        file.set_len(length).await.map_err(failed("cut"))?;
        file.seek(SeekFrom::Start(length)).await.map_err(failed("opened"))?;
        Ok(Self { file, buffer: Vec::with_capacity(BUFFER), length })
    }

    pub async fn write(&mut self, row: &ReportRow) -> Result<(), ReportError> {
        let before = self.buffer.len();
        serde_json::to_writer(&mut self.buffer, row)
            .map_err(|error| ReportError::File { what: "written", source: error.into() })?;
        self.buffer.push(b'\n');
        self.length += (self.buffer.len() - before) as u64;
        if self.buffer.len() >= BUFFER {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Makes everything written durable and gives the report's length in bytes.
    pub async fn save(&mut self) -> Result<u64, ReportError> {
        self.hand_over().await?;
        self.file.sync_data().await.map_err(failed("saved"))?;
        Ok(self.length)
    }

    async fn hand_over(&mut self) -> Result<(), ReportError> {
        self.file.write_all(&self.buffer).await.map_err(failed("written"))?;
        self.file.flush().await.map_err(failed("written"))?;
        self.buffer.clear();
        Ok(())
    }
}

/// Some lines of a report and the byte at which the next page begins; `None` at the present end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportPage {
    pub rows: Vec<ReportRow>,
    pub next: Option<u64>,
}

/// Reads a page that begins at byte `offset` (0, or what a page gave as `next`). `only` keeps lines of these outcomes;
/// where they are rare a page may be short, even empty, and still have a next one.
pub async fn read_page(
    path: &Path,
    offset: u64,
    limit: usize,
    only: Option<&[Outcome]>,
) -> Result<ReportPage, ReportError> {
    let mut reader = ReportReader::open(path, offset).await?;
    let mut rows = Vec::new();
    while let Some((row, _)) = reader.next().await? {
        if only.is_none_or(|only| only.contains(&row.outcome)) {
            rows.push(row);
        }
        if rows.len() >= limit.clamp(1, MAX_PAGE) || reader.at - offset >= MAX_SCAN {
            return Ok(ReportPage { rows, next: Some(reader.at) });
        }
    }
    Ok(ReportPage { rows, next: None })
}

/// The lines of a report one after the other.
pub(super) struct ReportReader {
    input: BufReader<File>,
    at: u64,
}

impl ReportReader {
    pub(super) async fn open(path: &Path, offset: u64) -> Result<Self, ReportError> {
        let mut file = File::open(path).await.map_err(failed("opened"))?;
        file.seek(SeekFrom::Start(offset)).await.map_err(failed("read"))?;
        Ok(Self { input: BufReader::with_capacity(BUFFER, file), at: offset })
    }

    /// The next line and the byte after it. A line that is still being written is not there yet.
    pub(super) async fn next(&mut self) -> Result<Option<(ReportRow, u64)>, ReportError> {
        let mut line = Vec::new();
        (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut line).await.map_err(failed("read"))?;
        if line.last() != Some(&b'\n') {
            let cut = line.len() as u64 == MAX_LINE;
            return if cut { Err(ReportError::Malformed { offset: self.at }) } else { Ok(None) };
        }
        let row = serde_json::from_slice(&line).map_err(|_| ReportError::Malformed { offset: self.at })?;
        self.at += line.len() as u64;
        Ok(Some((row, self.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> ReportRow {
        let outcome = if number.is_multiple_of(10) { Outcome::Failed } else { Outcome::Created };
        ReportRow::new(number, number + 1, outcome, Some(Uuid::from_u128(number.into()))).because("c", "m")
    }

    #[tokio::test]
    async fn pages_cover_the_report_and_filters_keep_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.ndjson");
        let mut report = ReportWriter::open(&path, 0).await.unwrap();
        for number in 1..=2_500 {
            report.write(&row(number)).await.unwrap();
        }
        report.save().await.unwrap();
        let (mut seen, mut offset) = (Vec::new(), Some(0));
        while let Some(from) = offset {
            let page = read_page(&path, from, 5_000, None).await.unwrap();
            assert!(page.rows.len() <= MAX_PAGE);
            seen.extend(page.rows);
            offset = page.next;
        }
        assert_eq!(seen, (1..=2_500).map(row).collect::<Vec<_>>());
        let failed = read_page(&path, 0, 100, Some(&[Outcome::Failed])).await.unwrap();
        assert_eq!((failed.rows.len(), failed.rows[99].row), (100, 1_000));
        let rest = read_page(&path, failed.next.unwrap(), 1_000, Some(&[Outcome::Failed])).await.unwrap();
        assert_eq!((rest.rows.len(), rest.next), (150, None));
    }

    #[tokio::test]
    async fn what_stands_after_the_checkpoint_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.ndjson");
        let mut report = ReportWriter::open(&path, 0).await.unwrap();
        report.write(&row(1)).await.unwrap();
        let length = report.save().await.unwrap();
        report.write(&row(2)).await.unwrap();
        report.save().await.unwrap();
        tokio::fs::write(&path, [tokio::fs::read(&path).await.unwrap(), b"{\"row\":3".to_vec()].concat())
            .await
            .unwrap();
        let page = read_page(&path, 0, 10, None).await.unwrap();
        assert_eq!((page.rows.len(), page.next), (2, None), "a torn line is not read");
        let mut report = ReportWriter::open(&path, length).await.unwrap();
        report.write(&row(9)).await.unwrap();
        report.save().await.unwrap();
        let page = read_page(&path, 0, 10, None).await.unwrap();
        assert_eq!(page.rows, [row(1), row(9)]);
        assert!(matches!(ReportWriter::open(&path, 10_000).await, Err(ReportError::Short { .. })));
        tokio::fs::write(&path, "no report\n").await.unwrap();
        assert!(matches!(read_page(&path, 0, 10, None).await, Err(ReportError::Malformed { offset: 0 })));
    }
}
