//! Views over a cluster that follow a real log: what a killed server has forgotten is made again, and exactly.

use crate::support::{Cassandra, World, cassandra, eventually, skip_cassandra, skip_slow};
use bus_schema::{Address, AnyEvent, Recorded, bus::Bus};
use projectors::{
    Projection, ProjectionError, RowName, Rows, Views,
    backend::{
        memory::MemoryStore,
        scylla::{Options, Probe, ScyllaStore},
    },
    catalog::projections,
    read_store::{ReadStore, ReadStorePort},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);
/// The nodes of these tests have synced their commit log after this long.
const SYNC: Duration = Duration::from_millis(2_000);

/// Counts the events of each contact, and remembers who was the last before: it is wrong as soon as one event is applied twice, left
/// out, or applied to a row of another time. It has none of the guards that the platform's own views have.
struct Sums;

impl Projection for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }
    fn version(&self) -> u32 {
        1
    }
    fn follows(&self, address: &Address) -> bool {
        address.context == "crm" && address.aggregate == "contact"
    }
    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        vec![RowName::new("all", "all", Vec::new()), RowName::new("one", event.subject.address.id.clone(), Vec::new())]
    }
    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let text = |body: Option<bytes::Bytes>| String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let [all, one]: [RowName; 2] = self.reads(event).try_into().expect("two rows");
        let before = text(rows.get(&all));
        let (count, last) = before.split_once(' ').unwrap_or(("0", "0"));
        let count: u64 = count.parse().unwrap_or(0);
        let chain = format!("{}<{}", event.seq, text(rows.get(&one)));
        // A place in a list that leaves the one before it: lost when either was.
        rows.delete(RowName::new("list", "all", last.as_bytes()));
        rows.put(RowName::new("list", "all", event.seq.to_string()), chain.clone());
        rows.put(all, format!("{} {}", count + 1, event.seq));
        rows.put(one, chain);
        Ok(())
    }
}

fn views_of_the_test() -> Vec<Arc<dyn Projection>> {
    let wanted = ["contacts", "timeline"];
    let platforms = projections().into_iter().filter(|projection| wanted.contains(&projection.name()));
    platforms.chain([Arc::new(Sums) as Arc<dyn Projection>]).collect()
}

/// A projector process: it has a runtime of its own, so it can be killed between any two of its steps.
struct Projector {
    runtime: tokio::runtime::Runtime,
    views: Views,
}

impl Projector {
    async fn start(world: &World, store: impl Future<Output = ReadStore> + Send + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
        let options = world.options.clone();
        let opened = runtime.spawn(async move {
            let bus = Bus::connect(options.clone()).await.expect("the log answers");
            let views = Views::open(options.cell, store.await, views_of_the_test()).await.expect("views");
            views.start(bus);
            views
        });
        let views = opened.await.expect("started");
        Self { runtime, views }
    }

    async fn on(world: &World, options: &Options) -> Self {
        let options = options.clone();
        Self::start(world, async { ReadStore::Scylla(cassandra::open(options).await) }).await
    }

