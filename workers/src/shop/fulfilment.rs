//! Paid course lines become enrolments: the worker of the process `shop.fulfilment`.
//!
//! Whatever happens to an order, the process is told what the order looks like now, and then driven. The deadline is a timer,
//! set before the first effect; when it fires and something is not done, an alarm is raised, and cleared when it is.

use crate::{
    history::was_brought_in,
    process::{self, Performer, Process},
    runtime::{
        self, Failure, Handler, Item, Job, RuntimeParts, crash,
        timers::{TimerOwner, Timers},
    },
    worker::{Stop, Worker},
};
use bus_schema::{
    Address, AnyEvent, EffectId, Micros, StoredEvent, TenantId,
    bus::{Begin, Bus, Timer},
    catalog::Catalogued,
    learning::enrolment::{EnrolmentSource, WithdrawalReason},
    platform::alarm::AlarmRaised,
    shop::{
        fulfilment::{CourseLine, FulfilmentEvent, RefusalReason, Withdrawal},
        order::{OrderEvent, OrderStatus},
    },
};
use futures::future::BoxFuture;
use std::{path::PathBuf, sync::Arc};
use uuid::Uuid;
use writers::{
    Meta, Rejected, WriteError, Writer,
    crm::contact::Contact,
    learning::enrolment::{self, Enrolment, EnrolmentStatus},
    platform::alarm::{Alarm, AlarmCommand},
    shop::{
        fulfilment::{Fulfilment, FulfilmentCommand, FulfilmentEffect, OrderNow, Patience},
        order::{Order, Placed},
    },
};

/// Of the worker, its consumer and its timers.
pub const NAME: &str = "fulfilments";

const JOB: Job = Job {
    name: NAME,
    aggregates: &[(OrderEvent::CONTEXT, OrderEvent::AGGREGATE), (FulfilmentEvent::CONTEXT, FulfilmentEvent::AGGREGATE)],
    concurrency: 8,
    // Its own streams say what is done already.
    begin: Begin::First,
    patience: runtime::Patience::USUAL,
};

impl Process for Fulfilment {
    type Effect = FulfilmentEffect;

    fn effects(&self, id: Uuid) -> Vec<(EffectId, FulfilmentEffect)> {
        Fulfilment::effects(self, id)
    }
}

/// Starts the worker. `place` is the file with the position before the first process that is not done; it saves time at the
/// next start.
pub fn start(parts: RuntimeParts, patience: Patience, place: PathBuf) -> Worker {
    let fulfilments = Fulfilments::new(&parts, patience, place);
    runtime::start(parts, JOB, fulfilments)
}

/// Who is to be told of its timers; with what the worker is started with.
pub fn timer_owner(parts: &RuntimeParts, patience: Patience, place: PathBuf) -> Arc<dyn TimerOwner> {
    Arc::new(Fulfilments::new(parts, patience, place))
}

#[derive(Clone)]
struct Fulfilments {
    bus: Bus,
    writer: Writer,
    timers: Timers,
    patience: Patience,
    place: PathBuf,
}

impl Fulfilments {
    fn new(parts: &RuntimeParts, patience: Patience, place: PathBuf) -> Self {
        let timers = Timers::new(parts.bus.clone(), NAME);
        Self { bus: parts.bus.clone(), writer: parts.writer.clone(), timers, patience, place }
    }
}

impl Handler for Fulfilments {
    fn handle<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let event = &item.event;
            if !concerns(event)? {
                return Ok(());
            }
            let id = event.subject.address.uuid().ok_or_else(|| Failure::Never("the subject has no id".to_owned()))?;
            self.observe(item, id).await
        })
    }

    /// The order and its process are one key.
    fn key(&self, event: &StoredEvent) -> String {
        format!("{}.{}", event.subject.tenant, event.subject.address.id)
    }
}

/// Whether an event may give the process something to do.
fn concerns(event: &StoredEvent) -> Result<bool, Failure> {
    let decoded = event.decode().map_err(|error| Failure::Never(format!("it cannot be read: {error}")))?;
    let (kind, schema) = (&event.envelope.kind, event.envelope.schema);
    match decoded {
        Some(AnyEvent::Order(OrderEvent::Placed(placed))) => {
            // Only what costs nothing is paid as soon as it is placed.
            Ok(placed.progress.due() <= 0 && placed.lines.iter().any(|line| line.course.is_some()))
        }
        Some(AnyEvent::Order(OrderEvent::Paid(_) | OrderEvent::Refunded(_) | OrderEvent::Cancelled(_))) => Ok(true),
        Some(AnyEvent::Fulfilment(FulfilmentEvent::LineReopened(_))) => Ok(true),
        Some(_) => Ok(false),
        None => {
            Err(Failure::Never(format!("{kind} @ {schema} is of a newer version; upgrade, then let it be tried again")))
        }
    }
}

