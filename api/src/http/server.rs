//! The serve loop: accepts connections, bounds them, and drains them when the process stops.
//!
//! It drives hyper directly, because slow heads, slow bodies and stalled readers must each be cut off, which the
//! ready-made loop of the router cannot do.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::EXPECT;
use axum::http::{Request, Version};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::limits::ServerLimits;
use super::lingering::Lingering;
use super::metrics::{Counter, Gauge, Registry};
use super::stall::StallGuard;
use super::timed_body::TimedBody;

/// Serves a router on a listener.
#[derive(Debug, Clone)]
pub struct Server {
    limits: ServerLimits,
    open: Gauge,
    accepted: Counter,
    cut: Counter,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the deadline and were closed.
    pub aborted: usize,
}

impl Server {
    pub fn new(limits: ServerLimits, registry: &Registry) -> Self {
        Self {
            limits,
            open: registry.gauge("http_connections_open", "Open connections.", &[]),
            accepted: registry.counter("http_connections_total", "Accepted connections.", &[]),
            cut: registry.counter(
                "http_connections_failed_total",
                "Connections that ended in an error or timeout.",
                &[],
            ),
        }
    }

    /// Serves until `shutdown` is cancelled, then lets running requests end within the drain deadline. Handlers of
    /// endless answers (event streams) should watch the same token and end by themselves.
    pub async fn serve(&self, listener: TcpListener, router: Router, shutdown: CancellationToken) -> Drained {
        let shared = Arc::new(Shared { server: self.clone(), phase: Phase::new() });
        let slots = Arc::new(Semaphore::new(self.limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let tasks = TaskTracker::new();
        // With its state applied the router does no work of its own for each request.
        let router: Router = router.with_state(());
        loop {
            let next = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                next = next => next,
            };
            match (slot, accepted) {
                (Ok(slot), Ok((stream, peer))) => {
                    let connection = connection(shared.clone(), stream, peer, router.clone());
                    tasks.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                (_, Err(error)) if is_about_one_connection(&error) => {}
                (_, Err(error)) => {
                    // Usually out of file descriptors: others have to close first.
                    tracing::error!(%error, "cannot accept connections; trying again");
                    sleep(Duration::from_millis(100)).await;
                }
                (Err(_), _) => break,
            }
        }
        drop(listener);
        tasks.close();
        shared.phase.enter(DRAINING);
        let mut drained = Drained { aborted: 0 };
        if timeout(self.limits.drain_deadline, tasks.wait()).await.is_err() {
            drained.aborted = tasks.len();
            tracing::warn!(connections = drained.aborted, "closing connections that did not end in time");
            shared.phase.enter(CLOSING);
            tasks.wait().await;
        }
        drained
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const CLOSING: u8 = 2;

/// Where the server is in its life. Connections look at an atomic each time they are polled; the lock inside `Notify`
/// is touched only when a connection begins and when the phase changes.
#[derive(Debug)]
struct Phase {
    now: AtomicU8,
    changed: Notify,
}

impl Phase {
    fn new() -> Self {
        Self { now: AtomicU8::new(SERVING), changed: Notify::new() }
    }

    fn enter(&self, phase: u8) {
        self.now.store(phase, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

#[derive(Debug)]
struct Shared {
    server: Server,
    phase: Phase,
}

/// Counts an open connection until dropped.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, router: Router) {
    let Server { limits, open, accepted, cut } = &shared.server;
    accepted.increment();
    open.add(1);
    let _open = Open(open.clone());
    // Answers are written whole; waiting for more to send only adds delay.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let http2 = tokio::select! {
        biased;
        protocol = timeout(limits.header_timeout, speaks_http2(&stream)) => match protocol {
            Ok(Ok(http2)) => http2,
            Ok(Err(_)) => return,
            Err(_) => return cut.increment(),
        },
        () = until_draining(&shared.phase) => return,
    };
    let io = TokioIo::new(StallGuard::new(stream, limits.write_stall_timeout));
    let service = Requests { router, peer, limits: *limits };
    let outcome = if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_http2_streams)
            .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(limits.header_timeout)
            .keep_alive_timeout(limits.header_timeout);
        let connection = pin!(builder.serve_connection(io, service));
        drive(connection, |connection| connection.graceful_shutdown(), &shared.phase).await
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.max_headers)
            .max_header_size(limits.max_head_bytes)
            .pipeline_flush(true);
        let connection = pin!(builder.serve_connection(io, service));
        drive(connection, |connection| connection.graceful_shutdown(), &shared.phase).await
    };
    if let Some(Err(error)) = outcome {
        cut.increment();
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn until_draining(phase: &Phase) {
    let mut changed = pin!(phase.changed.notified());
    changed.as_mut().enable();
    if phase.now.load(Ordering::SeqCst) == SERVING {
        changed.await;
    }
}

/// Polls a connection to its end, telling it when the server drains; `None` when it had to be dropped.
async fn drive<C>(
    mut connection: std::pin::Pin<&mut C>,
    drain: impl Fn(std::pin::Pin<&mut C>),
    phase: &Phase,
) -> Option<C::Output>
where
    C: Future,
{
    let mut changed = pin!(phase.changed.notified());
    let mut registered = false;
    let mut seen = SERVING;
    std::future::poll_fn(move |cx| {
        loop {
            // The task keeps one waker for its life, so registering it once for each phase is enough.
            if !registered {
                registered = true;
                if changed.as_mut().poll(cx).is_ready() {
                    changed.set(phase.changed.notified());
                    registered = false;
                    continue;
                }
            }
            let now = phase.now.load(Ordering::SeqCst);
            if now == seen {
                break;
            }
            seen = now;
            if now == CLOSING {
                return Poll::Ready(None);
            }
            drain(connection.as_mut());
            changed.set(phase.changed.notified());
            registered = false;
        }
        connection.as_mut().poll(cx).map(Some)
    })
    .await
}

/// What every HTTP/2 connection with prior knowledge begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Looks at the first bytes without taking them, and waits until a begun preface is whole: only then does the HTTP/2
/// side have timers of its own.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0u8; PREFACE.len()];
    loop {
        let count = stream.peek(&mut first).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..count] != PREFACE[..count] {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        // Peeking returns at once as long as there is one byte, so the rest is waited for by time.
        sleep(Duration::from_millis(5)).await;
    }
}

/// Hands the requests of one connection to the router.
#[derive(Debug, Clone)]
struct Requests {
    router: Router,
    peer: SocketAddr,
    limits: ServerLimits,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (mut parts, incoming) = request.into_parts();
        parts.extensions.insert(ConnectInfo(self.peer));
        let body = if incoming.is_end_stream() {
            Body::empty()
        } else {
            let timed = TimedBody::new(incoming, &self.limits);
            // What waits to be asked for is not being sent, and HTTP/2 ends a stream without the connection.
            let asks = parts.version >= Version::HTTP_2 || parts.headers.contains_key(EXPECT);
            if asks { Body::new(timed) } else { Body::new(Lingering::new(timed)) }
        };
        self.router.clone().call(Request::from_parts(parts, body))
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
