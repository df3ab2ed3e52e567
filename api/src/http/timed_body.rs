//! A request body that fails when it comes too slowly, so that a slow client cannot hold a handler for ever.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::ServerLimits;

/// A body was cut off because it came too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body came too slowly: {received} bytes in {seconds} s")]
pub struct TooSlow {
    pub received: u64,
    pub seconds: u64,
}

/// Wraps a body with a silence limit and a minimum rate. The timer exists only while the body has to be waited for.
#[derive(Debug)]
pub struct TimedBody<B> {
    inner: B,
    idle: Duration,
    grace: Duration,
    min_rate: u64,
    start: Option<Instant>,
    received: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> TimedBody<B> {
    pub fn new(inner: B, limits: &ServerLimits) -> Self {
        Self {
            inner,
            idle: limits.body_idle_timeout,
            grace: limits.body_grace,
            min_rate: limits.body_min_rate.max(1),
            start: None,
            received: 0,
            timer: None,
        }
    }

    /// The earlier of the end of the allowed silence and the moment by which more bytes are due.
    fn deadline(&self, start: Instant, now: Instant) -> Instant {
        let due = self.grace + Duration::from_millis(self.received.saturating_mul(1000) / self.min_rate);
        (now + self.idle).min(start.checked_add(due).unwrap_or(now + self.idle))
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.timer = None;
                if let Some(Ok(frame)) = &frame {
                    this.received += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                }
                Poll::Ready(frame.map(|outcome| outcome.map_err(Into::into)))
            }
            Poll::Pending => {
                let now = Instant::now();
                let start = *this.start.get_or_insert(now);
                if this.timer.is_none() {
                    this.timer = Some(Box::pin(sleep_until(this.deadline(start, now))));
                }
                if let Some(timer) = &mut this.timer {
                    ready!(timer.as_mut().poll(cx));
                }
                let slow = TooSlow { received: this.received, seconds: now.duration_since(start).as_secs() };
                Poll::Ready(Some(Err(slow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::stream::{self, StreamExt};
    use http_body_util::{BodyExt, StreamBody};

    fn limits() -> ServerLimits {
        ServerLimits {
            body_idle_timeout: Duration::from_secs(5),
            body_grace: Duration::from_secs(10),
            body_min_rate: 100,
            ..ServerLimits::default()
        }
    }

    /// A body of `count` chunks of `size` bytes, one each `pause`.
    async fn read(count: usize, size: usize, pause: Duration) -> Result<usize, String> {
        let chunks = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from(vec![0u8; size])))
        });
        let body = TimedBody::new(StreamBody::new(Box::pin(chunks)), &limits());
        body.collect().await.map(|all| all.to_bytes().len()).map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn steady_bodies_pass() {
        assert_eq!(read(60, 100, Duration::from_secs(1)).await, Ok(6000));
        assert_eq!(read(3, 1, Duration::from_secs(3)).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_trickle_are_cut() {
        assert!(read(2, 10_000, Duration::from_secs(6)).await.unwrap_err().contains("0 bytes"));
        let error = read(60, 1, Duration::from_secs(1)).await.unwrap_err();
        assert!(error.contains("in 10 s"), "{error}");
    }
}
