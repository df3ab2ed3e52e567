//! Work on a stack of known size: templates of tenants recurse as deep as they nest (ADR 0008), and composing and signing
//! many mails would hold up the threads that everything else runs on.

use std::io;
use tokio::sync::oneshot;

/// Address space, not memory: pages of it are used as far as a template nests.
const STACK: usize = 32 << 20;

/// Runs it on a thread of its own and waits for it.
pub(in crate::mail) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    // Nobody waits any more when the receiver is gone.
    let work = move || _ = done.send(work());
    std::thread::Builder::new().name("mails".to_owned()).stack_size(STACK).spawn(work)?;
    result.await.map_err(|_| io::Error::other("the thread that makes mails ended in a panic"))
}
