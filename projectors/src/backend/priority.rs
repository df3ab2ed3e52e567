//! Threads of the engines that work behind everything else. What such a thread starts inherits its priority.

use std::{panic::resume_unwind, thread};

/// The nice value of a thread that gets about a tenth of a processor others want.
const NICE: i32 = 10;

/// Makes the calling thread, and on Linux no other, one of them. Where it is refused, work goes on as before.
pub(super) fn be_nice() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of the views or the index keeps the usual priority");
    }
}

/// Runs something that starts threads of its own on a thread like that.
pub(super) fn nicely<T: Send>(start: impl FnOnce() -> T + Send) -> T {
    let nice = || {
        be_nice();
        start()
    };
    thread::scope(|scope| scope.spawn(nice).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_started_there_is_nice() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let (there, child) = nicely(|| (priority(), thread::spawn(priority).join().unwrap()));
        assert_eq!((priority(), there, child), (before, NICE.max(before), NICE.max(before)));
    }
}
