//! Admission of ingest requests: how many are handled at once and how many bytes they hold.
//!
//! Nothing waits here. A request that finds no room is refused as overload (503 with
//! `Retry-After`, UNAVAILABLE), so that senders back off and memory stays bounded by
//! `limits.inflight_bytes` whatever arrives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Settings;

/// What is read beyond a body that is too large, in multiples of the limit, so that the client
/// hears of it.
const DRAINED_LIMITS: usize = 4;
/// For how long.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes are counted in units of this size, so that 32 bits of permits cover any limit.
const UNIT_BYTES: usize = 1 << 10;

/// Why a request body was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Too many requests or bytes in flight.
    Overloaded,
    /// Larger than `limits.request_bytes`.
    TooLarge,
    /// Not complete within `limits.request_timeout`.
    TimedOut,
    /// The connection broke.
    Broken,
}

/// The gate in front of ingest.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    units: Arc<Semaphore>,
    max_request_bytes: usize,
    request_timeout: Duration,
}

/// Room for one request; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    units: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    held_bytes: usize,
    _request: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(settings: &Settings) -> Self {
        let units = settings.max_inflight_bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        let requests = settings.max_concurrent_requests.min(Semaphore::MAX_PERMITS);
        Self {
            requests: Arc::new(Semaphore::new(requests)),
            units: Arc::new(Semaphore::new(units)),
            max_request_bytes: settings.max_request_bytes,
            request_timeout: settings.request_timeout,
        }
    }

    /// Takes a request in or refuses it at once.
    pub(crate) fn admit(&self) -> Result<Admitted, BodyError> {
        let request = Arc::clone(&self.requests).try_acquire_owned();
        let request = request.map_err(|_| BodyError::Overloaded)?;
        let units = Arc::clone(&self.units);
        Ok(Admitted { units, held: None, held_bytes: 0, _request: request })
    }

    /// Reads a body whole, with every byte accounted for.
    pub(crate) async fn read<B>(
        &self,
        mut body: B,
        admitted: &mut Admitted,
    ) -> Result<Bytes, BodyError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let outcome =
            tokio::time::timeout(self.request_timeout, self.collect(&mut body, admitted)).await;
        if let Ok(Err(BodyError::TooLarge)) = outcome {
            // Closing over unread bytes resets the connection, and a client that never saw its
            // 413 sends the same again.
            let most = self.max_request_bytes.saturating_mul(DRAINED_LIMITS);
            let _ = tokio::time::timeout(DRAIN_PATIENCE, discard(&mut body, most)).await;
        }
        outcome.unwrap_or(Err(BodyError::TimedOut))
    }

    async fn collect<B>(&self, body: &mut B, admitted: &mut Admitted) -> Result<Bytes, BodyError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > self.max_request_bytes as u64 {
            return Err(BodyError::TooLarge);
        }
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyError::Broken)?;
            let Ok(data) = frame.into_data() else { continue };
            if buffer.len() + data.len() > self.max_request_bytes {
                return Err(BodyError::TooLarge);
            }
            admitted.hold(buffer.len() + data.len())?;
            buffer.extend_from_slice(&data);
        }
        Ok(buffer.freeze())
    }

    /// Requests in flight now.
    pub(crate) fn requests_in_flight(&self, settings: &Settings) -> usize {
        settings.max_concurrent_requests.saturating_sub(self.requests.available_permits())
    }
}

/// Reads on without keeping anything, until the end or until `most` bytes have come.
async fn discard<B: http_body::Body<Data = Bytes> + Unpin>(body: &mut B, most: usize) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded >= most {
            return;
        }
    }
}

impl Admitted {
    /// Raises the bytes held to `bytes`.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), BodyError> {
        let wanted = bytes.div_ceil(UNIT_BYTES);
        let missing = wanted.saturating_sub(self.held_bytes.div_ceil(UNIT_BYTES));
        if missing > 0 {
            let count = u32::try_from(missing).map_err(|_| BodyError::TooLarge)?;
            let permit = Arc::clone(&self.units).try_acquire_many_owned(count);
            let permit = permit.map_err(|_| BodyError::Overloaded)?;
            match &mut self.held {
                Some(held) => held.merge(permit),
                None => self.held = Some(permit),
            }
        }
        self.held_bytes = self.held_bytes.max(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn admission(inflight: usize, request: usize, requests: usize) -> Admission {
        Admission::new(&Settings {
            max_inflight_bytes: inflight,
            max_request_bytes: request,
            max_concurrent_requests: requests,
            ..Settings::defaults()
        })
    }

    #[tokio::test]
    async fn bytes_in_flight_are_bounded_and_given_back() {
        let admission = admission(10 << 10, 8 << 10, 9);
        let body = || Full::new(Bytes::from(vec![0; 6 << 10]));
        let mut first = admission.admit().unwrap();
        assert!(admission.read(body(), &mut first).await.is_ok());
        let mut second = admission.admit().unwrap();
        assert_eq!(admission.read(body(), &mut second).await, Err(BodyError::Overloaded));
        drop(first);
        assert!(admission.read(body(), &mut second).await.is_ok());
        let large = Full::new(Bytes::from(vec![0; 9 << 10]));
        assert_eq!(admission.read(large, &mut second).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn what_is_too_large_is_read_to_its_end_within_bounds() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        const CHUNK: usize = 1 << 10;
        for (chunks, want) in [(20, 20), (1_000_000, 9 + 4 * 8)] {
            let read = AtomicUsize::new(0);
            let chunk = |_| {
                read.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(&[0; CHUNK])))
            };
            let stream = futures_util::stream::iter((0..chunks).map(chunk));
            let admission = admission(10 * CHUNK, 8 * CHUNK, 1);
            let mut admitted = admission.admit().unwrap();
            let body = http_body_util::StreamBody::new(stream);
            assert_eq!(admission.read(body, &mut admitted).await, Err(BodyError::TooLarge));
            assert_eq!(read.load(Ordering::Relaxed), want);
        }
    }

    #[tokio::test]
    async fn requests_in_flight_are_bounded() {
        let admission = admission(1 << 20, 1 << 20, 1);
        let held = admission.admit().unwrap();
        assert_eq!(admission.admit().err(), Some(BodyError::Overloaded));
        drop(held);
        assert!(admission.admit().is_ok());
    }
}
