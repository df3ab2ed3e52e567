//! The suite every read store passes. It lives outside `cfg(test)` so that backends of other crates and tests against
//! real servers run the same checks. Each check gets a fresh store and panics with what it found.

mod embedded;

pub use embedded::{readers_see_whole_batches, survives_reopening};

use super::{
    MAX_BODY, MAX_PAGE, MAX_SORT, MAX_TS, Mark, ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, Scan,
    Severity, TableId, WriteBatch, last_ts,
};
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// How long a store may be away or busy.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Who forgets tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    /// The store, when it is told to.
    Compacted,
    /// Its servers, in their own time.
    LeftToServers,
}

/// Runs every check of the contract that does not need a restart; `make` opens an empty store.
pub async fn run_all(make: impl AsyncFn() -> ReadStore, tombstones: Tombstones) {
    an_unknown_table_is_empty(make().await).await;
    the_greatest_time_wins(make().await).await;
    a_delete_hides_the_row_and_keeps_older_puts_out(make().await).await;
    equal_times_have_one_outcome(make().await).await;
    one_batch_may_change_a_row_several_times(make().await).await;
    a_batch_outside_the_limits_is_refused_whole(make().await).await;
    marks_never_go_back(make().await).await;
    many_rows_come_back_in_the_order_of_the_keys(make().await).await;
    many_rows_come_back_from_many_places(make().await).await;
    a_scan_walks_in_byte_order(make().await).await;
    pages_cover_the_walk_exactly(make().await).await;
    a_prefix_bounds_the_walk(make().await).await;
    places_never_mix(make().await).await;
    scan_limits_are_checked(make().await).await;
    order_grouping_and_repetition_do_not_matter(&make).await;
    a_dropped_generation_is_gone_and_can_begin_again(make().await).await;
    tombstones_go_only_when_settled(make().await, tombstones).await;
    a_late_repetition_does_not_bring_a_purged_row_back(make().await, tombstones).await;
    purging_keeps_what_is_alive(make().await).await;
    a_digest_is_of_what_can_be_read(&make).await;
}

const VIEW: &str = "contacts_v1_g0";

fn table(name: &str) -> TableId {
    TableId::try_new(name).unwrap_or_else(|error| panic!("the suite uses valid table names: {error}"))
}

fn by_name() -> TableId {
    table("contacts_v1_g0.by_name")
}

fn key_in(tenant: &str, partition: &str, sort: impl AsRef<[u8]>) -> RowKey {
    RowKey { table: by_name(), tenant: tenant.into(), partition: partition.into(), sort: sort.as_ref().to_vec() }
}

fn key(sort: impl AsRef<[u8]>) -> RowKey {
    key_in("acme", "all", sort)
}

fn put(key: RowKey, ts: u64, body: &str) -> RowOp {
    RowOp::Put { key, ts, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn delete(key: RowKey, ts: u64) -> RowOp {
    RowOp::Delete { key, ts }
}

fn mark(view: &str, cell: &str, seq: u64) -> Mark {
    Mark { view: view.into(), cell: cell.into(), seq }
}

fn walk(limit: usize) -> Scan {
    Scan::new(by_name(), "acme".into(), "all", limit)
}

/// What a store answers; one that is away or busy is asked again, as whoever uses it does.
async fn good<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, ReadStoreError>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.severity() == Severity::Transient && Instant::now() < end => {
                println!("{what} is asked again after: {error}");
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => panic!("{what} failed: {error} ({error:?})"),
        }
    }
}

async fn write(store: &ReadStore, ops: Vec<RowOp>, marks: Vec<Mark>) {
    good("write", async || store.write(WriteBatch { ops: ops.clone(), marks: marks.clone() }).await).await;
}

async fn apply(store: &ReadStore, op: RowOp) {
    write(store, vec![op], vec![]).await;
}

async fn body(store: &ReadStore, key: &RowKey) -> Option<String> {
    let row = good("get", async || store.get(key).await).await?;
    assert_eq!(row.sort, key.sort, "get answers with another sort key");
    Some(String::from_utf8_lossy(&row.body).into_owned())
}