/// When an event happened that was brought in long after; `None`: it was stored as it happened.
async fn history(bus: &Bus, event: &StoredEvent) -> Result<Option<Micros>, Failure> {
    let brought_in = was_brought_in(bus, event).await;
    let brought_in = brought_in.map_err(|error| Failure::Later(format!("when it was stored is not known: {error}")))?;
    Ok(brought_in.then_some(event.envelope.at))
}

/// The order as the process has to know it.
fn now(order: &Placed, patience: Patience) -> OrderNow {
    let line = |line: &bus_schema::shop::order::OrderLine| {
        let (product, quantity, unit_price) = (line.product, line.quantity, line.unit_price);
        line.course.map(|course| CourseLine { product, course, quantity, unit_price })
    };
    let progress = &order.progress;
    OrderNow {
        contact: order.contact,
        lines: order.lines.iter().filter_map(line).collect(),
        paid: progress.due() <= 0,
        ended: progress.cancelled || progress.status() == OrderStatus::Refunded,
        refunded: order.refunded_pieces().clone(),
        patience,
    }
}

impl Fulfilments {
    async fn observe(&self, item: &Item, id: Uuid) -> Result<(), Failure> {
        let tenant = &item.event.subject.tenant;
        let order = self.writer.load::<Order>(tenant, id).await?;
        let order = order.state.placed().map(|order| now(order, self.patience));
        let Some(order) = order.filter(|order| !order.lines.is_empty()) else { return Ok(()) };
        let meta = Meta { command: item.effect().part("observe").command(), ..item.meta() };
        let command = FulfilmentCommand::Observe(order);
        self.writer.execute::<Fulfilment>(tenant, id, &meta, &command).await?;
        crash::point(NAME, "observed").await;
        // The log's word: a repeated command is answered with the state of its first time.
        let state = self.writer.load::<Fulfilment>(tenant, id).await?.state.clone();
        let Some(book) = state.book() else { return Ok(()) };
        if !book.is_settled() {
            let set = self.timers.set(tenant, id, book.deadline).await;
            set.map_err(|error| Failure::Later(format!("its timer is not set: {error}")))?;
            crash::point(NAME, "armed").await;
            let performing = Performing { fulfilments: self, at: history(&self.bus, &item.event).await? };
            process::drive::<Fulfilment>(&self.writer, NAME, tenant, id, &performing).await?;
        }
        self.disarm(tenant, id).await
    }

    /// Everything is done: nobody has to look.
    async fn disarm(&self, tenant: &TenantId, id: Uuid) -> Result<(), Failure> {
        let cancelled = self.timers.cancel(tenant, id).await;
        cancelled.map_err(|error| Failure::Later(format!("its timer is not cancelled: {error}")))?;
        let alarm = alarm_id(id);
        if self.writer.load::<Alarm>(tenant, alarm.0).await?.state.is_raised() {
            let meta = Meta::system(NAME, bus_schema::CommandId::random());
            self.writer.execute::<Alarm>(tenant, alarm.0, &meta, &AlarmCommand::Clear).await?;
        }
        Ok(())
    }

    async fn enrol(
        &self,
        tenant: &TenantId,
        effect: EffectId,
        at: Option<Micros>,
        (product, course, contact): (Uuid, Uuid, Option<Uuid>),
    ) -> Result<FulfilmentCommand, Failure> {
        let refused = |reason| Ok(FulfilmentCommand::Refused { product, reason });
        let Some(contact) = contact else { return refused(RefusalReason::NoContact) };
        let meta = Meta { at, ..Meta::system(NAME, effect.command()) };
        let enrolled = enrolment::enrol(&self.writer, tenant, &meta, course, contact, EnrolmentSource::Order).await;
        let rejected = match enrolled {
            Ok((enrolment, receipt)) => {
                let round = receipt.value.state.begun().map_or(1, |begun| begun.round);
                return Ok(FulfilmentCommand::Enrolled { product, enrolment, round });
            }
            Err(WriteError::Rejected(rejected)) => rejected,
            Err(error) => return Err(error.into()),
        };
        match refusal(&rejected) {
            Some(reason) => refused(reason),
            None => Err(WriteError::Rejected(rejected).into()),
        }
    }

    /// Whether somebody is in a course: then it may be by this very effect, before a death.
    async fn is_learner(&self, tenant: &TenantId, course: Uuid, contact: Uuid) -> Result<bool, Failure> {
        let id = enrolment::enrolment_id(&self.writer, tenant, course, contact).await?;
        let enrolment = self.writer.load::<Enrolment>(tenant, id).await?;
        Ok(enrolment.state.status() == Some(EnrolmentStatus::Active))
    }

