//! How it comes down: flush, shutdown, and what the last handle does when nobody called either.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Inner, Telemetry};
use crate::log::writer::LineWriter;
use crate::{ShutdownReport, clock};

#[cfg(feature = "otlp")]
use crate::export::{self, Exporter, metrics::Pusher};

/// How long dropping the last handle may wait for a flush. Call [`Telemetry::shutdown`] to choose.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

impl Telemetry {
    /// Sends and writes what is waiting, for at most `timeout`; returns whether all of it arrived. What there was no time for is
    /// not lost: it is sent later.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert!(telemetry.flush(std::time::Duration::from_secs(5)));
    /// ```
    pub fn flush(&self, timeout: Duration) -> bool {
        let (left, is_written, is_told) = self.inner.flush(clock::instant() + timeout, false);
        left == (0, 0) && is_written && is_told
    }

    /// Flushes and stops, for at most `timeout`. Works on any runtime or none, and blocks no worker: a thread of our own
    /// waits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let report = telemetry.shutdown(std::time::Duration::from_secs(5)).await;
    /// eprintln!("{report}"); // telemetry flushed, nothing lost
    /// # assert!(report.is_complete());
    /// # }
    /// ```
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let (done, report) = tokio::sync::oneshot::channel();
        let telemetry = self.clone();
        let started =
            std::thread::Builder::new().name("skopos-shutdown".to_owned()).spawn(move || {
                let _ = done.send(telemetry.shutdown_blocking(timeout));
            });
        match started {
            // It panicked, in a clock that was given to us perhaps: nobody knows what was written.
            Ok(_) => report.await.unwrap_or_else(|_| ShutdownReport {
                timed_out: true,
                ..ShutdownReport::default()
            }),
            // No thread to be had: better to block than to lose everything.
            Err(_) => self.shutdown_blocking(timeout),
        }
    }

    /// As [`Telemetry::shutdown`], for code without a runtime.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let report = telemetry.shutdown_blocking(std::time::Duration::from_secs(5));
    /// assert!(report.is_complete(), "{report}");
    /// ```
    pub fn shutdown_blocking(&self, timeout: Duration) -> ShutdownReport {
        self.inner.shutdown(clock::instant() + timeout)
    }
}

impl Inner {
    /// Flushes the exporters at once, and then the lines. Returns what did not arrive of logs and spans (at the end: what is
    /// left behind), whether the lines are written, and whether the collector has the latest metrics.
    fn flush(&self, deadline: Instant, closing: bool) -> ((u64, u64), bool, bool) {
        self.parts.pipeline.tell_suppressed();
        if let Some(console) = &self.console_metrics {
            if closing { console.close() } else { console.tell() }
        }
        #[cfg(feature = "otlp")]
        let (left, is_told) =
            {
                // All begin before one is waited for: each has a thread of its own, and they share the time.
                let spans = self.spans.as_ref().map(|it| (it, it.begin_flush(deadline, closing)));
                let pusher = self.pusher.as_ref().map(|it| (it, it.begin_flush(deadline, closing)));
                let logs = self.logs.as_ref().map(|it| (it, it.begin_flush(deadline, closing)));
                let spans = spans.map_or(0, |(spans, flush)| {
                    if closing { spans.close(&flush) } else { spans.end_flush(&flush) }
                });
                let is_told = pusher.is_none_or(|(pusher, flush)| {
                    if closing { pusher.close(&flush) } else { pusher.end_flush(&flush) }
                });
                let logs = logs.map_or(0, |(logs, flush)| {
                    if closing { logs.close(&flush) } else { logs.end_flush(&flush) }
                });
                ((logs, spans), is_told)
            };
        #[cfg(not(feature = "otlp"))]
        let (left, is_told) = ((0, 0), true);
        // A flush that only just missed still deserves its lines.
        let is_written = self.writer.as_ref().is_none_or(|writer| {
            writer.flush(deadline.max(clock::instant() + Duration::from_millis(50)))
        });
        (left, is_written, is_told)
    }

    /// Stops without a word to anybody: another one has the place, and speaks for the same service.
    pub(super) fn abandon(&self) {
        self.is_down.store(true, Ordering::Relaxed);
        if let Some(console) = &self.console_metrics {
            console.abandon();
        }
        #[cfg(feature = "otlp")]
        {
            if let Some(logs) = &self.logs {
                logs.abandon();
            }
            if let Some(spans) = &self.spans {
                spans.abandon();
            }
            if let Some(pusher) = &self.pusher {
                pusher.abandon();
            }
        }
    }

    fn shutdown(&self, deadline: Instant) -> ShutdownReport {
        self.is_down.store(true, Ordering::Relaxed);
        let ((logs_left, spans_left), is_written, is_told) = self.flush(deadline, true);
        #[cfg(feature = "otlp")]
        let (exported, logs_dropped, spans_dropped) = {
            let logs = self.logs.as_ref().map(export::Counted::counts);
            let spans = self.spans.as_ref().map(export::Counted::counts);
            let exported = logs.map_or(0, |counts| counts.exported.load(Ordering::Relaxed))
                + spans.map_or(0, |counts| counts.exported.load(Ordering::Relaxed));
            (
                exported,
                logs.map_or(0, export::Counts::dropped),
                spans.map_or(0, export::Counts::dropped),
            )
        };
        #[cfg(not(feature = "otlp"))]
        let (exported, logs_dropped, spans_dropped) = (0, 0, 0);
        #[cfg(feature = "otlp")]
        let cause = self.trouble();
        #[cfg(not(feature = "otlp"))]
        let cause = None;
        ShutdownReport {
            exported,
            // What is left behind is counted among what is dropped.
            logs_lost: logs_dropped,
            spans_lost: spans_dropped,
            lines_lost: self.writer.as_ref().map_or(0, LineWriter::dropped),
            metrics_lost: !is_told,
            timed_out: logs_left + spans_left > 0 || !is_written,
            cause,
        }
    }

    /// What keeps telemetry from a collector just now.
    #[cfg(feature = "otlp")]
    fn trouble(&self) -> Option<String> {
        use export::Counted as _;
        let spans = self.spans.as_ref().and_then(Exporter::trouble);
        let logs = || self.logs.as_ref().and_then(Exporter::trouble);
        spans.or_else(logs).or_else(|| self.pusher.as_ref().and_then(Pusher::trouble))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.is_down.load(Ordering::Relaxed) {
            self.shutdown(clock::instant() + DROP_PATIENCE);
        }
    }
}
