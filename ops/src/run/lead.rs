//! The role `projector`: carries the views, while no other process does.
//!
//! One process leads by a lease; it opens the views where the store says ([`Views::open`]), carries them, tells the others how
//! far they are, and takes orders about them. Two that both believe to lead, for a moment, end in the same rows: the
//! store sees to that. So a lease that is lost only ends work that another one does too.

use crate::base::Base;
use bus_schema::bus::LeaseTerm;
use projectors::{Views, read_store::ReadStore};
use std::{io, path::Path, time::Duration};
use workers::{
    Stop, Worker,
    runtime::turn::{Held, Turn},
};

/// Short: readers wait meanwhile. A process that dies is replaced within about four seconds and the time the views take to open.
const TERM: LeaseTerm = LeaseTerm { time: Duration::from_secs(3), margin: Duration::from_millis(750) };
/// Of the lease.
const TURN: &str = "views";
/// Before the views are opened again that could not be.
const RETRY: Duration = Duration::from_millis(500);

/// Starts waiting for the turn. `folder` keeps who this process is.
pub(super) fn start(base: Base, rows: ReadStore, folder: &Path) -> io::Result<Worker> {
    let turn = Turn::open(base.bus.clone(), TURN, folder, TERM)?;
    Ok(Worker::start("projector", |mut stop| async move {
        while !stop.is_asked() {
            stop.status().set_standby(true);
            let Some(held) = turn.wait(&mut stop).await else { return };
            stop.status().set_standby(false);
            if let Some(views) = open(&base, &rows, &held, &mut stop).await {
                tracing::info!("this process carries the views");
                views.start(base.bus.clone());
                let telling = views.tell(&base.bus);
                tokio::select! {
                    () = held.over() => tracing::warn!("another process carries the views, or nobody knows"),
                    () = stop.asked() => {}
                }
                drop(telling);
                views.halt().await;
            }
            held.give_up().await;
        }
    }))
}

/// The views where the store says. `None`: the turn is over before they can be opened.
async fn open(base: &Base, rows: &ReadStore, held: &Held, stop: &mut Stop) -> Option<Views> {
    while held.is_mine() && !stop.is_asked() {
        match Views::open(base.cell.clone(), rows.clone(), projectors::catalog::projections()).await {
            Ok(views) => return Some(views),
            Err(error) => {
                tracing::warn!(%error, "the views cannot be carried yet");
                stop.status().failed(format!("the views cannot be carried yet: {error}"));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.asked() => {}
        }
    }
    None
}
