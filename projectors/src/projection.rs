//! What every view implements: pure, from an event and the rows it names to changes of rows. The lane does all I/O.

use bus_schema::{Address, AnyEvent, Recorded, subject::Family};
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc};

/// A view's rules.
pub trait Projection: Send + Sync + 'static {
    /// `contacts`: also the start of its tables' names, so `[a-z_]`.
    fn name(&self) -> &'static str;

    /// Raised when the rows change their form or meaning: a new version is built beside the old one.
    fn version(&self) -> u32;

    /// The stream it follows.
    fn family(&self) -> Family {
        Family::Events
    }

    /// Whether events of this aggregate concern it.
    fn follows(&self, address: &Address) -> bool;

    /// The rows [`Projection::apply`] will look at; they are read before it runs.
    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName>;

    /// Further rows it will look at, which only the rows of [`Projection::reads`] lead to: an order's event does not name
    /// the contact, the order's row does.
    fn reads_further(&self, _event: &Recorded<AnyEvent>, _rows: &Rows<'_>) -> Vec<RowName> {
        Vec::new()
    }

    /// Changes rows. The same event over the same rows gives the same changes, always.
    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError>;
}

/// A row of a view, without the tenant: that is the event's and cannot be another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowName {
    /// The part of the table's name behind the generation: `records`.
    pub table: &'static str,
    pub partition: String,
    pub sort: Vec<u8>,
}

impl RowName {
    pub fn new(table: &'static str, partition: impl Into<String>, sort: impl Into<Vec<u8>>) -> Self {
        Self { table, partition: partition.into(), sort: sort.into() }
    }
}

/// The rows of one tenant and view as this batch of events has them so far.
pub struct Rows<'a> {
    tenant: Arc<str>,
    overlay: &'a mut Overlay,
    changes: Vec<(RowName, Option<Bytes>)>,
}

/// What a batch has read and changed, by tenant and row.
#[derive(Default)]
pub struct Overlay(HashMap<(Arc<str>, RowName), Cell>);

struct Cell {
    body: Option<Bytes>,
    /// The time of the last change in this batch; `None`: only read.
    changed: Option<u64>,
}

impl Overlay {
    pub(crate) fn knows(&self, tenant: &Arc<str>, name: &RowName) -> bool {
        self.0.contains_key(&(tenant.clone(), name.clone()))
    }

    pub(crate) fn remember(&mut self, tenant: Arc<str>, name: RowName, body: Option<Bytes>) {
        self.0.insert((tenant, name), Cell { body, changed: None });
    }

    /// The changed rows with their times and last bodies.
    pub(crate) fn into_changes(self) -> impl Iterator<Item = (Arc<str>, RowName, u64, Option<Bytes>)> {
        self.0.into_iter().filter_map(|((tenant, name), cell)| cell.changed.map(|ts| (tenant, name, ts, cell.body)))
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn new(tenant: Arc<str>, overlay: &'a mut Overlay) -> Self {
        Self { tenant, overlay, changes: Vec::new() }
    }

    /// The row's body; one of those named by [`Projection::reads`] or [`Projection::reads_further`], or one put in this batch.
    pub fn get(&self, name: &RowName) -> Option<Bytes> {
        let staged = self.changes.iter().rev().find(|(changed, _)| changed == name);
        match staged {
            Some((_, body)) => body.clone(),
            None => self.overlay.0.get(&(self.tenant.clone(), name.clone())).and_then(|cell| cell.body.clone()),
        }
    }

    pub fn put(&mut self, name: RowName, body: impl Into<Bytes>) {
        self.changes.push((name, Some(body.into())));
    }

    pub fn delete(&mut self, name: RowName) {
        self.changes.push((name, None));
    }

    /// Takes the event's changes over into the batch; until then an error leaves the batch as it was.
    pub(crate) fn accept(self, seq: u64) -> Result<(), ProjectionError> {
        for (slot, (name, body)) in self.changes.into_iter().enumerate() {
            let slot = u64::try_from(slot).ok().filter(|slot| *slot < 256).ok_or(ProjectionError::TooManyRows)?;
            self.overlay.0.insert((self.tenant.clone(), name), Cell { body, changed: Some(seq << 8 | slot) });
        }
        Ok(())
    }
}

/// Why an event cannot be applied; the view pauses before it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProjectionError {
    #[error("a stored row cannot be read: {0}; rebuild the view")]
    Row(String),
    #[error("one event changes more than 256 rows of a view")]
    TooManyRows,
    #[error("{0}")]
    Event(String),
}
