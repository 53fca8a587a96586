//! What a rule's severity label means: page now, chat within the half hour, ticket by tomorrow.

use std::collections::BTreeMap;

/// How soon somebody must act (guide §6, "Severity Levels").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Users are hit, or data may be lost: at once, by pager.
    P1,
    /// Degraded: within 30 minutes.
    P2,
    /// Nobody is hit yet: the next business day.
    P3,
    /// Not for people: heartbeats, and alerts that only feed others.
    Nobody,
}

/// Severity labels and what they mean, compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Severities(BTreeMap<String, Priority>);

impl Default for Severities {
    fn default() -> Self {
        let table = [
            (Priority::P1, &["critical", "page", "p1"][..]),
            (Priority::P2, &["high", "error", "p2"]),
            (Priority::P3, &["warning", "info", "ticket", "p3"]),
            (Priority::Nobody, &["none"]),
        ];
        let pairs = table.into_iter().flat_map(|(p, names)| names.iter().map(move |n| (*n, p)));
        Self(pairs.map(|(name, p)| (name.to_owned(), p)).collect())
    }
}

impl Severities {
    /// What a label's value means.
    pub fn priority(&self, severity: &str) -> Option<Priority> {
        self.0.get(&severity.to_lowercase()).copied()
    }

    /// Gives a value a meaning.
    pub fn set(&mut self, severity: &str, priority: Priority) {
        self.0.insert(severity.to_lowercase(), priority);
    }

    /// The values known, for messages.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<(&Priority, &str)> = self.0.iter().map(|(n, p)| (p, &**n)).collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }
}
