//! Places where a process may die or hang, with names, so that a drill can let it happen there.
//!
//! `MILLRACE_CRASH_AT=fulfilments.handled` ends the process at the first passing of that place, as `kill -9` would: nothing is
//! written, closed or answered any more. `MILLRACE_STALL_AT=fulfilments.armed:20` lets whoever passes it hang for 20 seconds,
//! each time, as a dependency that does not answer would. Unset, a place costs a comparison.

use std::{sync::OnceLock, time::Duration};

/// Names of the variables.
const CRASH: &str = "MILLRACE_CRASH_AT";
const STALL: &str = "MILLRACE_STALL_AT";

/// Passes a place of a worker or process; dies or hangs there if a drill says so.
pub async fn point(owner: &str, place: &str) {
    static WANTED: OnceLock<[Option<String>; 2]> = OnceLock::new();
    let [crash, stall] = WANTED.get_or_init(|| [CRASH, STALL].map(|name| std::env::var(name).ok()));
    if crash.as_ref().is_some_and(|wanted| is(wanted, owner, place)) {
        tracing::error!(owner, place, "the process ends here because {CRASH} says so");
        std::process::abort();
    }
    if let Some(rest) = stall.as_ref().and_then(|wanted| rest(wanted, owner, place)) {
        tracing::warn!(owner, place, seconds = rest.as_secs(), "it hangs here because {STALL} says so");
        tokio::time::sleep(rest).await;
    }
}

fn is(wanted: &str, owner: &str, place: &str) -> bool {
    wanted.split_once('.').is_some_and(|(named, at)| named == owner && at == place)
}

fn rest(wanted: &str, owner: &str, place: &str) -> Option<Duration> {
    let (named, seconds) = wanted.split_once(':')?;
    seconds.parse().ok().filter(|_| is(named, owner, place)).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_has_an_owner_and_a_name() {
        assert!(is("fulfilments.handled", "fulfilments", "handled"));
        assert!(!is("fulfilments.handled", "letters", "handled"));
        assert!(!is("fulfilments.handled", "fulfilments", "taken") && !is("handled", "handled", ""));
        assert_eq!(rest("fulfilments.armed:20", "fulfilments", "armed"), Some(Duration::from_secs(20)));
        for (wanted, place) in [("fulfilments.armed:20", "taken"), ("fulfilments.armed", "armed"), ("a.b:c", "armed")] {
            assert_eq!(rest(wanted, "fulfilments", place), None, "{wanted}");
        }
        point("nobody", "nowhere").await;
    }
}