async fn expect(store: &ReadStore, key: &RowKey, wanted: Option<&str>, why: &str) {
    assert_eq!(body(store, key).await.as_deref(), wanted, "{why}");
}

/// All rows of a walk, read in pages of its limit; checks the shape of every page.
async fn rows(store: &ReadStore, mut scan: Scan) -> Vec<(Vec<u8>, String)> {
    let mut out: Vec<(Vec<u8>, String)> = Vec::new();
    loop {
        let page = good("scan", async || store.scan(&scan).await).await;
        assert!(page.rows.len() <= scan.limit, "a page is longer than its limit");
        if page.next.is_some() {
            assert_eq!(page.rows.len(), scan.limit, "a page with a next one is not full");
            assert_eq!(page.next.as_deref(), page.rows.last().map(|row| &row.sort[..]), "next is not the last row");
        }
        out.extend(page.rows.into_iter().map(|row| (row.sort, String::from_utf8_lossy(&row.body).into_owned())));
        match page.next {
            Some(next) => scan.after = Some(next),
            None => return out,
        }
    }
}

async fn sorts(store: &ReadStore, scan: Scan) -> Vec<Vec<u8>> {
    rows(store, scan).await.into_iter().map(|(sort, _)| sort).collect()
}

/// Reading what was never written gives nothing and creates nothing.
pub async fn an_unknown_table_is_empty(store: ReadStore) {
    expect(&store, &key("a"), None, "a row in an unknown table").await;
    assert!(rows(&store, walk(10)).await.is_empty(), "rows in an unknown table");
    assert_eq!(good("mark", async || store.mark(VIEW, "eu1").await).await, None);
    assert_eq!(good("marks", async || store.marks().await).await, vec![]);
    assert_eq!(good("compact", async || store.compact_tombstones(&by_name()).await).await, 0);
    good("drop", async || store.drop_tables(VIEW).await).await;
    assert_eq!(good("tables", async || store.tables().await).await, vec![], "reading created a table");
    apply(&store, put(key("a"), 1, "x")).await;
    assert_eq!(good("tables", async || store.tables().await).await, vec![by_name()]);
    good("size", async || store.size_bytes().await).await;
}

/// Arrival order is irrelevant, time decides.
pub async fn the_greatest_time_wins(store: ReadStore) {
    apply(&store, put(key("a"), 0, "zero")).await;
    expect(&store, &key("a"), Some("zero"), "time 0 is a time").await;
    apply(&store, put(key("a"), 512, "new")).await;
    apply(&store, put(key("a"), 511, "old")).await;
    expect(&store, &key("a"), Some("new"), "an older put replaced a newer one").await;
    apply(&store, put(key("a"), 513, "newer")).await;
    let row = good("get", async || store.get(&key("a")).await).await.unwrap_or_else(|| panic!("the row is missing"));
    assert_eq!((row.ts, &row.body[..]), (513, &b"newer"[..]));
    apply(&store, put(key("a"), MAX_TS, "")).await;
    expect(&store, &key("a"), Some(""), "an empty body is a row").await;
}

/// Tombstones take part in the comparison of times.
pub async fn a_delete_hides_the_row_and_keeps_older_puts_out(store: ReadStore) {
    apply(&store, put(key("a"), 10, "x")).await;
    apply(&store, delete(key("a"), 20)).await;
    expect(&store, &key("a"), None, "a deleted row is read").await;
    assert!(rows(&store, walk(10)).await.is_empty(), "a deleted row is scanned");
    apply(&store, put(key("a"), 15, "late")).await;
    expect(&store, &key("a"), None, "an older put brought a deleted row back").await;
    apply(&store, put(key("a"), 30, "again")).await;
    apply(&store, delete(key("a"), 25)).await;
    expect(&store, &key("a"), Some("again"), "an older delete removed a newer row").await;
    apply(&store, delete(key("never"), 50)).await;
    apply(&store, put(key("never"), 40, "x")).await;
    expect(&store, &key("never"), None, "the delete came before the put it answers").await;
}

