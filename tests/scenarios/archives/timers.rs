//! Timers are in no archive: a restored platform sets them again.

use super::restoring::keep_login;
use super::worked;
use crate::{
    scenarios::overdue::{alarms, begun, done, hanging, paid, raised},
    support::{Archived, Platform, all_archived},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_platform_minds_the_deadlines_of_the_lost_one() {
    let archived = Archived::new().await;
    let platform = archived.platform_with("one", &hanging("armed", 60));
    let client = platform.client();
    let (order, seat) = paid(&client).await;
    begun(&client, order).await;
    all_archived(&platform).await;
    assert!(alarms(&client, order).await.is_empty(), "the deadline is still to come");
    platform.kill();
    let [north, _] = Archived::servers();
    worked(&archived.restore(north, "one", "two", &[]));
    keep_login(&archived, "one", "two");
    let restored = Platform::open_with(&archived.path("two"), &hanging("taken", 60));
    raised(&client.at(&restored.ready.url), order).await;
    restored.kill();
    let restored = Platform::open(&archived.path("two"));
    done(&client.at(&restored.ready.url), order, seat).await;
}
