//! Whose log the rows are made of.
//!
//! Rows and checkpoints mean nothing beside another log, or beside one that has lost its end: views would wait for positions that
//! never come, or mix two installations. So the store keeps the id of the first event of each cell, and compares.

use super::{ScyllaStore, Shared, session::Fault};
use crate::read_store::ReadStoreError;

/// Before a cell: its log in the registry.
const LOG_ROW: &str = "#log.";

/// A log as it is found at the start.
#[derive(Debug, Clone)]
pub struct LogIdentity {
    /// The cell.
    pub cell: String,
    /// The id of its first event; `None` while there is none.
    pub first_event: Option<String>,
    /// By the name in checkpoints of each of its streams, its last position.
    pub last: Vec<(String, u64)>,
}

impl ScyllaStore {
    /// Checks that this store was made from the log, and makes it that log's if it is of none.
    ///
    /// Errors: [`Misconfigured`](ReadStoreError::Misconfigured) when it is another one's, or ahead of it.
    pub async fn belongs_to(&self, log: &LogIdentity) -> Result<(), ReadStoreError> {
        let shared = &self.shared;
        let row = format!("{LOG_ROW}{}", log.cell);
        let known = shared.registered_as(&row).await?;
        let another =
            "give another keyspace or prefix to this installation, or drop the keyspace if its views are of no use";
        let wrong = match (&known, &log.first_event) {
            (Some(known), Some(first)) if known == first => None,
            (Some(_), Some(_)) => Some(format!("its views are of another log; {another}")),
            (Some(_), None) => Some(format!("its views are of another log, this one is empty; {another}")),
            (None, _) => None,
        };
        if let Some(what) = wrong {
            return Err(shared.misfit(what));
        }
        for mark in shared.marks().await? {
            if let Some((_, last)) = log.last.iter().find(|(cell, last)| *cell == mark.cell && mark.seq > *last) {
                return Err(shared.misfit(format!(
                    "its view {} is at position {}, but the log ends at {last}: it was made from events that the log has no more; \
                     drop the keyspace, its views are made again from the log",
                    mark.view, mark.seq
                )));
            }
        }
        match (&known, &log.first_event) {
            (None, Some(first)) => shared.register(&row, first).await,
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn misfit(&self, what: String) -> ReadStoreError {
        ReadStoreError::Misconfigured { place: self.place.clone(), what }
    }

    pub(super) async fn register(&self, row: &str, value: &str) -> Result<(), ReadStoreError> {
        let insert = format!("INSERT INTO {} (owner, name, value) VALUES (?, ?, ?)", self.names.registry());
        let sent = self.session.query_unpaged(insert, (self.names.owner(), row, value)).await;
        sent.map(drop).map_err(|error| match self.fault("note a table", error) {
            Fault::Failed(error) => error,
            gone => gone.into_error(&self.place),
        })
    }
}