/// Repetition is harmless and disagreement has a rule.
pub async fn equal_times_have_one_outcome(store: ReadStore) {
    for ops in [
        [put(key("a"), 7, "x"), put(key("a"), 7, "x")],
        [put(key("b"), 7, "x"), delete(key("b"), 7)],
        [delete(key("c"), 7), put(key("c"), 7, "x")],
        [put(key("d"), 7, "x"), put(key("d"), 7, "y")],
        [put(key("e"), 7, "y"), put(key("e"), 7, "x")],
    ] {
        for op in ops {
            apply(&store, op).await;
        }
    }
    expect(&store, &key("a"), Some("x"), "a repeated put").await;
    expect(&store, &key("b"), None, "at one time a delete wins").await;
    expect(&store, &key("c"), None, "at one time a delete wins, whatever comes first").await;
    expect(&store, &key("d"), Some("y"), "at one time the greater body wins").await;
    expect(&store, &key("e"), Some("y"), "at one time the greater body wins, whatever comes first").await;
}

/// Inside a batch time decides as well.
pub async fn one_batch_may_change_a_row_several_times(store: ReadStore) {
    let ops = vec![put(key("a"), 2, "two"), put(key("a"), 3, "three"), put(key("a"), 1, "one"), delete(key("b"), 9)];
    write(&store, [ops, vec![put(key("b"), 8, "x"), delete(key("c"), 1), put(key("c"), 2, "y")]].concat(), vec![])
        .await;
    expect(&store, &key("a"), Some("three"), "the greatest time of a batch wins").await;
    expect(&store, &key("b"), None, "the delete of a batch wins").await;
    expect(&store, &key("c"), Some("y"), "the put after the delete wins").await;
}

/// One bad operation refuses the batch, and nothing of it is left.
pub async fn a_batch_outside_the_limits_is_refused_whole(store: ReadStore) {
    let large = RowOp::Put { key: key("large"), ts: 1, body: Bytes::from(vec![0; MAX_BODY + 1]) };
    for (what, bad) in [
        ("body", large),
        ("sort key", put(key(vec![1; MAX_SORT + 1]), 1, "x")),
        ("time", put(key("late"), MAX_TS + 1, "x")),
        ("empty tenant", put(key_in("", "all", "x"), 1, "x")),
        ("long tenant", delete(key_in(&"t".repeat(1_000), "all", "x"), 1)),
        ("long partition", put(key_in("acme", &"p".repeat(100_000), "x"), 1, "x")),
    ] {
        let batch = WriteBatch { ops: vec![put(key("ok"), 1, "x"), bad], marks: vec![mark(VIEW, "eu1", 1)] };
        assert!(store.write(batch).await.is_err(), "a batch with a bad {what} was accepted");
    }
    let bad_mark = WriteBatch { ops: vec![put(key("ok"), 1, "x")], marks: vec![mark("a/b", "eu1", 1)] };
    assert!(store.write(bad_mark).await.is_err(), "a mark with a bad view was accepted");
    expect(&store, &key("ok"), None, "a refused batch left a row").await;
    assert_eq!(good("mark", async || store.mark(VIEW, "eu1").await).await, None, "a refused batch left a mark");
    let longest = key_in(&"t".repeat(super::MAX_TENANT), &"p".repeat(super::MAX_PARTITION), vec![0xff; MAX_SORT]);
    apply(&store, put(longest.clone(), 1, "fits")).await;
    expect(&store, &longest, Some("fits"), "a key at the limits").await;
}

