//! Where alerts go, as far as a rule alone says: the routing tree with labels that may not be known.

use skopos_alerting::alertmanager::{self, ConfigError};
use skopos_alerting::notify::route::{RouteIndex, Routing};

/// Receivers that wake people, and those that may.
const PAGERS: [&str; 5] = ["incidentio", "opsgenie", "pagerduty", "pushover", "victorops"];
const PERHAPS_PAGERS: [&str; 3] = ["sns", "telegram", "webhook"];

/// The routes of an `alertmanager.yml`.
#[derive(Clone, Debug)]
pub struct Routes(Routing);

/// A label of an alert, before it fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// This value; the empty text when it has none.
    Value(String),
    /// Told only by the data.
    Open,
}

/// A receiver that an alert reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached<'a> {
    pub(crate) receiver: &'a str,
    /// Whether it does whatever the open labels are.
    pub(crate) surely: bool,
}

/// Whether a route takes the alert.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Yes,
    No,
    Perhaps,
}

impl Routes {
    /// Reads the file.
    pub fn load(path: &str, text: &str) -> Result<Self, Vec<ConfigError>> {
        Routing::from_config(&alertmanager::load(path, text)?).map(Self)
    }

    /// The receivers that an alert with these labels reaches or may reach.
    pub(crate) fn reached(&self, label: &dyn Fn(&str) -> Known) -> Vec<Reached<'_>> {
        let mut found = Vec::new();
        self.walk(0, true, label, &mut found);
        found
    }

    fn walk<'a>(
        &'a self,
        index: RouteIndex,
        surely: bool,
        label: &dyn Fn(&str) -> Known,
        found: &mut Vec<Reached<'a>>,
    ) -> Takes {
        let route = self.0.routes.get(index);
        let mut takes = Takes::Yes;
        for matcher in &route.matchers {
            match label(matcher.name()) {
                Known::Value(value) if matcher.matches_value(&value) => {}
                Known::Value(_) => return Takes::No,
                Known::Open => takes = Takes::Perhaps,
            }
        }
        let surely = surely && takes == Takes::Yes;
        // Whether a child took it so far, and whether the next sibling is surely asked.
        let (mut taken, mut asked) = (Takes::No, true);
        for &child in &route.children {
            let by_child = self.walk(child, surely && asked, label, found);
            let goes_on = self.0.routes.get(child).continues;
            match by_child {
                Takes::No => {}
                Takes::Perhaps => {
                    taken = if taken == Takes::Yes { taken } else { Takes::Perhaps };
                    asked = asked && goes_on;
                }
                Takes::Yes => {
                    taken = if asked { Takes::Yes } else { taken };
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        if taken != Takes::Yes {
            let surely = surely && taken == Takes::No;
            found.push(Reached { receiver: &route.receiver, surely });
        }
        takes
    }

    /// Whether the receiver tells anybody.
    pub(crate) fn tells(&self, receiver: &str) -> bool {
        self.kinds(receiver).next().is_some()
    }

    /// Whether the receiver wakes people: yes, no, or perhaps (a webhook).
    pub(crate) fn pages(&self, receiver: &str) -> Option<bool> {
        let is_one = |kinds: &[&str]| self.kinds(receiver).any(|kind| kinds.contains(&kind));
        match () {
            () if is_one(&PAGERS) => Some(true),
            () if is_one(&PERHAPS_PAGERS) => None,
            () => Some(false),
        }
    }

    /// The kinds of its integrations: they are named `slack[0]`.
    fn kinds(&self, receiver: &str) -> impl Iterator<Item = &str> {
        let all = self.0.receivers.get(receiver).into_iter().flatten();
        all.map(|integration| integration.name.split('[').next().unwrap_or_default())
    }
}
