//! Whose turn it is: of several processes one does a work, another goes on when it is dead.
//!
//! A [`Turn`] waits for a lease ([`bus_schema::bus::Lease`]) and keeps it. What the work does to the world is asked of
//! [`Held::is_mine`] right before: a process that stood still finds its time over there.

use crate::worker::Stop;
use bus_schema::bus::{Bus, Lease, LeaseTerm};
use std::{io, path::Path};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use uuid::Uuid;

/// Waits for the turn to do one work.
#[derive(Clone)]
pub struct Turn {
    bus: Bus,
    name: &'static str,
    holder: Uuid,
    term: LeaseTerm,
}

impl Turn {
    /// `name` is a subject token. Who asks is known by a file in this data directory's folder, so that its next process need not wait for
    /// the end of its own lease.
    pub fn open(bus: Bus, name: &'static str, folder: &Path, term: LeaseTerm) -> io::Result<Self> {
        let path = folder.join(format!("{name}.holder"));
        let known = std::fs::read_to_string(&path).ok().and_then(|text| Uuid::parse_str(text.trim()).ok());
        let holder = match known {
            Some(holder) => holder,
            None => {
                let holder = bus_schema::ids::random_uuid();
                std::fs::write(&path, holder.to_string())?;
                holder
            }
        };
        Ok(Self { bus, name, holder, term })
    }

    /// Waits until it is this process's turn. `None`: it was asked to stop.
    pub async fn wait(&self, stop: &mut Stop) -> Option<Held> {
        let mut lease = self.bus.lease(self.name, self.holder, self.term);
        let mut waits = false;
        loop {
            match lease.hold().await {
                Ok(Some(until)) => {
                    tracing::info!(work = self.name, "it is this process's turn");
                    return Some(Held::keep(self.name, lease, self.term, until));
                }
                Ok(None) if !waits => {
                    waits = true;
                    tracing::info!(work = self.name, "another process does it; this one waits for its turn");
                }
                Ok(None) => {}
                Err(error) => stop.status().failed(format!("whose turn it is cannot be found out: {error}")),
            }
            tokio::select! {
                () = tokio::time::sleep(self.term.rhythm() / 3) => {}
                () = stop.asked() => return None,
            }
        }
    }
}

/// A turn. It ends when it is dropped, or when the lease is lost.
pub struct Held {
    until: watch::Receiver<Instant>,
    end: watch::Sender<bool>,
    keeper: Option<JoinHandle<()>>,
}

/// Asks whether the turn goes on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mine(watch::Receiver<Instant>);

impl Mine {
    pub(crate) fn is_mine(&self) -> bool {
        *self.0.borrow() > Instant::now()
    }
}

impl Held {
    fn keep(name: &'static str, mut lease: Lease, term: LeaseTerm, first: Instant) -> Self {
        let (said, until) = watch::channel(first);
        let (end, mut ended) = watch::channel(false);
        let keeper = tokio::spawn(async move {
            let mut until = first;
            loop {
                // The guard of the watched value must not live over what is awaited next.
                let over = tokio::select! {
                    () = tokio::time::sleep(term.rhythm()) => false,
                    ended = ended.wait_for(|ended| *ended) => ended.map_or(true, |_| true),
                };
                if over {
                    return lease.release().await;
                }
                match lease.hold().await {
                    Ok(Some(later)) => until = later,
                    // Somebody else has it: what was left of it does not count any more.
                    Ok(None) => until = Instant::now(),
                    Err(error) => tracing::warn!(work = name, %error, "a turn was not kept this time"),
                }
                said.send_replace(until);
                if until <= Instant::now() {
                    tracing::warn!(work = name, "this process's turn is over");
                    return;
                }
            }
        });
        Self { until, end, keeper: Some(keeper) }
    }

    pub(crate) fn mine(&self) -> Mine {
        Mine(self.until.clone())
    }

    pub fn is_mine(&self) -> bool {
        *self.until.borrow() > Instant::now()
    }

    /// Returns when the turn is over. Safe to cancel.
    pub async fn over(&self) {
        let mut until = self.until.clone();
        loop {
            let end = *until.borrow_and_update();
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                // Nobody keeps it any more: it lasts to its end.
                changed = until.changed() => if changed.is_err() {
                    tokio::time::sleep_until(end).await;
                },
            }
        }
    }

    /// Gives the turn to the next one, once nothing is done in it any more.
    pub async fn give_up(mut self) {
        self.end.send_replace(true);
        if let Some(keeper) = self.keeper.take() {
            _ = tokio::time::timeout(LeaseTerm::USUAL.margin, keeper).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Cut off as by the death of the process: the lease runs out.
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}
