//! A client that sends or takes too slowly is cut off, and holds up nobody.

use crate::support::{Platform, skip_slow};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The longest a slow client may stay; the limits are 15 s of silence.
const LONGEST: Duration = Duration::from_secs(40);

async fn connect(platform: &Platform) -> TcpStream {
    let address = platform.ready.url.strip_prefix("http://").expect("an address");
    TcpStream::connect(address).await.expect("a connection")
}

/// Reads to the end of the connection.
async fn end_of(mut stream: TcpStream) -> (String, Duration) {
    let (began, mut said) = (Instant::now(), Vec::new());
    let ended = tokio::time::timeout(LONGEST, stream.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "still connected after {LONGEST:?}");
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_slowly_is_cut_off() {
    if skip_slow() {
        eprintln!("passed over: MILLRACE_SKIP_SLOW is set, and slowness takes its time");
        return;
    }
    let platform = Platform::shared();
    let key = &platform.ready.api_key;
    let silent = async { end_of(connect(platform).await).await };
    let half_a_head = async {
        let mut stream = connect(platform).await;
        stream.write_all(b"GET /v1/contacts HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.expect("sent");
        end_of(stream).await
    };
    let half_a_body = async {
        let mut stream = connect(platform).await;
        let head = format!(
            "POST /v1/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
             Content-Length: 500\r\n\r\n{{\"email\": "
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        end_of(stream).await
    };
    let trickle = async {
        let stream = connect(platform).await;
        let (mut reading, mut writing) = stream.into_split();
        let head = format!(
            "POST /v1/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
             Content-Length: 100000\r\n\r\n"
        );
        writing.write_all(head.as_bytes()).await.expect("sent");
        let began = Instant::now();
        let writer = tokio::spawn(async move {
            while began.elapsed() < LONGEST && writing.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        let mut said = Vec::new();
        let ended = tokio::time::timeout(LONGEST, reading.read_to_end(&mut said)).await;
        writer.abort();
        assert!(ended.is_ok(), "a trickle of bytes is served for ever");
        (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
    };
    let (silent, head, body, trickle) = tokio::join!(silent, half_a_head, half_a_body, trickle);
    for (what, (said, took)) in
        [("nothing", &silent), ("half a head", &head), ("half a body", &body), ("a trickle", &trickle)]
    {
        println!("who sends {what} is cut off after {took:?}: {:?}", said.lines().next().unwrap_or_default());
        assert!(*took > Duration::from_secs(2), "{what}: cut off too early");
    }
    assert!(body.0.contains("408") && trickle.0.contains("408"), "{body:?} {trickle:?}");
    platform.client().get("/v1/contacts").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_silent_connections_hold_up_nobody() {
    let platform = Platform::shared();
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect(platform).await);
    }
    let began = Instant::now();
    platform.client().get("/v1/contacts").send().await.expect(200);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
