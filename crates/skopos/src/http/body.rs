//! The response body under observation: the request ends when the body does, or when nobody wants it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::observation::Observation;

pin_project! {
    /// A response body that ends the observation of its request.
    pub struct ObservedBody<B> where B: Body {
        #[pin]
        inner: B,
        observation: Option<Observation>,
    }

    impl<B> PinnedDrop for ObservedBody<B> where B: Body {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(observation) = this.observation {
                observation.is_body_cut = !this.inner.is_end_stream() && !is_sent_whole(&this.inner.size_hint());
            }
        }
    }
}

/// Servers need not poll a body of known length again after its last byte.
fn is_sent_whole(left: &SizeHint) -> bool {
    left.exact() == Some(0)
}

impl<B: Body> ObservedBody<B> {
    pub(super) fn new(inner: B, observation: Option<Observation>) -> ObservedBody<B> {
        ObservedBody { inner, observation }
    }
}

impl<B: Body> std::fmt::Debug for ObservedBody<B> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ObservedBody").finish_non_exhaustive()
    }
}

impl<B: Body> Body for ObservedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = {
            let _scope = this.observation.as_ref().map(|observation| observation.context.enter());
            let _entered = this.observation.as_ref().map(|observation| observation.span.enter());
            this.inner.poll_frame(context)
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(observation)) =
            (&polled, this.observation.as_mut())
        {
            let sent = frame.data_ref().map_or(0, |data| data.remaining());
            observation.sent_bytes += sent as u64;
            if let Some(trailers) = frame.trailers_ref() {
                observation.grpc.read(trailers);
            }
        }
        match &polled {
            Poll::Ready(None) => drop(this.observation.take()),
            Poll::Ready(Some(Err(_))) => {
                if let Some(mut observation) = this.observation.take() {
                    observation.is_body_cut = true;
                }
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
