//! What one client, and all of them together, may take from the server.

use std::time::Duration;

/// Limits of the serve loop. The defaults suit a node behind a proxy as well as one on the open network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// From the moment the server waits for a request until its headers are complete; also how long an idle
    /// keep-alive connection stays open.
    pub header_timeout: Duration,
    /// The most bytes of one request head.
    pub max_head_bytes: usize,
    /// The most header lines of one request.
    pub max_headers: usize,
    /// The longest silence while a body is read.
    pub body_idle_timeout: Duration,
    /// Time a body has before `body_min_rate` is applied to it.
    pub body_grace: Duration,
    /// Bytes a second that a body must reach on average after `body_grace`.
    pub body_min_rate: u64,
    /// The longest time a client may refuse to take any byte of an answer.
    pub write_stall_timeout: Duration,
    /// Open connections; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// Requests that run at once; further ones get 503 at once instead of queueing.
    pub max_concurrent_requests: usize,
    /// Requests that may run at once on one HTTP/2 connection.
    pub max_http2_streams: u32,
    /// How long running requests may take to end when the server stops.
    pub drain_deadline: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            max_head_bytes: 32 * 1024,
            max_headers: 100,
            body_idle_timeout: Duration::from_secs(15),
            body_grace: Duration::from_secs(10),
            body_min_rate: 1024,
            write_stall_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            max_concurrent_requests: 2_048,
            max_http2_streams: 100,
            drain_deadline: Duration::from_secs(20),
        }
    }
}
