//! Work on a stack of known size: templates of tenants recurse as deep as they nest (ADR 0008), and composing and signing
//! many mails would hold up the threads that everything else runs on.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, available_parallelism},
    time::Duration,
};
use tokio::sync::oneshot;

/// Address space, not memory: pages of it are used as far as a template nests.
const STACK: usize = 32 << 20;
/// How long a thread of a [`Stacks`] waits for more work. A stack that was used deeply keeps its memory as long.
const IDLE: Duration = Duration::from_secs(30);

/// Runs it on a thread of its own and waits for it. For what happens now and then: see [`Stacks`].
pub(in crate::mail) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    // Nobody waits any more when the receiver is gone.
    spawn(move || _ = done.send(work()))?;
    result.await.map_err(|_| panicked())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("mails".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

fn panicked() -> io::Error {
    io::Error::other("the thread that makes mails ended in a panic")
}

/// Threads for one window after the other. Making a thread for each costs more than many mails do: its stack is mapped, its first
/// pages are faulted in and all of it is thrown away again.
///
/// A thread is made when work waits and none is idle, by whoever has that work, and inherits its niceness: all users of one of these
/// should have the same. Dropping it ends the threads after what they do.
pub(super) struct Stacks(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is work, or never will be again.
    changed: Condvar,
    most: usize,
    idle: Duration,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    /// Those of them that wait for work.
    idle: usize,
    closed: bool,
}

type Work = Box<dyn FnOnce() + Send>;

impl Stacks {
    /// As many threads as there are processors, at most.
    pub(super) fn new() -> Self {
        Self::of(available_parallelism().map_or(1, usize::from), IDLE)
    }

    fn of(most: usize, idle: Duration) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), most, idle }))
    }

    /// Runs it on one of the threads, when its turn comes, and waits for it.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        self.push(Box::new(move || _ = done.send(work())))?;
        // What panics drops its sender.
        result.await.map_err(|_| panicked())
    }

    fn push(&self, work: Work) -> io::Result<()> {
        let mut state = self.0.lock();
        state.waiting.push_back(work);
        if state.waiting.len() > state.idle && state.threads < self.0.most {
            let shared = self.0.clone();
            match spawn(move || shared.work()) {
                Ok(()) => state.threads += 1,
                // Nobody is there to do it.
                Err(error) if state.threads == 0 => {
                    state.waiting.pop_back();
                    return Err(error);
                }
                // Those that are there come to it.
                Err(_) => {}
            }
        }
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // The hook has reported it; who waits is told by the sender that is gone.
                _ = catch_unwind(AssertUnwindSafe(work));
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.changed.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, sync::Barrier, thread::ThreadId};

    async fn here(stacks: &Stacks) -> ThreadId {
        stacks.run(|| thread::current().id()).await.unwrap()
    }

    /// Waits until so many threads are there.
    async fn shrinks_to(shared: &Shared, threads: usize) {
        while shared.lock().threads != threads {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn threads_are_kept_while_there_is_work_and_end_when_idle() {
        let stacks = Stacks::of(2, Duration::from_millis(300));
        let first = here(&stacks).await;
        let mut seen = HashSet::from([first]);
        for _ in 0..20 {
            seen.insert(here(&stacks).await);
        }
        assert!(seen.contains(&first) && seen.len() <= 2, "{seen:?}");
        shrinks_to(&stacks.0, 0).await;
        assert!(!seen.contains(&here(&stacks).await), "another one is made when there is work again");
    }

    #[tokio::test]
    async fn work_is_done_at_once_on_as_many_threads_as_allowed() {
        let stacks = Stacks::of(2, IDLE);
        let both = Arc::new(Barrier::new(2));
        let met = |both: Arc<Barrier>| stacks.run(move || both.wait().is_leader());
        let (one, other) = tokio::join!(met(both.clone()), met(both));
        assert_ne!(one.unwrap(), other.unwrap());
        let ids = futures::future::join_all((0..50).map(|_| here(&stacks))).await;
        assert!(ids.into_iter().collect::<HashSet<_>>().len() <= 2);
        let shared = stacks.0.clone();
        drop(stacks);
        shrinks_to(&shared, 0).await;
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_costs_no_thread() {
        let stacks = Stacks::of(1, IDLE);
        let before = here(&stacks).await;
        let failed = stacks.run(move || assert_ne!(thread::current().id(), before)).await.unwrap_err();
        assert!(failed.to_string().contains("panic"), "{failed}");
        assert_eq!(here(&stacks).await, before);
    }

    #[tokio::test]
    async fn a_deep_template_has_its_stack() {
        fn deep(levels: usize) -> usize {
            let room = std::hint::black_box([levels; 64]);
            if levels == 0 { room[63] } else { deep(levels - 1) + usize::from(room[0] != levels) }
        }
        assert_eq!(Stacks::new().run(|| deep(20_000)).await.unwrap(), 0);
    }
}