/// Checkpoints only grow, each lane by itself.
pub async fn marks_never_go_back(store: ReadStore) {
    write(&store, vec![put(key("a"), 5 << 8, "x")], vec![mark(VIEW, "eu1", 5), mark(VIEW, "us1", 2)]).await;
    write(&store, vec![put(key("b"), 3 << 8, "y")], vec![mark(VIEW, "eu1", 3)]).await;
    expect(&store, &key("b"), Some("y"), "the rows of a batch with an old mark are applied by their times").await;
    write(&store, vec![], vec![mark("mails_v2_g1", "eu1", 0), mark(VIEW, "us1", 9), mark(VIEW, "us1", 8)]).await;
    assert_eq!(good("mark", async || store.mark(VIEW, "eu1").await).await, Some(5), "a mark went back");
    assert_eq!(
        good("mark", async || store.mark(VIEW, "eu").await).await,
        None,
        "a mark is found by a part of its cell"
    );
    let all = vec![mark(VIEW, "eu1", 5), mark(VIEW, "us1", 9), mark("mails_v2_g1", "eu1", 0)];
    assert_eq!(good("marks", async || store.marks().await).await, all);
}

/// Answers line up with the keys.
pub async fn many_rows_come_back_in_the_order_of_the_keys(store: ReadStore) {
    write(&store, (0..600).map(|n| put(key(format!("{n:04}")), 1, &n.to_string())).collect(), vec![]).await;
    let elsewhere = RowKey { table: table("other_v1_g0.x"), ..key("0001") };
    let few = vec![key("0002"), key("none"), key("0001"), key("0002"), elsewhere];
    let bodies = |rows: Vec<Option<super::StoredRow>>| -> Vec<Option<String>> {
        rows.into_iter().map(|row| row.map(|row| String::from_utf8_lossy(&row.body).into_owned())).collect()
    };
    let found = bodies(good("get_many", async || store.get_many(&few).await).await);
    assert_eq!(found, [Some("2".into()), None, Some("1".into()), Some("2".into()), None]);
    let many: Vec<RowKey> = (0..600).rev().map(|n| key(format!("{n:04}"))).collect();
    let found = bodies(good("get_many", async || store.get_many(&many).await).await);
    assert_eq!(found, (0..600).rev().map(|n| Some(n.to_string())).collect::<Vec<_>>());
    assert!(store.get_many(&vec![key("a"); MAX_PAGE + 1]).await.is_err(), "get_many without a limit");
}

/// More places than a store asks for at once, of several tables, tenants and sort keys, some missing, some deleted, some asked for
/// twice.
pub async fn many_rows_come_back_from_many_places(store: ReadStore) {
    let places = || {
        let of = |tenant, n: usize, sort| key_in(tenant, &format!("record {n}"), sort);
        (0..230).flat_map(move |n| [of("acme", n, ""), of("acme", n, "x"), of("other", n, "")])
    };
    let elsewhere = |key: &RowKey| RowKey { table: table("other_v1_g0.records"), ..key.clone() };
    let name = |key: &RowKey| format!("{} {} {} {:?}", key.table, key.tenant, key.partition, key.sort);
    let is_there = |n: usize| n % 7 != 3;
    let all: Vec<RowKey> = places().flat_map(|key| [elsewhere(&key), key]).collect();
    let there = all.iter().enumerate().filter(|(n, _)| is_there(*n)).map(|(_, key)| key);
    write(&store, there.clone().map(|key| put(key.clone(), 5, &name(key))).collect(), vec![]).await;
    write(&store, there.step_by(11).map(|key| delete(key.clone(), 6)).collect(), vec![]).await;
    let gone: std::collections::HashSet<&RowKey> =
        all.iter().enumerate().filter(|(n, _)| is_there(*n)).map(|(_, key)| key).step_by(11).collect();
    let mut asked: Vec<(Option<String>, RowKey)> = all
        .iter()
        .enumerate()
        .map(|(n, key)| ((is_there(n) && !gone.contains(key)).then(|| name(key)), key.clone()))
        .collect();
    let again: Vec<_> = asked.iter().step_by(5).cloned().collect();
    asked.extend(again);
    Dice(3).shuffle(&mut asked);
    let (wanted, keys): (Vec<_>, Vec<RowKey>) = asked.into_iter().unzip();
    let rows = good("get_many", async || store.get_many(&keys).await).await;
    assert_eq!(rows.len(), keys.len(), "an answer for each key");
    for ((row, wanted), key) in rows.into_iter().zip(wanted).zip(&keys) {
        let found = row.as_ref().map(|row| String::from_utf8_lossy(&row.body).into_owned());
        assert_eq!(found, wanted, "the row at {key:?}");
        assert!(row.is_none_or(|row| row.ts == 5 && row.sort == key.sort), "another row's place at {key:?}");
    }
    for count in [0, 1, 2, 3, 4, 49, 50, 51, 100, 101] {
        let keys: Vec<RowKey> = (0..count).map(|n| key_in("acme", &format!("record {n}"), "")).collect();
        let get = async |key| good("get", async || store.get(key).await).await;
        let alone = futures::future::join_all(keys.iter().map(get)).await;
        assert_eq!(
            good("get_many", async || store.get_many(&keys).await).await,
            alone,
            "{count} at once are those read one by one"
        );
    }
}

