//! Adaptive group commit.
//!
//! JetStream has no group commit of its own on a single-replica file stream: with `sync_interval: always` every publish
//! is one sync, and an atomic batch costs a handful whatever its size: the server makes files for it and removes them. So
//! the commits that wait at this moment go out as one atomic batch, unless they are few and of one event each: those are
//! plain publishes at once, which cost less than the files ([`FEW`]).
//!
//! At most two batches are under way per stream; while they are, the next one gathers. A subject is never in two
//! batches at once, nor twice in one by two commits: their order would not be known.

use crate::store::{Commit, StoreError};
use bus_schema::{
    bus::{AppendError, Bus, MAX_BATCH, Outgoing},
    subject::Family,
};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How commits are gathered.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// Messages of one batch at most; the server allows 1,000.
    pub max_messages: usize,
    /// Batches under way at once.
    pub in_flight: usize,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { max_messages: 500, in_flight: 2 }
    }
}

/// So many one-event commits at most go out one beside the other. A batch costs the server about as much as a dozen.
const FEW: usize = 12;

/// Commits that may wait; beyond it callers wait for room.
const QUEUE: usize = 8_192;

#[derive(Clone)]
pub(super) struct GroupCommit {
    queue: mpsc::Sender<Pending>,
}

struct Pending {
    commit: Commit,
    reply: oneshot::Sender<Result<u64, StoreError>>,
}

impl GroupCommit {
    pub(super) fn start(bus: Bus, options: GroupOptions) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(bus, options, waiting));
        Self { queue }
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        if commit.messages.is_empty() || commit.messages.len() > MAX_BATCH {
            return Err(StoreError::Misuse(format!("{} messages in one commit", commit.messages.len())));
        }
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unreachable("the log writer has stopped".into());
        self.queue.send(Pending { commit, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| StoreError::Unknown("the log writer stopped before it answered".into()))?
    }
}

/// The subjects of the batches under way.
type Busy = Arc<Mutex<HashSet<String>>>;

async fn run(bus: Bus, options: GroupOptions, mut queue: mpsc::Receiver<Pending>) {
    let places = Arc::new(Semaphore::new(options.in_flight));
    let busy: Busy = Arc::default();
    let mut held: VecDeque<Pending> = VecDeque::new();
    loop {
        if held.is_empty() {
            let Some(first) = queue.recv().await else { return };
            held.push_back(first);
        }
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let group = gather(&mut held, &mut queue, &busy, options.max_messages);
        if group.is_empty() {
            // Everything that waits touches a subject under way: wait until a batch has come back.
            drop(place);
            let Ok(_all) = places.clone().acquire_many_owned(options.in_flight as u32).await else { return };
            continue;
        }
        let (bus, busy) = (bus.clone(), busy.clone());
        tokio::spawn(async move {
            let subjects: Vec<String> = group.iter().flat_map(subjects).map(str::to_owned).collect();
            send(&bus, group).await;
            let mut busy = busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            subjects.iter().for_each(|subject| _ = busy.remove(subject));
            drop(place);
        });
    }
}

/// The subjects a commit must have for itself. Facts expect nothing, so their order among each other is nobody's
/// concern, and any number of them share their few subjects in one batch.
fn subjects(pending: &Pending) -> impl Iterator<Item = &str> {
    let decided = pending.commit.messages.iter().any(|message| message.expect.is_some());
    pending.commit.messages.iter().filter(move |_| decided).map(|message| message.subject.as_str())
}

