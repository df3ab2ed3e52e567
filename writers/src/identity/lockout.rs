//! Counting failed sign-ins: after [`FREE_FAILURES`] in a row a window opens in which nothing is tried, and it doubles
//! with every further failure.
//!
//! A password that is right inside a window is refused like a wrong one and changes nothing, otherwise the window
//! would only slow down the honest. Attempts inside a window are not counted either, so nobody can prolong it.

use bus_schema::Micros;
use serde::{Deserialize, Serialize};

/// The failure that opens the first window.
pub const FREE_FAILURES: u32 = 5;
/// Minutes of the first and of the longest window.
const FIRST_MINUTES: i64 = 2;
const LONGEST_MINUTES: i64 = 60;

/// Failures in a row, and the window they opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockout {
    pub failures: u32,
    pub until: Option<Micros>,
}

impl Lockout {
    /// The end of the window that is open now.
    pub fn open_window(&self, now: Micros) -> Option<Micros> {
        self.until.filter(|until| now < *until)
    }

    /// One more failure, at `now`.
    pub fn after_failure(&self, now: Micros) -> Self {
        let failures = self.failures.saturating_add(1);
        let until = failures.checked_sub(FREE_FAILURES).map(|further| {
            let minutes = FIRST_MINUTES.checked_shl(further.min(16)).unwrap_or(LONGEST_MINUTES).min(LONGEST_MINUTES);
            now.plus_seconds(minutes * 60)
        });
        Self { failures, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_double_up_to_an_hour() {
        let (mut lockout, mut now) = (Lockout::default(), Micros(0));
        let mut minutes = Vec::new();
        for _ in 0..12 {
            lockout = lockout.after_failure(now);
            minutes.push(lockout.until.map_or(0, |until| (until.0 - now.0) / 60_000_000));
            now = lockout.until.unwrap_or(now);
        }
        assert_eq!(minutes, [0, 0, 0, 0, 2, 4, 8, 16, 32, 60, 60, 60]);
        let far = Lockout { failures: u32::MAX, until: None }.after_failure(Micros(0));
        assert_eq!(far, Lockout { failures: u32::MAX, until: Some(Micros(3_600_000_000)) });
    }

    #[test]
    fn a_window_ends_exactly() {
        let lockout = Lockout { failures: 5, until: Some(Micros(100)) };
        assert_eq!(lockout.open_window(Micros(99)), Some(Micros(100)));
        assert_eq!(lockout.open_window(Micros(100)), None);
    }
}
