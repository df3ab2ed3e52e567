//! The key directory on the bus: durable keys, real destruction, tenants apart.

use crate::support::{Server, World, eventually};
use bus_schema::{KeyId, TenantId};
use std::{path::Path, time::Duration};

/// Whether these bytes stand in any file below a folder.
fn on_disk(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return on_disk(&path, bytes);
        }
        // A file may be renamed or removed while we look.
        std::fs::read(&path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
    })
}

async fn wrapped(world: &World, id: KeyId) -> Option<Vec<u8>> {
    let subject = format!("keys.{}.{}.{id}", world.cell(), world.tenant);
    let mut found = world.bus.latest("keys", std::slice::from_ref(&subject)).await.expect("readable");
    found.remove(&subject).map(|(_, body)| body.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_durable_through_several_refills() {
    let world = World::shared().await;
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(world.keys.fresh(&world.tenant).await.expect("a key").id);
    }
    let elsewhere = world.keys_elsewhere().await.load(&world.tenant, &ids).await.expect("loaded");
    assert_eq!(elsewhere.len(), 300, "another process opens every key that was handed out");
    let unique: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), 300, "no key is handed out twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_takers_get_different_keys() {
    let world = World::shared().await;
    let takers = (0..200).map(|_| world.keys.fresh(&world.tenant));
    let ids: std::collections::HashSet<_> =
        futures::future::join_all(takers).await.into_iter().map(|key| key.expect("a key").id).collect();
    assert_eq!(ids.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_key_is_nowhere_on_the_disk() {
    let server = Server::own();
    let world = World::on(&server).await;
    let key = world.keys.fresh(&world.tenant).await.expect("a key").id;
    let kept = world.keys.fresh(&world.tenant).await.expect("a key").id;
    let bytes = wrapped(&world, key).await.expect("it is in the directory");
    let other = wrapped(&world, kept).await.expect("it is in the directory");
    assert!(on_disk(&server.store_dir(), &bytes), "the search finds a key that exists");
    world.keys.destroy(&world.tenant, key).await.expect("destroyed");
    world.keys.destroy(&world.tenant, key).await.expect("again changes nothing");
    assert!(!on_disk(&server.store_dir(), &bytes), "the bytes of a destroyed key are overwritten");
    assert!(on_disk(&server.store_dir(), &other));
    assert!(world.keys.load(&world.tenant, &[key]).await.expect("readable").is_empty());
    let elsewhere = world.keys_elsewhere().await.load(&world.tenant, &[key, kept]).await.expect("readable");
    assert!(elsewhere.get(key).is_none() && elsewhere.get(kept).is_some());
    // Not after a restart either, when the server reads its files again.
    server.kill();
    server.start();
    let elsewhere = world.keys_elsewhere().await.load(&world.tenant, &[key, kept]).await.expect("readable");
    assert!(elsewhere.get(key).is_none() && elsewhere.get(kept).is_some());
    assert!(!on_disk(&server.store_dir(), &bytes));
}

/// A worker that has read a key does not write to a person whom the API has erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_process_destroys_is_forgotten_by_the_others() {
    let server = Server::own();
    let world = World::on(&server).await;
    let elsewhere = world.keys_elsewhere().await;
    let known = async |id: KeyId| !elsewhere.load(&world.tenant, &[id]).await.expect("readable").is_empty();
    let key = world.keys.fresh(&world.tenant).await.expect("a key").id;
    let kept = world.keys.fresh(&world.tenant).await.expect("a key").id;
    assert!(known(key).await && known(kept).await);
    // The first thing heard is heard some time after the connection is there.
    eventually("it hears", 10, async || {
        let probe = world.keys.fresh(&world.tenant).await.expect("a key").id;
        assert!(known(probe).await);
        world.keys.destroy(&world.tenant, probe).await.expect("destroyed");
        tokio::time::sleep(Duration::from_millis(20)).await;
        !known(probe).await
    })
    .await;
    assert!(known(key).await && known(kept).await);
    world.keys.destroy(&world.tenant, key).await.expect("destroyed");
    eventually("it is forgotten", 5, async || !known(key).await).await;
    assert!(known(kept).await);
    // Who could not hear forgets everything: this one is destroyed behind its back.
    let unheard = world.keys.fresh(&world.tenant).await.expect("a key").id;
    assert!(known(unheard).await);
    let subject = format!("keys.{}.{}.{unheard}", world.cell(), world.tenant);
    let found = world.bus.latest("keys", std::slice::from_ref(&subject)).await.expect("readable");
    world.bus.erase_latest("keys", found[&subject].0).await.expect("erased");
    assert!(known(unheard).await, "nobody told it");
    server.kill();
    server.start();
    eventually("it is read again", 20, async || {
        elsewhere.load(&world.tenant, &[unheard]).await.is_ok_and(|ring| ring.is_empty())
    })
    .await;
    assert!(known(kept).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_open_each_others_keys() {
    let world = World::shared().await;
    let other = TenantId::try_new("other").expect("a name");
    world.keys.create_tenant(&other).await.expect("created");
    let key = world.keys.fresh(&world.tenant).await.expect("a key").id;
    let elsewhere = world.keys_elsewhere().await;
    assert!(elsewhere.load(&other, &[key]).await.expect("readable").is_empty());
    assert_eq!(elsewhere.load(&world.tenant, &[key]).await.expect("readable").len(), 1);
    let nobody = TenantId::try_new("nobody").expect("a name");
    assert!(elsewhere.tenant(&nobody).await.expect("readable").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_make_one_tenant_at_once_agree_on_its_key() {
    let world = World::shared().await;
    let tenant = TenantId::try_new("raced").expect("a name");
    let processes = futures::future::join_all((0..8).map(|_| world.keys_elsewhere())).await;
    let made = futures::future::join_all(processes.iter().map(|keys| keys.create_tenant(&tenant))).await;
    let ids: std::collections::HashSet<_> =
        made.into_iter().map(|key| key.expect("a key for each").derived_id("x", "y")).collect();
    assert_eq!(ids.len(), 1);
}
