//! A server of the log that dies takes what it was asked with it: a read is asked again, and does not wait for its whole time.

use crate::support::Server;
use bus_schema::{
    Cell,
    bus::{Bus, BusOptions, BusUser, ReadError},
    subject::Family,
};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Serves the reads of a stream that is not there; says nothing to the first `dead` of them, and "nothing found" to the others.
async fn answer(server: &Server, cell: &Cell, dead: usize) {
    let address = server.url().replace("nats://", "");
    let (reading, mut writing) = TcpStream::connect(address).await.expect("the server").into_split();
    let hello =
        format!("CONNECT {{\"verbose\":false,\"headers\":true}}\r\nSUB $JS.API.DIRECT.GET.EV_{cell} 1\r\nPING\r\n");
    writing.write_all(hello.as_bytes()).await.expect("sent");
    let mut lines = BufReader::new(reading).lines();
    while lines.next_line().await.expect("a line").is_some_and(|line| line != "PONG") {}
    tokio::spawn(async move {
        let mut asked = 0;
        while let Ok(Some(line)) = lines.next_line().await {
            let words: Vec<&str> = line.split_whitespace().collect();
            if line == "PING" {
                _ = writing.write_all(b"PONG\r\n").await;
            }
            let (["MSG", _, _, reply, _] | ["HMSG", _, _, reply, _, _]) = words[..] else { continue };
            asked += 1;
            if asked > dead {
                let head = "NATS/1.0 404 No Results\r\n\r\n";
                let said = format!("HPUB {reply} {0} {0}\r\n{head}\r\n", head.len());
                _ = writing.write_all(said.as_bytes()).await;
            }
        }
    });
}

async fn read(server: &Server, cell: &str, dead: usize) -> (Result<usize, ReadError>, Duration) {
    let cell = Cell::try_new(cell).expect("a cell");
    answer(server, &cell, dead).await;
    let options = BusOptions { url: server.url(), user: BusUser::Anyone, tls: None, cell, replicas: 1 };
    let bus = Bus::connect(options).await.expect("the server answers");
    let began = Instant::now();
    let found = bus.last_positions(Family::Events, &["ev.x".to_owned()]).await;
    (found.map(|positions| positions.len()), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_a_dead_server_took_is_asked_again() {
    let server = Server::shared();
    let (found, took) = read(server, "silence1", 1).await;
    assert_eq!(found.expect("an answer"), 0);
    assert!((1_000..3_500).contains(&took.as_millis()), "{took:?}");
    // When nobody answers, it ends.
    let (found, took) = read(server, "silence2", 9).await;
    assert!(matches!(found, Err(ReadError::Unreachable(_))), "{found:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}
