//! What every reader of import files gives: rows in order, each with the place at which reading can go on after it.

use super::row::{ImportRow, RowError};
use serde::{Deserialize, Serialize};

/// Bytes of one row, line breaks inside quotes included.
pub const MAX_ROW_BYTES: usize = 1024 * 1024;
/// Columns of a CSV file.
pub const MAX_COLUMNS: usize = 200;
/// Rows of one import.
pub const MAX_ROWS: u64 = 10_000_000;
/// Bytes of a file's beginning that are looked at to find its encoding and delimiter.
pub(super) const SAMPLE: usize = 1024 * 1024;

/// A boundary between two rows. Reading can start here without knowing what came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of the file before it; 0 means: the beginning, heading included.
    pub offset: u64,
    /// Rows before it.
    pub row: u64,
    /// Line breaks before it.
    pub line: u64,
}

/// One row as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// Where reading goes on after this row.
    pub after: Position,
    pub row: Result<ImportRow, RowError>,
}

/// Why a file cannot be read at all, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the file cannot be read at byte {offset}: {source}")]
    Read { offset: u64, source: std::io::Error },
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    #[error("the file is UTF-16; save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\") and import it again")]
    Utf16,
    #[error("the heading is not UTF-8; save the file as UTF-8, or say that it is Windows-1252")]
    HeadingEncoding,
    #[error("the heading names more than {MAX_COLUMNS} columns; remove those that are not imported")]
    TooManyColumns,
    #[error(
        "row {row}, which begins on line {line}, is longer than 1 MiB; probably a quotation mark on that line is never closed"
    )]
    RowTooLong { row: u64, line: u64 },
    #[error("the file has more than {MAX_ROWS} rows; split it and import the parts one after the other")]
    TooManyRows,
}
