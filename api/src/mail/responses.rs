//! Hits of mails on their way to the log. Answering a link puts a small value into a bounded queue and never waits; one task
//! holds each hit for a moment, so that what comes with it can be seen (a program follows many links at once), decides
//! what it is taken for and records it as a fact.

mod burst;

use crate::{
    app::App,
    http::metrics::{Counter, Registry},
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header::USER_AGENT};
use burst::Bursts;
use bus_schema::{
    Actor, CommandId, Micros, TenantId,
    keys::KeyDirectory,
    mail::{
        chunk::{ChunkPlace, Proof},
        response::{HONEYPOT, MailClicked, MailLeft, MailOpened, MailRef, ResponseEvent},
    },
    time::Clock,
};
use projectors::{
    Views,
    mail::recipients::{Recipient, SendState},
};
use std::{collections::VecDeque, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use writers::{
    Meta, Writer,
    facts::{Fact, Facts},
    mail::{
        recipients::{Evidence, reconcile},
        response::{BURST, Hit, classify},
        tracking::{TrackedMail, label},
    },
};

/// Hits that may wait, and hits that are held. Beyond it they are dropped and the drop is counted.
const QUEUE: usize = 8_192;
/// Facts recorded in one step.
const FACTS: usize = 500;
/// How long a hit is held: what comes within it belongs to the same burst.
const HOLD: Duration = Duration::from_micros(BURST.unsigned_abs());
/// Hits that are due within it are recorded together: spares a disk sync for each.
const GATHER: Duration = Duration::from_millis(100);

const AHEAD: [HeaderName; 3] =
    [HeaderName::from_static("sec-purpose"), HeaderName::from_static("purpose"), HeaderName::from_static("x-moz")];

/// Takes hits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Responses {
    queue: mpsc::Sender<Message>,
    clock: Clock,
    dropped: Counter,
}

#[derive(Debug)]
enum Message {
    Seen(Seen),
    /// Everything that is held is recorded now, whatever may come with it.
    Flush(oneshot::Sender<()>),
}

/// What was done with a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Opened,
    Clicked { link: u16, target: String },
    Left,
}

/// One hit as it came.
#[derive(Debug)]
struct Seen {
    mail: TrackedMail,
    act: Act,
    get: bool,
    prefetch: bool,
    agent: Option<HeaderValue>,
    /// Where it came from; absent when that says nothing, as behind a proxy.
    network: Option<String>,
    at: Micros,
}

/// What the task works with.
struct Recorder {
    facts: Facts,
    views: Views,
    keys: KeyDirectory,
    writer: Writer,
    held: VecDeque<(Instant, Seen)>,
    bursts: Bursts,
    recorded: Counter,
    lost: Counter,
}

impl Responses {
    /// Starts the task that records; it ends when the last clone is dropped.
    pub fn start(app: &App) -> Self {
        let counter = |outcome| counter(&app.registry, outcome);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let recorder = Recorder {
            facts: app.facts.clone(),
            views: app.views.clone(),
            keys: app.keys.clone(),
            writer: app.writer.clone(),
            held: VecDeque::new(),
            bursts: Bursts::default(),
            recorded: counter("recorded"),
            lost: counter("lost"),
        };
        tokio::spawn(recorder.run(waiting));
        Self { queue, clock: app.clock.clone(), dropped: counter("dropped") }
    }

    /// Takes note of a hit. Never waits.
    pub fn seen(&self, mail: TrackedMail, act: Act, method: &Method, headers: &HeaderMap, network: Option<String>) {
        let ahead = |name: &HeaderName| {
            headers.get(name).is_some_and(|purpose| purpose.as_bytes().windows(8).any(|part| part == b"prefetch"))
        };
        let seen = Seen {
            mail,
            act,
            get: *method != Method::HEAD,
            prefetch: AHEAD.iter().any(ahead),
            agent: headers.get(USER_AGENT).cloned(),
            network,
            at: self.clock.now(),
        };
        if self.queue.try_send(Message::Seen(seen)).is_err() {
            self.dropped.increment();
        }
    }

    /// Records what is held, now. For an orderly stop.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            _ = flushed.await;
        }
    }
}

fn counter(registry: &Registry, outcome: &'static str) -> Counter {
    let help = "Opens and clicks of mails by what became of them: recorded, dropped because too many waited, or lost because \
                the log did not take them.";
    registry.counter("mail_responses_total", help, &[("outcome", outcome)])
}

impl Recorder {
    async fn run(mut self, mut waiting: mpsc::Receiver<Message>) {
        loop {
            let due = self.held.front().map(|(came, _)| *came + HOLD + GATHER);
            tokio::select! {
                message = waiting.recv() => match message {
                    Some(Message::Seen(seen)) => self.hold(seen).await,
                    Some(Message::Flush(done)) => {
                        self.settle(self.held.len()).await;
                        _ = done.send(());
                    }
                    None => {
                        self.settle(self.held.len()).await;
                        return;
                    }
                },
                () = sleep_until(due) => {
                    let past = Instant::now() - HOLD;
                    let count = self.held.iter().take_while(|(came, _)| *came <= past).count();
                    self.settle(count).await;
                }
            }
        }
    }

