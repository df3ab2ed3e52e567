//! K9: people leave while the campaign goes out.

use super::*;
use serde_json::json;

/// Nobody gets it later than this after the withdrawal is stored.
const AT_ONCE: i64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn k9_who_leaves_during_the_campaign_gets_nothing_a_second_later() {
    let recipients = recipients(500);
    let (mut dice, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sink = sink(dir.path(), "sink", slow(seed)).await;
    let platform = Platform::open_with(dir.path(), &mailing::outlet(sink.address(), 2));
    let client = platform.client();
    let audience = mailing::audience(&client, "k9", recipients).await;
    let campaign = mailing::launch(&client, "k9", HTML).await;
    eventually("mails go out", 120, async || sink.counts().taken >= 20).await;
    let mut left: BTreeMap<Uuid, i64> = BTreeMap::new();
    let wanted = (recipients / 10).min(400);
    while left.len() < wanted && sink.counts().taken < recipients as u64 * 9 / 10 {
        let contacts: Vec<&Uuid> = audience.keys().collect();
        let contact = **dice.pick(&contacts).expect("an audience");
        if left.contains_key(&contact) {
            continue;
        }
        let path = format!("/v1/contacts/{contact}/consents/marketing");
        client.delete(&path).json(&json!({"source": "a call"})).send().await.expect(200);
        // Stored when it is answered, at the latest.
        left.insert(contact, bus_schema::time::Clock::System.now().0);
    }
    assert!(left.len() > 10, "{} left in time", left.len());
    mailing::finished(&client, campaign, patience(recipients)).await;
    let taken = sink.taken().expect("the ledger");
    let states = mailing::states(&client, campaign).await;
    let mut spared = 0;
    for (contact, stored) in &left {
        let mails = taken.iter().filter(|mail| mail.recipient == audience[contact]);
        let late = mails.clone().map(|mail| mail.at.0 - stored).max();
        assert!(late.is_none_or(|late| late < AT_ONCE), "{contact} got it {late:?} microseconds after leaving");
        assert!(late.is_some() || states[contact].0 == "skipped", "{contact} is {:?}", states[contact]);
        spared += usize::from(late.is_none());
    }
    let tally = judged(&client, campaign, &audience, &taken).await;
    report("K9", seed, &tally, None);
    println!("K9: {} left, {spared} of them before their mail", left.len());
    assert!(spared > 0, "nobody left in time: nothing was tried");
    assert_eq!((tally.duplicate, tally.silent_missing, tally.unknown), (0, 0, 0), "{tally:?}");
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
