//! K4 and K8: what a provider says, or does not say, in the middle of a campaign.

use super::*;
use serde_json::json;

/// K4: the provider takes mails and goes away without a word.
#[tokio::test(flavor = "multi_thread")]
async fn k4_a_mail_without_an_answer_is_unknown_and_never_sent_again() {
    let recipients = recipients(400);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, seed) = Dice::of_this_run();
    let drop = Fault { at: Point::Taken, percent: 5.0, act: Act::Drop };
    let options = SinkOptions { faults: Faults::new(seed, vec![drop]), ..SinkOptions::default() };
    let sink = sink(dir.path(), "sink", options).await;
    // A second provider, which must get none of them.
    let second = self::sink(dir.path(), "second", SinkOptions::default()).await;
    let environment = mailing::outlets(dir.path(), &[sink.address(), second.address()], CONNECTIONS);
    let platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "k4", recipients).await;
    let campaign = mailing::launch(&client, "k4", HTML).await;
    mailing::finished(&client, campaign, patience(recipients)).await;
    let taken = [sink.taken().expect("a ledger"), second.taken().expect("a ledger")].concat();
    let tally = judged(&client, campaign, &audience, &taken).await;
    let faults = sink.counts().faults;
    report("K4", seed, &tally, None);
    assert!(faults > 0, "nothing was tried");
    let expected =
        Tally { sent: recipients, unique: recipients, duplicate: 0, unknown: faults as usize, silent_missing: 0 };
    assert_eq!(tally, expected);
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}

/// K8: the first provider fails at each stage of the table, some mails at each, while the second one works.
#[tokio::test(flavor = "multi_thread")]
async fn k8_a_failing_provider_costs_nobody_a_second_mail_and_the_table_decides() {
    let recipients = recipients(600);
    let (_, seed) = Dice::of_this_run();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let say = |at, percent, reply: &str| Fault { at, percent, act: Act::Say(reply.into()) };
    let drop = |at, percent| Fault { at, percent, act: Act::Drop };
    let list = vec![
        say(Point::Greeting, 10.0, "421 4.3.2 not now"),
        drop(Point::Ehlo, 10.0),
        say(Point::Mail, 2.0, "421 4.7.0 slow down"),
        say(Point::Mail, 2.0, "450 4.2.1 try later"),
        say(Point::Mail, 2.0, "550 5.7.1 this sender not"),
        say(Point::Rcpt, 2.0, "550 5.1.1 nobody here"),
        say(Point::Rcpt, 2.0, "450 4.2.1 greylisted"),
        drop(Point::Rcpt, 2.0),
        say(Point::Data, 2.0, "454 4.7.0 throttled"),
        drop(Point::Body, 2.0),
        say(Point::Dot, 2.0, "454 Throttling failure: maximum sending rate exceeded"),
        say(Point::Dot, 2.0, "450 4.2.0 later"),
        say(Point::Dot, 2.0, "554 5.6.0 this content not"),
        drop(Point::Taken, 2.0),
    ];
    let options = SinkOptions { faults: Faults::new(seed, list), ..SinkOptions::default() };
    let first = sink(dir.path(), "first", options).await;
    let second = sink(dir.path(), "second", SinkOptions::default()).await;
    let mut environment = mailing::outlets(dir.path(), &[first.address(), second.address()], CONNECTIONS);
    // A deferred mail is tried once more, a second later.
    environment.push(("MILLRACE_MAIL_DEFERRALS", "1".into()));
    let platform = Platform::open_with(dir.path(), &environment);
    let client = platform.client();
    let audience = mailing::audience(&client, "k8", recipients).await;
    let campaign = mailing::launch(&client, "k8", HTML).await;
    mailing::finished(&client, campaign, patience(recipients)).await;
    let (by_first, by_second) = (first.taken().expect("a ledger"), second.taken().expect("a ledger"));
    let taken = [by_first.clone(), by_second.clone()].concat();
    let tally = judged(&client, campaign, &audience, &taken).await;
    report("K8", seed, &tally, None);
    assert_eq!((tally.duplicate, tally.silent_missing), (0, 0), "{tally:?}");
    let has = |mails: &[Taken], email: &str| mails.iter().any(|mail| mail.recipient == email);
    let items = client.all(&format!("/v1/campaigns/{campaign}/recipients")).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for item in &items {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let email = &audience[&text("contact").parse::<Uuid>().expect("an id")];
        let (first_has, second_has) = (has(&by_first, email), has(&by_second, email));
        let (state, cause, provider) = (text("state"), text("cause"), text("provider"));
        *seen.entry(format!("{state} {cause} {provider}")).or_default() += 1;
        match (state, provider) {
            ("accepted", "first") => assert!(first_has && !second_has, "{item}"),
            ("accepted", "second") => assert!(second_has && !first_has, "{item}"),
            // Silence after the dot: the first has it or has it not, and the second never gets it.
            ("unknown", "first") => assert!(cause == "dot: connection lost" && !second_has, "{item}"),
            ("rejected", "first") => {
                assert!(["rcpt 550 5.1.1", "dot 554 5.6.0"].contains(&cause) && !first_has && !second_has, "{item}");
            }
            ("deferred", "first") => assert!(cause.contains("450") && !first_has && !second_has, "{item}"),
            _ => panic!("{item}"),
        }
    }
    println!("K8: {seen:?}");
    assert!(!by_second.is_empty() && tally.unknown > 0, "nothing was tried");
    // The provider shows in readiness and in the metrics, and a recipient's history names both of its attempts.
    let ready = client.ready().await;
    assert_eq!(
        (&ready["mail_providers"][0]["name"], &ready["mail_providers"][1]["name"]),
        (&"first".into(), &"second".into())
    );
    assert!(ready["mail_providers"][0]["passed_on"].as_u64() > Some(0), "{ready}");
    let metrics = client.get("/metrics").send().await.expect(200).text();
    assert!(metrics.contains("mail_handed_over_total{provider=\"second\",outcome=\"accepted\"}"), "{metrics}");
    // Those nobody took for the time being are tried again when a person asks, and nobody else is.
    let deferred: Vec<&str> =
        items.iter().filter(|item| item["state"] == "deferred").filter_map(|item| item["contact"].as_str()).collect();
    let path = format!("/v1/campaigns/{campaign}");
    for _ in 0..5 {
        client.post(&format!("{path}/retry"), &json!({"ends": ["deferred", "rejected"]})).send().await.expect(200);
        mailing::finished(&client, campaign, 120).await;
    }
    let taken = [first.taken().expect("a ledger"), second.taken().expect("a ledger")].concat();
    let after = judged(&client, campaign, &audience, &taken).await;
    report("K8-retried", seed, &after, None);
    assert_eq!(after.duplicate, 0, "{after:?}");
    assert!(after.unique > tally.unique, "{tally:?} {after:?}");
    if let Some(contact) = deferred.first() {
        let history = client.get(&format!("{path}/recipients/{contact}")).send().await.expect(200).json();
        let steps: Vec<&str> =
            history["steps"].as_array().expect("steps").iter().filter_map(|step| step["what"].as_str()).collect();
        assert!(steps.starts_with(&["planned", "attempting"]) && steps.contains(&"reopened"), "{history}");
        assert_eq!(steps.iter().filter(|step| **step == "planned").count(), 1);
    }
    assert!(!platform.log().contains("panicked"), "{}", platform.log());
}
