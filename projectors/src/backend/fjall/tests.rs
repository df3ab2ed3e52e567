use super::{FjallStore, Options};
use crate::read_store::encoding::encode_key;
use crate::read_store::{Mark, ReadStore, ReadStoreError, ReadStorePort, RowKey, RowOp, TableId, WriteBatch, contract};
use bytes::Bytes;
use std::path::Path;
use std::sync::Mutex;

const SMALL: Options = Options { cache_bytes: 4 << 20, memtable_bytes: 4 << 20, worker_threads: 1 };

async fn open(dir: &Path) -> FjallStore {
    FjallStore::open(dir, SMALL).await.unwrap()
}

fn table() -> TableId {
    TableId::try_new("people_v1_g0.by_id").unwrap()
}

fn key(sort: &str) -> RowKey {
    RowKey { table: table(), tenant: "acme".into(), partition: "all".into(), sort: sort.into() }
}

fn put(sort: &str, seq: u64, body: impl Into<Vec<u8>>) -> RowOp {
    RowOp::Put { key: key(sort), ts: seq << 8, body: Bytes::from(body.into()) }
}

fn batch(ops: Vec<RowOp>, seq: u64) -> WriteBatch {
    WriteBatch { ops, marks: vec![Mark { view: "people_v1_g0".into(), cell: "eu1".into(), seq }] }
}

