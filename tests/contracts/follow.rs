//! Following the log: order, filters, outages.

use super::bus::{fill, message, subject};
use crate::support::{Server, World, eventually, skip_slow};
use bus_schema::{bus::Follow, subject::Family};
use std::time::{Duration, Instant};

/// Reads until `count` events have come or `seconds` have passed. An interrupted reader is opened anew, like a lane does.
async fn take(world: &World, follow: &mut Follow, from: u64, count: usize, seconds: u64) -> Vec<u64> {
    let (mut seen, end) = (Vec::new(), Instant::now() + Duration::from_secs(seconds));
    while seen.len() < count && Instant::now() < end {
        match follow.next_batch(100, Duration::from_millis(200)).await {
            Ok(batch) => {
                assert!(batch.len() <= 100, "the limit holds");
                seen.extend(batch.into_iter().map(|event| event.expect("an event").seq));
            }
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let next = seen.last().map_or(from, |seq| seq + 1);
                if let Ok(again) = world.bus.follow(Family::Events, next, Vec::new()).await {
                    *follow = again;
                }
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_from_the_middle_with_filters() {
    let world = World::shared().await;
    let (one, two) = (subject(&world, "one"), subject(&world, "two"));
    fill(&world, &one, 300, "x").await;
    let middle = fill(&world, &two, 300, "x").await;
    world.bus.publish(message(&subject(&world, "three"), Some(0))).await.expect("stored");
    let all =
        take(&world, &mut world.bus.follow(Family::Events, 290, vec![]).await.expect("follows"), 290, 312, 10).await;
    assert_eq!(all, (290..=middle + 1).collect::<Vec<_>>(), "every event from the position on, in order");
    let filters = vec![two.clone(), format!("ev.{}.{}.crm.>", world.cell(), world.tenant)];
    let mut follow = world.bus.follow(Family::Events, 290, filters).await.expect("follows");
    let filtered = take(&world, &mut follow, 290, 300, 10).await;
    assert_eq!(filtered, (301..=600).collect::<Vec<_>>());
    assert!(
        follow.next_batch(10, Duration::from_millis(100)).await.expect("waits").is_empty(),
        "no event is an empty batch"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_the_death_of_the_server() {
    if skip_slow() {
        return;
    }
    let server = Server::own();
    let world = World::on(&server).await;
    let at = subject(&world, "follow");
    let last = fill(&world, &at, 100, "x").await;
    let mut reading = world.bus.follow(Family::Events, 1, vec![]).await.expect("follows");
    // One that has met no event yet: it must not begin at the start of the log when the server comes back.
    let mut waiting = world.bus.follow(Family::Events, last + 1, vec![]).await.expect("follows");
    assert_eq!(take(&world, &mut reading, 1, 100, 10).await.len(), 100);
    assert!(waiting.next_batch(10, Duration::from_millis(200)).await.expect("waits").is_empty());
    for round in 0..2 {
        server.kill();
        _ = reading.next_batch(10, Duration::from_millis(300)).await;
        _ = waiting.next_batch(10, Duration::from_millis(300)).await;
        server.start();
        eventually("the client is back", 10, async || world.bus.is_connected()).await;
        let back = Instant::now();
        let first = last + 1 + round * 50;
        let mut expected = first - 1;
        for _ in 0..50 {
            expected = world.bus.publish(message(&subject(&world, "after"), Some(0))).await.expect("stored").last_seq;
        }
        let wanted: Vec<u64> = (first..=expected).collect();
        assert_eq!(take(&world, &mut waiting, first, 50, 30).await, wanted, "round {round}, waiting");
        assert_eq!(take(&world, &mut reading, first, 50, 30).await, wanted, "round {round}, reading");
        let took = back.elapsed();
        assert!(took < Duration::from_secs(8), "events came only {took:?} after the server was back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_follow_the_end_see_everything_once_while_it_grows() {
    const EVENTS: u64 = 3_000;
    let world = World::shared().await;
    let (odd, even) = (subject(&world, "odd"), subject(&world, "even"));
    let start = world.bus.last_seq(Family::Events).await.expect("a position") + 1;
    let follow = async |from, filters| {
        let mut follow = world.bus.follow(Family::Events, from, filters).await.expect("follows");
        let mut seen = Vec::new();
        let end = Instant::now() + Duration::from_secs(60);
        let wanted = start + EVENTS - 1;
        while seen.last().is_none_or(|last| *last < wanted) && Instant::now() < end {
            let batch = follow.next_batch(70, Duration::from_millis(40)).await.expect("readable");
            seen.extend(batch.into_iter().map(|event| event.expect("an event").seq));
            // Some are slower than others.
            tokio::time::sleep(Duration::from_micros(seen.len() as u64 % 3_000)).await;
        }
        seen
    };
    let write = async {
        let mut written: Vec<u64> = Vec::new();
        for round in 0..EVENTS / 100 {
            let at = if round.is_multiple_of(2) { &even } else { &odd };
            let batch = (0..100).map(|_| message(at, None)).collect();
            written.push(world.bus.publish_batch(batch).await.expect("stored").last_seq);
        }
        written
    };
    let everything: Vec<u64> = (start..start + EVENTS).collect();
    let odd_ones: Vec<u64> = everything.iter().copied().filter(|seq| ((seq - start) / 100) % 2 == 1).collect();
    let late = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        follow(start, Vec::new()).await
    };
    let (_, one, two, filtered, late) = tokio::join!(
        write,
        follow(start, Vec::new()),
        follow(start, Vec::new()),
        follow(start, vec![odd.clone()]),
        late
    );
    assert_eq!(one, everything);
    assert_eq!(two, everything);
    assert_eq!(late, everything);
    assert_eq!(filtered, odd_ones, "the last hundred are odd ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_patience_is_no_wait() {
    let world = World::shared().await;
    let last = fill(&world, &subject(&world, "quiet"), 10, "x").await;
    for filters in [Vec::new(), vec![subject(&world, "nobody")]] {
        let mut follow = world.bus.follow(Family::Events, last + 1, filters).await.expect("follows");
        let asked = Instant::now();
        for _ in 0..3 {
            assert!(follow.next_batch(10, Duration::ZERO).await.expect("answers").is_empty());
        }
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}
