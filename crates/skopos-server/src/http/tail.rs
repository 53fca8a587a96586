//! Live tail: spans and log records as they arrive, as NDJSON.
//!
//! Every tail is one task that reads what the store hands out, and one bounded queue of written
//! lines that its connection empties.
//!
//! - What is more than the rate allows is counted and told, never silently left out; so is what
//!   went by while the reader was too slow. Ingest never waits for a reader.
//! - A tail is reaped when its connection closes, when its reader takes nothing for
//!   [`WAITS`]`.reader`, and when the server stops. There are at most so many
//!   ([`QueryEngine::follow`](crate::query::QueryEngine::follow)); one more is refused by name.

mod feed;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::RecordBatch;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::{HeaderValue, header};
use skopos_model::event::{EventOrder, EventScan, EventSignal};
use skopos_model::storage::StorageError;
use skopos_model::{TimeRange, Timestamp};
use skopos_store::scan::Follower;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::feed::{Feed, Stored};
use super::Route;
use super::events::{self, EventError};
use super::params::Params;
use crate::auth::Scope;
use crate::config::parse_duration;
use crate::error::ApiError;
use crate::query::{FollowPermit, QueryClass, QueryError, Read};
use crate::state::SharedState;

/// How long a tail waits for whom.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// Distance of heartbeats, which tell the rate.
    heartbeat: Duration,
    /// A reader that takes nothing for so long is gone.
    reader: Duration,
}

const WAITS: Waits = Waits { heartbeat: Duration::from_secs(1), reader: Duration::from_secs(30) };
/// Pieces of text that wait for a reader; beyond them the follower waits, and the store's ring
/// counts what it misses.
const QUEUE: usize = 16;
/// Most stored events of a signal that a tail begins with.
const MAX_STORED: usize = 1000;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/tail", Scope::Read, tail)
            .summary(
                "Spans and log records as they arrive, one JSON object a line: {\"log\":…}, \
                 {\"span\":…}, {\"skipped\":n,\"reason\":\"rate\"|\"slow\"|\"stored\"} (stored: older than the first that is \
                 shown), and each second \
                 {\"heartbeat\":true,\"per_second\":n}.",
            )
            .tag("events")
            .param("filter", "Only events that pass this filter (docs/filter.md).")
            .param("signals", "`logs,spans` (default), `logs` or `spans`.")
            .param("rate", "At most so many events a second, 500 by default, 10000 at most.")
            .param("since", "Begin with the events of this last while, such as 10s.")
            .param("follow", "`false`: end after what is stored.")
            .produces("application/x-ndjson")
            .schema("TailLine"),
    ]
}

fn signals(text: &str) -> Option<Vec<EventSignal>> {
    let mut signals = Vec::new();
    for name in text.split(',') {
        let signal = match name.trim() {
            "logs" => EventSignal::Logs,
            "spans" => EventSignal::Spans,
            _ => return None,
        };
        if !signals.contains(&signal) {
            signals.push(signal);
        }
    }
    Some(signals)
}

