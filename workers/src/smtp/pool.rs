//! At most N connections to one provider, used again as long as they work.

use super::{
    Accepted, Connection, Envelope, Failure, Kind, Opening, SmtpOptions, Stage,
    offers::{Held, Offers},
};
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
    offers: Arc<Offers>,
}

/// A connection that nobody else uses. Given back when dropped, closed when it is broken or spent.
#[derive(Debug)]
pub struct Lease {
    held: Option<Held>,
    pool: Pool,
    /// It has sent before.
    used: bool,
}

impl Pool {
    /// `connections` is 1 to 10,000.
    pub fn new(options: SmtpOptions, connections: usize) -> Self {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX).clamp(1, MOST);
        let permits = Arc::new(Semaphore::new(connections as usize));
        Self { options: Arc::new(options), permits, connections, idle: Arc::default(), offers: Arc::default() }
    }

    pub fn options(&self) -> &SmtpOptions {
        &self.options
    }

    /// Hands over one mail. When an old connection turns out to be gone before anything of the message was written, the
    /// mail goes over a new one: nobody took it (spec/EMAIL.md 5.2).
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<Accepted, Failure> {
        let opening = Arc::new(Opening::try_new(envelope, message)?);
        let mut lease = self.lease_for(&opening).await?;
        match lease.begin(&opening).await {
            Err(failure) if failure.may_be_renewed() && lease.is_used() => {
                lease = lease.renewed().await?;
                lease.begin(&opening).await?;
            }
            begun => begun?,
        }
        lease.finish(message).await
    }

    /// A connection, an old one if it still works. Waits while all are in use.
    pub async fn lease(&self) -> Result<Lease, Failure> {
        let permit = self.permits.clone().acquire_owned().await;
        self.leased(permit.map_err(|_| closed())?).await
    }

    /// The same for a mail that whoever has a connection may open meanwhile, behind its own; then the lease
    /// [is opened](Lease::is_opened), and is to begin with it.
    pub async fn lease_for(&self, opening: &Arc<Opening>) -> Result<Lease, Failure> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return self.leased(permit).await;
        }
        loop {
            let mut waiting = self.offers.add(opening);
            let permit = tokio::select! {
                biased;
                given = &mut waiting.given => match given {
                    Ok(held) => return Ok(self.given(held)),
                    // That connection broke before it came to this mail.
                    Err(_) => continue,
                },
                permit = self.permits.clone().acquire_owned() => permit.map_err(|_| closed())?,
            };
            if waiting.withdraw() {
                return self.leased(permit).await;
            }
            // Somebody is opening it at this moment.
            drop(permit);
            if let Ok(held) = (&mut waiting.given).await {
                return Ok(self.given(held));
            }
        }
    }

    fn given(&self, held: Held) -> Lease {
        Lease { held: Some(held), pool: self.clone(), used: true }
    }

    async fn leased(&self, permit: OwnedSemaphorePermit) -> Result<Lease, Failure> {
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
    /// Says who a mail is from and who gets it; its message is to follow.
    pub async fn begin(&mut self, opening: &Opening) -> Result<(), Failure> {
        DerefMut::deref_mut(self).begin(opening).await
    }

    /// Hands over the message of the mail that was begun, opens behind it whichever mail waits longest for a connection, and gives
    /// that one the connection. When this future is dropped before it ends, nobody knows whether the mail was taken.
    pub async fn finish(mut self, message: &[u8]) -> Result<Accepted, Failure> {
        let next = if self.takes_next() { self.pool.offers.take() } else { None };
        let opening = next.as_ref().map(|offer| offer.opening());
        let answer = DerefMut::deref_mut(&mut self).finish(message, opening).await;
        if let Some(next) = next
            && self.is_opened()
            && !self.is_broken()
            && let Some(held) = self.held.take()
        {
            next.give(held);
        }
        answer
    }

    /// The next mail on it was opened by the one before.
    pub fn is_opened(&self) -> bool {
        self.ahead
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

fn closed() -> Failure {
    Failure::new(Stage::Connect, Kind::Lost, "the pool of connections is closed")
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
        // One that waits for the answers to a mail nobody sends any more is not used again either.
        if connection.is_broken() || connection.ahead {
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
