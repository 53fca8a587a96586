//! Records as they arrive, as NDJSON.
//!
//! The store hands out what is stored and what comes later in one step, so that the stream has
//! neither gap nor repeat. A reader that is too slow is told how many records it missed; ingest
//! never waits for it. Abandoned streams end with their connection: a heartbeat finds out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use arrow_array::RecordBatch;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::{HeaderValue, header};
use skopos_model::event::EventOrder;
use skopos_store::scan::{Followed, Follower};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::filter::{self, Filter};
use super::print::push_log;
use crate::error::ApiError;
use crate::http::events::EventError;
use crate::query::{FollowPermit, QueryClass};
use crate::state::SharedState;

/// Distance of heartbeats on a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn follow(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, EventError> {
    let now = state.clock.now();
    let filter = Filter::read(request, now, filter::FOLLOW).await?;
    let permit = state.queries.follow()?;
    // The newest stored records, then told in the order they happened.
    let mut scan = filter.scan(EventOrder::NewestFirst);
    if !filter.has_start {
        // Nothing stored; but a record made before now that arrives later is news.
        scan.limit = Some(0);
    }
    let read = state.queries.begin("logs/follow", None, QueryClass::Interactive).await?;
    let opened = read.run(async {
        let (stored, follower) = state.store.follow(&scan, read.budget()).await?;
        let mut logs = read.on_blocking_pool(move || super::decode(&stored)).await??;
        logs.reverse();
        Ok((logs, follower))
    });
    let (stored, follower) = opened.await?;
    let mut lines = VecDeque::new();
    for log in stored {
        lines.push_back(line(|out| push_log(out, &log)));
    }
    let shutdown = state.shutdown.clone();
    let feed = Feed::new(lines, follower, shutdown, HEARTBEAT, Some(permit));
    let body = Body::from_stream(stream::unfold(feed, async |mut feed| {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// One open stream.
struct Feed {
    /// Lines not yet sent.
    lines: VecDeque<String>,
    follower: Follower,
    heartbeat: Interval,
    shutdown: CancellationToken,
    ended: bool,
    _permit: Option<FollowPermit>,
}

impl Feed {
    fn new(
        lines: VecDeque<String>,
        follower: Follower,
        shutdown: CancellationToken,
        heartbeat: Duration,
        permit: Option<FollowPermit>,
    ) -> Self {
        let mut heartbeat = interval(heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        Self { lines, follower, heartbeat, shutdown, ended: false, _permit: permit }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.lines.is_empty() {
                let chunk: String = self.lines.drain(..).collect();
                return Some(Bytes::from(chunk));
            }
            if self.ended {
                return None;
            }
            let followed = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                followed = self.follower.next() => followed,
                _ = self.heartbeat.tick() => {
                    self.lines.push_back("{\"heartbeat\":true}\n".to_owned());
                    continue;
                }
            };
            match followed {
                Some(Followed::Batch(_, batch)) => self.push(&batch),
                Some(Followed::Missed(count)) => {
                    self.lines.push_back(format!("{{\"missed\":{count}}}\n"));
                }
                None => self.ended = true,
            }
        }
    }

    fn push(&mut self, batch: &RecordBatch) {
        match skopos_store::event::logs(batch) {
            Ok(logs) => {
                let lines = logs.iter().map(|log| line(|out| push_log(out, log)));
                self.lines.extend(lines);
            }
            Err(error) => {
                ApiError::from(error).log();
                self.ended = true;
            }
        }
    }
}

fn line(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::from("{\"log\":");
    write(&mut out);
    out.push_str("}\n");
    out
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use skopos_store::scan::FollowSource;

    use super::*;

    /// Yields what it was given, then waits for ever or ends.
    struct Script {
        items: VecDeque<Followed>,
        ends: bool,
    }

    #[async_trait]
    impl FollowSource for Script {
        async fn next(&mut self) -> Option<Followed> {
            match self.items.pop_front() {
                Some(item) => Some(item),
                None if self.ends => None,
                None => std::future::pending().await,
            }
        }
    }

    fn feed(items: Vec<Followed>, ends: bool, heartbeat: Duration) -> (Feed, CancellationToken) {
        let follower = Follower::new(Script { items: items.into(), ends });
        let shutdown = CancellationToken::new();
        (Feed::new(VecDeque::new(), follower, shutdown.clone(), heartbeat, None), shutdown)
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let (mut feed, _) = feed(vec![Followed::Missed(7)], true, HEARTBEAT);
        assert_eq!(feed.next().await.unwrap(), "{\"missed\":7}\n");
        assert_eq!(feed.next().await, None);
    }

    #[tokio::test]
    async fn a_quiet_stream_beats_until_shutdown() {
        let (mut feed, shutdown) = feed(Vec::new(), false, Duration::from_millis(1));
        for _ in 0..3 {
            assert_eq!(feed.next().await.unwrap(), "{\"heartbeat\":true}\n");
        }
        shutdown.cancel();
        assert_eq!(feed.next().await, None);
    }
}
