//! All views from the first event on into Cassandra, against the driver alone writing the same rows.

use super::{ratios, rebuild};
use crate::{
    AnyError, Scale,
    cassandra::{Cassandra, Driver, NODES},
    contacts::Sample,
    log::Log,
    process::processor_time,
    table::{Outcome, Reach, median},
};
use bus_schema::subject::Family;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use projectors::{
    Views,
    backend::scylla::ScyllaStore,
    catalog::projections,
    read_store::{ReadStore, ReadStorePort, RowOp, WriteBatch},
};
use scylla::{
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// Most rows and bytes of one request, as the platform has them.
const ROWS: usize = 50;
const BYTES: usize = 32 * 1024;
/// Connections, tasks and requests under way that the ceiling is tried with; the fastest counts.
const WAYS: [Way; 4] = [Way::of(1, 1, 64), Way::of(1, 2, 128), Way::of(2, 2, 256), Way::of(2, 2, 512)];
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let (events, turns) = (scale.of(100_000, 30_000), scale.of(4, 3));
    let cassandra = Cassandra::start(NODES)?;
    let log = Log::start().await?;
    let sample = Sample::take(&log).await?;
    log.batches(rebuild::mix(&sample, events)?, 500, 2).await?;
    let last = log.bus.last_seq(Family::Events).await?;
    let batches = rebuild::rows(&log, last).await?;
    let raw = Raw::prepare(&cassandra, &batches).await?;
    let way = raw.fastest(&cassandra).await?;
    // The nodes compile what they run often: neither side is to pay for the other.
    rebuild(&cassandra, &log, last, "warm").await?;
    let (mut rebuilds, mut ceilings, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns {
        let wrote = raw.write(&cassandra, way).await?;
        ceilings.push(last as f64 / wrote.as_secs_f64());
        let built = rebuild(&cassandra, &log, last, &format!("t{turn}")).await?;
        rebuilds.push(built.per_second);
        costs.push((built.own, built.database));
    }
    let cost = |of: fn(&(f64, f64)) -> f64| median(&costs.iter().map(of).collect::<Vec<_>>());
    let measured = format!(
        "{:.0} events/s ({:.0} µs CPU each + Cassandra {:.0})",
        median(&rebuilds),
        cost(|(own, _)| *own),
        cost(|(_, database)| *database)
    );
    let ceiling = format!(
        "{:.0} events/s ({} rows in {} requests, {} under way)",
        median(&ceilings),
        raw.rows(),
        raw.requests.len(),
        way.under_way
    );
    let name = format!("rebuild of all views into {NODES} nodes of Cassandra, {last} events");
    Ok(vec![Outcome::of(&name, measured, ceiling, &ratios(&rebuilds, &ceilings), Reach::AtLeast(0.5))])
}

/// How the ceiling is written.
#[derive(Clone, Copy, Debug)]
struct Way {
    connections: usize,
    tasks: usize,
    under_way: usize,
}

impl Way {
    const fn of(connections: usize, tasks: usize, under_way: usize) -> Self {
        Self { connections, tasks, under_way }
    }
}

/// The rows of one request: all of one partition, of whatever tables.
struct Request(Vec<(PreparedStatement, Row)>);

#[derive(Debug)]
struct Row {
    tenant: Arc<str>,
    partition: String,
    sort: Vec<u8>,
    /// `None`: it is deleted.
    body: Option<Bytes>,
    ts: i64,
}

impl SerializeRow for Row {
    fn serialize(
        &self,
        ctx: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let Self { tenant, partition, sort, body, ts } = self;
        match body {
            Some(body) => (&**tenant, partition, sort, body, ts).serialize(ctx, writer),
            None => (ts, &**tenant, partition, sort).serialize(ctx, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// The same rows for the driver alone, cut into requests beforehand.
struct Raw {
    requests: Arc<Vec<Request>>,
    tables: Vec<String>,
}

impl Raw {
    async fn prepare(cassandra: &Cassandra, batches: &[WriteBatch]) -> Result<Self, AnyError> {
        // The platform makes the tables, so they have its settings.
        let store = ScyllaStore::open(cassandra.options("raw")).await?;
        for batch in batches.iter().take(4) {
            store.write(WriteBatch { ops: batch.ops.clone(), marks: Vec::new() }).await?;
        }
        let driver = cassandra.driver(1).await?;
        let tables = driver.tables("raw").await?;
        let mut statements = HashMap::new();
        for (name, table) in &tables {
            let put =
                format!("INSERT INTO {table} (tenant, partition, sort, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?");
            let row = "tenant = ? AND partition = ? AND sort = ?";
            let delete = format!("DELETE FROM {table} USING TIMESTAMP ? WHERE {row}");
            statements.insert(name.as_str(), (driver.prepare(put).await?, driver.prepare(delete).await?));
        }
        let mut requests = Vec::new();
        for batch in batches {
            let mut places: BTreeMap<(Arc<str>, String), Vec<RowOp>> = BTreeMap::new();
            for op in &batch.ops {
                let place = (op.key().tenant.clone(), op.key().partition.clone());
                places.entry(place).or_default().push(op.clone());
            }
            for ops in places.into_values() {
                let (mut request, mut bytes) = (Vec::new(), 0);
                for op in ops {
                    let table = op.key().table.as_str().to_owned();
                    let (put, delete) = statements.get(table.as_str()).ok_or("a table that was not made")?;
                    let (key, body, ts) = match op {
                        RowOp::Put { key, ts, body } => (key, Some(body), ts),
                        RowOp::Delete { key, ts } => (key, None, ts),
                    };
                    let statement = if body.is_some() { put } else { delete };
                    let size = key.sort.len() + body.as_ref().map_or(0, Bytes::len);
                    if !request.is_empty() && (request.len() == ROWS || bytes + size > BYTES) {
                        requests.push(Request(std::mem::take(&mut request)));
                        bytes = 0;
                    }
                    bytes += size;
                    let (tenant, partition, sort) = (key.tenant, key.partition, key.sort);
                    request.push((statement.clone(), Row { tenant, partition, sort, body, ts: i64::try_from(ts)? }));
                }
                requests.push(Request(request));
            }
        }
        Ok(Self { requests: Arc::new(requests), tables: tables.into_values().collect() })
    }

    fn rows(&self) -> usize {
        self.requests.iter().map(|request| request.0.len()).sum()
    }

    async fn fastest(&self, cassandra: &Cassandra) -> Result<Way, AnyError> {
        // Once for the node to get warm.
        self.write(cassandra, WAYS[0]).await?;
        let mut best = (Duration::MAX, WAYS[0]);
        for way in WAYS {
            let took = self.write(cassandra, way).await?;
            eprintln!(
                "    the driver alone, {way:?}: {:.0} requests/s",
                self.requests.len() as f64 / took.as_secs_f64()
            );
            if took < best.0 {
                best = (took, way);
            }
        }
        Ok(best.1)
    }

    /// Writes all of it into empty tables.
    async fn write(&self, cassandra: &Cassandra, way: Way) -> Result<Duration, AnyError> {
        let driver = Arc::new(cassandra.driver(way.connections).await?);
        for table in &self.tables {
            driver.truncate(table).await?;
        }
        let began = Instant::now();
        let tasks = (0..way.tasks).map(|task| {
            let (driver, requests) = (driver.clone(), self.requests.clone());
            tokio::spawn(async move {
                let mine = (task..requests.len()).step_by(way.tasks);
                let sent = stream::iter(mine).map(|index| send(driver.clone(), requests.clone(), index));
                sent.buffer_unordered(way.under_way / way.tasks).try_collect::<()>().await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(began.elapsed())
    }
}

async fn send(driver: Arc<Driver>, requests: Arc<Vec<Request>>, index: usize) -> Result<(), AnyError> {
    let Some(Request(rows)) = requests.get(index) else { return Ok(()) };
    if let [(statement, row)] = &rows[..] {
        driver.session.execute_unpaged(statement, row).await?;
        return Ok(());
    }
    let mut batch = Batch::new(BatchType::Unlogged);
    let mut values = Vec::with_capacity(rows.len());
    for (statement, row) in rows {
        batch.append_statement(statement.clone());
        values.push(row);
    }
    driver.session.batch(&batch, values).await?;
    Ok(())
}

struct Built {
    per_second: f64,
    /// Microseconds of a processor for each event: of this process, and of the node.
    own: f64,
    database: f64,
}

/// Lets the platform's own views catch up from nothing, under a prefix of their own. What makes the tables does not count: the
/// clock begins behind the first batches.
async fn rebuild(cassandra: &Cassandra, log: &Log, last: u64, prefix: &str) -> Result<Built, AnyError> {
    let store = ReadStore::Scylla(ScyllaStore::open(cassandra.options(prefix)).await?);
    let views = Views::open(log.cell.clone(), store.clone(), projections()).await?;
    let followed: Vec<_> = projections().into_iter().filter(|view| view.family() == Family::Events).collect();
    views.start(log.bus.clone());
    let mut first = 0;
    for view in &followed {
        views.wait(view.name(), 2 * rebuild::BATCH as u64, PATIENCE).await?;
        first = views.serving(view.name())?.position().max(first);
    }
    let own = || processor_time(std::process::id());
    let (began, own_before, database_before) = (Instant::now(), own()?, cassandra.processor_time()?);
    for view in &followed {
        views.wait(view.name(), last, PATIENCE).await?;
    }
    let events = (last - first) as f64;
    let each = |used: Duration| used.as_secs_f64() * 1e6 / events;
    let built = Built {
        per_second: events / began.elapsed().as_secs_f64(),
        own: each(own()? - own_before),
        database: each(cassandra.processor_time()? - database_before),
    };
    views.halt().await;
    // Or the node would go on arranging them beside what is measured next.
    for table in store.tables().await? {
        store.drop_tables(table.generation()).await?;
    }
    Ok(built)
}
