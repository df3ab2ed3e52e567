//! Many clients at once, on one thread of their own.

use crate::{AnyError, http::Connection};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What the clients saw.
pub(crate) struct Load {
    pub(crate) took: Duration,
    /// Of every request.
    pub(crate) latencies: Vec<Duration>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }
}

/// Each client sends its requests one after another; every answer must have this status.
pub(crate) async fn run(address: SocketAddr, clients: Vec<Vec<Vec<u8>>>, status: u16) -> Result<Load, AnyError> {
    on_one_thread(async move {
        let mut connected = Vec::new();
        for requests in clients {
            connected.push((Connection::open(address).await?, requests));
        }
        let began = Instant::now();
        let mut running: JoinSet<Result<Vec<Duration>, AnyError>> = JoinSet::new();
        for (mut connection, requests) in connected {
            running.spawn(async move {
                let mut latencies = Vec::with_capacity(requests.len());
                for request in &requests {
                    let sent = Instant::now();
                    connection.send(request).await?.expect(status)?;
                    latencies.push(sent.elapsed());
                }
                Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(client) = running.join_next().await {
            latencies.extend(client??);
        }
        Ok(Load { took: began.elapsed(), latencies })
    })
    .await
}

/// Runs a load on a thread of its own, so that many clients cost one processor at most and wake nobody else.
pub(crate) async fn on_one_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T, AnyError>> + Send + 'static,
) -> Result<T, AnyError> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work)
    })
    .await?
}

/// Deals requests to clients in turn.
pub(crate) fn deal(requests: Vec<Vec<u8>>, clients: usize) -> Vec<Vec<Vec<u8>>> {
    let mut dealt: Vec<Vec<Vec<u8>>> = (0..clients).map(|_| Vec::new()).collect();
    for (index, request) in requests.into_iter().enumerate() {
        dealt[index % clients].push(request);
    }
    dealt
}
