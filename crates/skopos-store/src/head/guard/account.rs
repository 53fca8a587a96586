//! Who went beyond which limit: one row per metric, sender, reason and action.
//!
//! Bounded by [`MOST_ROWS`]; what comes beyond is counted in a row whose metric is `(others)`. Texts
//! are the senders' and are cut to [`MOST_CHARS`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::cardinality::{LimitAction, SeriesRefusal, SeriesSender};

/// Rows told apart.
const MOST_ROWS: usize = 512;
/// Notices that wait to be told; of more the oldest go, their counts stay in the rows.
const MOST_NOTICES: usize = 64;
/// The same metric and sender are told again after this time.
const TELL_EVERY: Duration = Duration::from_secs(600);
/// Characters kept of a sender's text.
const MOST_CHARS: usize = 128;

/// What tells rows apart, and the shared start of a lookup: `reason`, action, metric, sender.
type Key = (&'static str, LimitAction, String, SeriesSender);

#[derive(Default)]
pub(super) struct Account {
    rows: HashMap<Key, Row>,
    notices: VecDeque<SeriesRefusal>,
    refused: BTreeMap<&'static str, u64>,
    folded: u64,
}

struct Row {
    refusal: SeriesRefusal,
    told_at: Duration,
}

impl Account {
    pub(super) fn note(&mut self, mut new: SeriesRefusal, now: Duration) {
        match new.action {
            LimitAction::Refused => *self.refused.entry(new.reason).or_default() += new.samples,
            LimitAction::Folded => self.folded += new.samples,
        }
        let mut key = (new.reason, new.action, new.metric.clone(), new.sender.clone());
        if !self.rows.contains_key(&key) && self.rows.len() >= MOST_ROWS {
            new.metric = "(others)".into();
            new.sender = SeriesSender::default();
            (key.2, key.3) = (new.metric.clone(), new.sender.clone());
        }
        let Some(row) = self.rows.get_mut(&key) else {
            self.notices.push_back(new.clone());
            self.bound_notices();
            drop(self.rows.insert(key, Row { refusal: new, told_at: now }));
            return;
        };
        row.refusal.samples += new.samples;
        row.refusal.last_at = new.last_at;
        // The label may have become another one: what is told is about now.
        if row.refusal.label != new.label {
            (row.refusal.label, row.refusal.first_value) = (new.label, new.first_value);
        }
        if now.saturating_sub(row.told_at) >= TELL_EVERY {
            row.told_at = now;
            self.notices.push_back(row.refusal.clone());
            self.bound_notices();
        }
    }

    /// Names the scope of what was refused or folded of a service and metric, where it is not known.
    pub(super) fn name_scope(&mut self, service: &str, metric: &str, scope: &str) {
        let is_meant = |refusal: &SeriesRefusal| {
            let suffix = refusal.metric.strip_prefix(metric);
            refusal.sender.scope.is_empty()
                && refusal.sender.service == service
                && suffix.is_some_and(|s| s.is_empty() || s.starts_with('_'))
        };
        let rows = self.rows.values_mut().map(|row| &mut row.refusal);
        for refusal in rows.chain(&mut self.notices).filter(|refusal| is_meant(refusal)) {
            refusal.sender.scope = shortened(scope);
        }
    }

    fn bound_notices(&mut self) {
        while self.notices.len() > MOST_NOTICES {
            self.notices.pop_front();
        }
    }

    pub(super) fn rows(&self) -> Vec<SeriesRefusal> {
        let mut rows: Vec<_> = self.rows.values().map(|row| row.refusal.clone()).collect();
        rows.sort_by(|a, b| {
            let by_text = (&a.metric, &a.sender, a.reason).cmp(&(&b.metric, &b.sender, b.reason));
            b.samples.cmp(&a.samples).then(by_text)
        });
        rows
    }

    pub(super) fn take_notices(&mut self) -> Vec<SeriesRefusal> {
        self.notices.drain(..).collect()
    }

    pub(super) fn counts(&self) -> (Vec<(&'static str, u64)>, u64) {
        (self.refused.iter().map(|(reason, count)| (*reason, *count)).collect(), self.folded)
    }
}

/// A sender's text cut to what an account can bear.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
