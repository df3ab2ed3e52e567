//! One provider: its connections, its rate, its breaker, and what was counted of it.

use super::{
    Gate, Origin, ProvidersError,
    breaker::{Breaker, BreakerState},
    bucket::{self, Bucket},
    transport::{Transport, TransportOptions},
};
use crate::{
    mail::Class,
    smtp::{Accepted, Envelope, Failure, Timeouts, permits},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a mail that has a connection waits for the rate. Longer, and it stays to be sent.
const PATIENCE: Duration = Duration::from_secs(15);

/// A provider as it is configured.
#[derive(Clone, Debug)]
pub struct ProviderOptions {
    /// For people, metrics and the log: small letters, digits, hyphens.
    pub name: String,
    pub transport: TransportOptions,
    pub connections: usize,
    /// Mails a second; `None`: as fast as it takes them.
    pub per_second: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: Arc<str>,
    pub(super) breaker: Breaker,
    pub(super) connections: usize,
    pub(super) per_second: Option<f64>,
    pub(super) transport: Transport,
    /// Shared with connections kept apart: the rate is the provider's.
    bucket: Option<Arc<Bucket>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    passed_on: AtomicU64,
}

/// How a provider stands. The counts are of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    pub name: String,
    pub breaker: BreakerState,
    pub connections: usize,
    pub accepted: u64,
    /// It said no to this mail.
    pub refused: u64,
    /// It could not be reached, or takes nothing at the moment.
    pub failed: u64,
    /// It did not answer a mail that it may have taken.
    pub unknown: u64,
    /// Mails that went to another provider after it failed.
    pub passed_on: u64,
}

pub(super) enum Tried<H> {
    Answered(Result<Accepted, Failure>),
    Halted(H),
    Crowded { again: Duration },
}

impl Provider {
    pub(super) fn try_new(options: ProviderOptions) -> Result<Self, ProvidersError> {
        let ProviderOptions { name, transport, connections, per_second } = options;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
            return Err(ProvidersError::Name { name });
        }
        if !(1..=1_000).contains(&connections) {
            return Err(ProvidersError::Connections { name });
        }
        if !per_second.is_none_or(bucket::is_rate) {
            return Err(ProvidersError::Rate { name });
        }
        let transport = Transport::try_new(&name, transport, connections)?;
        Ok(Self {
            name: name.into(),
            breaker: Breaker::default(),
            connections,
            per_second,
            transport,
            bucket: per_second.map(Bucket::new).map(Arc::new),
            counts: Counts::default(),
        })
    }

    /// The same provider, at the same rate, over connections of its own.
    pub(super) fn apart(&self, connections: usize, timeouts: impl FnOnce(&mut Timeouts)) -> Self {
        Self {
            name: self.name.clone(),
            breaker: Breaker::default(),
            connections,
            per_second: self.per_second,
            transport: self.transport.apart(connections, timeouts),
            bucket: self.bucket.clone(),
            counts: Counts::default(),
        }
    }

    /// One mail: over another connection too, when an old one turns out to be gone before anything of the message was
    /// written (spec/EMAIL.md 5.2).
    pub(super) async fn try_mail<G: Gate>(
        &self,
        origin: &Origin<'_>,
        envelope: &Envelope,
        message: &[u8],
        gate: &G,
    ) -> Tried<G::Halt> {
        // A rate would keep a provider waiting that was told of the mail; a mail that is recorded as begun before it is
        // handed over must not be told of before that.
        let ahead = self.bucket.is_none() && origin.class == Class::Marketing;
        let mut held = match self.transport.hold(envelope, message, ahead).await {
            Ok(held) => held,
            Err(failure) => return self.answered(Err(failure)),
        };
        // With the connection in hand, so that what waited for one does not leave in a burst.
        if let Some(bucket) = &self.bucket {
            match bucket.reserve(Instant::now(), PATIENCE) {
                Ok(wait) if wait.is_zero() => {}
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(again) => return Tried::Crowded { again },
            }
        }
        loop {
            // The gate is asked when nothing but the message is left to be waited for. What was opened by the mail before has its
            // answers, or will at once.
            let opened = held.is_opened();
            if !opened && let Err(halt) = gate.pass().await {
                return Tried::Halted(halt);
            }
            let used = held.is_used();
            match held.begin().await {
                Ok(()) => {}
                Err(failure) if failure.may_be_renewed() && used => {
                    held = match held.renewed().await {
                        Ok(held) => held,
                        Err(failure) => return self.answered(Err(failure)),
                    };
                    continue;
                }
                Err(failure) => return self.answered(Err(failure)),
            }
            // The provider waits for the message and gets none when the gate is closed: the connection ends there.
            if opened && let Err(halt) = gate.pass().await {
                return Tried::Halted(halt);
            }
            return self.answered(held.finish(origin, envelope, message).await);
        }
    }

    fn answered<H>(&self, answer: Result<Accepted, Failure>) -> Tried<H> {
        let counts = &self.counts;
        let count = match &answer {
            Ok(_) => &counts.accepted,
            Err(failure) => match permits(failure) {
                permits if permits.unknown => &counts.unknown,
                permits if permits.breaker => &counts.failed,
                _ => &counts.refused,
            },
        };
        count.fetch_add(1, Ordering::Relaxed);
        Tried::Answered(answer)
    }

    pub(super) fn passed_on(&self) {
        self.counts.passed_on.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self, now: Instant) -> ProviderStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ProviderStatus {
            name: self.name.to_string(),
            breaker: self.breaker.state(now),
            connections: self.connections,
            accepted: read(&self.counts.accepted),
            refused: read(&self.counts.refused),
            failed: read(&self.counts.failed),
            unknown: read(&self.counts.unknown),
            passed_on: read(&self.counts.passed_on),
        }
    }
}
