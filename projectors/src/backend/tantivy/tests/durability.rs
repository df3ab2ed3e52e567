//! Checkpoints, formats, damage and erasure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

#[tokio::test]
async fn reopening_keeps_documents_and_checkpoints() {
    let bench = Bench::new().await;
    bench.index.apply(vec![Change::Put(page(1, "One", ""))]).await.unwrap();
    bench.index.commit(cells(&[("eu1", 10), ("us1", 3)])).await.unwrap();
    bench.index.commit(cells(&[("eu1", 12)])).await.unwrap();
    let Bench { index, dir } = bench;
    drop(index);
    let index = SearchIndex::open(dir.path(), Options::default()).await.unwrap();
    assert_eq!((index.checkpoint("eu1"), index.checkpoint("us1"), index.checkpoint("x")), (Some(12), Some(3), None));
    assert_eq!(index.doc_count(), 1);
    index.verify().await.unwrap();
    assert!(matches!(SearchIndex::open(dir.path(), Options::default()).await, Err(SearchError::Locked { .. })));
}

#[tokio::test]
async fn what_was_not_committed_is_lost_together_with_its_checkpoint() {
    let Bench { index, dir } = Bench::new().await;
    index.apply(vec![Change::Put(page(1, "One", ""))]).await.unwrap();
    index.commit(cells(&[("eu1", 1)])).await.unwrap();
    index.apply(vec![Change::Put(page(2, "Two", "")), delete("acme", "pages", "1")]).await.unwrap();
    drop(index);
    let index = SearchIndex::open(dir.path(), Options::default()).await.unwrap();
    assert_eq!((index.doc_count(), index.checkpoint("eu1")), (1, Some(1)));
    assert_eq!(index.search(Query::new("acme")).await.unwrap().ids[0].id, "1");
}

/// A process was killed between a commit and the merge that it made due; the next one merges before it commits anything.
#[tokio::test]
async fn a_merge_after_reopening_keeps_no_document_beside_its_successor() {
    let Bench { index, dir } = Bench::new().await;
    let put = |ids: std::ops::Range<u32>| ids.map(|id| Change::Put(page(id, "Old", ""))).collect::<Vec<_>>();
    // The larger segment comes first in a merge. The last commit touches the smaller one.
    for changes in [put(0..20), put(20..30), vec![delete("acme", "pages", "29")]] {
        index.apply(changes).await.unwrap();
        index.commit(BTreeMap::new()).await.unwrap();
    }
    drop(index);
    let index = SearchIndex::open(dir.path(), Options::default()).await.unwrap();
    index.apply(vec![Change::Put(page(25, "New", ""))]).await.unwrap();
    let mut segments = index.shared.index.searchable_segment_metas().unwrap();
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.max_doc()));
    let ids: Vec<_> = segments.iter().map(tantivy::SegmentMeta::id).collect();
    assert_eq!(ids.len(), 2);
    index.shared.write("merge", |writer| Ok(writer.merge(&ids))).unwrap().wait().unwrap();
    index.commit(BTreeMap::new()).await.unwrap();
    assert_eq!(index.doc_count(), 29);
    let query = Query { text: Some("new".into()), ..Query::new("acme") };
    assert_eq!(index.search(query).await.unwrap().ids.len(), 1);
}

#[tokio::test]
async fn the_same_changes_twice_change_nothing() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        bench.put([page(1, "One", ""), page(2, "Two", ""), page(2, "Second", "")]).await;
        bench.index.apply(vec![delete("acme", "pages", "1"), delete("acme", "pages", "9")]).await.unwrap();
        bench.index.commit(BTreeMap::new()).await.unwrap();
        assert_eq!(bench.index.doc_count(), 1);
        let query = Query { text: Some("second".into()), ..Query::new("acme") };
        assert_eq!(bench.ids(query).await, ["2"]);
    }
}

#[tokio::test]
async fn a_malformed_change_takes_nothing_of_its_batch() {
    let bench = Bench::new().await;
    let bad = contact(2, [("Bad Name", s("x"))]);
    let error = bench.index.apply(vec![Change::Put(contact(1, [])), Change::Put(bad)]).await.unwrap_err();
    assert!(error.code() == "bad_document" && !error.is_client_mistake(), "{error}");
    bench.index.commit(BTreeMap::new()).await.unwrap();
    assert_eq!(bench.index.doc_count(), 0);
}

#[tokio::test]
async fn after_a_fault_of_the_writer_reads_go_on_and_the_index_opens_again() {
    let bench = Bench::new().await;
    bench.put([page(1, "One", "")]).await;
    bench.index.apply(vec![Change::Put(page(2, "Two", ""))]).await.unwrap();
    let failed = bench.index.shared.write("fail", |_| tantivy::Result::<()>::Err(tantivy::TantivyError::Poisoned));
    assert_eq!(failed.unwrap_err().code(), "search_fault");
    // No checkpoint can be committed past what may have been lost.
    let refused = bench.index.commit(cells(&[("eu1", 2)])).await.unwrap_err();
    assert!(matches!(refused, SearchError::WriterStopped), "{refused}");
    assert_eq!(bench.ids(Query::new("acme")).await, ["1"]);
    let again = SearchIndex::open(bench.dir.path(), Options::default()).await.unwrap();
    assert_eq!((again.doc_count(), again.checkpoint("eu1")), (1, None));
}

