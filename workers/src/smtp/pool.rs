//! At most N connections to one provider, used again as long as they work.

use super::{Accepted, Connection, Envelope, Failure, Kind, SmtpOptions, Stage};
use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const MOST: u32 = 10_000;

/// Connections to one provider. Cheap to clone: all clones share them.
#[derive(Clone, Debug)]
pub struct Pool {
    options: Arc<SmtpOptions>,
    /// One permit for each connection in use, opening or closing. A new one is opened only while none is idle, so there
    /// are never more than N.
    permits: Arc<Semaphore>,
    connections: u32,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// A connection that nobody else uses. Given back when dropped, closed when it is broken or spent.
#[derive(Debug)]
pub struct Lease {
    held: Option<(Connection, OwnedSemaphorePermit)>,
    pool: Pool,
    /// It has sent before.
    used: bool,
}

impl Pool {
    /// `connections` is 1 to 10,000.
    pub fn new(options: SmtpOptions, connections: usize) -> Self {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX).clamp(1, MOST);
        let permits = Arc::new(Semaphore::new(connections as usize));
        Self { options: Arc::new(options), permits, connections, idle: Arc::default() }
    }

    pub fn options(&self) -> &SmtpOptions {
        &self.options
    }

    /// Hands over one mail. When an old connection turns out to be gone before anything of the message was written, the
    /// mail goes over a new one: nobody took it (spec/EMAIL.md 5.2).
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<Accepted, Failure> {
        self.lease().await?.hand_over(envelope, message).await
    }

    /// A connection, an old one if it still works. Waits while all are in use.
    pub async fn lease(&self) -> Result<Lease, Failure> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit =
            permit.map_err(|_| Failure::new(Stage::Connect, Kind::Lost, "the pool of connections is closed"))?;
        while let Some(mut connection) = self.take() {
            if connection.is_spent() {
                connection.quit().await;
            } else if connection.is_quiet().await {
                return Ok(Lease { held: Some((connection, permit)), pool: self.clone(), used: true });
            }
        }
        let connection = Connection::open(&self.options).await?;
        Ok(Lease { held: Some((connection, permit)), pool: self.clone(), used: false })
    }

    /// Waits until no connection is in use, closes all, and lets nobody have one any more.
    pub async fn close(&self) {
        let all = self.permits.acquire_many(self.connections).await;
        self.permits.close();
        while let Some(connection) = self.take() {
            connection.quit().await;
        }
        drop(all);
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Lease {
    /// What [`Pool::send`] does once it has a connection. For who has to do something in between.
    pub async fn hand_over(mut self, envelope: &Envelope, message: &[u8]) -> Result<Accepted, Failure> {
        let answer = self.send(envelope, message).await;
        match &answer {
            Err(Failure { stage: Stage::Mail | Stage::Rcpt | Stage::Data, kind: Kind::Lost, .. }) if self.used => {
                self.renewed().await?.send(envelope, message).await
            }
            _ => answer,
        }
    }

    /// It has sent before, and may be gone without having said so.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// Another connection in the place of this one.
    pub async fn renewed(mut self) -> Result<Self, Failure> {
        if let Some((connection, permit)) = self.held.take() {
            drop(connection);
            self.held = Some((Connection::open(&self.pool.options).await?, permit));
            self.used = false;
        }
        Ok(self)
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        let (connection, _) = self.held.as_ref().expect("a lease holds its connection until it is dropped");
        connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        let (connection, _) = self.held.as_mut().expect("a lease holds its connection until it is dropped");
        connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((connection, permit)) = self.held.take() else { return };
        if connection.is_broken() {
            return;
        }
        if !connection.is_spent() && !self.pool.permits.is_closed() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            return;
        }
        // The goodbye takes a round trip. Its place is free after that.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                connection.quit().await;
                drop(permit);
            });
        }
    }
}
