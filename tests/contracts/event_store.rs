//! The event store's contract over JetStream, also with batches so small that groups are cut.

use crate::support::World;
use writers::{
    EventStore,
    backend::nats::{GroupOptions, NatsStore},
    store::contract,
};

#[tokio::test(flavor = "multi_thread")]
async fn jetstream_keeps_the_contract() {
    for options in [GroupOptions::default(), GroupOptions { max_messages: 4, ..GroupOptions::default() }] {
        let world = World::shared().await;
        let store = EventStore::Nats(NatsStore::new(world.bus.clone(), options));
        contract::run_all(&store, world.cell()).await;
    }
}
