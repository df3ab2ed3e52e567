//! Snapshots over a real log, with an aggregate that grows long.

use crate::support::World;
use crate::support::eventually;
use bus_schema::{
    CommandId,
    crm::contact::{ContactEvent, ContactTagged},
    ids::random_uuid,
};
use serde::{Deserialize, Serialize};
use writers::{Ctx, Decider, Decision, Meta, Writer, crm::contact::ContactRejection};

/// Counts; over the events of contacts, because it needs some that exist.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tally {
    count: u32,
}

impl Decider for Tally {
    type Event = ContactEvent;
    type Command = String;
    type Rejection = ContactRejection;
    const SNAPSHOTS: bool = true;

    fn decide(&self, tag: &String, _: &Ctx) -> Result<Decision<ContactEvent>, ContactRejection> {
        Ok(Decision::event(ContactTagged { tag: tag.clone() }))
    }

    fn evolve(&mut self, _: &ContactEvent) {
        self.count += 1;
    }

    fn claim_taken(_: &'static str, _: &str) -> ContactRejection {
        ContactRejection::EmailTaken
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_aggregate_is_loaded_from_its_snapshot_and_its_tail() {
    let world = World::shared().await;
    let id = random_uuid();
    let first = CommandId::random();
    let tell = async |writer: &Writer, command: CommandId| {
        let meta = Meta::system("test", command);
        writer.execute::<Tally>(&world.tenant, id, &meta, &"x".to_owned()).await.expect("accepted")
    };
    tell(&world.writer, first).await;
    for _ in 1..450 {
        tell(&world.writer, CommandId::random()).await;
    }
    let subject = world.writer.subject::<Tally>(&world.tenant, id);
    eventually("a snapshot is kept", 10, async || {
        world.writer.store().snapshot(&subject).await.expect("readable").is_some()
    })
    .await;
    let other = world.writer_elsewhere().await;
    let loaded = other.load::<Tally>(&world.tenant, id).await.expect("loaded");
    assert_eq!(loaded.state.count, 450);
    // The ledger is in the snapshot: the first command is still known.
    let again = tell(&other, first).await;
    assert!(again.replayed);
    assert_eq!(again.value.state.count, 1, "the answer of then");
    assert_eq!(tell(&other, CommandId::random()).await.value.state.count, 451);
    // A snapshot that cannot be read costs time only.
    world.writer.store().keep_snapshot(&subject, "rubbish".into()).await.expect("kept");
    let third = world.writer_elsewhere().await;
    assert_eq!(third.load::<Tally>(&world.tenant, id).await.expect("loaded").state.count, 451);
}
