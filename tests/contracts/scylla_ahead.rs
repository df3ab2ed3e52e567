//! A lane over a cluster makes a batch while the one before it is written: it sees what is under way, and throws away what was made
//! behind a batch that could not be written.

use super::{
    bus::{fill, subject},
    lanes::PATIENCE,
};
use crate::support::{Cassandra, World, cassandra, eventually, skip_cassandra};
use bus_schema::{Address, AnyEvent, Recorded, bus::Bus};
use projectors::{
    Projection, ProjectionError, RowName, Rows, Views,
    backend::{
        memory::MemoryStore,
        scylla::{Moment, Probe},
    },
    read_store::{ReadStore, ReadStorePort, RowKey, TableId},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const VIEW: &str = "chains";

/// Each row is made of what it was and of the event, so it is wrong for good as soon as one event is left out, applied twice, or
/// applied to a row of another time. A few rows are in every batch, a few hundred in most, and each event has one of its own.
struct Chains {
    /// The last event that was taken.
    taken: Arc<AtomicU64>,
}

impl Projection for Chains {
    fn name(&self) -> &'static str {
        VIEW
    }
    fn version(&self) -> u32 {
        1
    }
    fn follows(&self, address: &Address) -> bool {
        address.context == "claim"
    }
    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        let seq = event.seq;
        vec![
            RowName::new("all", "all", Vec::new()),
            RowName::new("many", format!("{}", seq % 700), Vec::new()),
            RowName::new("each", format!("{seq}"), Vec::new()),
            RowName::new("each", format!("{}", seq.saturating_sub(1_500)), Vec::new()),
        ]
    }
    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let [all, many, each, long_ago]: [RowName; 4] = self.reads(event).try_into().expect("four rows");
        let was = |name: &RowName, rows: &mut Rows<'_>| rows.get(name).map_or(0, |body| number(&body));
        let seq = event.seq;
        let of = was(&all, rows) ^ was(&many, rows).rotate_left(7) ^ was(&each, rows) ^ was(&long_ago, rows);
        let next = of.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seq);
        for name in [all, many, each] {
            rows.put(name, next.to_be_bytes().to_vec());
        }
        self.taken.fetch_max(seq, Ordering::SeqCst);
        Ok(())
    }
}

fn number(body: &[u8]) -> u64 {
    body.try_into().map_or(0, u64::from_be_bytes)
}

/// How the node was asked to behave, and what was seen.
#[derive(Default)]
struct Course {
    /// The last event that was taken into a batch.
    taken: Arc<AtomicU64>,
    /// Batches that began.
    begun: AtomicU64,
    /// A batch was made while another one was held up.
    ahead: AtomicBool,
    /// From this batch on nothing is written.
    fails_from: AtomicU64,
    /// This batch fails when its rows are stored.
    fails_behind_rows: AtomicU64,
}

