//! Several providers in order, and which of them gets a mail; each is spoken to over SMTP or by the interface of Amazon SES
//! ([`TransportOptions`]).
//!
//! The first whose breaker lets mails pass is tried; another is tried only when the failure permits it, by the table of
//! spec/EMAIL.md 5.2 as [`permits`] has it. A mail whose final dot was written and not answered never goes to another
//! provider unless its class allows sending it twice. Rates of a provider and of a recipient's domain are kept by waiting;
//! a mail that would wait long stays to be sent, so that nothing is lost and nobody else waits.

mod account;
mod breaker;
mod bucket;
mod domains;
mod provider;
#[cfg(test)]
mod tests;
mod transport;

pub use account::ProviderRefused;
pub use breaker::BreakerState;
pub use domains::DomainLimit;
pub use provider::{ProviderOptions, ProviderStatus};
pub use transport::TransportOptions;

use super::Class;
use crate::smtp::{Accepted, Envelope, Failure, Stage, Timeouts, permits};
use bus_schema::TenantId;
use domains::Domains;
use provider::{Provider, Tried};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Providers of one installation at most; there is a rate, a pool and a breaker for each.
const MOST: usize = 16;

/// Providers in order. Cheap to clone: clones share connections, rates and breakers.
#[derive(Clone, Debug)]
pub struct Providers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    list: Vec<Provider>,
    domains: Domains,
}

/// Whose mail it is. The class decides what may be done after a failure; a provider with books (SES) writes both into them.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub tenant: &'a TenantId,
    pub class: Class,
}

/// Asked right before each time a mail is handed to a provider: after every wait, and again for the next provider.
pub trait Gate: Sync {
    /// Why it may not be.
    type Halt: Send;

    fn pass(&self) -> impl Future<Output = Result<(), Self::Halt>> + Send;
}

/// Always open.
#[derive(Clone, Copy, Debug)]
pub struct NoGate;

impl Gate for NoGate {
    type Halt = std::convert::Infallible;

    async fn pass(&self) -> Result<(), Self::Halt> {
        Ok(())
    }
}

/// What became of a mail that was to be handed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Handed<H> {
    /// A provider took it, or it failed there as the answer says and may go to no other.
    Answered { answer: Result<Accepted, Failure>, provider: Arc<str> },
    /// The gate was closed. Nothing was sent.
    Halted(H),
    /// Every provider rests. Nothing was sent.
    Resting {
        /// Of the failure that came last; a stage and a code.
        cause: String,
        /// Until the first of them may be tried.
        again: Duration,
    },
    /// A rate allows no mail to this recipient soon. Nothing was sent.
    Crowded { again: Duration },
}

impl Providers {
    pub fn try_new(providers: Vec<ProviderOptions>, limits: Vec<DomainLimit>) -> Result<Self, ProvidersError> {
        if !(1..=MOST).contains(&providers.len()) {
            return Err(ProvidersError::Count { most: MOST });
        }
        let mut list: Vec<Provider> = Vec::with_capacity(providers.len());
        for options in providers {
            if list.iter().any(|known| *known.name == *options.name) {
                return Err(ProvidersError::NameTwice { name: options.name });
            }
            list.push(Provider::try_new(options)?);
        }
        Ok(Self(Arc::new(Inner { list, domains: Domains::try_new(limits)? })))
    }

    /// The same providers over `connections` of their own to each, with other timeouts. Rates of the providers are shared;
    /// breakers are not, because other timeouts find other failures, and domains have their limits once more.
    pub(in crate::mail) fn apart(&self, connections: usize, timeouts: impl Fn(&mut Timeouts)) -> Self {
        let list = self.0.list.iter().map(|provider| provider.apart(connections, &timeouts)).collect();
        Self(Arc::new(Inner { list, domains: self.0.domains.apart() }))
    }

    /// Connections of all together: more mails at once only wait.
    pub fn connections(&self) -> usize {
        self.0.list.iter().map(|provider| provider.connections).sum()
    }