    async fn hold(&mut self, seen: Seen) {
        if self.held.len() >= QUEUE {
            // So many at once are hardly people; the oldest of them need not be held longer.
            self.settle(FACTS).await;
        }
        self.bursts.note(&seen);
        self.held.push_back((Instant::now(), seen));
    }

    /// Records the oldest of those that are held.
    async fn settle(&mut self, count: usize) {
        let mut left = count.min(self.held.len());
        while left > 0 {
            let batch: Vec<Seen> = self.held.drain(..left.min(FACTS)).map(|(_, seen)| seen).collect();
            left -= batch.len();
            let mut facts = Vec::with_capacity(batch.len());
            for seen in batch {
                self.prove(&seen).await;
                facts.push(self.fact(seen).await);
            }
            let count = facts.len() as u64;
            match self.facts.record_all(&facts).await {
                Ok(()) => self.recorded.add(count),
                Err(error) => {
                    self.lost.add(count);
                    tracing::warn!(%error, count, "opens and clicks of mails could not be recorded and are lost");
                }
            }
        }
    }

    async fn fact(&self, seen: Seen) -> Fact<ResponseEvent> {
        let since_delivery = self.delivered(&seen.mail).await.map(|delivered| seen.at.0 - delivered.0);
        let (burst, mails_of_origin) = self.bursts.around(&seen);
        let origin = self.origin(&seen).await;
        let agent = seen.agent.as_ref().map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let (class, reason) = classify(&Hit {
            open: seen.act == Act::Opened,
            get: seen.get,
            prefetch: seen.prefetch,
            agent: agent.as_deref(),
            since_delivery,
            burst,
            mails_of_origin,
        });
        let (mail, reason) = (seen.mail.mail, reason.to_owned());
        let fact: ResponseEvent = match seen.act {
            Act::Opened => MailOpened { mail, class, reason, origin }.into(),
            Act::Clicked { link, target } => {
                MailClicked { mail, link, target: label(&target), class, reason, origin }.into()
            }
            Act::Left => MailLeft { mail }.into(),
        };
        let meta = Meta::system("responses", CommandId::random());
        let meta = Meta { actor: Actor::Visitor, correlation: mail.campaign, ..meta };
        Fact { tenant: seen.mail.tenant, meta, at: seen.at, fact }
    }

    /// When the provider took the mail, as far as it is known.
    async fn delivered(&self, mail: &TrackedMail) -> Option<Micros> {
        let recipient = self.recipient(mail).await?;
        (recipient.state == SendState::Accepted).then_some(recipient.at)
    }

    /// Whoever has the mail proves that it was taken, also a program.
    async fn prove(&self, seen: &Seen) {
        let MailRef { campaign, contact, seat, .. } = seen.mail.mail;
        let unknown =
            || async { self.recipient(&seen.mail).await.map(|recipient| recipient.state == SendState::Unknown) };
        // The link to leave does not say where its receiver stands; few leave.
        if seat.is_some() && unknown().await != Some(true) {
            return;
        }
        let proof = match seen.act {
            Act::Opened => Proof::Open,
            Act::Clicked { .. } => Proof::Click,
            Act::Left => Proof::Unsubscribe,
        };
        let evidence = vec![Evidence { contact, accepted: true, proof, provider_id: None }];
        let meta = Meta { correlation: campaign, ..Meta::system("responses", CommandId::random()) };
        let (writer, tenant) = (&self.writer, &seen.mail.tenant);
        if let Err(error) = reconcile(writer, tenant, campaign, &meta, evidence).await {
            tracing::warn!(%tenant, %campaign, %error, "an unknown recipient is proven and that is not recorded");
        }
    }

    /// The receiver as the view has it.
    async fn recipient(&self, mail: &TrackedMail) -> Option<Recipient> {
        let MailRef { campaign, contact, seat, .. } = mail.mail;
        let seat = seat?;
        let place = ChunkPlace { campaign, number: seat.chunk };
        match self.views.recipient_at(&mail.tenant, place, seat.index).await {
            Ok(found) => found.filter(|recipient| recipient.contact == contact),
            Err(error) => {
                tracing::debug!(%error, "when a mail was delivered cannot be looked up");
                None
            }
        }
    }

    /// A hash of where it came from, another one each day.
    async fn origin(&self, seen: &Seen) -> Option<String> {
        let network = seen.network.as_ref()?;
        let key = self.keys.tenant(&seen.mail.tenant).await.ok().flatten()?;
        let text = key.claim("mail.origin", &format!("{} {network}", seen.at.date())).to_string();
        text.get(..16).map(str::to_owned)
    }
}

impl Seen {
    /// The link, when one was followed.
    fn link(&self) -> Option<u16> {
        match self.act {
            Act::Clicked { link, .. } => Some(link),
            Act::Opened | Act::Left => None,
        }
    }

    fn is_honeypot(&self) -> bool {
        self.link() == Some(HONEYPOT)
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The tenant of a hit; for keys of what is remembered.
type Receiver = (TenantId, MailRef);

#[cfg(test)]
mod tests;
