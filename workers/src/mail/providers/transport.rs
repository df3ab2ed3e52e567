//! How a mail gets to a provider: by SMTP, or by the interface of Amazon SES. Both take one mail at a time over one of at most N
//! connections, and both say of a failure how far it came.

use super::{Origin, ProvidersError};
use crate::{
    backend::ses::{Ses, SesOptions},
    smtp::{Accepted, Envelope, Failure, Kind, Lease, Pool, SmtpOptions, Stage, Timeouts},
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
    Smtp(Lease),
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

    /// Waits while all connections are in use.
    pub(super) async fn hold(&self) -> Result<Held, Failure> {
        match self {
            Self::Smtp(pool) => Ok(Held::Smtp(pool.lease().await?)),
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
    pub(super) async fn send(
        &mut self,
        origin: &Origin<'_>,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Accepted, Failure> {
        match self {
            Self::Smtp(lease) => lease.send(envelope, message).await,
            Self::Ses { ses, .. } => ses.send(origin, envelope, message).await,
        }
    }

    /// It has sent before, and may be gone without having said so. HTTP finds out by itself, before a request is written.
    pub(super) fn is_used(&self) -> bool {
        match self {
            Self::Smtp(lease) => lease.is_used(),
            Self::Ses { .. } => false,
        }
    }

    /// Another connection in the place of this one.
    pub(super) async fn renewed(self) -> Result<Self, Failure> {
        match self {
            Self::Smtp(lease) => Ok(Self::Smtp(lease.renewed().await?)),
            held @ Self::Ses { .. } => Ok(held),
        }
    }
}