    /// How each stands, in their order.
    pub fn status(&self) -> Vec<ProviderStatus> {
        let now = Instant::now();
        self.0.list.iter().map(|provider| provider.status(now)).collect()
    }

    /// Hands a mail to the first provider that takes it. When this future is dropped before it ends, nobody knows whether it was
    /// taken.
    pub async fn hand_over<G: Gate>(
        &self,
        origin: &Origin<'_>,
        envelope: &Envelope,
        message: &[u8],
        gate: &G,
    ) -> Handed<G::Halt> {
        let Inner { list, domains } = &*self.0;
        let _place = match domains.enter(envelope.recipient.domain()).await {
            Ok(place) => place,
            Err(again) => return Handed::Crowded { again },
        };
        let mut failed: Option<(Failure, Arc<str>)> = None;
        for provider in list {
            let Some(ticket) = provider.breaker.enter(Instant::now()) else { continue };
            if let Some((_, name)) = &failed {
                self.passed_on(name);
            }
            let answer = match provider.try_mail(origin, envelope, message, gate).await {
                Tried::Answered(answer) => answer,
                // Nothing is known of this provider. What another one said stands.
                Tried::Crowded { again } if failed.is_none() => return Handed::Crowded { again },
                Tried::Crowded { .. } => break,
                Tried::Halted(_) if failed.is_some() => break,
                Tried::Halted(halt) => return Handed::Halted(halt),
            };
            let name = provider.name.clone();
            let failure = match answer {
                Ok(accepted) => {
                    ticket.works();
                    return Handed::Answered { answer: Ok(accepted), provider: name };
                }
                Err(failure) => failure,
            };
            let permits = permits(&failure);
            // A refusal of one recipient for good says nothing of the others, whatever its code.
            if permits.breaker && !(permits.permanent && failure.stage == Stage::Rcpt) {
                ticket.fails(Instant::now(), &failure.code());
            } else {
                ticket.works();
            }
            if !permits.fail_over.under(origin.class) {
                return Handed::Answered { answer: Err(failure), provider: name };
            }
            failed = Some(match failed {
                // One that may take it later is the better end.
                Some(before) if permits.permanent => before,
                _ => (failure, name),
            });
        }
        match failed {
            Some((failure, provider)) => Handed::Answered { answer: Err(failure), provider },
            None => self.resting(),
        }
    }

    fn passed_on(&self, name: &Arc<str>) {
        if let Some(provider) = self.0.list.iter().find(|provider| provider.name == *name) {
            provider.passed_on();
        }
    }

    fn resting<H>(&self) -> Handed<H> {
        let states = self.status();
        let again = states.iter().map(|status| status.breaker.rests.unwrap_or_default()).min().unwrap_or_default();
        let cause = states.into_iter().find_map(|status| status.breaker.cause).unwrap_or_default();
        Handed::Resting { cause, again }
    }
}

/// What does not make providers: one sentence that says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvidersError {
    #[error("mail providers are 1 to {most}")]
    Count { most: usize },
    #[error("a mail provider's name has 1 to 40 small letters, digits and hyphens, not {name:?}")]
    Name { name: String },
    #[error("two mail providers are called {name}; each needs a name of its own")]
    NameTwice { name: String },
    #[error("connections to the mail provider {name} are 1 to 1,000")]
    Connections { name: String },
    #[error("the rate of the mail provider {name} is 0.001 to 1,000,000 mails a second")]
    Rate { name: String },
    #[error("the certificates for the mail provider {name} cannot be used: {why}")]
    Certificates { name: String, why: String },
    #[error(
        "the limit of {domain:?} is not one: it needs a domain or *, 1 to 1,000 connections and 0.001 to 1,000,000 mails a second"
    )]
    DomainLimit { domain: String },
    #[error("the domain {domain} has two limits; leave one")]
    DomainTwice { domain: String },
    #[error("limits of domains are {most} at most")]
    TooManyLimits { most: usize },
}