async fn tail(State(state): State<SharedState>, request: Request) -> Result<Response, EventError> {
    let params = Params::read(request).await?;
    params.check_names(&["filter", "signals", "rate", "since", "follow"], &[])?;
    let follow = params.parsed("follow", "`true` or `false`", |text| text.parse::<bool>().ok())?;
    let wanted = params.parsed("signals", "`logs,spans`, `logs` or `spans`", signals)?;
    let wanted = wanted.unwrap_or_else(|| vec![EventSignal::Logs, EventSignal::Spans]);
    let rate = events::number(&params, "rate", (1, 500, 10_000))?;
    let since = params.parsed("since", "a duration such as 10s", parse_duration)?;
    let predicates = events::filter(&params)?;
    let permit = state.queries.follow()?;
    let now = state.clock.now();
    let start = since.map_or(Timestamp::MIN, |since| now.saturating_sub(since));
    let scan = |signal| EventScan {
        predicates: predicates.clone(),
        order: EventOrder::NewestFirst,
        // Without a start nothing stored; but an event made before now that arrives later is news.
        limit: Some(if since.is_some() { MAX_STORED } else { 0 }),
        ..EventScan::new(signal, TimeRange::new(start, Timestamp::MAX))
    };
    let read = state.queries.begin("tail", None, QueryClass::Interactive).await?;
    let scans: Vec<EventScan> = wanted.iter().map(|&signal| scan(signal)).collect();
    let opened = read.run(async {
        let (batches, follower) = state.store.follow_all(&scans, read.budget()).await?;
        let signals = wanted.clone();
        let mut left_out = 0;
        for (scan, batches) in scans.iter().zip(&batches) {
            let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            if since.is_some() && rows == MAX_STORED {
                left_out += left_out_of(&state, &read, scan, batches).await?;
            }
        }
        let decode = move || {
            let mut stored = Stored::new(left_out);
            for (signal, batches) in signals.into_iter().zip(&batches) {
                stored.add(signal, batches)?;
            }
            Ok::<_, StorageError>(stored)
        };
        Ok((read.on_blocking_pool(decode).await??, follower))
    });
    let (stored, follower) = opened.await?;
    drop(read);
    let mut feed = Feed::new(rate as u64, state.clock.clone(), Arc::clone(permit.counts()));
    feed.begin_with(stored);
    let (send, receive) = mpsc::channel(QUEUE);
    let shutdown = state.shutdown.clone();
    if follow == Some(false) {
        // All that will ever come fits the queue.
        let _ = feed.take().map(|lines| send.try_send(lines));
    } else {
        tokio::spawn(run(feed, follower, send, shutdown, permit, WAITS));
    }
    let body = Body::from_stream(stream::unfold(receive, async |mut receive| {
        let chunk: Bytes = receive.recv().await?;
        Some((Ok::<_, Infallible>(chunk), receive))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// How many stored events come before those that a tail begins with.
async fn left_out_of(
    state: &SharedState,
    read: &Read,
    scan: &EventScan,
    shown: &[RecordBatch],
) -> Result<u64, QueryError> {
    let after = match shown.last() {
        Some(batch) => events::last_id(batch)?,
        None => None,
    };
    let scan = EventScan { after, projection: events::columns(["id"]), ..scan.clone() };
    events::fold(state, read, &scan, 0_u64, |count, events| {
        *count += events.len() as u64;
        Ok(ControlFlow::Continue(()))
    })
    .await
}

/// Why a tail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection is closed.
    Left,
    /// Nobody read for too long.
    Abandoned,
    /// The server or its store stops.
    Stopped,
}

/// Runs one tail to its end, which frees its place.
async fn run(
    mut feed: Feed,
    mut follower: Follower,
    send: mpsc::Sender<Bytes>,
    shutdown: CancellationToken,
    permit: FollowPermit,
    waits: Waits,
) -> End {
    let end = serve(&mut feed, &mut follower, &send, &shutdown, waits).await;
    if end == End::Abandoned {
        permit.counts().reaped.fetch_add(1, Ordering::Relaxed);
        tracing::info!(sent = feed.sent(), "tail was reaped: its reader took nothing");
    }
    drop((follower, permit));
    end
}

async fn serve(
    feed: &mut Feed,
    follower: &mut Follower,
    send: &mpsc::Sender<Bytes>,
    shutdown: &CancellationToken,
    waits: Waits,
) -> End {
    let mut heartbeat = interval(waits.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    loop {
        if let Some(lines) = feed.take() {
            tokio::select! {
                () = shutdown.cancelled() => return End::Stopped,
                sent = timeout(waits.reader, send.send(lines)) => match sent {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return End::Left,
                    Err(_) => return End::Abandoned,
                },
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return End::Stopped,
            () = send.closed() => return End::Left,
            followed = follower.next() => {
                let Some(followed) = followed else { return End::Stopped };
                if let Err(error) = feed.push(followed) {
                    ApiError::from(error).log();
                    return End::Stopped;
                }
            }
            _ = heartbeat.tick() => feed.beat(),
        }
    }
}

#[cfg(test)]
mod tests;
