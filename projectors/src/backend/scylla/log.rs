//! Whose log the rows are made of.
//!
//! Rows and checkpoints mean nothing beside another log, or beside one that has lost its end: views would wait for positions that
//! never come, or mix two installations. So the store keeps the id of the first event of each cell, and compares.

use super::{
    ScyllaStore, Shared,
    session::{Fault, plain},
};
use crate::read_store::{Mark, ReadStoreError};

/// Before a cell: its log in the registry.
const LOG_ROW: &str = "#log.";

/// A log as it is found at the start.
#[derive(Debug, Clone)]
pub struct LogIdentity {
    /// The id of the cell's first event; `None` while there is none.
    pub first_event: Option<String>,
    /// By the name in checkpoints of each of its streams, its last position.
    pub last: Vec<(String, u64)>,
}

/// What a store says of itself. It is asked before the log is: others write to both meanwhile, and rows are never ahead of a log that is
/// looked at after them.
#[derive(Debug)]
pub struct Belonging {
    /// The cell.
    cell: String,
    /// The first event of the log it is of.
    log: Option<String>,
    marks: Vec<Mark>,
}

impl ScyllaStore {
    /// Whose log the rows of a cell are made of, and how far they are.
    pub async fn belonging(&self, cell: &str) -> Result<Belonging, ReadStoreError> {
        let log = self.shared.registered_as(&format!("{LOG_ROW}{cell}")).await?;
        Ok(Belonging { cell: cell.to_owned(), log, marks: self.shared.marks().await? })
    }

    /// Checks that this store was made from the log, and makes it that log's if it is of none.
    ///
    /// Errors: [`Misconfigured`](ReadStoreError::Misconfigured) when it is another one's, or ahead of it.
    pub async fn belongs_to(&self, found: Belonging, log: &LogIdentity) -> Result<(), ReadStoreError> {
        let Belonging { cell, log: known, marks } = found;
        let (shared, row) = (&self.shared, format!("{LOG_ROW}{cell}"));
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
        for mark in marks {
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
        let sent = self.session.query_unpaged(plain(insert), (self.names.owner(), row, value)).await;
        sent.map(drop).map_err(|error| match self.fault("note a table", error) {
            Fault::Failed(error) => error,
            gone => gone.into_error(&self.place),
        })
    }
}
