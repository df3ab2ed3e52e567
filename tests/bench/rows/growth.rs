//! What a command and a page of a list cost in a large log against a small one: two platforms side by side, in turns.

use super::{alone, ratios};
use crate::{
    AnyError, Scale, contacts, load,
    platform::Platform,
    table::{Outcome, Reach, median, quantile_ms},
};
use serde_json::Value;

const SMALL: usize = 10_000;
/// Requests made beforehand at once; bounds memory.
const CHUNK: usize = 50_000;
const CLIENTS: usize = 256;
/// How far the later page is from the first one.
const PAGES: usize = 20;

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let (large_count, turns) = (scale.of(1_000_000, 100_000), scale.of(12, 8));
    let (small, large) = (filled(SMALL).await?, filled(large_count).await?);
    let places = [Reads::of(&small).await?, Reads::of(&large).await?];
    let mut costs: [[Vec<f64>; 3]; 2] = Default::default();
    for _ in 0..turns {
        for ((platform, reads), costs) in [&small, &large].into_iter().zip(&places).zip(&mut costs) {
            costs[0].push(alone::block(platform).await?);
            costs[1].push(read(platform, &reads.first).await?);
            costs[2].push(read(platform, &reads.later).await?);
        }
    }
    let [small, large] = costs;
    let names = ["a command", "the first page of a list", "a later page of a list"];
    let outcomes = names.iter().zip(large.iter().zip(&small)).map(|(name, (large, small))| {
        Outcome::of(
            &format!("{name}, p50 at {large_count} events"),
            format!("{:.2} ms", median(large)),
            format!("{:.2} ms at {SMALL}", median(small)),
            &ratios(large, small),
            Reach::AtMost(1.2),
        )
    });
    Ok(outcomes.collect())
}

/// A platform whose log holds this many contacts' creations.
async fn filled(count: usize) -> Result<Platform, AnyError> {
    let platform = Platform::start(false)?;
    let mut left = count;
    while left > 0 {
        let now = left.min(CHUNK);
        load::run(platform.address(), load::deal(contacts::requests(&platform, now), CLIENTS), 201).await?;
        left -= now;
        eprintln!("    {} of {count} events", count - left);
    }
    platform.settle().await?;
    Ok(platform)
}

/// The requests of a list's pages.
struct Reads {
    first: Vec<u8>,
    later: Vec<u8>,
}

impl Reads {
    async fn of(platform: &Platform) -> Result<Self, AnyError> {
        let mut connection = platform.connect().await?;
        let mut target = "/v1/contacts?limit=50".to_owned();
        let first = platform.request("GET", &target, "", "");
        for _ in 0..PAGES {
            let request = platform.request("GET", &target, "", "");
            let page: Value = serde_json::from_slice(connection.send(&request).await?.expect(200)?)?;
            let next = page["next"].as_str().ok_or("the list ends before the later page")?;
            target = format!("/v1/contacts?limit=50&after={next}");
        }
        let later = platform.request("GET", &target, "", "");
        Ok(Self { first, later })
    }
}

/// The median of one page read many times, in milliseconds.
async fn read(platform: &Platform, request: &[u8]) -> Result<f64, AnyError> {
    let load = load::run(platform.address(), vec![vec![request.to_vec(); 100]], 200).await?;
    Ok(quantile_ms(&load.latencies, 0.5))
}
