//! Routes, inhibition rules and time intervals, as texts with their places.
//!
//! Checked here is what needs no matcher and no calendar: keys, durations, names of labels that
//! group, receivers and intervals that exist.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::reader::Reader;
use super::{Located, Place, RawInhibitRule, RawInterval, RawRoute, RawTimeInterval, Receiver};
use crate::rules::nearest;
use crate::rules::yaml::Node;

const ROUTE: &[&str] = &[
    "receiver",
    "group_by",
    "match",
    "match_re",
    "matchers",
    "continue",
    "routes",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "mute_time_intervals",
    "active_time_intervals",
];
const INHIBIT_RULE: &[&str] = &[
    "name",
    "source_match",
    "source_match_re",
    "source_matchers",
    "target_match",
    "target_match_re",
    "target_matchers",
    "equal",
];
const TIME_INTERVAL: &[&str] = &["name", "time_intervals"];
const INTERVAL: &[&str] = &["times", "weekdays", "days_of_month", "months", "years", "location"];

/// Deepest nesting of routes.
const MAX_DEPTH: usize = 100;

type Pairs = Vec<(Located<String>, Located<String>)>;

impl Reader<'_> {
    pub(super) fn route(&mut self, node: &Rc<Node>, depth: usize) -> RawRoute {
        let mut route = RawRoute { place: Place::from(&node.span), ..RawRoute::default() };
        if depth > MAX_DEPTH {
            self.error_on(node, "value", "routes are nested too deeply");
            return route;
        }
        for (key, value) in self.fields(node, ROUTE, "a route") {
            let name = key.text().unwrap_or_default();
            match name {
                "receiver" => route.receiver = self.located(value, name),
                "group_by" => route.group_by = Some(self.group_by(value)),
                "match" => route.match_equal = self.label_map(value, name),
                "match_re" => route.match_regex = self.regex_map(value, name),
                "matchers" => route.matchers = self.texts(value, name),
                "continue" => route.continues = self.switch(value, name).unwrap_or(false),
                "routes" => {
                    for child in self.list(value, name).to_vec() {
                        let child = self.route(&child, depth + 1);
                        route.routes.push(child);
                    }
                }
                "group_wait" => route.group_wait = self.duration(value, name),
                "group_interval" => route.group_interval = self.not_zero(value, name),
                "repeat_interval" => route.repeat_interval = self.not_zero(value, name),
                "mute_time_intervals" => route.mute_time_intervals = self.texts(value, name),
                _ => route.active_time_intervals = self.texts(value, name),
            }
        }
        route
    }

    fn group_by(&mut self, node: &Node) -> Vec<Located<String>> {
        let labels = self.texts(node, "group_by");
        let mut seen = HashSet::new();
        for label in &labels {
            let name = &label.value;
            if name == "..." && labels.len() > 1 {
                let message = "`...` groups by all labels: nothing else may stand beside it";
                self.error(label.place, "conflict", message);
            } else if name.is_empty() {
                self.error(label.place, "name", "a label's name must not be empty");
            } else if !seen.insert(name.as_str()) {
                self.error(label.place, "duplicate", format!("label {name:?} occurs twice"));
            }
        }
        labels
    }

    fn not_zero(&mut self, node: &Node, name: &str) -> Option<Duration> {
        let duration = self.duration(node, name)?;
        if duration.is_zero() {
            self.error_on(node, "value", format!("`{name}` must not be zero"));
        }
        Some(duration)
    }

    fn label_map(&mut self, node: &Rc<Node>, name: &str) -> Pairs {
        let pairs = self.map(node, name);
        for (label, _) in &pairs {
            let mut characters = label.value.chars();
            let starts = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !starts || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let message = format!("{:?} is no label name", label.value);
                let hint = "`matchers` takes any label name, quoted";
                self.error_with_hint(label.place, "name", message, Some(hint.into()));
            }
        }
        pairs
    }

    /// Regular expressions must be there: an empty one would match every alert without the label.
    fn regex_map(&mut self, node: &Rc<Node>, name: &str) -> Pairs {
        for (key, value) in self.pairs(node, name) {
            if value.text().is_none() {
                let label = key.text().unwrap_or_default();
                let message = format!("`{name}`: label {label:?} has no regular expression");
                self.error_on(key, "value", message);
            }
        }
        self.label_map(node, name)
    }

    pub(super) fn inhibit_rule(&mut self, node: &Rc<Node>) -> RawInhibitRule {
        let mut rule = RawInhibitRule { place: Place::from(&node.span), ..Default::default() };
        for (key, value) in self.fields(node, INHIBIT_RULE, "an inhibition rule") {
            let name = key.text().unwrap_or_default();
            match name {
                "name" => rule.name = self.text(value, name).filter(|text| !text.is_empty()),
                "source_match" => rule.source_match = self.label_map(value, name),
                "source_match_re" => rule.source_match_re = self.regex_map(value, name),
                "source_matchers" => rule.source_matchers = self.texts(value, name),
                "target_match" => rule.target_match = self.label_map(value, name),
                "target_match_re" => rule.target_match_re = self.regex_map(value, name),
                "target_matchers" => rule.target_matchers = self.texts(value, name),
                _ => rule.equal = self.texts(value, name),
            }
        }
        rule
    }

    pub(super) fn time_interval(&mut self, node: &Rc<Node>) -> Option<RawTimeInterval> {
        let mut named = None;
        let mut intervals = Vec::new();
        for (key, value) in self.fields(node, TIME_INTERVAL, "a named time interval") {
            match key.text().unwrap_or_default() {
                "name" => named = self.located(value, "name").filter(|n| !n.value.is_empty()),
                name => {
                    for interval in self.list(value, name).to_vec() {
                        let interval = self.interval(&interval);
                        intervals.push(interval);
                    }
                }
            }
        }
        if named.is_none() {
            self.error_on(node, "missing-key", "a time interval needs a name");
        }
        Some(RawTimeInterval { name: named?, intervals })
    }

    fn interval(&mut self, node: &Rc<Node>) -> RawInterval {
        let mut interval = RawInterval { place: Place::from(&node.span), ..Default::default() };
        for (key, value) in self.fields(node, INTERVAL, "a time interval") {
            let name = key.text().unwrap_or_default();
            match name {
                "times" => {
                    for range in self.list(value, name).to_vec() {
                        interval.times.extend(self.time_range(&range));
                    }
                }
                "weekdays" => interval.weekdays = self.texts(value, name),
                "days_of_month" => interval.days_of_month = self.texts(value, name),
                "months" => interval.months = self.texts(value, name),
                "years" => interval.years = self.texts(value, name),
                _ => interval.location = self.located(value, name).filter(|l| !l.value.is_empty()),
            }
        }
        interval
    }

    fn time_range(&mut self, node: &Rc<Node>) -> Option<(Located<String>, Located<String>)> {
        let (mut start, mut end) = (None, None);
        for (key, value) in self.fields(node, &["start_time", "end_time"], "a range of times") {
            match key.text().unwrap_or_default() {
                "start_time" => start = self.located(value, "start_time"),
                name => end = self.located(value, name),
            }
        }
        if start.is_none() || end.is_none() {
            let message = "a range of times needs `start_time` and `end_time`";
            self.error_on(node, "missing-key", message);
        }
        start.zip(end)
    }

    /// What must hold of the root alone, and the names in all routes.
    pub(super) fn check_routes(
        &mut self,
        root: &RawRoute,
        receivers: &[Receiver],
        intervals: &[RawTimeInterval],
    ) {
        if root.receiver.as_ref().is_none_or(|receiver| receiver.value.is_empty()) {
            let message = "the root route must name a receiver: it takes what nothing else takes";
            self.error(root.place, "missing-key", message);
        }
        let matchers = [&root.match_equal, &root.match_regex].map(|pairs| pairs.first());
        let first = matchers.into_iter().flatten().map(|(label, _)| label.place);
        if let Some(place) = first.chain(root.matchers.first().map(|m| m.place)).next() {
            let message = "the root route must have no matchers: it takes every alert";
            self.error(place, "conflict", message);
        }
        let timed = root.mute_time_intervals.iter().chain(&root.active_time_intervals).next();
        if let Some(interval) = timed {
            let message = "the root route must have no time intervals";
            self.error(interval.place, "conflict", message);
        }
        if root.continues {
            let message = "`continue` has no meaning in the root route";
            self.error(root.place, "conflict", message);
        }
        self.check_names(root, receivers, intervals);
    }

    fn check_names(
        &mut self,
        route: &RawRoute,
        receivers: &[Receiver],
        intervals: &[RawTimeInterval],
    ) {
        if let Some(receiver) = route.receiver.as_ref().filter(|r| !r.value.is_empty()) {
            let known = receivers.iter().map(|r| r.name.value.as_str());
            self.check_name(receiver, known, "receiver");
        }
        for interval in route.mute_time_intervals.iter().chain(&route.active_time_intervals) {
            self.check_name(
                interval,
                intervals.iter().map(|i| i.name.value.as_str()),
                "time interval",
            );
        }
        for child in &route.routes {
            self.check_names(child, receivers, intervals);
        }
    }

    fn check_name<'n>(
        &mut self,
        name: &Located<String>,
        mut known: impl Iterator<Item = &'n str> + Clone,
        what: &str,
    ) {
        if known.clone().any(|other| other == name.value) {
            return;
        }
        let near = nearest(&name.value, known.by_ref());
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        let message = format!("there is no {what} {:?}", name.value);
        self.error_with_hint(name.place, "unknown-name", message, hint);
    }
}
