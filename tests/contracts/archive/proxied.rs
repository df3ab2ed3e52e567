//! The archiver over a real S3 server whose answers are spoiled on the way.

use super::{Empty, Protected, caught_up, events};
use crate::support::{S3Server, Spoil, World, eventually};
use bus_schema::subject::Family;
use workers::archive::{
    restore::Target,
    verify::{Depth, VerifyOptions, verify},
};

const SPOILS: [Spoil; 6] = [
    Spoil::Hang,
    Spoil::Status(503, "SlowDown"),
    Spoil::Status(409, "ConditionalRequestConflict"),
    // Without the object being there: it is looked for, not believed.
    Spoil::Status(412, "PreconditionFailed"),
    Spoil::Drop,
    Spoil::ApplyAndDrop,
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_real_answer_the_chain_is_whole() {
    for spoil in SPOILS {
        let world = World::shared().await;
        let (sound, spoiled, proxy) = S3Server::north().spoiled().await;
        let protected = Protected::new(&world, spoiled);
        world.create("one@example.org").await;
        events(&world, 60).await;
        // Segments and entries, the first and later ones, once and twice in a row.
        for part in ["/seg/", "/m/"] {
            proxy.next(part, [spoil, Spoil::Nothing, spoil, spoil]);
        }
        let archiver = protected.start(Family::Events);
        let progress = archiver.progress();
        let mut failed = false;
        let wanted = world.bus.last_seq(Family::Events).await.expect("readable");
        eventually(&format!("it comes through {spoil:?}"), 60, async || {
            let now = progress.borrow().clone();
            assert!(!now.is_halted(), "{spoil:?}: {:?}", now.state);
            failed |= now.error.is_some();
            now.archived >= wanted
        })
        .await;
        events(&world, 130).await;
        caught_up(&world, &archiver, Family::Events).await;
        assert!(failed, "{spoil:?}: the failure was shown");
        assert_eq!(progress.borrow().error, None, "{spoil:?}: what works again is no error any more");
        assert!(proxy.spoiled() >= 6, "{spoil:?}: only {} writes were spoiled", proxy.spoiled());
        archiver.stop().await;
        let wanted = world.bus.last_seq(Family::Events).await.expect("readable");
        let protected = Protected { store: sound, ..protected };
        let options = VerifyOptions { depth: Depth::Bytes, at_least: wanted };
        let report = verify(&protected.ledger(Family::Events), options).await.expect("verified");
        assert!(report.is_whole() && report.unreferenced == 0 && report.archived == wanted, "{spoil:?}: {report:?}");
        let restored = Empty::like(&world).await.fill(&protected.source(), Target::End).await;
        assert_eq!(restored.events.digest, protected.digest(Family::Events).await, "{spoil:?}");
    }
}
