//! A tail on a virtual clock: what is skipped is told, abandoned tails are reaped.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use skopos_model::{Clock, LogRecord, Resource, Scope};
use skopos_store::event::LogBuilder;
use skopos_store::scan::{FollowSource, Followed};
use skopos_testkit::VirtualClock;

use super::*;

/// Yields what it was given, then waits for ever.
struct Script(VecDeque<Followed>);

#[async_trait]
impl FollowSource for Script {
    async fn next(&mut self) -> Option<Followed> {
        match self.0.pop_front() {
            Some(item) => Some(item),
            None => std::future::pending().await,
        }
    }
}

fn batch(rows: u64) -> Followed {
    let mut builder = LogBuilder::default();
    for i in 0..rows {
        let record = LogRecord { body: format!("n{i}").into(), ..LogRecord::default() };
        let id = skopos_model::EventId(u128::from(i));
        builder.push(id, &Resource::default(), &Scope::default(), &record);
    }
    Followed::Batch(EventSignal::Logs, builder.finish())
}

fn lines(feed: &mut Feed) -> Vec<String> {
    let bytes = feed.take().unwrap_or_default();
    let text = std::str::from_utf8(&bytes).unwrap();
    let kind = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        match value["log"]["body"].as_str() {
            Some(body) => body.to_owned(),
            None => value.to_string(),
        }
    };
    text.lines().map(kind).collect()
}

fn feed(rate: u64) -> (Feed, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::default());
    (Feed::new(rate, Arc::clone(&clock) as Arc<dyn Clock>, Arc::default()), clock)
}

#[test]
fn the_rate_is_not_for_what_was_stored() {
    let (mut feed, _) = feed(3);
    let mut stored = Stored::new(7);
    let Followed::Batch(signal, stored_before) = batch(5) else { unreachable!("made above") };
    stored.add(signal, &[stored_before]).unwrap();
    feed.begin_with(stored);
    let told = lines(&mut feed);
    assert_eq!(told[0], r#"{"reason":"stored","skipped":7}"#);
    assert_eq!(told[1..], ["n0", "n1", "n2", "n3", "n4"]);
    feed.push(batch(4)).unwrap();
    assert_eq!(lines(&mut feed), ["n0", "n1", "n2"], "the whole rate is there for what arrives");
}

#[test]
fn what_the_rate_leaves_out_is_told() {
    let (mut feed, clock) = feed(3);
    feed.push(batch(2)).unwrap();
    assert_eq!(lines(&mut feed), ["n0", "n1"]);
    feed.push(batch(5)).unwrap();
    assert_eq!(lines(&mut feed), ["n0"], "one was left of this second");
    feed.push(batch(2)).unwrap();
    assert!(lines(&mut feed).is_empty());
    clock.advance(Duration::from_secs(1));
    feed.push(batch(1)).unwrap();
    assert_eq!(lines(&mut feed), [r#"{"reason":"rate","skipped":6}"#, "n0"]);
    feed.push(Followed::Missed(9)).unwrap();
    assert_eq!(lines(&mut feed), [r#"{"reason":"slow","skipped":9}"#]);
    assert_eq!(feed.sent(), 4);
}

#[test]
fn a_heartbeat_tells_the_rate_and_what_was_skipped() {
    let (mut feed, clock) = feed(1);
    feed.push(batch(10)).unwrap();
    let _ = feed.take();
    clock.advance(Duration::from_secs(2));
    feed.beat();
    let told = lines(&mut feed);
    assert_eq!(told[0], r#"{"reason":"rate","skipped":9}"#);
    assert_eq!(told[1], r#"{"heartbeat":true,"per_second":5}"#);
    clock.advance(Duration::from_secs(1));
    feed.beat();
    assert_eq!(lines(&mut feed), [r#"{"heartbeat":true,"per_second":0}"#]);
}

/// What the two outcomes below are decided by: nobody waits longer than for one of them.
const SHORT: Waits =
    Waits { heartbeat: Duration::from_millis(5), reader: Duration::from_millis(50) };

fn permit(admission: &crate::query::Admission) -> FollowPermit {
    admission.follow().unwrap()
}

#[tokio::test]
async fn a_tail_whose_reader_takes_nothing_is_reaped() {
    let admission = crate::query::Admission::new(1);
    let items = (0..QUEUE + 2).map(|_| batch(1)).collect();
    let follower = Follower::new(Script(items));
    let (send, receive) = mpsc::channel(QUEUE);
    let (feed, _) = feed(1000);
    let started = tokio::time::Instant::now();
    let stop = CancellationToken::new();
    let end = run(feed, follower, send, stop, permit(&admission), SHORT).await;
    assert_eq!(end, End::Abandoned);
    assert!(started.elapsed() >= SHORT.reader);
    assert_eq!(admission.stats().following, 0, "its place is free");
    assert_eq!(admission.stats().reaped, 1);
    drop(receive);
}

#[tokio::test]
async fn a_tail_ends_with_its_connection_and_with_the_server() {
    let admission = crate::query::Admission::new(1);
    let quiet = || Follower::new(Script(VecDeque::new()));
    let (send, receive) = mpsc::channel(QUEUE);
    let task = tokio::spawn(run(
        feed(1).0,
        quiet(),
        send,
        CancellationToken::new(),
        permit(&admission),
        SHORT,
    ));
    drop(receive);
    assert_eq!(task.await.unwrap(), End::Left);
    let (send, mut receive) = mpsc::channel(QUEUE);
    let shutdown = CancellationToken::new();
    let task =
        tokio::spawn(run(feed(1).0, quiet(), send, shutdown.clone(), permit(&admission), SHORT));
    assert!(receive.recv().await.is_some_and(|line| line.starts_with(b"{\"heartbeat\":true")));
    shutdown.cancel();
    assert_eq!(task.await.unwrap(), End::Stopped);
    assert_eq!(admission.stats().following, 0);
}