/// Unsigned bytes, shorter before longer, both ways.
pub async fn a_scan_walks_in_byte_order(store: ReadStore) {
    let ordered: Vec<Vec<u8>> =
        [&[][..], &[0], &[0, 0], &[0, 1], &[1], b"a", b"a\0", b"aa", b"b", &[0x7f], &[0x80], &[0xff], &[0xff, 0xff]]
            .iter()
            .map(|sort| sort.to_vec())
            .collect();
    write(&store, ordered.iter().rev().map(|sort| put(key(sort), 1, "x")).collect(), vec![]).await;
    assert_eq!(sorts(&store, walk(100)).await, ordered, "ascending");
    let backwards: Vec<Vec<u8>> = ordered.into_iter().rev().collect();
    assert_eq!(sorts(&store, walk(100).descending()).await, backwards, "descending");
}

/// No row is lost or repeated between pages, tombstones do not shorten them, `after` need not exist.
pub async fn pages_cover_the_walk_exactly(store: ReadStore) {
    let name = |n: u32| format!("{n:05}").into_bytes();
    write(&store, (0..1_000).map(|n| put(key(name(n)), 1, "x")).collect(), vec![]).await;
    write(&store, (0..1_000).filter(|n| n % 3 == 0).map(|n| delete(key(name(n)), 2)).collect(), vec![]).await;
    let alive: Vec<Vec<u8>> = (0..1_000).filter(|n| n % 3 != 0).map(name).collect();
    for limit in [1, 7, 222, 666, 667, MAX_PAGE] {
        assert_eq!(sorts(&store, walk(limit)).await, alive, "pages of {limit}");
        let backwards: Vec<Vec<u8>> = alive.iter().rev().cloned().collect();
        assert_eq!(sorts(&store, walk(limit).descending()).await, backwards, "pages of {limit}, descending");
    }
    let page = good("scan", async || store.scan(&walk(666)).await).await;
    assert_eq!(page.next, None, "a full last page names a next one");
    assert_eq!(
        sorts(&store, walk(2).after("00500.5")).await.first(),
        Some(&name(502)),
        "after a key that is not there"
    );
    assert_eq!(sorts(&store, walk(2).after("00502").descending()).await.first(), Some(&name(500)), "after, descending");
    assert!(sorts(&store, walk(2).after("1")).await.is_empty(), "after the last row");
    assert!(sorts(&store, walk(2).after("").descending()).await.is_empty(), "before the first row");
}

