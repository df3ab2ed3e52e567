//! Places where a process may die, with names, so that a drill can let it die there.
//!
//! `MILLRACE_CRASH_AT=fulfilments.handled` ends the process at the first passing of that place, as `kill -9` would: nothing is
//! written, closed or answered any more. Unset, a place costs a comparison.

use std::sync::OnceLock;

/// Name of the variable.
const VARIABLE: &str = "MILLRACE_CRASH_AT";

/// Passes a place of a worker or process; dies there if a drill says so.
pub fn point(owner: &str, place: &str) {
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    let Some(wanted) = WANTED.get_or_init(|| std::env::var(VARIABLE).ok()) else { return };
    if is(wanted, owner, place) {
        tracing::error!(owner, place, "the process ends here because {VARIABLE} says so");
        std::process::abort();
    }
}

fn is(wanted: &str, owner: &str, place: &str) -> bool {
    wanted.split_once('.').is_some_and(|(named, at)| named == owner && at == place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_an_owner_and_a_name() {
        assert!(is("fulfilments.handled", "fulfilments", "handled"));
        assert!(!is("fulfilments.handled", "letters", "handled"));
        assert!(!is("fulfilments.handled", "fulfilments", "taken") && !is("handled", "handled", ""));
        point("nobody", "nowhere");
    }
}
