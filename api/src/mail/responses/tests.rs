use super::*;
use axum::http::HeaderValue;
use bus_schema::{AnyEvent, Cell, mail::response::Seat};
use projectors::read_store::ReadStore;
use std::sync::Arc;
use uuid::Uuid;
use writers::{EventStore, backend::memory::MemoryStore};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn mail(contact: u128) -> TrackedMail {
    let seat = Some(Seat { chunk: 0, index: 0 });
    let mail = MailRef { campaign: Uuid::from_u128(9), contact: Uuid::from_u128(contact), seat, generation: 0 };
    TrackedMail { tenant: TenantId::try_new("demo").unwrap(), mail }
}

fn click(link: u16) -> Act {
    Act::Clicked { link, target: "https://x.example/a?secret=1".into() }
}

struct Bench {
    log: MemoryStore,
    responses: Responses,
}

impl Bench {
    async fn new() -> Self {
        let (log, cell) = (MemoryStore::default(), Cell::try_new("eu1").unwrap());
        let facts = Facts::new(cell.clone(), EventStore::Memory(log.clone()));
        let store = ReadStore::Memory(projectors::backend::memory::MemoryStore::new());
        let views: Vec<Arc<dyn projectors::projection::Projection>> =
            vec![Arc::new(projectors::mail::recipients::Recipients)];
        let views = Views::open(cell.clone(), store, views).await.unwrap();
        let keys = KeyDirectory::in_memory();
        keys.create_tenant(&mail(1).tenant).await.unwrap();
        let clock = Clock::manual(Micros(1_767_225_600_000_000));
        let writer = Writer::new(cell.clone(), EventStore::Memory(MemoryStore::default()), keys.clone(), clock.clone());
        let registry = Registry::new();
        let (queue, waiting) = mpsc::channel(QUEUE);
        let recorder = Recorder {
            facts,
            views,
            keys,
            writer,
            held: VecDeque::new(),
            bursts: Bursts::default(),
            recorded: counter(&registry, "recorded"),
            lost: counter(&registry, "lost"),
        };
        tokio::spawn(recorder.run(waiting));
        Self { log, responses: Responses { queue, clock, dropped: counter(&registry, "dropped") } }
    }

    fn hit(&self, contact: u128, act: Act, network: Option<&str>) {
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(BROWSER))]);
        self.responses.seen(mail(contact), act, &Method::GET, &headers, network.map(str::to_owned));
    }

    /// What was recorded, as reasons and origins.
    fn recorded(&self) -> Vec<(String, Option<String>)> {
        let read = |stored: &bus_schema::StoredEvent| match stored.decode().unwrap() {
            Some(AnyEvent::Response(ResponseEvent::Opened(opened))) => (opened.reason, opened.origin),
            Some(AnyEvent::Response(ResponseEvent::Clicked(clicked))) => {
                assert_eq!(clicked.target, "https://x.example/a");
                (clicked.reason, clicked.origin)
            }
            Some(AnyEvent::Response(ResponseEvent::Left(_))) => ("left".into(), None),
            other => panic!("{other:?}"),
        };
        self.log.events().iter().map(read).collect()
    }

    fn reasons(&self) -> Vec<String> {
        self.recorded().into_iter().map(|(reason, _)| reason).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn hits_are_held_for_a_burst_and_recorded_then() {
    let bench = Bench::new().await;
    bench.hit(1, Act::Opened, None);
    bench.hit(1, click(0), None);
    bench.hit(1, Act::Left, None);
    tokio::time::sleep(HOLD / 2).await;
    assert_eq!(bench.reasons(), Vec::<String>::new());
    tokio::time::sleep(HOLD).await;
    assert_eq!(bench.reasons(), ["no_rule", "no_rule", "left"]);
    bench.hit(2, click(0), None);
    bench.responses.flush().await;
    assert_eq!(bench.reasons().len(), 4, "a stop does not wait");
}

#[tokio::test(start_paused = true)]
async fn a_program_is_known_by_what_comes_with_its_first_click() {
    let bench = Bench::new().await;
    (0..3).for_each(|link| bench.hit(1, click(link), None));
    bench.hit(2, click(0), None);
    bench.hit(2, click(HONEYPOT), None);
    bench.hit(3, click(0), None);
    bench.responses.flush().await;
    assert_eq!(bench.reasons(), ["many_links", "many_links", "many_links", "honeypot", "honeypot", "no_rule"]);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_hits_many_mails_is_no_person_and_is_not_named() {
    let bench = Bench::new().await;
    (0..10).for_each(|contact| bench.hit(contact, click(0), Some("192.0.2.7")));
    bench.hit(1, click(0), Some("192.0.2.8"));
    bench.responses.flush().await;
    let recorded = bench.recorded();
    assert!(recorded[..10].iter().all(|(reason, _)| reason == "many_mails"), "{recorded:?}");
    assert_eq!(recorded[10].0, "no_rule");
    assert!(recorded[0].1 == recorded[9].1 && recorded[0].1 != recorded[10].1);
    assert!(bench.log.events().iter().all(|stored| !String::from_utf8_lossy(&stored.body).contains("192.0.2")));
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let registry = Registry::new();
    let (queue, _waiting) = mpsc::channel(1);
    let responses = Responses { queue, clock: Clock::manual(Micros(5)), dropped: counter(&registry, "dropped") };
    for _ in 0..3 {
        responses.seen(mail(1), Act::Opened, &Method::GET, &HeaderMap::new(), None);
    }
    assert_eq!(responses.dropped.get(), 2);
}
