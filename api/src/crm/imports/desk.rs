//! The port to whoever keeps the files and reports of imports.
//!
//! The endpoints know HTTP and commands; how a file is stored, read and understood is the importer's. Refusals come as
//! [`Problem`]s, so that a mapping that does not fit is answered like any other field that does not.

use crate::http::problem::Problem;
use bus_schema::{TenantId, crm::import::ImportFormat};
use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Keeps files and reports.
pub trait ImportDesk: Send + Sync + 'static {
    /// Takes a file in, piece by piece, and keeps it if it can be imported as told; otherwise nothing of it stays. 413
    /// when it has more than `limit` bytes.
    fn receive<'a>(
        &'a self,
        tenant: &'a TenantId,
        file: BoxStream<'a, Result<Bytes, Problem>>,
        limit: u64,
        told: FileForm,
    ) -> BoxFuture<'a, Result<Received, Problem>>;

    /// What the beginning of a file would become. `cut`: the file goes on behind it.
    fn preview(&self, head: Bytes, cut: bool, told: FileForm) -> BoxFuture<'_, Result<ImportPreview, Problem>>;

    /// Some lines of a report.
    fn report<'a>(
        &'a self,
        tenant: &'a TenantId,
        import: Uuid,
        wanted: ReportQuery,
    ) -> BoxFuture<'a, Result<ReportPage, Problem>>;
}

/// How a file is written, as far as the caller said.
#[derive(Clone, Debug)]
pub struct FileForm {
    pub format: ImportFormat,
    /// WHATWG label; found out when absent.
    pub encoding: Option<String>,
    /// Column to field; found from the headings when absent.
    pub mapping: Option<BTreeMap<String, String>>,
}

/// A file that was taken in.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its SHA-256 in hexadecimal digits.
    pub blob: String,
    pub encoding: String,
    pub mapping: BTreeMap<String, String>,
}

/// The beginning of a file as it would be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportPreview {
    #[schema(example = "windows-1252")]
    pub encoding: String,
    /// What separates the cells of CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    pub columns: Vec<String>,
    /// Column to field: as sent, or as the headings suggest.
    pub mapping: BTreeMap<String, String>,
    /// Columns that fill nothing.
    pub unmapped: Vec<String>,
    /// The fields a column can fill.
    pub fields: Vec<String>,
    /// Why the mapping does not make contacts yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<RowProblem>,
    /// The first rows.
    pub rows: Vec<PreviewRow>,
}

/// One row of a preview.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewRow {
    pub row: u64,
    pub line: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub cells: Vec<String>,
    /// Field to value, the tags separated by commas; absent when the row has a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<RowProblem>,
}

/// What is wrong with a row.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowProblem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Stable: `invalid_email`, `too_many_cells`...
    pub code: String,
    pub message: String,
    /// The beginning of the faulty value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Which lines of which report.
#[derive(Clone, Debug)]
pub struct ReportQuery {
    /// Of the undoing instead of the import.
    pub undo: bool,
    /// The `next` of the page before.
    pub after: Option<String>,
    pub limit: usize,
    /// Only rows with these outcomes; empty for all.
    pub outcomes: Vec<String>,
}

/// Some lines of a report, in the order of the file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportPage {
    pub items: Vec<ReportLine>,
    /// Where the next page begins; absent at the present end. A page with `next` can be short or empty where the wanted
    /// outcomes are rare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What became of one row.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportLine {
    pub row: u64,
    /// The line of the file on which the row begins.
    pub line: u64,
    /// `created`, `merged`, `unchanged`, `skipped`, `failed`; of a dry run `would_create`, `would_merge`, `would_skip`;
    /// of an undoing `removed`, `reverted`, `partly_reverted`, `kept`, `gone`, `failed`.
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
