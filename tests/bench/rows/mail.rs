//! Campaigns: mails a second against the load generator of Postfix, unsigned and signed; memory by the size of the audience; and
//! what commands of others notice of it. The sink is Postfix's too, so that it costs both the same.

use super::{archive, rate, ratios};
use crate::{
    AnyError, Scale,
    http::Connection,
    load,
    platform::Platform,
    process::{Process, free_port, tool, wait_for},
    table::{Outcome, Reach, median, quantile_ms},
};
use bus_schema::{Micros, time::Clock};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// To the sink, for both.
const CONNECTIONS: usize = 20;
/// Bytes of a mail, about.
const BYTES: usize = 5_000;
const CLIENTS: usize = 64;
/// The tag of everybody, and that of the first few.
const ALL: &str = "all";
const SOME: &str = "some";

/// Postfix's sink, which takes everything and keeps nothing.
struct Sink {
    port: u16,
    _process: Process,
}

impl Sink {
    fn start() -> Result<Self, AnyError> {
        let port = free_port()?;
        let mut command = Command::new(tool("MILLRACE_SMTP_SINK", "/usr/sbin/smtp-sink"));
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        command.args([format!("127.0.0.1:{port}"), "1024".to_owned()]).stdout(Stdio::null());
        let mut process = Process::start(command)?;
        wait_for(port, &mut process)?;
        Ok(Self { port, _process: process })
    }

    /// Mails a second of Postfix's own load generator.
    async fn ceiling(&self, count: usize) -> Result<f64, AnyError> {
        let mut command = Command::new(tool("MILLRACE_SMTP_SOURCE", "/usr/sbin/smtp-source"));
        command.args(["-d", "-s", &CONNECTIONS.to_string(), "-m", &count.to_string(), "-l", &BYTES.to_string()]);
        command.args(["-f", "news@garden.example", "-t", "anna@x.example", &format!("127.0.0.1:{}", self.port)]);
        let began = Instant::now();
        let status = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).status()).await??;
        if !status.success() {
            return Err(format!("smtp-source ended with {status}").into());
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    fn settings(&self, key: Option<&Path>) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("MILLRACE_MAIL_HOST", "127.0.0.1".to_owned()),
            ("MILLRACE_MAIL_PORT", self.port.to_string()),
            ("MILLRACE_MAIL_SECURITY", "plain-loopback".to_owned()),
            ("MILLRACE_MAIL_FROM_DOMAIN", "garden.example".to_owned()),
            ("MILLRACE_MAIL_CONNECTIONS", CONNECTIONS.to_string()),
            ("MILLRACE_PUBLIC_URL", "https://garden.example".to_owned()),
        ];
        if let Some(key) = key {
            settings.push(("MILLRACE_MAIL_DKIM_KEY", key.display().to_string()));
            settings.push(("MILLRACE_MAIL_DKIM_SELECTOR", "bench".to_owned()));
        }
        settings
    }
}

/// Mails a second, unsigned and signed.
pub(super) async fn speed(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let (count, turns) = (scale.recipients.unwrap_or(scale.of(20_000, 5_000)), scale.of(3, 2));
    let sink = Sink::start()?;
    let folder = tempfile::tempdir()?;
    let pem = folder.path().join("dkim.pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]).arg(&pem);
    if !openssl.stderr(Stdio::null()).status()?.success() {
        return Err("openssl makes no key".into());
    }
    let mut outcomes = Vec::new();
    for key in [None, Some(pem.as_path())] {
        let platform = Platform::start_with(false, &sink.settings(key))?;
        fill(&platform, count, 0).await?;
        // Views, connections and templates are warm before anything counts.
        send(&platform, SOME, SOME.len()).await?;
        let (mut mails, mut ceilings) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            ceilings.push(match &key {
                None => sink.ceiling(count).await?,
                Some(pem) => signatures(pem)?,
            });
            mails.push(send(&platform, ALL, count).await?);
        }
        let name = match key {
            None => format!("campaign of {count}, unsigned / smtp-source"),
            Some(_) => format!("campaign of {count}, RSA-2048 / signatures of all cores"),
        };
        let what = if key.is_none() { "mails" } else { "signatures" };
        let ratios = ratios(&mails, &ceilings);
        outcomes.push(Outcome::of(&name, rate(&mails, "mails"), rate(&ceilings, what), &ratios, Reach::AtLeast(0.5)));
    }
    Ok(outcomes)
}

