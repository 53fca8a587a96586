//! The routing tree: which receivers hear of an alert, how its alerts are grouped, and how patiently.
//!
//! An alert goes down the tree from the root. Of siblings the first that matches takes it, and only where
//! that one says `continue` are the following tried too; a route none of whose children match takes
//! the alert itself. What a route does not say it has from its parent, time intervals aside.

mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skopos_model::{Labels, Timestamp};

use super::inhibit::InhibitRule;
use super::interval::TimeInterval;
use super::matcher::{Matcher, all_match, format_matchers};
use crate::template::quote;

/// A route as written; what is absent is inherited.
#[derive(Clone, Debug, Default)]
pub struct RouteSpec {
    /// Name of the receiver.
    pub receiver: Option<String>,
    /// Labels to group by.
    pub group_by: Option<GroupBy>,
    /// What an alert must satisfy.
    pub matchers: Vec<Matcher>,
    /// Whether later siblings are tried too.
    pub continues: bool,
    /// How long a new group waits for more alerts.
    pub group_wait: Option<Duration>,
    /// How long a known group waits before it reports changes.
    pub group_interval: Option<Duration>,
    /// How long until an unchanged group is reported again.
    pub repeat_interval: Option<Duration>,
    /// Names of intervals in which nothing is sent. Not inherited.
    pub mute_time_intervals: Vec<String>,
    /// Names of intervals outside of which nothing is sent. Not inherited.
    pub active_time_intervals: Vec<String>,
    /// The children, in order.
    pub routes: Vec<RouteSpec>,
}

/// By which labels alerts are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// By these, as far as an alert has them.
    Labels(BTreeSet<String>),
    /// By all: each alert is a group of its own (`...`).
    All,
}

/// Which route of a tree: its place in a walk that visits parents before children.
pub type RouteIndex = usize;

/// A route with everything it inherits.
#[derive(Clone, Debug)]
pub struct Route {
    /// Alertmanager's key: the matchers of all routes from the root on. Part of group keys.
    pub key: String,
    /// The key and the places among siblings: unique in the tree.
    pub id: String,
    /// What an alert must satisfy beside the parent's matchers; in Alertmanager's order.
    pub matchers: Vec<Matcher>,
    /// Whether later siblings are tried too.
    pub continues: bool,
    /// The receiver's name.
    pub receiver: String,
    /// Labels to group by.
    pub group_by: GroupBy,
    /// How long a new group waits for more alerts.
    pub group_wait: Duration,
    /// How long a known group waits before it reports changes. Zero, which no configuration may say,
    /// means: at once.
    pub group_interval: Duration,
    /// How long until an unchanged group is reported again.
    pub repeat_interval: Duration,
    /// Names of intervals in which nothing is sent.
    pub mute_time_intervals: Vec<String>,
    /// Names of intervals outside of which nothing is sent.
    pub active_time_intervals: Vec<String>,
    /// Its children.
    pub children: Vec<RouteIndex>,
}

impl Route {
    /// The labels that alerts with these labels are grouped by.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.filtered(|name| names.contains(name)),
        }
    }

    /// The key of a group of this route, as Alertmanager writes it:
    /// `{}/{severity="P1"}:{alertname="x"}`.
    pub fn group_key(&self, group_labels: &Labels) -> String {
        let pairs = group_labels.iter().map(|(name, value)| format!("{name}={}", quote(value)));
        let pairs: Vec<String> = pairs.collect();
        format!("{}:{{{}}}", self.key, pairs.join(", "))
    }
}

/// A tree of routes.
#[derive(Clone, Debug)]
pub struct RouteTree {
    routes: Vec<Route>,
}

impl RouteTree {
    /// Builds the tree. The root's matchers are ignored: it takes everything. A receiver that no
    /// route names is the empty text.
    pub fn new(root: &RouteSpec) -> Self {
        let defaults = Route {
            key: String::new(),
            id: String::new(),
            matchers: Vec::new(),
            continues: false,
            receiver: String::new(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 3600),
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            children: Vec::new(),
        };
        let mut tree = Self { routes: Vec::new() };
        tree.add(root, &defaults, None);
        tree
    }

