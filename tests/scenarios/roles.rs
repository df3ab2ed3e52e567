//! One process a role, over three nats-servers with TLS and passwords and a cluster of views: what they do together, and who takes
//! over when one of them, a nats-server or the database dies.

use super::unique;
use crate::support::{
    Cassandra, Client, Member, NatsCluster, cluster_environment, eventually, mailing, millrace, only_embedded, pem,
    skip_cassandra, skip_slow,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions};

type Environment = Vec<(&'static str, String)>;

fn contact() -> Value {
    json!({"email": format!("{}@x.example", unique("c"))})
}

/// Until it is seen by its token; how long that took.
async fn seen(client: &Client, id: Uuid) -> Duration {
    let began = Instant::now();
    client.read(&format!("/v1/contacts/{id}")).await.expect(200);
    began.elapsed()
}

/// Makes contacts one after the other; those that were acknowledged, and the longest time without one.
async fn commands(client: Client, stop: Arc<AtomicBool>) -> (Vec<Uuid>, Duration) {
    let (mut made, mut longest, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
    while !stop.load(Ordering::SeqCst) {
        // Refused while nobody leads: the same command again, which is one command.
        let key = unique("k");
        let body = contact();
        loop {
            let answer = client.post("/v1/contacts", &body).key(&key).send().await;
            match answer.status {
                201 => break made.push(answer.id()),
                409 | 503 => tokio::time::sleep(Duration::from_millis(20)).await,
                status => panic!("{status}: {}", answer.text()),
            }
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (made, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_with_one_role_each_are_one_platform() {
    if only_embedded("it is the same on both profiles") {
        return;
    }
    if skip_slow() || skip_cassandra() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (nats, views) = (NatsCluster::serve(), Cassandra::serve(&["--nodes", "1"]));
    let environment = cluster_environment(&nats, &views, dir.path());
    let begin = |role: &str, name: &str| Member::begin(role, &dir.path().join(name), &environment);
    let mut projectors = [begin("projector", "projector-1"), begin("projector", "projector-2")];
    let (mut api, mut worker) = (begin("api", "api"), begin("worker", "worker"));
    projectors.iter_mut().for_each(|member| drop(member.wait()));
    let client = api.client();
    worker.wait();

    // What one process answers, several do.
    let first = client.make("/v1/contacts", &contact()).await;
    seen(&client, first).await;
    let found = client.all("/v1/contacts?sort=last_name").await;
    assert_eq!(found.len(), 1, "and is found by the search of its own process");
    eventually("the workers are known", 30, async || {
        let items = client.get("/v1/workers").send().await.expect(200).json()["items"].clone();
        let items = items.as_array().cloned().unwrap_or_default();
        items.iter().any(|worker| worker["name"] == "imports" && worker["state"] == "running")
            && items.iter().all(|worker| worker["process"].is_string())
    })
    .await;
    eventually("it is ready", 30, async || client.get("/readyz").send().await.status == 200).await;

    // Orders about the views reach the process that carries them.
    let call = async |path: &str| client.ask(Method::POST, path).send().await;
    let built = call("/v1/views/contacts/build").await.expect(200).json()["generation"].clone();
    assert_eq!(call("/v1/views/contacts/build").await.status, 409);
    assert_eq!(call("/v1/views/nothing/build").await.status, 404);
    eventually("the new generation serves", 60, async || call("/v1/views/contacts/switch").await.status == 200).await;
    let stages = async || {
        let views = client.get("/v1/views").send().await.expect(200).json();
        let items = views["items"].as_array().cloned().unwrap_or_default();
        let contacts = items.into_iter().filter(|view| view["view"] == "contacts");
        contacts.map(|view| (view["generation"].clone(), view["stage"].clone())).collect::<Vec<_>>()
    };
    let known = stages().await;
    assert!(known.contains(&(built.clone(), json!("serving"))), "{known:?}");
    let old = known.iter().find(|(_, stage)| stage == "replaced").expect("the one before").0.clone();
    let old = old.as_str().expect("a name");
    client.delete(&format!("/v1/views/generations/{old}")).send().await.expect(200);
    assert_eq!(stages().await, [(built, json!("serving"))]);
    seen(&client, first).await;

    // The process that carries the views dies.
    let leads = |member: &Member| member.log().matches("this process carries the views").count();
    let leader = projectors.iter().position(|member| leads(member) == 1).expect("one leads");
    assert_eq!(leads(&projectors[1 - leader]), 0, "one at a time");
    projectors[leader].kill();
    let during = client.make("/v1/contacts", &contact()).await;
    let took = seen(&client, during).await;
    println!("views: another process carried them after {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(leads(&projectors[1 - leader]), 1);

    // The other one is ended in order, and nobody carries them.
    let mut again = begin("projector", &format!("projector-{}", leader + 1));
    again.wait();
    eventually("it is ready again", 60, async || client.get("/readyz").send().await.status == 200).await;
    let [one, other] = projectors;
    let survivor = if leader == 0 { other } else { one };
    assert_eq!(survivor.stop(), Some(0));
    let id = client.make("/v1/contacts", &contact()).await;
    let took = seen(&client, id).await;
    assert!(took < Duration::from_secs(10), "a turn that was given up is taken at once: {took:?}");
    again.kill();
    eventually("the views say that nobody carries them", 20, async || {
        let ready = client.get("/readyz").send().await;
        ready.status == 503 && ready.text().contains("millrace run --role projector")
    })
    .await;
    client.get(&format!("/v1/contacts/{first}")).send().await.expect(200);
    assert_eq!(call("/v1/views/contacts/build").await.status, 503);
    let unseen = client.make("/v1/contacts", &contact()).await;
    let mut again = begin("projector", "projector-1");
    again.wait();
    seen(&client, unseen).await;

    // One nats-server of three dies: commands go on, and none that was acknowledged is lost. Each in turn: `ops/cluster-chaos`.
    let victim = 2;
    let stop = Arc::new(AtomicBool::new(false));
    let going = tokio::spawn(commands(client.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    nats.kill(victim);
    tokio::time::sleep(Duration::from_secs(8)).await;
    stop.store(true, Ordering::SeqCst);
    let (acknowledged, longest) = going.await.expect("only refusals that may be repeated");
    println!(
        "log: server {victim} died, {} commands, the longest wait {:.1} s",
        acknowledged.len(),
        longest.as_secs_f64()
    );
    // A generous bound: the servers need up to nine seconds for an election, on a machine that does nothing else.
    assert!(longest < Duration::from_secs(30), "{longest:?}");
    tokio::task::block_in_place(|| nats.start(victim));
    eventually("it is ready again", 60, async || client.get("/readyz").send().await.status == 200).await;
    let ids = |items: Vec<Value>| {
        items.iter().filter_map(|item| item["id"].as_str()?.parse().ok()).collect::<BTreeSet<Uuid>>()
    };
    let there = ids(client.all("/v1/contacts").await);
    let wanted: BTreeSet<Uuid> = acknowledged.iter().copied().chain([first, during, id, unseen]).collect();
    assert_eq!(there, wanted, "every acknowledged command once, and nothing else");

    // The database dies.
    views.kill(1);
    let away = client.make("/v1/contacts", &contact()).await;
    eventually("reads say that they cannot be answered now", 30, async || {
        let answer = client.get(&format!("/v1/contacts/{first}")).send().await;
        answer.status == 503 && answer.header("retry-after").is_some()
    })
    .await;
    eventually("the platform says why", 30, async || {
        let ready = client.get("/readyz").send().await;
        ready.status == 503 && ready.text().contains("read store could not")
    })
    .await;
    tokio::task::block_in_place(|| views.start(1));
    client.read_soon(&format!("/v1/contacts/{away}")).await.expect(200);
    eventually("it is ready again", 60, async || client.get("/readyz").send().await.status == 200).await;
    assert_eq!(client.all("/v1/contacts").await.len(), wanted.len() + 1);
    for member in [api, worker, again] {
        assert_eq!(member.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_work_and_survive_each_other() {
    if only_embedded("it is the same on both profiles") {
        return;
    }
    if skip_slow() || skip_cassandra() {
        return;
    }
    const RECIPIENTS: usize = 300;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let wait = |at| Fault { at, percent: 100.0, act: Act::Wait(Duration::from_millis(40)) };
    let options = SinkOptions { faults: Faults::new(3, vec![wait(Point::Dot)]), ..SinkOptions::default() };
    let sink = Sink::start(&dir.path().join("sink"), options).await.expect("a sink");
    let nats = NatsCluster::serve();
    let mut environment = cluster_environment(&nats, Cassandra::shared(), dir.path());
    environment.extend(mailing::outlet(sink.address(), 4));
    environment.push(("MILLRACE_MAIL_LEASE", "3".into()));
    environment.push(("MILLRACE_LOG", "warn,workers=info,millrace=info".into()));
    let begin = |role: &str, name: &str| Member::begin(role, &dir.path().join(name), &environment);
    let mut members = [begin("api,projector", "api"), begin("worker", "worker-1"), begin("worker", "worker-2")];
    let client = members[0].client();
    members.iter_mut().for_each(|member| drop(member.wait()));
    let audience = mailing::audience(&client, "news", RECIPIENTS).await;
    let campaign = mailing::launch(&client, "news", "<p>Hello</p>").await;
    let senders = async || {
        let items = client.get("/v1/workers").send().await.expect(200).json()["items"].clone();
        let of = |worker: &Value| (worker["name"] == "campaigns").then(|| worker["done"].as_u64().unwrap_or(0));
        items.as_array().cloned().unwrap_or_default().iter().filter_map(of).count()
    };
    eventually("both workers are there", 30, async || senders().await == 2).await;
    eventually("mails go out", 120, async || sink.counts().taken > 40).await;
    // The one that does what only one does at a time.
    let one_at_a_time = |member: &Member| member.log().matches("it is this process's turn").count();
    let leader = if one_at_a_time(&members[1]) >= one_at_a_time(&members[2]) { 1 } else { 2 };
    members[leader].kill();
    mailing::finished(&client, campaign, 180).await;
    let states = mailing::states(&client, campaign).await;
    let taken = sink.taken().expect("the ledger");
    let mut mails: BTreeMap<&str, usize> = BTreeMap::new();
    taken.iter().for_each(|mail| *mails.entry(mail.recipient.as_str()).or_default() += 1);
    let unknown = states.values().filter(|(state, _)| state == "unknown").count();
    println!("campaign: {} of {RECIPIENTS} taken, {unknown} unknown after a kill", mails.len());
    assert!(mails.values().all(|count| *count == 1), "nobody gets it twice");
    for (contact, email) in &audience {
        let has = mails.contains_key(email.as_str());
        let (state, cause) = &states[contact];
        assert!(matches!((state.as_str(), has), ("accepted", true) | ("unknown", _)), "{email} {state} {cause} {has}");
    }
    assert!(unknown <= 4 * 32, "at most the open windows of the one that died: {unknown}");
    // What one does at a time is done by the other one now: an import, from a file that both can read.
    let file = dir.path().join("people.csv");
    std::fs::write(&file, "email,first_name\nada@import.example,Ada\n").expect("written");
    let imported = import(&client, &file).await;
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    eventually("the person is there", 60, async || {
        client.all("/v1/contacts").await.iter().any(|item| item["email"] == "ada@import.example")
    })
    .await;
}

async fn import(client: &Client, file: &Path) -> std::process::Output {
    let (url, key) = (client.url().to_owned(), client.api_key().to_owned());
    let file = file.display().to_string();
    let run = move || {
        let connection = [("MILLRACE_URL", url.as_str()), ("MILLRACE_API_KEY", key.as_str())];
        millrace(&["import", "contacts", &file], &connection)
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

/// Every mistake at the start is one sentence that says what to change.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_do_its_part_says_why() {
    if only_embedded("it is the same on both profiles") {
        return;
    }
    if skip_cassandra() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let nats = NatsCluster::serve();
    let right = cluster_environment(&nats, Cassandra::shared(), dir.path());
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let said = |role: &str, change: &[(&'static str, String)], without: &[&str]| {
        let mut given = right.clone();
        given.retain(|(name, _)| !without.contains(name) && !change.iter().any(|(changed, _)| changed == name));
        given.extend(change.iter().cloned());
        let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let data = dir.path().join("data").display().to_string();
        let output = millrace(&["run", "--role", role, "--listen", "127.0.0.1:0", "--data-dir", &data], &given);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let strangers = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
    let strangers = pem("CERTIFICATE", strangers.cert.der());
    let cases: Vec<(&str, Environment, Vec<&str>, &str)> = vec![
        ("captain", vec![], vec![], "[possible values: api, projector, worker]"),
        ("api", vec![], vec!["MILLRACE_SHARED_DIR"], "--shared-dir is missing"),
        ("worker", vec![("MILLRACE_SHARED_DIR", "/nowhere/mnt".into())], vec![], "mount what all processes share"),
        ("api", vec![], vec!["MILLRACE_READ_STORE", "MILLRACE_READ_STORE_CREDENTIALS"], "--read-store is missing"),
        ("projector", vec![("MILLRACE_ROOT_KEY", "/nowhere/key".into())], vec![], "head -c 32 /dev/urandom"),
        ("projector", vec![("MILLRACE_NATS", "tls://127.0.0.1:1".into())], vec![], "no NATS server answers at"),
        ("projector", vec![("MILLRACE_NATS", "n1:4222".into())], vec![], "--nats cannot be used"),
        (
            "projector",
            vec![("MILLRACE_NATS_CREDENTIALS", path("w", "millrace\nguess\n"))],
            vec![],
            "user or its password",
        ),
        ("projector", vec![("MILLRACE_NATS_CA", path("ca.pem", &strangers))], vec![], "cannot be believed"),
        ("projector", vec![("MILLRACE_NATS_REPLICAS", "2".into())], vec![], "--nats-replicas is 2"),
        ("projector", vec![("MILLRACE_NATS_REPLICAS", "5".into())], vec![], "is not usable"),
        ("projector", vec![("MILLRACE_LOCAL_ARCHIVES", "true".into())], vec![], "--local-archives is for"),
    ];
    for (role, change, without, expected) in cases {
        let text = tokio::task::block_in_place(|| said(role, &change, &without));
        assert!(text.contains(expected) && !text.contains("guess"), "{role} {change:?}: {text}");
    }
}
