//! Waiting out an outage: a command that the log did not take is given again until it does or patience ends.

use bus_schema::keys::KeyError;
use std::time::Duration;
use writers::{StoreError, WriteError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the same command may succeed later without anybody doing anything.
pub(super) fn passes(error: &WriteError) -> bool {
    match error {
        WriteError::Conflict => true,
        WriteError::Store(error) => {
            matches!(error, StoreError::Unreachable(_) | StoreError::Unknown(_) | StoreError::Conflict)
        }
        WriteError::Key(error) => matches!(error, KeyError::Read(_) | KeyError::Write(_)),
        _ => false,
    }
}

/// Gives a command until it has an answer that will not change by itself, at most about as long as `patience`.
pub(super) async fn persevere<T, R>(patience: Duration, mut attempt: impl FnMut() -> R) -> Result<T, WriteError>
where
    R: Future<Output = Result<T, WriteError>>,
{
    let started = tokio::time::Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Err(error) if passes(&error) && started.elapsed() + pause < patience => {
                tracing::warn!(%error, "an import waits for the log");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> WriteError {
        StoreError::Unreachable("gone".into()).into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_out_but_not_for_ever() {
        let mut attempts = 0;
        let answer = persevere(Duration::from_secs(60), || {
            attempts += 1;
            std::future::ready(if attempts < 8 { Err(unreachable()) } else { Ok(attempts) })
        });
        assert_eq!(answer.await.unwrap(), 8);
        let started = tokio::time::Instant::now();
        let answer: Result<(), _> = persevere(Duration::from_secs(60), || std::future::ready(Err(unreachable()))).await;
        assert!(matches!(answer, Err(WriteError::Store(StoreError::Unreachable(_)))));
        assert!((50..=60).contains(&started.elapsed().as_secs()));
    }

    #[tokio::test]
    async fn what_cannot_pass_is_answered_at_once() {
        let answer: Result<(), _> =
            persevere(Duration::from_secs(60), || std::future::ready(Err(StoreError::Full("full".into()).into())))
                .await;
        assert!(matches!(answer, Err(WriteError::Store(StoreError::Full(_)))));
    }
}
