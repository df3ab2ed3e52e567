//! What can go wrong: mistakes of a client (4xx, with a stable code) and faults of the index (5xx).

use std::path::PathBuf;

/// The library's error behind a fault; its type stays inside the backend.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Error of the search index. [`SearchError::code`] is stable; [`SearchError::is_client_mistake`] tells the families
/// apart.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the cursor cannot be used: {reason}; ask for the first page again")]
    UnknownCursor { reason: &'static str },
    #[error("the {what} has {count} parts, at most {max} are allowed")]
    TooManyClauses { what: &'static str, count: usize, max: usize },
    #[error("the filter is nested deeper than {max} levels")]
    FilterTooDeep { max: usize },
    #[error("the condition on field `{field}` cannot be evaluated: {reason}")]
    BadCondition { field: String, reason: String },
    #[error("`{name}` is not a usable {what}: {reason}")]
    BadName { what: &'static str, name: String, reason: &'static str },
    #[error("the search text is too long: {count} {unit}, at most {max} are allowed")]
    TextTooLong { unit: &'static str, count: usize, max: usize },
    #[error("a page of {asked} was asked for, at most {max} are allowed")]
    PageTooLarge { asked: usize, max: usize },
    #[error("document {collection}/{id} cannot be indexed: {reason}")]
    BadDocument { collection: String, id: String, reason: String },
    #[error("the search index in {} has format {}, this program writes format {wanted}; reset it and run `millrace views build search`", dir.display(), found.map_or_else(|| "unknown".to_owned(), |n| n.to_string()))]
    NeedsRebuild { dir: PathBuf, found: Option<u32>, wanted: u32 },
    #[error("the search index in {} is in use by another process; stop that one or give this one its own folder", dir.display())]
    Locked { dir: PathBuf },
    #[error("the search index in {} is damaged; run `millrace views build search`", dir.display())]
    Corrupt { dir: PathBuf, source: Source },
    #[error(
        "the search index stopped writing after an earlier fault; open it again, lanes resume from its checkpoints"
    )]
    WriterStopped,
    #[error("the search index failed to {doing}")]
    Fault { doing: &'static str, source: Source },
}

impl SearchError {
    /// Stable code for problem documents and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCursor { .. } => "unknown_cursor",
            Self::TooManyClauses { .. } => "too_many_clauses",
            Self::FilterTooDeep { .. } => "filter_too_deep",
            Self::BadCondition { .. } => "bad_condition",
            Self::BadName { .. } => "bad_name",
            Self::TextTooLong { .. } => "text_too_long",
            Self::PageTooLarge { .. } => "page_too_large",
            Self::BadDocument { .. } => "bad_document",
            Self::NeedsRebuild { .. } => "search_needs_rebuild",
            Self::Locked { .. } => "search_locked",
            Self::Corrupt { .. } => "search_corrupt",
            Self::WriterStopped => "search_writer_stopped",
            Self::Fault { .. } => "search_fault",
        }
    }

    /// True when the asker can correct it (4xx); false for faults (5xx), which operators look at.
    pub fn is_client_mistake(&self) -> bool {
        matches!(
            self,
            Self::UnknownCursor { .. }
                | Self::TooManyClauses { .. }
                | Self::FilterTooDeep { .. }
                | Self::BadCondition { .. }
                | Self::BadName { .. }
                | Self::TextTooLong { .. }
                | Self::PageTooLarge { .. }
        )
    }
}
