//! The search index that follows a real log.

use super::lanes::Projector;
use crate::support::World;
use bus_schema::crm::contact::ContactDetails;
use projectors::{
    catalog::{projections, search_sources},
    search::{FieldValue, Filter, Op, Options, Query, SearchIndex},
    search_lane::Search,
};
use std::{path::Path, time::Duration};
use writers::crm::contact::ContactCommand;

const PATIENCE: Duration = Duration::from_secs(20);

async fn found(search: &Search, world: &World, text: &str) -> Vec<String> {
    let query =
        Query { text: Some(text.into()), collections: vec!["contacts".into()], ..Query::new(world.tenant.as_str()) };
    search.index().search(query).await.expect("answers").ids.into_iter().map(|hit| hit.id).collect()
}

/// Whether a word stands in any file below a folder, as it is or with lower case.
fn on_disk(folder: &Path, word: &str) -> bool {
    std::fs::read_dir(folder).expect("readable").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return on_disk(&path, word);
        }
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_found_until_they_are_erased() {
    let world = World::shared().await;
    let (rows, files) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let projector = Projector::start(rows.path(), &world.options, projections()).await;
    let index = SearchIndex::open(files.path(), Options::default()).await.expect("opens");
    let search = Search::start(index, projector.views.clone(), world.keys.clone(), world.bus.clone(), search_sources());
    let (ada, _) = world.create("ada@x.org").await;
    let (bob, _) = world.create("bob@x.org").await;
    let edit = |name: &str| {
        let name = name.to_owned();
        move |details: ContactDetails| ContactDetails {
            last_name: Some(name.clone()),
            notes: Some("likes tea".into()),
            ..details
        }
    };
    let change = async |id, name: &str| {
        let meta = writers::Meta::system("test", bus_schema::CommandId::random());
        writers::crm::contact::change(&world.writer, &world.tenant, id, &meta, None, edit(name))
            .await
            .expect("changed");
    };
    change(ada, "Quixotrin").await;
    change(bob, "Zanzibarov").await;
    let tagged = world.tell(bob, ContactCommand::Tag { tag: "vip".into() }).await;
    search.wait(tagged, PATIENCE).await.expect("the index gets there");
    assert_eq!(found(&search, &world, "quixotrin").await, [ada.to_string()]);
    assert_eq!(found(&search, &world, "tea").await.len(), 2);
    let vip = Filter::cmp("tags", Op::Eq, [FieldValue::Str("vip".into())]);
    let query = Query { filter: vip, total: true, ..Query::new(world.tenant.as_str()) };
    let hits = search.index().search(query).await.expect("answers");
    assert_eq!((hits.ids[0].id.clone(), hits.total), (bob.to_string(), Some(1)));
    let stranger = Query { text: Some("tea".into()), ..Query::new("other") };
    assert!(search.index().search(stranger).await.expect("answers").ids.is_empty(), "no other tenant sees them");

    let erased = world.erase(ada).await;
    search.wait(erased, PATIENCE).await.expect("the index gets there");
    assert!(found(&search, &world, "quixotrin").await.is_empty());
    assert_eq!(found(&search, &world, "tea").await, [bob.to_string()]);
    // The lane does this by itself, but only every half minute.
    search.index().purge_deleted().await.expect("purged");
    assert!(on_disk(files.path(), "zanzibarov"), "the look at the files finds a word that is there");
    assert!(!on_disk(files.path(), "quixotrin"), "no word of an erased person is left in the files");
    assert!(search.trouble().is_none(), "{:?}", search.trouble());
    projector.kill();
}
