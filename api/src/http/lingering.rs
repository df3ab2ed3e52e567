//! A request body whose rest is read and thrown away when nobody wants it any more.
//!
//! An answer that is given before the whole body came (no room, too large, no permission) ends an HTTP/1 connection
//! while the client is still sending. The kernel answers what comes then with a reset, and a reset throws away the
//! answer too if the client has not read it yet. So the rest is taken for a while (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;

/// The most bytes that are thrown away.
const MOST: u64 = 64 << 20;
/// The longest time, and the longest silence: a client that sends nothing more has stopped to read the answer.
const LONGEST: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(1);

/// Wraps a body; on drop the rest of it is read in the background, within limits.
#[derive(Debug)]
pub struct Lingering<B>
where
    B: Body + Unpin + Send + 'static,
{
    /// `None` once it ended or failed.
    rest: Option<B>,
}

impl<B> Lingering<B>
where
    B: Body + Unpin + Send + 'static,
{
    pub fn new(body: B) -> Self {
        Self { rest: Some(body) }
    }
}

impl<B> Body for Lingering<B>
where
    B: Body + Unpin + Send + 'static,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.rest else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            this.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Lingering<B>
where
    B: Body + Unpin + Send + 'static,
{
    fn drop(&mut self) {
        // One that is announced as larger than what is taken is not begun with.
        let unread = |body: &B| !body.is_end_stream() && body.size_hint().lower() <= MOST;
        if let Some(body) = self.rest.take().filter(unread)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(LONGEST, throw_away(body)));
        }
    }
}

async fn throw_away<B: Body + Unpin>(mut body: B) {
    let mut taken = 0;
    while taken <= MOST {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        match tokio::time::timeout(SILENCE, frame).await {
            Ok(Some(Ok(frame))) => taken += frame.data_ref().map_or(0, |data| data.remaining() as u64),
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::{SinkExt, StreamExt, channel::mpsc};
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::convert::Infallible;

    #[tokio::test]
    async fn a_body_is_handed_on() {
        let body = Lingering::new(Full::new(Bytes::from_static(b"whole")));
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_dropped_one_is_taken_up_to_a_limit() {
        let (mut sender, receiver) = mpsc::channel::<Bytes>(0);
        let frames = receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        drop(Lingering::new(StreamBody::new(frames)));
        let piece = Bytes::from(vec![0; 1 << 20]);
        let mut taken = 0;
        while sender.send(piece.clone()).await.is_ok() {
            taken += 1;
        }
        assert!((65..=67).contains(&taken), "{taken} MiB");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_is_not_waited_for() {
        let (sender, receiver) = mpsc::channel::<Bytes>(0);
        let frames = receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        drop(Lingering::new(StreamBody::new(frames)));
        tokio::time::sleep(SILENCE * 2).await;
        assert!(sender.is_closed());
    }
}