    fn add(&mut self, spec: &RouteSpec, parent: &Route, place: Option<usize>) -> RouteIndex {
        let mut matchers = if place.is_none() { Vec::new() } else { spec.matchers.clone() };
        matchers.sort_by(Matcher::order);
        let own = format_matchers(&matchers);
        let route = Route {
            key: place.map_or(own.clone(), |_| format!("{}/{own}", parent.key)),
            id: place.map_or(own.clone(), |place| format!("{}/{own}/{place}", parent.id)),
            matchers,
            continues: spec.continues,
            receiver: spec.receiver.clone().unwrap_or_else(|| parent.receiver.clone()),
            group_by: spec.group_by.clone().unwrap_or_else(|| parent.group_by.clone()),
            group_wait: spec.group_wait.unwrap_or(parent.group_wait),
            group_interval: spec.group_interval.unwrap_or(parent.group_interval),
            repeat_interval: spec.repeat_interval.unwrap_or(parent.repeat_interval),
            mute_time_intervals: spec.mute_time_intervals.clone(),
            active_time_intervals: spec.active_time_intervals.clone(),
            children: Vec::new(),
        };
        let index = self.routes.len();
        self.routes.push(route.clone());
        for (place, child) in spec.routes.iter().enumerate() {
            let child = self.add(child, &route, Some(place));
            self.routes[index].children.push(child);
        }
        index
    }

    /// The route at an index.
    pub fn get(&self, index: RouteIndex) -> &Route {
        &self.routes[index]
    }

    /// All routes, parents before children.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.routes.iter()
    }

    /// The route with this id.
    pub fn by_id(&self, id: &str) -> Option<RouteIndex> {
        self.routes.iter().position(|route| route.id == id)
    }

    /// A route and those above it, the root last.
    pub fn way_to(&self, index: RouteIndex) -> impl Iterator<Item = &Route> {
        let parent = |at: &RouteIndex| {
            let at = *at;
            self.routes[..at].iter().position(|route| route.children.contains(&at))
        };
        std::iter::successors(Some(index), parent).map(|at| &self.routes[at])
    }

    /// The routes that take an alert; at least one.
    pub fn matching(&self, labels: &Labels) -> Vec<RouteIndex> {
        let mut found = Vec::new();
        self.collect(0, labels, &mut found);
        found
    }

    fn collect(&self, index: RouteIndex, labels: &Labels, found: &mut Vec<RouteIndex>) -> bool {
        let route = &self.routes[index];
        if !all_match(&route.matchers, labels) {
            return false;
        }
        let before = found.len();
        for &child in &route.children {
            if self.collect(child, labels, found) && !self.routes[child].continues {
                break;
            }
        }
        if found.len() == before {
            found.push(index);
        }
        true
    }
}

/// What the dispatcher must know of a receiver's integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationSpec {
    /// Its type and its place among those of its type: `webhook[0]`.
    pub name: String,
    /// Whether it is told when alerts are over.
    pub send_resolved: bool,
}

/// Everything that decides who is told what and when.
#[derive(Clone, Debug)]
pub struct Routing {
    /// The routes.
    pub routes: RouteTree,
    /// Which alerts keep which others quiet.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Named intervals: one of the list must hold.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// The integrations of each receiver, in the order of the configuration.
    pub receivers: BTreeMap<String, Vec<IntegrationSpec>>,
    /// After this time without news an alert from the API that names no end is over.
    pub resolve_timeout: Duration,
}

impl Routing {
    /// A single route to one receiver with one integration, grouped by alert name, without delay.
    pub fn direct(receiver: &str, repeat_interval: Duration) -> Self {
        let root = RouteSpec {
            receiver: Some(receiver.into()),
            group_by: Some(GroupBy::Labels(BTreeSet::from(["alertname".to_owned()]))),
            group_wait: Some(Duration::ZERO),
            group_interval: Some(Duration::ZERO),
            repeat_interval: Some(repeat_interval),
            ..RouteSpec::default()
        };
        let integration = IntegrationSpec { name: "webhook[0]".into(), send_resolved: true };
        Self {
            routes: RouteTree::new(&root),
            inhibit_rules: Vec::new(),
            time_intervals: BTreeMap::new(),
            receivers: BTreeMap::from([(receiver.to_owned(), vec![integration])]),
            resolve_timeout: Duration::from_secs(5 * 60),
        }
    }

    /// A single route to a receiver without integrations: alerts are held, nobody is told.
    pub fn nobody() -> Self {
        let mut routing = Self::direct("nobody", Duration::from_secs(4 * 3600));
        routing.receivers.values_mut().for_each(Vec::clear);
        routing
    }

    /// The names of the intervals that keep a route quiet now: mute ones that hold, or all its
    /// active ones when none of them holds. Empty when it may speak.
    pub fn muted_by(&self, route: &Route, at: Timestamp) -> Vec<String> {
        let holds = |name: &&String| {
            let intervals = self.time_intervals.get(*name);
            intervals.is_some_and(|all| all.iter().any(|interval| interval.contains(at)))
        };
        let mute: Vec<String> = route.mute_time_intervals.iter().filter(holds).cloned().collect();
        let active = &route.active_time_intervals;
        if mute.is_empty() && !active.is_empty() && !active.iter().any(|name| holds(&name)) {
            return active.clone();
        }
        mute
    }
}

#[cfg(test)]
mod tests;
