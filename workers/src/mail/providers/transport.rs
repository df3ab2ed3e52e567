//! How a mail gets to a provider: by SMTP, or by the interface of Amazon SES. Both take one mail at a time over one of at most N
//! connections, and both say of a failure how far it came.

use super::{Origin, ProvidersError};
use crate::{
    backend::ses::{Ses, SesOptions},
    smtp::{Accepted, Envelope, Failure, Kind, Lease, Opening, Pool, SmtpOptions, Stage, Timeouts},
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// As it is configured.
#[derive(Clone, Debug)]
pub enum TransportOptions {
    Smtp(SmtpOptions),
    Ses(SesOptions),
}

/// Connections to one provider.
#[derive(Debug)]
pub(super) enum Transport {
    Smtp(Pool),
    /// HTTP has a pool of its own; what is bounded is the number of requests.
    Ses {
        ses: Ses,
        places: Arc<Semaphore>,
    },
}

/// A connection that nobody else uses.
pub(super) enum Held {
    Smtp(Lease, Arc<Opening>),
    Ses { ses: Ses, _place: OwnedSemaphorePermit },
}

impl Transport {
    pub(super) fn try_new(name: &str, options: TransportOptions, connections: usize) -> Result<Self, ProvidersError> {
        Ok(match options {
            TransportOptions::Smtp(smtp) => Self::Smtp(Pool::new(smtp, connections)),
            TransportOptions::Ses(options) => {
                let ses = Ses::try_new(options);
                let ses = ses.map_err(|why| ProvidersError::Certificates { name: name.to_owned(), why })?;
                Self::Ses { ses, places: Arc::new(Semaphore::new(connections)) }
            }
        })
    }

    /// The same provider over connections of its own. Of the time limits SES has the one for an answer.
    pub(super) fn apart(&self, connections: usize, timeouts: impl FnOnce(&mut Timeouts)) -> Self {
        match self {
            Self::Smtp(pool) => {
                let mut smtp = pool.options().clone();
                timeouts(&mut smtp.timeouts);
                Self::Smtp(Pool::new(smtp, connections))
            }
            Self::Ses { ses, .. } => {
                let answer = ses.options().answer;
                let mut limits = Timeouts { dot: answer, ..Timeouts::default() };
                timeouts(&mut limits);
                let ses = ses.answering_within(limits.dot.min(answer));
                Self::Ses { ses, places: Arc::new(Semaphore::new(connections)) }
            }
        }
    }

    /// Waits while all connections are in use. `ahead`: the mail may be opened by the one before it, so it must not be kept
    /// waiting for anything else once it has its connection.
    pub(super) async fn hold(&self, envelope: &Envelope, message: &[u8], ahead: bool) -> Result<Held, Failure> {
        match self {
            Self::Smtp(pool) => {
                let opening = Arc::new(Opening::try_new(envelope, message)?);
                let lease = if ahead { pool.lease_for(&opening).await? } else { pool.lease().await? };
                Ok(Held::Smtp(lease, opening))
            }
            Self::Ses { ses, places } => {
                let place = places.clone().acquire_owned().await;
                let closed = |_| Failure::new(Stage::Connect, Kind::Lost, "its connections are closed");
                Ok(Held::Ses { ses: ses.clone(), _place: place.map_err(closed)? })
            }
        }
    }

    pub(super) fn ses(&self) -> Option<&Ses> {
        match self {
            Self::Smtp(_) => None,
            Self::Ses { ses, .. } => Some(ses),
        }
    }
}

impl Held {
    /// Whether the mail was opened already.
    pub(super) fn is_opened(&self) -> bool {
        match self {
            Self::Smtp(lease, _) => lease.is_opened(),
            Self::Ses { .. } => false,
        }
    }

    /// Names sender and recipient. Nobody has anything of the message after this.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        match self {
            Self::Smtp(lease, opening) => lease.begin(opening).await,
            Self::Ses { .. } => Ok(()),
        }
    }

    /// Hands over the message.
    pub(super) async fn finish(
        self,
        origin: &Origin<'_>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Accepted, Failure> {
        match self {
            Self::Smtp(lease, _) => lease.finish(message).await,
            Self::Ses { ses, .. } => ses.send(origin, envelope, message).await,
        }
    }

    /// It has sent before, and may be gone without having said so. HTTP finds out by itself, before a request is written.
    pub(super) fn is_used(&self) -> bool {
        match self {
            Self::Smtp(lease, _) => lease.is_used(),
            Self::Ses { .. } => false,
        }
    }

    /// Another connection in the place of this one.
    pub(super) async fn renewed(self) -> Result<Self, Failure> {
        match self {
            Self::Smtp(lease, opening) => Ok(Self::Smtp(lease.renewed().await?, opening)),
            held @ Self::Ses { .. } => Ok(held),
        }
    }
}
