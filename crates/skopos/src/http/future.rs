//! The response under way: each poll runs inside the request's span and context.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::HeaderValue;
use http::{HeaderName, Response};
use pin_project_lite::pin_project;

use super::body::ObservedBody;
use super::observation::{Ending, Observation};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pin_project! {
    /// The future of an instrumented service.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        observation: Option<Observation>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, observation: Option<Observation>) -> ResponseFuture<F> {
        ResponseFuture { inner, observation }
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: http_body::Body,
{
    type Output = Result<Response<ObservedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _scope = this.observation.as_ref().map(|observation| observation.context.enter());
            let _entered = this.observation.as_ref().map(|observation| observation.span.enter());
            ready!(this.inner.poll(context))
        };
        let mut observation = this.observation.take();
        let mut response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(observation) = &mut observation {
                    observation.ending = Ending::Failed;
                }
                return Poll::Ready(Err(error));
            }
        };
        if let Some(observation) = &mut observation {
            observation.ending = Ending::Answered(response.status());
            observation.grpc.read(response.headers());
            // The id was checked or made by us: it is a valid header value.
            if let Ok(id) = HeaderValue::from_str(&observation.context.request_id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
        }
        Poll::Ready(Ok(response.map(|body| ObservedBody::new(body, observation))))
    }
}