/// Whether any file below `dir` contains `needle`.
fn found_on_disk(dir: &Path, needle: &str) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(found_on_disk(&path, needle));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let needle = needle.as_bytes();
            let hit = bytes.windows(needle.len()).any(|window| window[0] == needle[0] && window == needle);
            out.extend(hit.then(|| path.display().to_string()));
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let dirs = Mutex::new(Vec::new());
    let make = async || {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        dirs.lock().unwrap().push(dir);
        ReadStore::Fjall(store)
    };
    contract::run_all(&make, contract::Tombstones::Compacted).await;
    contract::readers_see_whole_batches(&make).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_marks_and_times_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    contract::survives_reopening(async || ReadStore::Fjall(open(dir.path()).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opening_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let error = FjallStore::open(dir.path(), SMALL).await.unwrap_err();
    assert!(matches!(error, ReadStoreError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("locked by another process"), "{error}");
    drop(store);
    open(dir.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    let marker = dir.path().join("version");
    let good = std::fs::read(&marker).unwrap();
    std::fs::write(&marker, b"FJL\x09").unwrap();
    let error = FjallStore::open(dir.path(), SMALL).await.unwrap_err();
    assert!(matches!(error, ReadStoreError::UnknownFormat { .. }), "{error:?}");
    std::fs::write(&marker, good).unwrap();

    let store = open(dir.path()).await;
    store.shared.meta.insert("v", [super::meta::FORMAT + 1]).unwrap();
    drop(store);
    let error = FjallStore::open(dir.path(), SMALL).await.unwrap_err();
    assert!(error.to_string().contains("row format 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lock"), b"").unwrap();
    std::fs::write(dir.path().join("0.jnl"), b"").unwrap();
    std::fs::create_dir(dir.path().join("keyspaces")).unwrap();
    open(dir.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_drop_is_finished_when_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.write(batch(vec![put("a", 1, "x")], 1)).await.unwrap();
    {
        let ledger = store.shared.ledger();
        store.shared.write_intent_to_drop(&ledger, "people_v1_g0", &[table()]).unwrap();
    }
    drop(store);
    for _ in 0..2 {
        let store = open(dir.path()).await;
        assert_eq!(store.tables().await.unwrap(), vec![]);
        assert_eq!(store.marks().await.unwrap(), vec![]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_at_any_moment_has_rows_and_mark_together() {
    // What a killed process leaves: the files as the operating system has them, with nothing flushed on the way out.
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for seq in 1..=20 {
        store.write(batch((0..10).map(|n| put(&format!("{seq}-{n}"), seq, "x")).collect(), seq)).await.unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), copy.path());
    // A torn tail: the last batch lost its end.
    let torn = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), torn.path());
    let journal = torn.path().join("0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(end - 20);
    std::fs::write(&journal, bytes).unwrap();

    for (place, last) in [(copy.path(), 20), (torn.path(), 19)] {
        let store = open(place).await;
        assert_eq!(store.mark("people_v1_g0", "eu1").await.unwrap(), Some(last));
        for seq in 1..=20u64 {
            for n in 0..10 {
                let row = store.get(&key(&format!("{seq}-{n}"))).await.unwrap();
                assert_eq!(row.is_some(), seq <= last, "{seq}-{n}");
            }
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_tree(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_write_without_reading_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.write(batch(vec![put("a", 7, "x")], 9)).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    let ledger = store.shared.ledger();
    let high = ledger.high("people_v1_g0.by_id", "acme");
    assert_eq!(high, (9 << 8) | 255, "the checkpoint says what times the rows can have");
    assert!(high < 10 << 8, "the next event needs no read");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tables_stay_within_the_memory_given() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let body = Bytes::from(vec![7u8; 4_000]);
    for seq in 1..=60u64 {
        let op = |n: u64| {
            let table = TableId::try_new(&format!("view{}_v1_g0.t", n % 20)).unwrap();
            let key = RowKey { table, sort: (seq * 100 + n).to_be_bytes().to_vec(), ..key("") };
            RowOp::Put { key, ts: seq << 8, body: body.clone() }
        };
        store.write(WriteBatch { ops: (0..100).map(op).collect(), marks: vec![] }).await.unwrap();
    }
    use ::fjall::AbstractTree;
    let buffered: u64 = store.shared.tables().values().map(|table| table.tree.active_memtable().size()).sum();
    assert!(buffered <= SMALL.memtable_bytes * 3 / 2, "{buffered} bytes of 24 MB are still in write buffers");
    assert!(store.size_bytes().await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_bytes_are_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let sealed = "jane.doe@deleted.example";
    let replaced = "jane.roe@replaced.example";
    let buried = "buried-sort-key";
    let dropped = "john.poe@dropped.example";
    let kept = "still.here@kept.example";
    let gone = TableId::try_new("gone_v1_g0.t").unwrap();
    let in_gone = RowOp::Put { key: RowKey { table: gone, ..key("x") }, ts: 1, body: Bytes::from(dropped) };
    let first = vec![put("a", 1, sealed), put("b", 1, replaced), put("c", 1, kept), put(buried, 1, "x"), in_gone];
    store.write(batch(first, 1)).await.unwrap();
    // Some of it reaches table files before it is deleted, as it does in a store that has run for a while.
    for handle in store.shared.tables().values() {
        handle.rotate_memtable().unwrap();
    }
    store.write(batch(vec![put("a", 2, format!("again {sealed}"))], 2)).await.unwrap();
    store.drop_tables("gone_v1_g0").await.unwrap();
    let deletes = ["a", buried].map(|sort| RowOp::Delete { key: key(sort), ts: 3 << 8 });
    store.write(batch([deletes.to_vec(), vec![put("b", 3, "new")]].concat(), 3)).await.unwrap();
    for needle in [sealed, replaced, buried, dropped] {
        assert!(!found_on_disk(dir.path(), needle).is_empty(), "{needle} should be found before the purge");
    }
    store.purge_deleted(&[table()]).await.unwrap();
    for needle in [sealed, replaced, buried, dropped] {
        assert_eq!(found_on_disk(dir.path(), needle), Vec::<String>::new(), "{needle} after the purge");
    }
    assert!(!found_on_disk(dir.path(), kept).is_empty());
    assert_eq!(store.get(&key("b")).await.unwrap().unwrap().body, "new");
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.get(&key("c")).await.unwrap().unwrap().body, kept);
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.mark("people_v1_g0", "eu1").await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_finishes_while_others_read_and_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let erased = "erase.me@busy.example";
    store.write(batch(vec![put("victim", 1, erased)], 1)).await.unwrap();
    store.write(batch(vec![RowOp::Delete { key: key("victim"), ts: 2 << 8 }], 2)).await.unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let busy = {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            let mut seq = 2;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                seq += 1;
                store.write(batch(vec![put(&format!("{}", seq % 50), seq, seq.to_string())], seq)).await.unwrap();
                let page = store.scan(&crate::read_store::Scan::new(table(), "acme".into(), "all", 100)).await.unwrap();
                assert!(page.rows.len() as u64 >= (seq - 2).min(50));
            }
            seq
        })
    };
    store.purge_deleted(&[table()]).await.unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let last = busy.await.unwrap();
    assert_eq!(found_on_disk(dir.path(), erased), Vec::<String>::new());
    assert_eq!(store.get(&key(&format!("{}", last % 50))).await.unwrap().unwrap().body, last.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_is_called_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.write(batch(vec![put("a", 1, "x")], 1)).await.unwrap();
    let handle = store.shared.table(&table()).unwrap();
    handle.insert(encode_key(&key("a")), "?").unwrap();
    let error = store.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, ReadStoreError::Corrupt { .. }), "{error:?}");
    let tables = handle.path().to_owned();
    drop((handle, store));
    std::fs::write(tables.join("current"), b"nonsense").unwrap();
    let error = FjallStore::open(dir.path(), SMALL).await.unwrap_err();
    assert!(matches!(error, ReadStoreError::Corrupt { .. } | ReadStoreError::UnknownFormat { .. }), "{error:?}");
}