/// Memory while a large audience gets a campaign, against a small one on the same platform.
pub(super) async fn memory(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let count = scale.recipients.unwrap_or(scale.of(200_000, 30_000));
    let small = 10_000.min(count / 2);
    let sink = Sink::start()?;
    let platform = Platform::start_with(false, &sink.settings(None))?;
    fill(&platform, count, small).await?;
    let mut peaks = Vec::new();
    for tag in [SOME, ALL] {
        let watched = watch(&platform, send(&platform, tag, if tag == ALL { count } else { small }));
        peaks.push(watched.await?);
    }
    let mb = |bytes: f64| format!("{:.0} MB", bytes / 1e6);
    let name = format!("memory of a campaign of {count} / of {small}");
    Ok(vec![Outcome::of(&name, mb(peaks[1]), mb(peaks[0]), &[peaks[1] / peaks[0]], Reach::AtMost(1.3))])
}

/// How long others' commands take while a campaign goes out and two archivers copy the log, against a platform that does neither.
pub(super) async fn latency(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let count = scale.recipients.unwrap_or(scale.of(40_000, 10_000));
    let sink = Sink::start()?;
    let alone = Platform::start_with(false, &sink.settings(None))?;
    let busy = Platform::start_with(false, &[sink.settings(None), archive::two().to_vec()].concat())?;
    for (platform, count) in [(&alone, 1_000), (&busy, count)] {
        fill(platform, count, 0).await?;
    }
    busy.archived().await?;
    let (mut without, mut with, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    // A p99 is of a few commands each time: more turns than elsewhere.
    for _ in 0..scale.of(5, 2) {
        without.push(quantile_ms(&paced(&alone, 400).await?, 0.99));
        let campaign = launch(&busy, ALL).await?;
        let during = paced(&busy, 400).await?;
        rates.push(finished(&busy, &campaign, count).await?);
        with.push(quantile_ms(&during, 0.99));
    }
    let (name, ratios) =
        ("a command, p99 while a campaign goes out and is archived / without", ratios(&with, &without));
    let ms = |values: &[f64]| format!("{:.1} ms", median(values));
    let meanwhile = Outcome::figure("that campaign meanwhile", format!("{:.0} mails/s", median(&rates)));
    Ok(vec![Outcome::of(name, ms(&with), ms(&without), &ratios, Reach::AtMost(2.0)), meanwhile])
}

/// Contacts who consented to marketing; the first few of them in a segment of their own.
async fn fill(platform: &Platform, count: usize, some: usize) -> Result<(), AnyError> {
    let some = some.max(SOME.len());
    let consent = json!({"source": "a form", "text_version": "1"}).to_string();
    let consent = platform.request("PUT", "/v1/contacts//consents/marketing", "", &consent);
    let (address, consent) = (platform.address(), String::from_utf8(consent)?);
    let create = |number: usize| {
        let tags = if number < some { vec![ALL, SOME] } else { vec![ALL] };
        let body = json!({"email": format!("person-{number:08}@x{}.example", number % 50), "first_name": "Adelheid",
            "last_name": format!("Sommer {number:08}"), "city": "Regensburg", "tags": tags});
        platform.request("POST", "/v1/contacts", "", &body.to_string())
    };
    // Requests made beforehand at once; bounds memory.
    for begin in (0..count).step_by(50_000) {
        let requests = (begin..count.min(begin + 50_000)).map(create).collect();
        let clients = load::deal(requests, CLIENTS);
        load::on_one_thread(people(address, clients, consent.clone())).await?;
    }
    platform.settle().await
}

async fn people(address: SocketAddr, clients: Vec<Vec<Vec<u8>>>, consent: String) -> Result<(), AnyError> {
    let mut running: JoinSet<Result<(), AnyError>> = JoinSet::new();
    for requests in clients {
        let (mut connection, consent) = (Connection::open(address).await?, consent.clone());
        running.spawn(async move {
            for request in requests {
                let answer = connection.send(&request).await?;
                answer.expect(201)?;
                let place = answer.header("location").ok_or("no location")?;
                let consent = consent.replacen("/v1/contacts/", place, 1);
                connection.send(consent.as_bytes()).await?.expect(200)?;
            }
            Ok(())
        });
    }
    while let Some(client) = running.join_next().await {
        client??;
    }
    Ok(())
}

/// Sends a campaign to those with a tag; mails a second from its launch to its end.
async fn send(platform: &Platform, tag: &str, count: usize) -> Result<f64, AnyError> {
    let campaign = launch(platform, tag).await?;
    finished(platform, &campaign, count).await
}

async fn launch(platform: &Platform, tag: &str) -> Result<String, AnyError> {
    let mut connection = platform.connect().await?;
    let made = connection.send(&platform.request("POST", "/v1/campaigns", "", r#"{"name": "bench"}"#)).await?;
    let made: Value = serde_json::from_slice(made.expect(201)?)?;
    let path = format!("/v1/campaigns/{}", made["id"].as_str().ok_or("a campaign without an id")?);
    let segment = json!({"segment": {"filter": {"tags": {"_eq": tag}}, "purpose": "marketing"}});
    let filler = "What grows in spring, and what to do about it, week by week. ".repeat(BYTES / 2 / 61 - 5);
    let content = json!({"subject": "Spring, {{ first_name | default('you') }}", "from_name": "Garden",
        "from_email": "news@garden.example", "html": format!("<p>Hello {{{{ first_name | default('you') }}}}</p><p>{filler}</p>"),
        "text": format!("Hello {{{{ first_name | default('you') }}}}\n\n{filler}")});
    let address = json!({"lines": ["1 Example Street"]}).to_string();
    let address = platform.request("PUT", "/v1/tenant/postal-address", "", &address);
    connection.send(&address).await?.expect(200)?;
    let at = Clock::System.now().plus_seconds(1).to_string();
    let schedule = json!({"at": at, "time_zone": "UTC"});
    for (method, step, body) in
        [("PUT", "audience", segment), ("PUT", "content", content), ("POST", "schedule", schedule)]
    {
        let request = platform.request(method, &format!("{path}/{step}"), "", &body.to_string());
        connection.send(&request).await?.expect(200)?;
    }
    Ok(path)
}

/// Waits for the end; mails a second since the launch.
async fn finished(platform: &Platform, path: &str, count: usize) -> Result<f64, AnyError> {
    let mut connection = platform.connect().await?;
    let request = platform.request("GET", path, "", "");
    let end = Instant::now() + Duration::from_secs(3_600);
    let journey = loop {
        let campaign: Value = serde_json::from_slice(connection.send(&request).await?.body)?;
        match campaign["status"].as_str() {
            Some("finished") => break campaign["journey"].clone(),
            Some("draft" | "scheduled" | "sending") if Instant::now() < end => {}
            // The record itself may be a moment behind the answer that named it.
            None if campaign["code"] == "not_found" && Instant::now() < end => {}
            _ => return Err(format!("the campaign does not come to its end: {campaign}").into()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let accepted = journey["counts"]["accepted"].as_u64().unwrap_or(0);
    if accepted != count as u64 {
        return Err(format!("{count} mails were wanted: {journey}").into());
    }
    let time = |name: &str| journey[name].as_str().and_then(Micros::parse).ok_or("a journey without its times");
    Ok(count as f64 / ((time("finished_at")?.0 - time("launched_at")?.0) as f64 / 1e6))
}

/// The most resident bytes of the platform while something is done.
async fn watch(platform: &Platform, work: impl Future<Output = Result<f64, AnyError>>) -> Result<f64, AnyError> {
    tokio::pin!(work);
    let mut most = 0;
    loop {
        tokio::select! {
            done = &mut work => {
                done?;
                return Ok(most as f64);
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(platform.resident()?.0),
        }
    }
}

/// Commands at a pace that leaves the platform idle most of the time; how long each took.
async fn paced(platform: &Platform, count: usize) -> Result<Vec<Duration>, AnyError> {
    let (address, requests) = (platform.address(), crate::contacts::requests(platform, count));
    load::on_one_thread(async move {
        let mut connection = Connection::open(address).await?;
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        let mut latencies = Vec::with_capacity(requests.len());
        for request in &requests {
            clock.tick().await;
            let sent = Instant::now();
            connection.send(request).await?.expect(201)?;
            latencies.push(sent.elapsed());
        }
        Ok(latencies)
    })
    .await
}

/// Bare signatures a second of all cores at once, with the key and the library that mails are signed with.
fn signatures(pem: &Path) -> Result<f64, AnyError> {
    use workers::mail::dkim::DkimKey;
    const LASTING: Duration = Duration::from_secs(2);
    let cores = std::thread::available_parallelism()?.get();
    let pem = std::fs::read(pem)?;
    let counted: Vec<usize> = std::thread::scope(|scope| {
        let one = || {
            let Ok(key) = DkimKey::from_pem("bench", &pem) else { return 0 };
            let (end, data, mut count) = (Instant::now() + LASTING, [7; 1_000], 0);
            while Instant::now() < end && key.sign(&data).is_ok() {
                count += 1;
            }
            count
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).collect()
    });
    Ok(counted.iter().sum::<usize>() as f64 / LASTING.as_secs_f64())
}