    async fn withdraw(
        &self,
        tenant: &TenantId,
        effect: EffectId,
        (product, id, round): (Uuid, Uuid, u32),
    ) -> Result<FulfilmentCommand, Failure> {
        let outcome = |outcome| Ok(FulfilmentCommand::Withdrawn { product, outcome });
        let enrolment = self.writer.load::<Enrolment>(tenant, id).await?;
        if enrolment.state.begun().is_none_or(|begun| begun.round != round) {
            return outcome(Withdrawal::Left);
        }
        match enrolment.state.status() {
            Some(EnrolmentStatus::Completed) => return outcome(Withdrawal::Completed),
            Some(EnrolmentStatus::Active | EnrolmentStatus::Withdrawn) | None => {}
        }
        let meta = Meta::system(NAME, effect.command());
        match enrolment::withdraw(&self.writer, tenant, id, &meta, WithdrawalReason::Refunded).await {
            Ok(_) => outcome(Withdrawal::Withdrawn),
            Err(WriteError::Rejected(rejected)) if rejected.code == "already_completed" => {
                outcome(Withdrawal::Completed)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What a refused enrolment means for the line; `None`: nothing that is known.
fn refusal(rejected: &Rejected) -> Option<RefusalReason> {
    Some(match rejected.code {
        "course_full" => RefusalReason::CourseFull,
        "course_not_published" | "course_not_found" | "no_lessons" => RefusalReason::CourseClosed,
        "already_enrolled" | "already_completed" => RefusalReason::AlreadyEnrolled,
        _ => return None,
    })
}

/// Does what a process wants because of an event.
struct Performing<'a> {
    fulfilments: &'a Fulfilments,
    /// Of history that was brought in: when it happened. Who was enrolled then is told nothing now.
    at: Option<Micros>,
}

impl Performer<Fulfilment> for Performing<'_> {
    fn perform<'a>(
        &'a self,
        tenant: &'a TenantId,
        id: EffectId,
        effect: &'a FulfilmentEffect,
    ) -> BoxFuture<'a, Result<FulfilmentCommand, Failure>> {
        Box::pin(async move {
            let this = self.fulfilments;
            match *effect {
                FulfilmentEffect::Enrol { product, course, contact } => {
                    if let Some(contact) = contact
                        && this.writer.load::<Contact>(tenant, contact).await?.state.is_erased()
                        && !this.is_learner(tenant, course, contact).await?
                    {
                        return Ok(FulfilmentCommand::Refused { product, reason: RefusalReason::ContactErased });
                    }
                    this.enrol(tenant, id, self.at, (product, course, contact)).await
                }
                FulfilmentEffect::Withdraw { product, enrolment, round } => {
                    this.withdraw(tenant, id, (product, enrolment, round)).await
                }
            }
        })
    }
}

/// The alarm of a fulfilment.
fn alarm_id(fulfilment: Uuid) -> EffectId {
    EffectId::of_process(fulfilment, "overdue")
}

impl TimerOwner for Fulfilments {
    fn due<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (tenant, id) = (&timer.tenant, timer.id);
            let alarm = alarm_id(id);
            let part = |what: &str| alarm.part(&format!("{what}:{}", timer.at.0)).command();
            let expire = Meta::system(NAME, part("expire"));
            match self.writer.execute::<Fulfilment>(tenant, id, &expire, &FulfilmentCommand::Expire).await {
                Ok(_) => {}
                // It was set and the order never became a process.
                Err(WriteError::Rejected(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            crash::point(NAME, "expired").await;
            let state = self.writer.load::<Fulfilment>(tenant, id).await?.state.clone();
            let Some(book) = state.book().filter(|book| !book.is_settled()) else { return Ok(()) };
            if !book.overdue {
                // The server's clock is ahead, or the deadline was moved and the timer with it.
                let later = self.writer.clock().now() < book.deadline && book.deadline <= timer.at;
                return if later { Err(Failure::Later("the deadline has not come".to_owned())) } else { Ok(()) };
            }
            let about = Address::new(FulfilmentEvent::CONTEXT, FulfilmentEvent::AGGREGATE, id).to_string();
            let text = format!("an order's paid course lines are not done since {}", shown(book.deadline));
            let raise = AlarmCommand::Raise(AlarmRaised { what: "fulfilment_overdue".to_owned(), about, text });
            self.writer.execute::<Alarm>(tenant, alarm.0, &Meta::system(NAME, part("raise")), &raise).await?;
            // Somebody may have finished it meanwhile, and found no alarm to clear.
            let state = self.writer.load::<Fulfilment>(tenant, id).await?.state.clone();
            match state.book().is_some_and(|book| book.is_settled()) {
                true => self.disarm(tenant, id).await,
                false => Ok(()),
            }
        })
    }

    fn rearm<'a>(&'a self, stop: &'a mut Stop) -> BoxFuture<'a, Result<usize, Failure>> {
        Box::pin(rearm::rearm(self, stop))
    }
}

fn shown(at: Micros) -> String {
    at.to_string().chars().take(19).collect()
}

mod rearm;
#[cfg(test)]
mod tests;
