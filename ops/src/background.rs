//! Threads for work that can wait: sending campaigns, copying the log. They are nice to the others, so that somebody's request
//! does not wait for a processor that composes mails; where nobody wants it, they have all of it.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// As of `nice(2)`: a thread of requests gets about ten times the share of one of these.
const NICE: i32 = 10;

/// A runtime of such threads. Dropping it ends what still runs there at its next wait.
pub(crate) struct Background(Option<Runtime>);

impl Background {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("background")
            // Threads they start inherit it. Refused, the work is done as everything else is.
            .on_thread_start(|| _ = rustix::process::nice(NICE))
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// What `start` spawns runs there.
    pub(crate) fn within<T>(&self, start: impl FnOnce() -> T) -> T {
        self.entry().within(start)
    }

    /// A way there for those who come later. It leads nowhere once the threads have ended.
    pub(crate) fn entry(&self) -> Entry {
        Entry(self.0.as_ref().map(|runtime| runtime.handle().clone()))
    }
}

/// See [`Background::entry`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry(Option<Handle>);

impl Entry {
    pub(crate) fn within<T>(&self, start: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(Handle::enter);
        start()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed on a thread of the other runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_threads_are_nicer_than_others() {
        let here = rustix::process::nice(0).unwrap();
        let background = Background::start().unwrap();
        let there = background.within(|| tokio::spawn(async { rustix::process::nice(0).unwrap() })).await.unwrap();
        assert_eq!(there, (here + NICE).min(19));
        let inherited = background.within(|| {
            tokio::spawn(async { std::thread::spawn(|| rustix::process::nice(0).unwrap()).join().unwrap() })
        });
        assert_eq!(inherited.await.unwrap(), there);
        assert_eq!(rustix::process::nice(0).unwrap(), here, "nobody else is");
    }
}
