//! A provider's bad hour on demand: it hangs, refuses, answers with errors, applies a write and loses the answer.
//!
//! Faults stand before a real backend, so that what a provider may do can be had in a test or in a drill.

use super::object_store::ObjectError;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer, ever; nothing is done.
    Hang,
    /// 503, nothing is done.
    Unavailable,
    /// 409, nothing is done.
    Conflict,
    /// The call is done and its answer is lost.
    ApplyAndDrop,
    /// 403, nothing is done.
    Refuse,
    /// The call is as it should be.
    None,
}

/// Which calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    Writes,
    Reads,
}

/// What the calls of one store meet. Cheap to clone; all clones are one plan.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    writes: Mutex<(VecDeque<Fault>, Option<Fault>)>,
    reads: Mutex<(VecDeque<Fault>, Option<Fault>)>,
    calls: AtomicU64,
}

impl Faults {
    /// The next calls meet these, one each; those after them are as they should be.
    pub fn next(&self, calls: Calls, faults: impl IntoIterator<Item = Fault>) {
        self.lock(calls).0.extend(faults);
    }

    /// Every call meets this until it is taken back with `None`. What `next` has planned comes first.
    pub fn always(&self, calls: Calls, fault: Option<Fault>) {
        self.lock(calls).1 = fault;
    }

    /// Everything is as it should be from now on.
    pub fn clear(&self) {
        for calls in [Calls::Writes, Calls::Reads] {
            *self.lock(calls) = (VecDeque::new(), None);
        }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    fn lock(&self, calls: Calls) -> std::sync::MutexGuard<'_, (VecDeque<Fault>, Option<Fault>)> {
        let plan = match calls {
            Calls::Writes => &self.0.writes,
            Calls::Reads => &self.0.reads,
        };
        plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn through<T>(
        &self,
        calls: Calls,
        provider: &str,
        doing: &str,
        call: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let fault = {
            let mut plan = self.lock(calls);
            plan.0.pop_front().or(plan.1).unwrap_or(Fault::None)
        };
        let (provider, doing) = (provider.to_owned(), doing.to_owned());
        let unknown = |provider, doing, why: &str| ObjectError::Unknown { provider, doing, why: why.to_owned() };
        match fault {
            Fault::None => call.await,
            Fault::Hang => std::future::pending().await,
            Fault::Unavailable => Err(unknown(provider, doing, "503 SlowDown")),
            Fault::Conflict => Err(ObjectError::Conflict { provider, doing }),
            Fault::ApplyAndDrop => {
                _ = call.await;
                Err(unknown(provider, doing, "the connection was lost"))
            }
            Fault::Refuse => {
                let (code, answer) = ("AccessDenied".into(), "Access Denied".into());
                Err(ObjectError::Refused { provider, doing, status: 403, code, answer })
            }
        }
    }
}