/// Only the rows whose sort key begins with the prefix, paged like any walk.
pub async fn a_prefix_bounds_the_walk(store: ReadStore) {
    let all: [&[u8]; 9] = [b"a", b"ab", b"ab\0", b"ab\xff", b"ab\xff\xff", b"ac", b"b", b"\xff", b"\xff\xff\x01"];
    write(&store, all.iter().map(|sort| put(key(sort), 1, "x")).collect(), vec![]).await;
    for prefix in [&b""[..], b"a", b"ab", b"ab\xff", b"abc", b"\xff", b"\xff\xff", b"zz"] {
        let mut wanted: Vec<Vec<u8>> = all.iter().filter(|s| s.starts_with(prefix)).map(|s| s.to_vec()).collect();
        wanted.sort();
        assert_eq!(sorts(&store, walk(1).prefix(prefix)).await, wanted, "prefix {prefix:?}");
        wanted.reverse();
        assert_eq!(sorts(&store, walk(1).prefix(prefix).descending()).await, wanted, "prefix {prefix:?}, descending");
    }
    let from = |after: &str| walk(10).prefix("ab").after(after);
    assert_eq!(sorts(&store, from("a")).await.len(), 4, "a position before the prefix skips nothing");
    assert!(sorts(&store, from("b")).await.is_empty(), "a position behind the prefix");
    assert_eq!(sorts(&store, from("b").descending()).await.len(), 4, "descending from behind the prefix");
    assert!(sorts(&store, from("a").descending()).await.is_empty(), "descending from before the prefix");
}

/// Names that are prefixes of one another, or look like separators, stay apart.
pub async fn places_never_mix(store: ReadStore) {
    let names = ["a", "ab", "a\0", "\0", "\u{ff}", "\u{10ffff}", "a\u{1}", "b", "\u{1}a", "\0a"];
    let sorts_used: [&[u8]; 5] = [b"", b"\0", b"\xff", b"a", b"b"];
    let partitions: Vec<&str> = names.into_iter().chain([""]).collect();
    let other = table("contacts_v1_g0.by_name2");
    let mut ops = Vec::new();
    for tenant in names {
        for partition in &partitions {
            for sort in sorts_used {
                ops.push(put(key_in(tenant, partition, sort), 1, &format!("{tenant}|{partition}")));
                let elsewhere = RowKey { table: other.clone(), ..key_in(tenant, partition, sort) };
                ops.push(put(elsewhere, 1, "other table"));
            }
        }
    }
    write(&store, ops, vec![]).await;
    for tenant in names {
        for partition in &partitions {
            let own = format!("{tenant}|{partition}");
            let scan = Scan::new(by_name(), tenant.into(), *partition, 3);
            for scan in [scan.clone(), scan.descending()] {
                let found = rows(&store, scan).await;
                assert_eq!(found.len(), sorts_used.len(), "tenant {tenant:?}, partition {partition:?}");
                assert!(found.iter().all(|(_, body)| *body == own), "{tenant:?} {partition:?} sees {found:?}");
            }
            expect(&store, &key_in(tenant, partition, b"a"), Some(&own), "a row of another place").await;
        }
    }
    apply(&store, delete(key_in("a", "a", b"a"), 2)).await;
    expect(&store, &key_in("a", "a\0", b"a"), Some("a|a\0"), "a delete reached another partition").await;
    expect(&store, &key_in("a\0", "a", b"a"), Some("a\0|a"), "a delete reached another tenant").await;
}

/// A scan is always bounded.
pub async fn scan_limits_are_checked(store: ReadStore) {
    for limit in [0, MAX_PAGE + 1] {
        assert!(store.scan(&walk(limit)).await.is_err(), "a scan with limit {limit} was accepted");
    }
    assert!(store.scan(&Scan::new(by_name(), "".into(), "p", 1)).await.is_err(), "a scan without a tenant");
    assert!(store.scan(&walk(1).after(vec![0; MAX_SORT + 1])).await.is_err(), "a scan from an oversized position");
}

/// A small generator of pseudo-random numbers; the suite must give the same sequence on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides.max(1) as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|i| items.swap(i, self.roll(i + 1)));
    }
}