#[tokio::test]
async fn another_format_is_told_and_reset_starts_anew() {
    let Bench { index, dir } = Bench::new().await;
    index.apply(vec![Change::Put(page(1, "One", ""))]).await.unwrap();
    index.commit(cells(&[("eu1", 5)])).await.unwrap();
    drop(index);
    fs::write(dir.path().join("FORMAT"), "0").unwrap();
    let error = SearchIndex::open(dir.path(), Options::default()).await.err().unwrap();
    assert!(matches!(error, SearchError::NeedsRebuild { found: Some(0), .. }), "{error}");
    SearchIndex::reset(dir.path()).await.unwrap();
    let index = SearchIndex::open(dir.path(), Options::default()).await.unwrap();
    assert_eq!((index.doc_count(), index.checkpoint("eu1")), (0, None));
}

#[tokio::test]
async fn damage_is_told_with_the_way_out() {
    for (name, content) in [("meta.json", Some("{ not json")), ("*", Some("")), ("*", None)] {
        let Bench { index, dir } = Bench::new().await;
        index.apply(vec![Change::Put(page(1, "One", ""))]).await.unwrap();
        index.commit(BTreeMap::new()).await.unwrap();
        drop(index);
        for entry in fs::read_dir(dir.path().join("index")).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let segment =
                name == "*" && [".idx", ".fast", ".term", ".pos", ".store"].iter().any(|end| file.ends_with(end));
            match content {
                Some(content) if file == name || segment => fs::write(&path, content).unwrap(),
                None if segment => fs::remove_file(&path).unwrap(),
                _ => {}
            }
        }
        let error = SearchIndex::open(dir.path(), Options::default()).await.err().unwrap();
        assert!(matches!(error, SearchError::Corrupt { .. }), "{name} {content:?}: {error:?}");
        assert!(error.to_string().contains("millrace views build search"), "{error}");
    }
}

#[tokio::test]
async fn a_changed_byte_is_found_by_verify() {
    let bench = Bench::new().await;
    bench.put([page(1, "Findable", "words")]).await;
    for entry in fs::read_dir(bench.dir.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "term") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[3] ^= 0xff;
            fs::write(&path, bytes).unwrap();
        }
    }
    assert_eq!(bench.index.verify().await.unwrap_err().code(), "search_corrupt");
}

#[tokio::test]
async fn a_purged_person_is_in_no_file() {
    let bench = Bench::new().await;
    let mut person = contact("p1", [("email", s("Xylophonist@Example.org")), ("long", s(&"Zyzzyva".repeat(40)))]);
    person.text = vec![
        TextPart { weight: Weight::Heading, text: "Quetzalcoatlus".into() },
        TextPart { weight: Weight::Body, text: "about Mxyzptlk".into() },
    ];
    // Values stand in the files as they are, words in the folded dictionary of their segment.
    let secrets = ["xylophonist", "Xylophonist", "zyzzyva"];
    let words = ["quetzalcoatlus", "mxyzptlk", "kept"];
    bench.put([person.clone(), page(1, "Kept", "Jabberwocky")]).await;
    bench.put([person, page(2, "Kept too", "")]).await;
    let seen = secrets.map(|secret| contains(bench.dir.path(), secret));
    assert_eq!((seen, words.map(|word| in_dictionaries(&bench, word))), ([true; 3], [true; 3]), "proves nothing");
    let old_files = segment_files(&bench);
    bench.index.apply(vec![delete("acme", "contacts", "p1")]).await.unwrap();
    bench.index.commit(cells(&[("eu1", 7)])).await.unwrap();
    bench.index.purge_deleted().await.unwrap();
    assert_eq!(secrets.map(|secret| contains(bench.dir.path(), secret)), [false; 3]);
    assert_eq!(words.map(|word| in_dictionaries(&bench, word)), [false, false, true]);
    assert!(segment_files(&bench).is_disjoint(&old_files), "files of the old segments are still there");
    assert_eq!(bench.ids(Query::new("acme")).await, ["1", "2"]);
    assert_eq!(bench.index.checkpoint("eu1"), Some(7));
    bench.index.purge_deleted().await.unwrap();
    let Bench { index, dir } = bench;
    drop(index);
    let index = SearchIndex::open(dir.path(), Options::default()).await.unwrap();
    assert_eq!((index.checkpoint("eu1"), index.doc_count()), (Some(7), 2));
}

fn segment_files(bench: &Bench) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(bench.dir.path().join("index")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "term" || end == "fast")).collect()
}

fn in_dictionaries(bench: &Bench, word: &str) -> bool {
    let shared = &bench.index.shared;
    let searcher = shared.reader.searcher();
    searcher.segment_readers().iter().any(|segment| {
        [shared.layout.heading, shared.layout.body].into_iter().any(|field| {
            let term = format!("acme\0{word}");
            segment.inverted_index(field).unwrap().terms().get(term).unwrap().is_some()
        })
    })
}

fn contains(dir: &Path, word: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, word);
        }
        fs::read(&path).unwrap().windows(word.len()).any(|window| window == word.as_bytes())
    })
}
