//! Notifications that nobody has got: those that hang, dead letters, and those dropped for want of room.
//!
//! One problem per integration, however many notifications it owes: it is the receiver that must be
//! mended.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_alerting::notify::{DeadLetter, DeliveryRecord};
use skopos_model::Timestamp;

use super::{List, Severity};
use crate::notify::Notifier;
use crate::rules::{RulesView, Untaken};

/// A receiver may be away for so long, a restart, before it is a problem.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one integration owes.
struct Owed {
    count: usize,
    since: Timestamp,
    reason: String,
}

impl List {
    pub(super) fn notifications(&mut self, rules: &RulesView, notifier: &Notifier) {
        let name = |receiver: &str, at| notifier.integration_name(receiver, at);
        self.hanging(&rules.untaken(PATIENCE), name);
        self.dead(&rules.dead_letters(), name);
        self.overflowed(&rules.deliveries());
    }

    fn hanging(&mut self, untaken: &[Untaken], name: impl Fn(&str, usize) -> String) {
        let all = untaken.iter().map(|u| (u.receiver.as_str(), u.integration, u.since, &*u.reason));
        let hanging = by_integration(all).into_iter().map(|((receiver, at), owed)| {
            let reason = match owed.reason.as_str() {
                "" => "no answer yet",
                reason => reason,
            };
            let is = if owed.count == 1 { "has" } else { "have" };
            format!(
                "{} to {receiver} ({}) {is} not been taken since {}: {reason}",
                counted(owed.count),
                name(receiver, at),
                owed.since
            )
        });
        let remedy = "mend the receiver, `skopos notify test --receiver NAME` tries it; what waits goes \
                      out by itself, for a day";
        self.some(Severity::Error, hanging, "receivers take nothing", remedy);
    }

    fn dead(&mut self, letters: &[DeadLetter], name: impl Fn(&str, usize) -> String) {
        let all = letters.iter().map(|letter| {
            let DeadLetter { intent, failed_at, reason, .. } = letter;
            (intent.receiver.as_str(), intent.integration, *failed_at, reason.as_str())
        });
        let dead = by_integration(all).into_iter().map(|((receiver, at), owed)| {
            format!(
                "{} to {receiver} ({}) could not be delivered, the first at {}: {}",
                counted(owed.count),
                name(receiver, at),
                owed.since,
                owed.reason
            )
        });
        let remedy = "mend the receiver, then `skopos notify dead retry`; `skopos notify dead discard` \
                      drops what is of no use any more";
        self.some(Severity::Error, dead, "receivers have dead letters", remedy);
    }

    fn overflowed(&mut self, settled: &[DeliveryRecord]) {
        let lost = settled.iter().filter(|record| record.is_overflow());
        let lost = lost.map(|d| {
            format!("a notification of {} to {} was dropped: {}", d.group_key, d.receiver, d.reason)
        });
        let remedy = "see that the receivers answer; /api/v1/skopos/deliveries has all of them";
        self.some(Severity::Error, lost, "notifications were dropped", remedy);
    }
}

/// The count, the earliest time, and the reason of that one, per integration.
fn by_integration<'a>(
    all: impl Iterator<Item = (&'a str, usize, Timestamp, &'a str)>,
) -> BTreeMap<(&'a str, usize), Owed> {
    let mut owed: BTreeMap<(&str, usize), Owed> = BTreeMap::new();
    for (receiver, integration, since, reason) in all {
        let new = || Owed { count: 0, since, reason: reason.to_owned() };
        let known = owed.entry((receiver, integration)).or_insert_with(new);
        known.count += 1;
        if since < known.since || known.reason.is_empty() {
            known.since = known.since.min(since);
            known.reason = reason.to_owned();
        }
    }
    owed
}

fn counted(count: usize) -> String {
    match count {
        1 => "1 notification".to_owned(),
        count => format!("{count} notifications"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_per_integration_with_the_earliest_time() {
        let untaken = |receiver: &str, integration, since, reason: &str| Untaken {
            receiver: receiver.into(),
            integration,
            since: Timestamp::from_secs(since),
            reason: reason.into(),
        };
        let mut list = List::default();
        list.hanging(
            &[
                untaken("team", 1, 90, ""),
                untaken("team", 1, 60, "receiver answered 500"),
                untaken("team", 0, 30, ""),
            ],
            |_, at| format!("slack[{at}]"),
        );
        let found: Vec<String> = list.finish().into_iter().map(|problem| problem.what).collect();
        assert_eq!(
            found,
            [
                "1 notification to team (slack[0]) has not been taken since 1970-01-01T00:00:30.000Z: no answer yet",
                "2 notifications to team (slack[1]) have not been taken since 1970-01-01T00:01:00.000Z: receiver answered 500",
            ]
        );
    }
}