/// Shuffled, doubled, regrouped: the rows are the same as when applied in order.
pub async fn order_grouping_and_repetition_do_not_matter(make: impl AsyncFn() -> ReadStore) {
    let mut dice = Dice(7);
    let ops: Vec<RowOp> = (1..=300u64)
        .map(|seq| {
            let key = key_in("acme", ["p", "q"][dice.roll(2)], [dice.roll(12) as u8]);
            let ts = (seq << 8) | dice.roll(3) as u64;
            if dice.roll(3) == 0 { delete(key, ts) } else { put(key, ts, &format!("body {seq}")) }
        })
        .collect();
    let mut wanted: BTreeMap<(String, Vec<u8>), Option<String>> = BTreeMap::new();
    for op in &ops {
        let body = match op {
            RowOp::Put { body, .. } => Some(String::from_utf8_lossy(body).into_owned()),
            RowOp::Delete { .. } => None,
        };
        wanted.insert((op.key().partition.clone(), op.key().sort.clone()), body);
    }
    for round in 0..4 {
        let store = make().await;
        let mut delivered = ops.clone();
        if round > 0 {
            delivered.extend(ops.iter().filter(|_| dice.roll(2) == 0).cloned().collect::<Vec<_>>());
            dice.shuffle(&mut delivered);
        }
        while !delivered.is_empty() {
            let size = (1 + dice.roll(20)).min(delivered.len());
            write(&store, delivered.drain(..size).collect(), vec![]).await;
        }
        for partition in ["p", "q"] {
            let found = rows(&store, Scan::new(by_name(), "acme".into(), partition, 5)).await;
            let alive = wanted.iter().filter(|((of, _), _)| of == partition);
            let alive: Vec<_> = alive.filter_map(|((_, s), body)| body.clone().map(|body| (s.clone(), body))).collect();
            assert_eq!(found, alive, "round {round}, partition {partition}");
        }
    }
}

/// Exactly the named generation goes, and its name can be used again from nothing.
pub async fn a_dropped_generation_is_gone_and_can_begin_again(store: ReadStore) {
    let tables = ["contacts_v1_g0.by_name", "contacts_v1_g0.a.b", "contacts_v1_g0", "contacts_v1_g01.by_name"];
    for name in tables {
        apply(&store, put(RowKey { table: table(name), ..key("a") }, 100 << 8, "x")).await;
    }
    write(&store, vec![], vec![mark(VIEW, "eu1", 100), mark(VIEW, "us1", 1), mark("contacts_v1_g01", "eu1", 100)])
        .await;
    for _ in 0..2 {
        good("drop", async || store.drop_tables(VIEW).await).await;
        assert_eq!(
            good("tables", async || store.tables().await).await,
            vec![table("contacts_v1_g01.by_name")],
            "tables after a drop"
        );
        assert_eq!(
            good("marks", async || store.marks().await).await,
            vec![mark("contacts_v1_g01", "eu1", 100)],
            "marks after a drop"
        );
    }
    good("drop", async || store.drop_tables("contacts_v1").await).await;
    assert_eq!(
        good("tables", async || store.tables().await).await.len(),
        1,
        "a part of a generation's name dropped it"
    );
    expect(&store, &key("a"), None, "a row of a dropped table").await;
    write(&store, vec![put(key("b"), 1 << 8, "again")], vec![mark(VIEW, "eu1", 1)]).await;
    expect(&store, &key("a"), None, "a row of a dropped table came back").await;
    expect(&store, &key("b"), Some("again"), "a new table under the old name").await;
    assert_eq!(good("mark", async || store.mark(VIEW, "eu1").await).await, Some(1), "the checkpoint starts anew");
}

/// The slowest cell decides what can be forgotten.
pub async fn tombstones_go_only_when_settled(store: ReadStore, tombstones: Tombstones) {
    let ops = (1..=10u64).map(|seq| delete(key(seq.to_string()), seq << 8)).collect();
    write(&store, ops, vec![]).await;
    assert_eq!(
        good("compact", async || store.compact_tombstones(&by_name()).await).await,
        0,
        "forgotten without a checkpoint"
    );
    write(&store, vec![put(key("alive"), 3 << 8, "x")], vec![mark(VIEW, "eu1", 10), mark(VIEW, "us1", 4)]).await;
    let settled = if tombstones == Tombstones::Compacted { 4 } else { 0 };
    assert_eq!(
        good("compact", async || store.compact_tombstones(&by_name()).await).await,
        settled,
        "not the settled tombstones"
    );
    assert_eq!(
        good("compact", async || store.compact_tombstones(&by_name()).await).await,
        0,
        "the second time nothing is left"
    );
    expect(&store, &key("alive"), Some("x"), "a living row was forgotten").await;
    apply(&store, put(key("5"), 4 << 8, "late")).await;
    expect(&store, &key("5"), None, "an unsettled tombstone was forgotten").await;
}

