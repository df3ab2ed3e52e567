//! Rows as they were at a slot's position, while the store may hold what later events made of them.

use super::batch::Outcome;
use crate::read_store::{Resume, RowKey, RowOp};
use bytes::Bytes;
use std::collections::HashMap;

/// What a slot reads instead of the store until it has passed everything that was written before. Empty where rows and
/// checkpoints become durable together.
#[derive(Debug, Default)]
pub(super) struct Rewound {
    /// The store may be ahead up to here.
    until: u64,
    rows: HashMap<RowKey, Option<Bytes>>,
}

impl Rewound {
    pub(super) fn of(resume: Resume) -> Self {
        let rows = resume.seen.into_iter().map(|seen| (seen.key, seen.body)).collect();
        Self { until: resume.until, rows }
    }

    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// The row at the slot's position, if it is not the store's.
    pub(super) fn get(&self, key: &RowKey) -> Option<&Option<Bytes>> {
        self.rows.get(key)
    }

    /// A batch was made from these rows, and the slot will stand behind it once it is written.
    pub(super) fn advance(&mut self, outcome: &Outcome) {
        if outcome.progress.upto >= self.until {
            *self = Self::default();
            return;
        }
        for op in &outcome.ops {
            let body = match op {
                RowOp::Put { body, .. } => Some(body.clone()),
                RowOp::Delete { .. } => None,
            };
            self.rows.insert(op.key().clone(), body);
        }
    }
}
