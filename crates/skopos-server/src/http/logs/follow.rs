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

use super::filter::{self, Filter};
use super::print::push_log;
use crate::error::ApiError;
use crate::query::{FollowPermit, QueryClass};
use crate::state::SharedState;

/// Distance of heartbeats on a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn follow(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, ApiError> {
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
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let feed = Feed { state, lines, follower, heartbeat, ended: false, _permit: permit };
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
    state: SharedState,
    /// Lines not yet sent.
    lines: VecDeque<String>,
    follower: Follower,
    heartbeat: Interval,
    ended: bool,
    _permit: FollowPermit,
}

impl Feed {
    /// The next bytes; `None` at the end. A first empty chunk makes the headers go out at once.
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
                () = self.state.shutdown.cancelled() => return None,
                followed = self.follower.next() => followed,
                _ = self.heartbeat.tick() => {
                    self.lines.push_back("{\"heartbeat\":true}\n".to_owned());
                    continue;
                }
            };
            match followed {
                Some(Followed::Batch(batch)) => self.push(&batch),
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
