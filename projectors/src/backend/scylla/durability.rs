//! How long the servers keep what they acknowledged in memory only: a lane that begins must go back further than that.

use super::options::Options;
use crate::read_store::ReadStoreError;
use scylla::client::session::Session;
use std::time::Duration;

/// Where servers tell it: Cassandra, ScyllaDB.
const SETTINGS: [&str; 2] = [
    "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync_period'",
    "SELECT value FROM system.config WHERE name = 'commitlog_sync_period_in_ms'",
];

/// Refuses a window that is shorter. Servers that do not tell are believed to have their default, which ours exceeds.
pub(super) async fn check(session: &Session, options: &Options) -> Result<(), ReadStoreError> {
    for setting in SETTINGS {
        let Ok(found) = session.query_unpaged(setting, ()).await else { continue };
        let Ok(rows) = found.into_rows_result() else { continue };
        let Ok(Some((Some(text),))) = rows.maybe_first_row::<(Option<String>,)>() else { continue };
        let Some(period) = period(&text) else { continue };
        if period >= options.safety_window {
            return Err(ReadStoreError::Misconfigured {
                place: options.place(),
                what: format!(
                    "its commit log is synced every {period:?}, but views begin only {:?} before their last checkpoint; make the window \
                     longer than the period (window=SECONDS in the address), or commitlog_sync_period shorter",
                    options.safety_window
                ),
            });
        }
    }
    Ok(())
}

/// `10000ms`, `10s`, `1m`, or a number of milliseconds.
fn period(text: &str) -> Option<Duration> {
    let text = text.trim().trim_matches('"');
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_as_servers_write_them() {
        for (text, expected) in
            [("10000ms", Some(10_000)), ("10s", Some(10_000)), ("1m", Some(60_000)), ("10000", Some(10_000))]
        {
            assert_eq!(period(text), expected.map(Duration::from_millis), "{text}");
        }
        for text in ["", "null", "-1ms", "10 parsecs"] {
            assert_eq!(period(text), None, "{text}");
        }
    }
}
