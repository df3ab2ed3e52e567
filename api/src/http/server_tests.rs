use super::*;
use crate::http::body::JsonBody;
use crate::http::security_headers::SecurityHeaders;
use crate::http::stack::Stack;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<Drained>,
    registry: Registry,
}

async fn start(limits: ServerLimits) -> Running {
    let routes = Router::new()
        .route("/fast", get(|| async { "fast" }))
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_millis(300)).await;
                "slow"
            }),
        )
        .route("/refused", post(|| async { StatusCode::FORBIDDEN }))
        .route("/endless", get(|| async { std::future::pending::<()>().await }))
        .route("/json", post(|JsonBody { value, .. }: JsonBody<Value>| async move { value.to_string() }));
    let registry = Registry::new();
    let router = Stack::new(&registry, limits.max_concurrent_requests, SecurityHeaders::default()).wrap(routes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (server, token) = (Server::new(limits, &registry), stop.clone());
    let ended = tokio::spawn(async move { server.serve(listener, router, token).await });
    Running { address, stop, ended, registry }
}

impl Running {
    /// Waits until a handler runs, so that no test depends on how fast the machine is.
    async fn until_busy(&self) {
        let busy = async {
            while !self.registry.render().contains("http_requests_running 1") {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(10), busy).await.expect("a handler must start");
    }
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("the server must close");
    String::from_utf8_lossy(&answer).into_owned()
}

fn short() -> ServerLimits {
    ServerLimits {
        header_timeout: Duration::from_millis(400),
        body_idle_timeout: Duration::from_millis(200),
        drain_deadline: Duration::from_millis(1500),
        ..ServerLimits::default()
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_served() {
    let server = start(ServerLimits::default()).await;
    let two = "GET /fast HTTP/1.1\r\nhost: a\r\n\r\nGET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(server.address, two).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(answer.contains("fast") && answer.ends_with("127.0.0.1"), "{answer}");
    assert!(answer.contains("x-request-id") && answer.contains("nosniff"));
    assert!(server.registry.render().contains("http_connections_total 1"));
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_cut() {
    let server = start(short()).await;
    let begin = Instant::now();
    for head in
        ["", "P", "PRI * HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /fast HTTP/1.1\r\nhost: a\r\nx-slow: "]
    {
        let answer = exchange(server.address, head).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
    // An idle keep-alive connection is closed too, after its answer.
    assert!(exchange(server.address, "GET /fast HTTP/1.1\r\nhost: a\r\n\r\n").await.contains("200 OK"));
    assert!(server.registry.render().contains("http_connections_open 0"));
}

#[tokio::test]
async fn a_body_that_stops_coming_gets_408() {
    let server = start(short()).await;
    let head = "POST /json HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"a\":";
    let answer = exchange(server.address, head).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_413() {
    let server = start(ServerLimits::default()).await;
    let announced = "POST /json HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
        content-length: 300000\r\n\r\n";
    assert!(exchange(server.address, announced).await.starts_with("HTTP/1.1 413"));

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let chunked = "POST /json HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let chunk = format!("8000\r\n{}\r\n", "1".repeat(0x8000));
    for _ in 0..9 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("payload_too_large"), "{answer}");
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_body_arrives() {
    let server = start(ServerLimits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // Far more than what the kernel keeps between the two.
    let bytes = vec![b'x'; 32 << 20];
    let head = format!("POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    // The connection goes on, too.
    stream.write_all(b"GET /fast HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let answers = read_all(&mut stream).await;
    assert!(answers.starts_with("HTTP/1.1 403") && answers.ends_with("fast"), "{answers}");
}

#[tokio::test]
async fn too_large_heads_are_refused() {
    let server = start(ServerLimits { max_head_bytes: 8192, ..ServerLimits::default() }).await;
    let head = format!("GET /fast HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(16_384));
    let answer = exchange(server.address, &head).await;
    // The 431 may be lost: closing with unread bytes resets the connection.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn shutdown_lets_running_requests_end() {
    let server = start(short()).await;
    let running = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"));
    server.until_busy().await;
    server.stop.cancel();
    let answer = running.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"), "{answer}");
    assert_eq!(server.ended.await.unwrap(), Drained { aborted: 0 });
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let server = start(short()).await;
    let running = tokio::spawn(exchange(server.address, "GET /endless HTTP/1.1\r\nhost: a\r\n\r\n"));
    server.until_busy().await;
    let begin = Instant::now();
    server.stop.cancel();
    assert_eq!(server.ended.await.unwrap(), Drained { aborted: 1 });
    assert!(begin.elapsed() < Duration::from_secs(8));
    assert_eq!(running.await.unwrap(), "");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = start(ServerLimits { max_connections: 1, ..short() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.until_busy().await;
    let second = tokio::spawn(exchange(server.address, "GET /fast HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
    sleep(Duration::from_millis(150)).await;
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().contains("200 OK"));
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_spoken() {
    let server = start(ServerLimits::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    let task = tokio::spawn(connection);
    let request = Request::get(format!("http://{}/fast", server.address)).body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, axum::http::Version::HTTP_2));
    drop(sender);
    server.stop.cancel();
    assert_eq!(server.ended.await.unwrap(), Drained { aborted: 0 });
    let _ = task.await;
}