    async fn reach(&self, position: u64) {
        for view in views_of_the_test() {
            self.views.wait(view.name(), position, PATIENCE).await.expect("the view gets there");
        }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// What each view holds.
async fn held(views: &Views) -> Vec<(String, String)> {
    let digests = views.digests().await.expect("digests");
    digests.into_iter().map(|view| (view.generation, view.digest)).collect()
}

/// The views of the same log made at once in memory.
async fn rebuilt(world: &World, position: u64) -> Vec<(String, String)> {
    let fresh = Projector::start(world, async { ReadStore::Memory(MemoryStore::new()) }).await;
    fresh.reach(position).await;
    let held = held(&fresh.views).await;
    fresh.kill();
    held
}

async fn live(world: &World, round: usize) -> u64 {
    let mut last = 0;
    let mut ids: Vec<Uuid> = Vec::new();
    for n in 0..12 {
        ids.push(world.create(&format!("r{round}n{n}@x.org")).await.0);
    }
    for (n, id) in ids.iter().enumerate() {
        last = match n % 4 {
            0 => world.tag(*id, "vip").await,
            1 => world.rename(*id, &format!("Ada {round}")).await,
            2 => world.erase(*id).await,
            _ => last,
        };
    }
    last
}

/// The node forgets what it acknowledged within the last seconds, as after a power cut, between rows and checkpoint and at moments
/// nobody chose, under a projector that goes on and under one that is killed too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_has_forgotten_is_made_again() {
    if skip_slow() || skip_cassandra() {
        return;
    }
    let world = World::shared().await;
    let node = Arc::new(Cassandra::serve(&["--nodes", "1", "--sync", &SYNC.as_millis().to_string()]));
    let (armed, killed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut options = node.options();
    options.safety_window = SYNC + Duration::from_millis(500);
    options.request_timeout = Duration::from_secs(3);
    let mut short = options.clone();
    short.safety_window = SYNC;
    let refused = ScyllaStore::open(short).await.expect_err("a lane would begin behind rows that are not on the disk");
    assert!(
        refused.to_string().contains("synced every 2s") && refused.to_string().contains("window=SECONDS"),
        "{refused}"
    );
    options.probe = Probe::new({
        let (armed, killed, node) = (armed.clone(), killed.clone(), node.clone());
        move || {
            if armed.swap(false, Ordering::SeqCst) {
                node.kill(1);
                killed.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut projector = Projector::on(&world, &options).await;
    let mut last = 0;
    for round in 0..3 {
        // Long enough that there is a safe position to go back to, which is not the start of the log.
        for piece in 0..4 {
            last = live(&world, round * 10 + piece).await;
            tokio::time::sleep(SYNC / 4).await;
        }
        if round == 0 {
            projector.reach(last).await;
            tokio::time::sleep(SYNC * 2).await;
            last = live(&world, 100).await;
            projector.reach(last).await;
            // And is on the disk.
            tokio::time::sleep(SYNC * 3 / 2).await;
            last = live(&world, 101).await;
            projector.reach(last).await;
        }
        if round < 2 {
            armed.store(true, Ordering::SeqCst);
            last = live(&world, round * 10 + 8).await;
            eventually("the node was killed between rows and checkpoint", 20, async || {
                killed.load(Ordering::SeqCst) == round as u32 + 1
            })
            .await;
        } else {
            last = live(&world, round * 10 + 8).await;
            node.kill(1);
        }
        // Commands go on without it, and the views say why they do not.
        last = last.max(live(&world, round * 10 + 9).await);
        eventually("the views say that they are interrupted", 20, async || {
            projector.views.status().iter().all(|status| status.interrupted.is_some() && status.paused.is_none())
        })
        .await;
        if round == 1 {
            projector.kill();
            node.start(1);
            let store = cassandra::open(options.clone()).await;
            let begins = store.resume("sums_v1_g0", world.cell().as_str()).await.expect("readable").expect("a mark");
            assert!((1..last).contains(&begins.seq), "neither the start of the log nor its end: {}", begins.seq);
            projector = Projector::on(&world, &options).await;
        } else {
            node.start(1);
        }
        projector.reach(last).await;
        let held = held(&projector.views).await;
        assert_eq!(held, rebuilt(&world, last).await, "round {round}: the views are what a rebuild makes");
    }
    projector.kill();
}

/// Both write everything, one a little behind the other.
#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_at_once_end_with_the_rows_of_one() {
    if skip_cassandra() {
        return;
    }
    let world = World::shared().await;
    let mut options = Cassandra::shared().options();
    options.safety_window = Duration::from_millis(300);
    let one = Projector::on(&world, &options).await;
    let mut last = live(&world, 0).await;
    let other = Projector::on(&world, &options).await;
    for round in 1..6 {
        last = live(&world, round).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    for projector in [&one, &other] {
        projector.reach(last).await;
    }
    one.kill();
    last = live(&world, 6).await;
    other.reach(last).await;
    assert_eq!(held(&other.views).await, rebuilt(&world, last).await);
    other.kill();
}