impl Course {
    /// A batch that waits long enough for the next one to be made beside it, the first time however busy the machine is.
    fn hold_up(&self, before: u64) {
        let enough = if self.ahead.load(Ordering::SeqCst) { Duration::from_millis(300) } else { PATIENCE };
        let end = Instant::now() + enough;
        while Instant::now() < end && self.taken.load(Ordering::SeqCst) <= before {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.ahead.fetch_or(self.taken.load(Ordering::SeqCst) > before, Ordering::SeqCst);
    }

    fn decides(&self, moment: Moment) -> bool {
        match moment {
            Moment::Begins => {
                let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let before = self.taken.load(Ordering::SeqCst);
                self.hold_up(before);
                number < self.fails_from.load(Ordering::SeqCst)
            }
            Moment::RowsStored => {
                let number = self.begun.load(Ordering::SeqCst);
                number == 0 || number != self.fails_behind_rows.load(Ordering::SeqCst)
            }
        }
    }
}

async fn views(world: &World, store: ReadStore, taken: Arc<AtomicU64>) -> Views {
    let bus = Bus::connect(world.options.clone()).await.expect("the log answers");
    let views = Views::open(world.cell().clone(), store, vec![Arc::new(Chains { taken })]).await.expect("views");
    views.start(bus);
    views
}

async fn on_cassandra(world: &World, course: &Arc<Course>) -> (Views, ReadStore) {
    let mut options = Cassandra::shared().options();
    options.safety_window = Duration::from_millis(300);
    let deciding = course.clone();
    options.probe = Probe::deciding(move |moment| deciding.decides(moment));
    let store = ReadStore::Scylla(cassandra::open(options).await);
    (views(world, store.clone(), course.taken.clone()).await, store)
}

async fn digest(views: &Views, last: u64) -> String {
    views.wait(VIEW, last, 3 * PATIENCE).await.expect("the view gets there");
    views.digests().await.expect("digests").pop().expect("one view").digest
}

/// What a store gives that has each batch before the next one is made.
async fn one_by_one(world: &World, last: u64) -> String {
    let views = views(world, ReadStore::Memory(MemoryStore::new()), Arc::default()).await;
    let digest = digest(&views, last).await;
    views.halt().await;
    digest
}

/// The chain of all events, as it is stored.
async fn stored(store: &ReadStore, world: &World, table: &str, partition: &str) -> Option<u64> {
    let table = TableId::try_new(&format!("{VIEW}_v1_g0.{table}")).expect("a name");
    let key = RowKey { table, tenant: world.tenant.shared(), partition: partition.into(), sort: Vec::new() };
    store.get(&key).await.expect("readable").map(|row| row.ts >> 8)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_sees_the_one_that_is_being_written() {
    if skip_cassandra() {
        return;
    }
    let world = World::shared().await;
    let at = subject(&world, "backlog");
    let last = fill(&world, &at, 9_000, "x").await;
    let course = Arc::new(Course { fails_from: AtomicU64::new(u64::MAX), ..Course::default() });
    let (views, _) = on_cassandra(&world, &course).await;
    let made = digest(&views, last).await;
    assert!(course.ahead.load(Ordering::SeqCst), "no batch was made while another one was written");
    assert_eq!(made, one_by_one(&world, last).await);
    views.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_made_behind_a_batch_that_failed_is_made_again() {
    if skip_cassandra() {
        return;
    }
    let world = World::shared().await;
    let at = subject(&world, "backlog");
    let last = fill(&world, &at, 9_000, "x").await;
    // The third is not written at all; when things are well again, the first one then fails with its rows stored.
    let course =
        Arc::new(Course { fails_from: AtomicU64::new(3), fails_behind_rows: AtomicU64::new(0), ..Course::default() });
    let (views, store) = on_cassandra(&world, &course).await;
    eventually("the view says that it is interrupted", 30, async || {
        views.status().iter().all(|status| status.interrupted.is_some())
    })
    .await;
    // Each further attempt fails too.
    eventually("it is tried again", 30, async || course.begun.load(Ordering::SeqCst) >= 5).await;
    let written = stored(&store, &world, "all", "all").await.expect("two batches were written");
    let taken = course.taken.load(Ordering::SeqCst);
    assert!(course.ahead.load(Ordering::SeqCst) && taken > written, "{taken} were taken, {written} written");
    let position = views.serving(VIEW).expect("it serves").position();
    assert!(position <= written, "position {position} is ahead of the rows ({written})");
    let mark = store.mark(&format!("{VIEW}_v1_g0"), world.cell().as_str()).await.expect("readable").expect("a mark");
    assert!(mark <= written, "checkpoint {mark} is ahead of the rows ({written})");
    assert_eq!(stored(&store, &world, "each", &(written + 1).to_string()).await, None, "nothing is left out");
    course.fails_behind_rows.store(course.begun.load(Ordering::SeqCst) + 3, Ordering::SeqCst);
    course.fails_from.store(u64::MAX, Ordering::SeqCst);
    let made = digest(&views, last).await;
    assert!(course.begun.load(Ordering::SeqCst) > course.fails_behind_rows.load(Ordering::SeqCst));
    assert_eq!(made, one_by_one(&world, last).await);
    views.halt().await;
}