/// Takes what waits, up to the limit, leaving behind what touches a subject that is taken.
fn gather(
    held: &mut VecDeque<Pending>,
    queue: &mut mpsc::Receiver<Pending>,
    busy: &Busy,
    max_messages: usize,
) -> Vec<Pending> {
    while let Ok(pending) = queue.try_recv() {
        held.push_back(pending);
    }
    let mut busy = busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut blocked: HashSet<String> = HashSet::new();
    let (mut group, mut messages, mut left) = (Vec::new(), 0, VecDeque::new());
    for pending in held.drain(..) {
        let size = pending.commit.messages.len();
        let full = !group.is_empty() && messages + size > max_messages;
        if full || subjects(&pending).any(|subject| busy.contains(subject) || blocked.contains(subject)) {
            // Whoever comes after a commit that must wait may not overtake it on a shared subject.
            blocked.extend(subjects(&pending).map(str::to_owned));
            left.push_back(pending);
            continue;
        }
        messages += size;
        busy.extend(subjects(&pending).map(str::to_owned));
        group.push(pending);
    }
    *held = left;
    group
}

/// Sends a group and answers each of its commits by its own outcome.
async fn send(bus: &Bus, group: Vec<Pending>) {
    if group.len() <= FEW && group.iter().all(|pending| pending.commit.messages.len() == 1) {
        futures::future::join_all(group.into_iter().map(|pending| send_alone(bus, pending))).await;
        return;
    }
    let outcome = append(bus, &messages_of(&group)).await;
    match outcome {
        // One member's conflict refused all: find the guilty, send the others on.
        Err(AppendError::Conflict | AppendError::Duplicate) if group.len() > 1 => split(bus, group).await,
        outcome => answer(group, outcome),
    }
}

/// One read tells which expectations no longer hold; the rest goes out once more as a batch, and one by one if even
/// that is refused.
async fn split(bus: &Bus, group: Vec<Pending>) {
    let expecting = group.iter().flat_map(|pending| &pending.commit.messages).filter(|m| m.expect.is_some());
    let subjects: Vec<String> = expecting.map(|message| message.subject.clone()).collect();
    let Ok(positions) = bus.last_positions(Family::Events, &subjects).await else {
        return one_by_one(bus, group).await;
    };
    let holds = |pending: &Pending| {
        let at = |message: &Outgoing| positions.get(&message.subject).copied().unwrap_or(0);
        pending.commit.messages.iter().all(|message| message.expect.is_none_or(|expect| at(message) == expect))
    };
    let (good, guilty): (Vec<_>, Vec<_>) = group.into_iter().partition(holds);
    answer(guilty, Err(AppendError::Conflict));
    if good.is_empty() {
        return;
    }
    let outcome = append(bus, &messages_of(&good)).await;
    match outcome {
        Err(AppendError::Conflict | AppendError::Duplicate) => one_by_one(bus, good).await,
        outcome => answer(good, outcome),
    }
}

async fn one_by_one(bus: &Bus, group: Vec<Pending>) {
    for pending in group {
        send_alone(bus, pending).await;
    }
}

async fn send_alone(bus: &Bus, pending: Pending) {
    let group = vec![pending];
    let outcome = append(bus, &messages_of(&group)).await;
    answer(group, outcome);
}

fn messages_of(group: &[Pending]) -> Vec<&Outgoing> {
    group.iter().flat_map(|pending| &pending.commit.messages).collect()
}

/// Tells every commit of a group its outcome; positions follow each other in the order of the group.
fn answer(group: Vec<Pending>, outcome: Result<u64, AppendError>) {
    let mut next = outcome.map_err(StoreError::from);
    for pending in group {
        let size = pending.commit.messages.len() as u64;
        _ = pending.reply.send(next.clone());
        next = next.map(|seq| seq + size);
    }
}

/// Appends and returns the position of the first message. What certainly was not stored is tried again a few times.
async fn append(bus: &Bus, messages: &[&Outgoing]) -> Result<u64, AppendError> {
    let count = messages.len() as u64;
    let mut tries = 0;
    loop {
        match bus.publish_all(messages).await {
            Ok(append) if append.duplicate => return Err(AppendError::Duplicate),
            Ok(append) => return Ok(append.last_seq + 1 - count),
            // While servers elect a leader; whoever waits longer goes on later than it could.
            Err(AppendError::Unreachable(_)) if tries < 8 => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis((50 << tries).min(400))).await;
            }
            Err(error) => return Err(error),
        }
    }
}
