//! What only backends of one process promise: batches that are seen whole, and data that is there again after a restart.

use super::{
    super::{ReadStore, ReadStorePort, RowKey, WriteBatch},
    VIEW, apply, by_name, delete, expect, good, key, key_in, mark, put, table, write,
};

/// For backends in one process: concurrent readers see a batch whole or not at all, and a mark never before its rows.
pub async fn readers_see_whole_batches(make: impl AsyncFn() -> ReadStore) {
    const BATCHES: u64 = 150;
    let store = make().await;
    let keys = [key("a"), key("z"), RowKey { table: table("contacts_v1_g0.by_mail"), ..key("m") }];
    let writing = {
        let (store, keys) = (store.clone(), keys.clone());
        tokio::spawn(async move {
            for seq in 1..=BATCHES {
                let ops = keys.iter().map(|key| put(key.clone(), seq << 8, &seq.to_string())).collect();
                let written = store.write(WriteBatch { ops, marks: vec![mark(VIEW, "eu1", seq)] }).await;
                written.unwrap_or_else(|error| panic!("write failed: {error}"));
            }
        })
    };
    let mut seen = 0;
    while seen < BATCHES {
        seen = good("mark", async || store.mark(VIEW, "eu1").await).await.unwrap_or_default();
        let rows = good("get_many", async || store.get_many(&keys).await).await;
        let times: Vec<u64> = rows.iter().map(|row| row.as_ref().map_or(0, |row| row.ts >> 8)).collect();
        assert!(times.iter().all(|time| *time == times[0]), "a torn batch is visible: {times:?}");
        assert!(times[0] >= seen, "mark {seen} is visible before its rows ({})", times[0]);
        tokio::task::yield_now().await;
    }
    writing.await.unwrap_or_else(|error| panic!("the writer failed: {error}"));
}

/// For backends that keep data: `open` opens the same place each time, after every clone of the last store is dropped.
pub async fn survives_reopening(open: impl AsyncFn() -> ReadStore) {
    let store = open().await;
    write(&store, vec![put(key("a"), 5 << 8, "x"), delete(key("b"), 5 << 8)], vec![mark(VIEW, "eu1", 5)]).await;
    apply(&store, put(key("c"), 900 << 8, "without a mark")).await;
    let lower = ["b1", "b2", "b3", "b4"].map(|tenant| put(key_in(tenant, "all", "x"), 500 << 8, "lower times"));
    for op in lower {
        apply(&store, op).await;
    }
    apply(&store, put(RowKey { table: table("gone_v1_g0.t"), ..key("a") }, 1, "x")).await;
    good("drop", async || store.drop_tables("gone_v1_g0").await).await;
    drop(store);

    let store = open().await;
    assert_eq!(good("tables", async || store.tables().await).await, vec![by_name()], "tables after reopening");
    assert_eq!(good("marks", async || store.marks().await).await, vec![mark(VIEW, "eu1", 5)], "marks after reopening");
    expect(&store, &key("a"), Some("x"), "a row after reopening").await;
    let old = vec![put(key("a"), 4 << 8, "old"), put(key("b"), 4 << 8, "old"), put(key("c"), 899 << 8, "old")];
    write(&store, old, vec![]).await;
    expect(&store, &key("a"), Some("x"), "an older put won after reopening").await;
    expect(&store, &key("b"), None, "a tombstone was lost by reopening").await;
    expect(&store, &key("c"), Some("without a mark"), "the times of unmarked rows were lost by reopening").await;
    write(&store, vec![delete(key("a"), 901 << 8)], vec![mark(VIEW, "eu1", 901)]).await;
    good("compact", async || store.compact_tombstones(&by_name()).await).await;
    drop(store);

    let store = open().await;
    write(&store, vec![put(key("a"), 5 << 8, "x")], vec![mark(VIEW, "eu1", 5)]).await;
    expect(&store, &key("a"), None, "the floor of purged tombstones was lost by reopening").await;
    assert_eq!(
        good("mark", async || store.mark(VIEW, "eu1").await).await,
        Some(901),
        "a mark went back after reopening"
    );
}
