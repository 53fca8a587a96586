//! Traces put together out of what arrives: a child often comes before its parent.
//!
//! Bounded: beyond [`MOST_EVENTS`] the trace that has been quiet longest is printed early.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::line::is_pending;

/// A trace that has been quiet for so long is printed.
const QUIET: Duration = Duration::from_secs(2);
/// Events held at once.
const MOST_EVENTS: usize = 20_000;

/// Events by trace, waiting for the rest of theirs.
#[derive(Default)]
pub(super) struct Trees {
    traces: HashMap<String, (Instant, Vec<Value>)>,
    held: usize,
    /// Put out early for want of room.
    early: Vec<Vec<(usize, Value)>>,
}

/// A trace's events in the order of its tree, with their depth.
pub(super) type Tree = Vec<(usize, Value)>;

impl Trees {
    /// Keeps an event of a trace; hands back what belongs to none.
    pub(super) fn take(&mut self, event: Value, now: Instant) -> Option<Value> {
        let trace = event["trace_id"].as_str().unwrap_or("").to_owned();
        if trace.is_empty() {
            return Some(event);
        }
        let entry = self.traces.entry(trace).or_insert_with(|| (now, Vec::new()));
        entry.0 = now;
        entry.1.push(event);
        self.held += 1;
        while self.held > MOST_EVENTS {
            let quietest = self.traces.iter().min_by_key(|(_, (last, _))| *last);
            let Some(id) = quietest.map(|(id, _)| id.clone()) else { break };
            let tree = self.remove(&id);
            self.early.push(tree);
        }
        None
    }

    fn remove(&mut self, id: &str) -> Tree {
        let events = self.traces.remove(id).map(|(_, events)| events).unwrap_or_default();
        self.held -= events.len();
        assemble(events)
    }

    /// The traces that nothing came for lately.
    pub(super) fn take_quiet(&mut self, now: Instant) -> Vec<Tree> {
        let is_quiet = |last: &Instant| now.duration_since(*last) >= QUIET;
        self.take_if(is_quiet)
    }

    /// All traces.
    pub(super) fn take_all(&mut self) -> Vec<Tree> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, wanted: impl Fn(&Instant) -> bool) -> Vec<Tree> {
        let mut ready: Vec<(Instant, String)> = self
            .traces
            .iter()
            .filter(|(_, (last, _))| wanted(last))
            .map(|(id, (last, _))| (*last, id.clone()))
            .collect();
        ready.sort();
        let mut trees = std::mem::take(&mut self.early);
        trees.extend(ready.into_iter().map(|(_, id)| self.remove(&id)));
        trees
    }
}

fn start(event: &Value) -> i64 {
    let nanos = event["start_unix_nano"].as_str().or(event["time_unix_nano"].as_str());
    nanos.and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// Depth first, in order of time; records stand under their span. That a span began is told only of one that is not there.
pub(crate) fn assemble(mut events: Vec<Value>) -> Tree {
    events.sort_by_key(start);
    let is_span = |event: &Value| event["signal"] == "span";
    let id = |event: &Value, key: &str| event[key].as_str().unwrap_or("").to_owned();
    let ended: HashSet<String> =
        events.iter().filter(|event| is_span(event)).map(|span| id(span, "span_id")).collect();
    events.retain(|event| !(is_pending(event) && ended.contains(&id(event, "span_id"))));
    let mut place_of: HashMap<String, usize> = HashMap::new();
    for (at, event) in events.iter().enumerate().filter(|(_, event)| is_span(event)) {
        place_of.entry(id(event, "span_id")).or_insert(at);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    let mut roots = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let parent = id(event, if is_span(event) { "parent_span_id" } else { "span_id" });
        match place_of.get(&parent).filter(|place| !parent.is_empty() && **place != at) {
            Some(&place) => children[place].push(at),
            None => roots.push(at),
        }
    }
    let mut order = Vec::with_capacity(events.len());
    let mut is_placed = vec![false; events.len()];
    // An explicit stack, and spans that are their own ancestors as roots of their own.
    for root in roots.into_iter().chain(0..events.len()) {
        let mut stack = vec![(root, 0)];
        while let Some((at, depth)) = stack.pop() {
            if !std::mem::replace(&mut is_placed[at], true) {
                order.push((at, depth));
                stack.extend(children[at].iter().rev().map(|&child| (child, depth + 1)));
            }
        }
    }
    let mut events: Vec<Option<Value>> = events.into_iter().map(Some).collect();
    order.into_iter().filter_map(|(at, depth)| Some((depth, events[at].take()?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(id: &str, parent: &str, at: i64) -> Value {
        json!({
            "signal": "span", "trace_id": "t", "span_id": id, "parent_span_id": parent, "name": id,
            "start_unix_nano": at.to_string(),
        })
    }

    fn log(span: &str, body: &str, at: i64) -> Value {
        json!({
            "signal": "log", "trace_id": "t", "span_id": span, "name": body,
            "time_unix_nano": at.to_string(),
        })
    }

    fn shape(tree: &Tree) -> String {
        let one = |(depth, event): &(usize, Value)| {
            format!("{}{}", "-".repeat(*depth), event["name"].as_str().unwrap())
        };
        tree.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn children_that_come_first_find_their_place() {
        let events = vec![
            span("c", "b", 30),
            log("b", "said", 25),
            span("b", "a", 20),
            span("d", "a", 40),
            span("a", "", 10),
            log("", "alone", 5),
        ];
        assert_eq!(shape(&assemble(events)), "alone a -b --said --c -d");
        assert_eq!(shape(&assemble(vec![span("x", "y", 1), span("y", "x", 2)])), "x -y");
    }

    #[test]
    fn that_a_span_began_is_told_until_it_ends() {
        let mut began = log("b", "began", 15);
        began["event_name"] = "skopos.pending".into();
        assert_eq!(shape(&assemble(vec![began.clone(), span("a", "", 10)])), "a began");
        assert_eq!(shape(&assemble(vec![began, span("b", "", 15), span("a", "", 10)])), "a b");
    }

    #[test]
    fn a_trace_waits_until_it_is_quiet_and_memory_is_bounded() {
        let mut trees = Trees::default();
        let now = Instant::now();
        assert!(trees.take(json!({"trace_id": ""}), now).is_some());
        assert!(trees.take(span("a", "", 1), now).is_none());
        assert!(trees.take_quiet(now + Duration::from_secs(1)).is_empty());
        assert!(trees.take(span("b", "a", 2), now + Duration::from_secs(1)).is_none());
        assert!(trees.take_quiet(now + Duration::from_secs(2)).is_empty());
        let quiet = trees.take_quiet(now + Duration::from_secs(3));
        assert_eq!(quiet.iter().map(shape).collect::<Vec<_>>(), ["a -b"]);
        for i in 0..=MOST_EVENTS {
            let mut span = span("a", "", 1);
            span["trace_id"] = (i / 10).to_string().into();
            trees.take(span, now + Duration::from_millis(i as u64));
        }
        assert!(trees.held <= MOST_EVENTS);
        assert_eq!(trees.take_quiet(now).len(), 1, "one had to go early");
    }
}
