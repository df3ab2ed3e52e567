//! A list of fifty rows through the API, against the driver alone selecting the same rows in the faster of two ways: each record
//! by itself, or all in one request.

use super::{CLIENTS, ratios};
use crate::{
    AnyError, Scale,
    cassandra::{Cassandra, Driver, NODES},
    contacts, load,
    platform::Platform,
    table::{Outcome, Reach, median, quantile_ms},
};
use futures::future::try_join_all;
use scylla::statement::prepared::PreparedStatement;
use std::time::{Duration, Instant};
use uuid::Uuid;

const PAGE: usize = 50;
const REQUESTS: usize = 500;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let turns = scale.of(8, 4);
    let cassandra = Cassandra::start(NODES)?;
    let platform = Platform::start_with(false, &cassandra.environment("list"))?;
    let clients = load::deal(contacts::requests(&platform, scale.of(10_000, 3_000)), CLIENTS);
    load::run(platform.address(), clients, 201).await?;
    platform.settle().await?;
    let raw = Raw::prepare(cassandra.driver(1).await?, platform.tenant()).await?;
    let request = platform.request("GET", &format!("/v1/contacts?limit={PAGE}"), "", "");
    let (mut lists, mut ceilings, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let (mut singles, mut together) = (Vec::new(), Vec::new());
    // The nodes compile what they run often.
    for turn in 0..turns + 2 {
        let list = load::run(platform.address(), vec![vec![request.clone(); REQUESTS]], 200).await?;
        let one_by_one = quantile_ms(&raw.rows(REQUESTS).await?, 0.99);
        let at_once = quantile_ms(&raw.rows_together(REQUESTS).await?, 0.99);
        let entry = raw.entries(REQUESTS).await?;
        if turn >= 2 {
            lists.push(quantile_ms(&list.latencies, 0.99));
            singles.push(one_by_one);
            together.push(at_once);
            ceilings.push(one_by_one.min(at_once));
            entries.push(quantile_ms(&entry, 0.99));
        }
    }
    let measured = format!("{:.2} ms", median(&lists));
    let ceiling = format!(
        "{:.2} ms (records one by one {:.2}, in one request {:.2}; the page of their places alone {:.2})",
        median(&ceilings),
        median(&singles),
        median(&together),
        median(&entries)
    );
    let name = format!("list of {PAGE} contacts on {NODES} nodes of Cassandra, p99");
    Ok(vec![Outcome::of(&name, measured, ceiling, &ratios(&lists, &ceilings), Reach::AtMost(2.0))])
}

/// The driver alone: a page of places in the list, and the records that stand there.
struct Raw {
    driver: Driver,
    places: PreparedStatement,
    record: PreparedStatement,
    records: PreparedStatement,
    tenant: String,
    month: String,
}

impl Raw {
    async fn prepare(driver: Driver, tenant: &str) -> Result<Self, AnyError> {
        let tables = driver.tables("list").await?;
        let table = |end: &str| {
            let found = tables.iter().find(|(name, _)| name.starts_with("contacts_v") && name.ends_with(end));
            found.map(|(_, table)| table.clone()).ok_or_else(|| format!("no table of contacts ends in {end}"))
        };
        let (newest, kept) = (table(".newest")?, table(".records")?);
        let months =
            driver.session.query_unpaged(format!("SELECT DISTINCT tenant, partition FROM {newest}"), ()).await?;
        let months = months.into_rows_result()?;
        let (_, month) = months.first_row::<(String, String)>()?;
        let walk = "WHERE tenant = ? AND partition = ? AND sort >= ? LIMIT ?";
        let mut places = driver.prepare(format!("SELECT sort, body, writetime(body) FROM {newest} {walk}")).await?;
        places.set_page_size(500);
        let row = "WHERE tenant = ? AND partition = ? AND sort = ?";
        let record = driver.prepare(format!("SELECT body, writetime(body) FROM {kept} {row}")).await?;
        let rows = "WHERE tenant = ? AND partition IN ? AND sort = ?";
        let records = driver.prepare(format!("SELECT partition, body, writetime(body) FROM {kept} {rows}")).await?;
        Ok(Self { driver, places, record, records, tenant: tenant.to_owned(), month })
    }

    /// The page alone.
    async fn page(&self) -> Result<Vec<Uuid>, AnyError> {
        let limit = i32::try_from(PAGE + 1)?;
        let values = (&self.tenant, &self.month, Vec::<u8>::new(), limit);
        let found = self.driver.session.execute_unpaged(&self.places, values).await?.into_rows_result()?;
        let mut ids = Vec::new();
        for row in found.rows::<(Vec<u8>, Vec<u8>, i64)>()?.take(PAGE) {
            ids.push(Uuid::from_slice(&row?.1)?);
        }
        if ids.len() == PAGE { Ok(ids) } else { Err("the page is not full".into()) }
    }

    async fn entries(&self, times: usize) -> Result<Vec<Duration>, AnyError> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let began = Instant::now();
            self.page().await?;
            took.push(began.elapsed());
        }
        Ok(took)
    }

    /// The page and its rows, in one request.
    async fn rows_together(&self, times: usize) -> Result<Vec<Duration>, AnyError> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let began = Instant::now();
            let ids: Vec<String> = self.page().await?.iter().map(Uuid::to_string).collect();
            let values = (&self.tenant, &ids, Vec::<u8>::new());
            let found = self.driver.session.execute_unpaged(&self.records, values).await?.into_rows_result()?;
            let bodies = found.rows::<(String, Vec<u8>, i64)>()?.collect::<Result<Vec<_>, _>>()?;
            if bodies.len() != PAGE {
                return Err(format!("{} of {PAGE} records", bodies.len()).into());
            }
            took.push(began.elapsed());
        }
        Ok(took)
    }

    /// The page and its rows, each by itself, all at once.
    async fn rows(&self, times: usize) -> Result<Vec<Duration>, AnyError> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let began = Instant::now();
            let reads = self.page().await?.into_iter().map(async |id| {
                let values = (&self.tenant, id.to_string(), Vec::<u8>::new());
                let found = self.driver.session.execute_unpaged(&self.record, values).await?.into_rows_result()?;
                let (body, _) = found.first_row::<(Vec<u8>, i64)>()?;
                Ok::<_, AnyError>(body.len())
            });
            try_join_all(reads).await?;
            took.push(began.elapsed());
        }
        Ok(took)
    }
}