/// What a lane delivers again changes nothing, even after the tombstone is gone; a new cell is not held back.
pub async fn a_late_repetition_does_not_bring_a_purged_row_back(store: ReadStore, tombstones: Tombstones) {
    let first = vec![put(key("a"), 1 << 8, "x")];
    write(&store, first.clone(), vec![mark(VIEW, "eu1", 1)]).await;
    write(&store, vec![delete(key("a"), 2 << 8)], vec![mark(VIEW, "eu1", 2)]).await;
    let settled = u64::from(tombstones == Tombstones::Compacted);
    assert_eq!(good("compact", async || store.compact_tombstones(&by_name()).await).await, settled);
    write(&store, first, vec![mark(VIEW, "eu1", 1)]).await;
    expect(&store, &key("a"), None, "a repetition brought a purged row back").await;
    write(&store, vec![put(key("a"), last_ts(2) + 1, "new")], vec![mark(VIEW, "eu1", 3)]).await;
    expect(&store, &key("a"), Some("new"), "a new put after a purge").await;
    let other = key_in("moved", "all", "b");
    write(&store, vec![put(other.clone(), 1 << 8, "first")], vec![mark(VIEW, "new1", 1)]).await;
    expect(&store, &other, Some("first"), "the first event of a new cell was taken for a repetition").await;
}

/// Erasure leaves every living row as it was.
pub async fn purging_keeps_what_is_alive(store: ReadStore) {
    let other = RowKey { table: table("mails_v1_g0.sent"), ..key("m") };
    write(&store, (0..50u8).map(|n| put(key([n]), 1 << 8, "old")).collect(), vec![mark(VIEW, "eu1", 1)]).await;
    let new = (0..50u8).map(|n| if n % 2 == 0 { delete(key([n]), 2 << 8) } else { put(key([n]), 2 << 8, "new") });
    write(&store, new.chain([put(other.clone(), 2 << 8, "m")]).collect(), vec![mark(VIEW, "eu1", 2)]).await;
    good("purge", async || store.purge_deleted(&[by_name(), table("none_v1_g0.x")]).await).await;
    let found = rows(&store, walk(100)).await;
    assert_eq!(found.len(), 25, "rows after a purge");
    assert!(found.iter().all(|(sort, body)| sort[0] % 2 == 1 && body == "new"), "wrong rows after a purge");
    expect(&store, &other, Some("m"), "a purge reached another table").await;
    assert_eq!(good("mark", async || store.mark(VIEW, "eu1").await).await, Some(2), "a purge lost a checkpoint");
    write(&store, vec![put(key([0]), 3 << 8, "again")], vec![mark(VIEW, "eu1", 3)]).await;
    expect(&store, &key([0]), Some("again"), "a write after a purge").await;
}

async fn a_digest_is_of_what_can_be_read(make: &impl AsyncFn() -> ReadStore) {
    let (one, two) = (make().await, make().await);
    let of = async |store: &ReadStore| good("digest", async || store.digest(&by_name()).await).await;
    assert_eq!(of(&one).await, of(&two).await, "of tables that do not exist");
    apply(&one, put(key("a"), 1 << 8, "old")).await;
    for op in [put(key("a"), 2 << 8, "x"), put(key("gone"), 3 << 8, "y"), delete(key("gone"), 4 << 8)] {
        apply(&one, op).await;
    }
    assert_ne!(of(&one).await, of(&two).await, "rows change it");
    apply(&two, put(key("a"), 2 << 8, "x")).await;
    assert_eq!(of(&one).await, of(&two).await, "what is overwritten or deleted is not in it");
    apply(&two, put(key("a"), 3 << 8, "x")).await;
    assert_ne!(of(&one).await, of(&two).await, "times are in it");
}
