//! What the clients asked and were told.

use crate::support::Answer;
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use uuid::Uuid;

/// One command as a client sees it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The command, which every event of it names as its cause.
    pub(super) cause: Uuid,
    /// For messages: `POST /v1/contacts`.
    pub(super) what: String,
    /// The events it has when it is accepted, kind by kind.
    pub(super) expected: &'static [Expected],
    pub(super) answer: Answer,
}

/// How often an accepted command has an event of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) kind: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
}

/// Exactly one.
pub(super) const fn one(kind: &'static str) -> Expected {
    within(1, 1, kind)
}

pub(super) const fn within(least: usize, most: usize, kind: &'static str) -> Expected {
    Expected { kind, least, most }
}

/// At most this many.
pub(super) const fn up_to(most: usize, kind: &'static str) -> Expected {
    within(0, most, kind)
}

impl Entry {
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.answer.status, 200 | 201)
    }
}

/// The answers of all clients, and what they may work on.
#[derive(Default)]
pub(super) struct Books {
    entries: Mutex<Vec<Entry>>,
    pub(super) contacts: Mutex<Vec<Uuid>>,
    pub(super) orders: Mutex<Vec<Uuid>>,
    pub(super) products: Vec<Uuid>,
    retries: AtomicU64,
}

impl Books {
    pub(super) fn new(products: Vec<Uuid>) -> Self {
        Self { products, ..Self::default() }
    }

    pub(super) fn record(&self, entry: Entry) {
        lock(&self.entries).push(entry);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Accepted, refused, retried.
    pub(super) fn counts(&self) -> (usize, usize, u64) {
        let entries = lock(&self.entries);
        let accepted = entries.iter().filter(|entry| entry.is_accepted()).count();
        (accepted, entries.len() - accepted, self.retries.load(Ordering::Relaxed))
    }

    pub(super) fn answers(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Nobody with a valid key was turned away, whatever died.
    pub(super) fn were_served(&self) {
        for entry in lock(&self.entries).iter() {
            assert!(!matches!(entry.answer.status, 401 | 403), "{}: {}", entry.what, entry.answer.text());
        }
    }

    /// Everything by cause.
    pub(super) fn by_cause(&self) -> HashMap<Uuid, Entry> {
        lock(&self.entries).iter().map(|entry| (entry.cause, entry.clone())).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
