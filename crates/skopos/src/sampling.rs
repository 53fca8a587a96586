//! Sampling at a rate: so many new traces a second, whatever the load.
//!
//! A bucket of tokens that holds one second's worth. Traces that are continued follow the caller, so a trace is kept whole or
//! not at all. What is decided here is decided at the start; keeping every trace with an error is for the server, which sees
//! how they end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

use crate::clock;

/// Samples new traces at a rate. Cloning shares the rate.
#[derive(Debug, Clone)]
pub(crate) struct RateLimited {
    per_second: f64,
    bucket: Arc<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl RateLimited {
    pub(crate) fn new(per_second: f64) -> RateLimited {
        let bucket = Bucket { tokens: per_second.max(1.0), filled: clock::instant() };
        RateLimited { per_second, bucket: Arc::new(Mutex::new(bucket)) }
    }

    fn takes(&self, now: Instant) -> bool {
        if self.per_second <= 0.0 {
            return false;
        }
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.filled = bucket.filled.max(now);
        // Below one a second a token must still be able to become whole.
        bucket.tokens = (bucket.tokens + elapsed * self.per_second).min(self.per_second.max(1.0));
        let has_one = bucket.tokens >= 1.0;
        if has_one {
            bucket.tokens -= 1.0;
        }
        has_one
    }
}

impl ShouldSample for RateLimited {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        SamplingResult {
            decision: if self.takes(clock::instant()) {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RateLimited;
    use crate::clock;
    use std::time::Duration;

    #[test]
    fn the_rate_holds_over_any_second_and_idle_time_is_not_saved_up() {
        let sampler = RateLimited::new(10.0);
        let start = clock::instant();
        let taken = |from: Duration| {
            (0..1000)
                .filter(|step| sampler.takes(start + from + Duration::from_millis(*step)))
                .count()
        };
        assert!((19..=20).contains(&taken(Duration::ZERO)), "a bucketful and a second's worth");
        assert!((9..=11).contains(&taken(Duration::from_secs(1))));
        assert!((19..=20).contains(&taken(Duration::from_secs(3600))));
    }

    #[test]
    fn slow_rates_and_none() {
        let sampler = RateLimited::new(0.1);
        let start = clock::instant();
        let taken: Vec<u64> =
            (0..60).filter(|second| sampler.takes(start + Duration::from_secs(*second))).collect();
        assert_eq!(taken.len(), 6, "{taken:?}");
        assert!(!RateLimited::new(0.0).takes(start));
    }
}
