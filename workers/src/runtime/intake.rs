//! What a durable consumer delivers, on its way to the worker.

use super::{RuntimeParts, item::Job, status::WorkerStatus};
use crate::worker::Stop;
use bus_schema::{
    bus::{Consumer, ConsumerSpec, Delivery, Source, Standing},
    subject::Family,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

/// How long one request for messages waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after the log could not be reached.
const RETRY: Duration = Duration::from_millis(500);
/// How often the server is asked how far the consumer is.
const LOOK: Duration = Duration::from_secs(2);
/// Items taken for each that is handled at once.
const AHEAD: usize = 4;

/// An open intake. It ends when it is dropped.
pub(super) struct Intake {
    pub(super) deliveries: mpsc::Receiver<Vec<Delivery>>,
    /// How far the consumer was before anything was taken.
    pub(super) standing: Standing,
    pub(super) feeder: Feeder,
}

pub(super) struct Feeder(JoinHandle<()>);

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to take a job's events, as soon as the log answers and it is known whether the worker is paused. `None`: it is
/// asked to stop before.
pub(super) async fn open(parts: &RuntimeParts, job: &Job, stop: &mut Stop) -> Option<Intake> {
    let cell = parts.bus.cell();
    let filter =
        |(context, aggregate): &(&str, &str)| format!("{}.{cell}.*.{context}.{aggregate}.*", Family::Events.token());
    let mut consumer = parts.bus.consumer(ConsumerSpec {
        name: job.name.to_owned(),
        source: Source::Log(Family::Events),
        filters: job.aggregates.iter().map(filter).collect(),
        begin: job.begin,
        ack_wait: job.patience.silence,
        max_in_flight: job.concurrency * AHEAD + 64,
    });
    let standing = loop {
        tokio::select! {
            found = consumer.standing() => match found {
                Ok(standing) => break standing,
                Err(error) => {
                    stop.status().failed(format!("the log does not give its events: {error}"));
                    tokio::time::sleep(RETRY).await;
                }
            },
            () = stop.asked() => return None,
        }
    };
    show(stop.status(), standing);
    tokio::select! {
        _ = parts.board.caught_up(Duration::MAX) => {}
        () = stop.asked() => return None,
    }
    stop.status().set_paused(parts.board.is_paused(job.name));
    // One batch waits while the next is asked for.
    let (give, deliveries) = mpsc::channel(1);
    let limit = job.concurrency * AHEAD;
    let feeder = Feeder(tokio::spawn(feed(consumer, give, stop.status().clone(), limit)));
    Some(Intake { deliveries, standing, feeder })
}

async fn feed(mut consumer: Consumer, give: mpsc::Sender<Vec<Delivery>>, status: Arc<WorkerStatus>, limit: usize) {
    let mut looked = Instant::now();
    loop {
        status.resumed().await;
        let read = consumer.next(limit, PATIENCE).await;
        let idle = read.as_ref().is_ok_and(Vec::is_empty);
        match read {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => {
                if give.send(batch).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                status.failed(format!("the log does not give its events: {error}"));
                tokio::time::sleep(RETRY).await;
            }
        }
        if idle || looked.elapsed() >= LOOK {
            looked = Instant::now();
            if let Ok(standing) = consumer.standing().await {
                show(&status, standing);
            }
        }
    }
}

fn show(status: &WorkerStatus, standing: Standing) {
    status.reached(standing.acknowledged);
    status.waits(standing.pending + standing.in_flight);
}
