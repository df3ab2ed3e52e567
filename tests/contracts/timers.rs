//! Timers on a real server: set, replaced, cancelled, told of through deaths.

use crate::support::{Server, World, eventually};
use bus_schema::{Micros, bus::Timer};
use futures::future::BoxFuture;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;
use workers::{
    Worker,
    runtime::{
        Failure,
        timers::{self, TimerOwner, Timers},
    },
};

const OWNER: &str = "recorder";

/// What it was told of, with how often.
#[derive(Default)]
struct Recorder {
    told: Mutex<BTreeMap<Uuid, u32>>,
    failures_left: AtomicU32,
}

impl TimerOwner for Recorder {
    fn due<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let fails =
                self.failures_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if fails.is_ok() {
                return Err(Failure::Later("it is to fail".into()));
            }
            *self.told.lock().unwrap().entry(timer.id).or_default() += 1;
            Ok(())
        })
    }
}

impl Recorder {
    fn told(&self, id: u128) -> u32 {
        self.told.lock().unwrap().get(&Uuid::from_u128(id)).copied().unwrap_or(0)
    }
}

fn start(world: &World, recorder: &Arc<Recorder>) -> Worker {
    timers::start(world.bus.clone(), [(OWNER, recorder.clone() as Arc<dyn TimerOwner>)].into())
}

fn after(world: &World, millis: i64) -> Micros {
    Micros(world.writer.clock().now().0 + millis * 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_is_told_of_when_its_time_has_come() {
    let world = World::shared().await;
    let (recorder, timers) = (Arc::new(Recorder::default()), Timers::new(world.bus.clone(), OWNER));
    let set = async |id, millis| {
        timers.set(&world.tenant, Uuid::from_u128(id), after(&world, millis)).await.expect("set");
    };
    set(1, 700).await;
    // Replaced: it is told of once, at the later time.
    set(2, 300).await;
    set(2, 1_500).await;
    set(3, 600).await;
    timers.cancel(&world.tenant, Uuid::from_u128(3)).await.expect("cancelled");
    timers.cancel(&world.tenant, Uuid::from_u128(3)).await.expect("cancelling twice changes nothing");
    set(4, -60_000).await;
    set(5, 3_600_000).await;
    let began = tokio::time::Instant::now();
    let worker = start(&world, &recorder);
    eventually("the first is told of", 20, async || recorder.told(1) == 1).await;
    assert!(began.elapsed() >= Duration::from_millis(400), "not before its time");
    eventually("the one of the past is told of", 20, async || recorder.told(4) == 1).await;
    eventually("the replaced one is told of", 20, async || recorder.told(2) == 1).await;
    assert!(began.elapsed() >= Duration::from_millis(1_200), "not at its old time");
    eventually("only the far one is left", 20, async || world.bus.timers().await.is_ok_and(|left| left == 1)).await;
    assert_eq!((recorder.told(3), recorder.told(5)), (0, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_survives_the_death_of_the_server_and_of_its_worker() {
    let server = Server::own();
    let world = World::on(&server).await;
    let (recorder, timers) = (Arc::new(Recorder::default()), Timers::new(world.bus.clone(), OWNER));
    for (id, millis) in [(1, 1_500), (2, 200)] {
        timers.set(&world.tenant, Uuid::from_u128(id), after(&world, millis)).await.expect("set");
    }
    // One is due while nobody listens, and both meet the death of the server.
    tokio::time::sleep(Duration::from_millis(800)).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    server.start();
    let worker = start(&world, &recorder);
    eventually("both are told of", 30, async || recorder.told(1) >= 1 && recorder.told(2) >= 1).await;
    worker.kill();
    recorder.failures_left.store(2, Ordering::Relaxed);
    let worker = start(&world, &recorder);
    timers.set(&world.tenant, Uuid::from_u128(3), after(&world, 100)).await.expect("set");
    eventually("it is told of again after failures", 30, async || recorder.told(3) == 1).await;
    worker.stop().await;
}
