//! From an `alertmanager.yml` to its routing: matchers and ranges are read, defaults inherited.

use std::collections::{BTreeMap, BTreeSet};

use skopos_model::MatchOp;

use super::{GroupBy, IntegrationSpec, RouteSpec, RouteTree, Routing};
use crate::alertmanager::{
    Config, ConfigError, Located, RawInhibitRule, RawInterval, RawRoute, Receiver,
};
use crate::notify::InhibitRule;
use crate::notify::interval::{
    DayOfMonthRange, InvalidInterval, Location, MinuteRange, MonthRange, TimeInterval,
    WeekdayRange, YearRange,
};
use crate::notify::matcher::{Matcher, parse_matchers};

type Pairs = [(Located<String>, Located<String>)];

impl Routing {
    /// Reads what [`load`](crate::alertmanager::load) left as text. Every mistake is reported.
    pub fn from_config(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut resolver = Resolver { config, errors: Vec::new() };
        let root = resolver.route(&config.route);
        let inhibit_rules = config.inhibit_rules.iter().map(|rule| resolver.inhibit_rule(rule));
        let inhibit_rules = inhibit_rules.collect();
        let mut time_intervals = BTreeMap::new();
        for named in &config.time_intervals {
            let intervals = named.intervals.iter().map(|raw| resolver.interval(raw)).collect();
            time_intervals.insert(named.name.value.clone(), intervals);
        }
        if !resolver.errors.is_empty() {
            return Err(resolver.errors);
        }
        let receivers = config.receivers.iter();
        Ok(Self {
            routes: RouteTree::new(&root),
            inhibit_rules,
            time_intervals,
            receivers: receivers.map(|r| (r.name.value.clone(), integrations(r))).collect(),
            resolve_timeout: config.resolve_timeout,
        })
    }
}

fn integrations(receiver: &Receiver) -> Vec<IntegrationSpec> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let integrations = receiver.integrations.iter().map(|integration| {
        let kind = integration.kind.name();
        let count = counts.entry(kind).or_default();
        let name = format!("{kind}[{count}]");
        *count += 1;
        IntegrationSpec { name, send_resolved: integration.send_resolved }
    });
    integrations.collect()
}

struct Resolver<'a> {
    config: &'a Config,
    errors: Vec<ConfigError>,
}

impl Resolver<'_> {
    fn error(&mut self, at: &Located<String>, error: impl std::fmt::Display) {
        self.errors.push(self.config.source.error(at.place, "value", error.to_string(), None));
    }

    fn route(&mut self, raw: &RawRoute) -> RouteSpec {
        let names = |list: &[Located<String>]| list.iter().map(|n| n.value.clone()).collect();
        let group_by = raw.group_by.as_ref().map(|labels| {
            let labels: BTreeSet<String> = labels.iter().map(|l| l.value.clone()).collect();
            if labels.contains("...") { GroupBy::All } else { GroupBy::Labels(labels) }
        });
        RouteSpec {
            receiver: raw.receiver.as_ref().map(|receiver| receiver.value.clone()),
            group_by,
            matchers: self.matchers(&raw.match_equal, &raw.match_regex, &raw.matchers),
            continues: raw.continues,
            group_wait: raw.group_wait,
            group_interval: raw.group_interval,
            repeat_interval: raw.repeat_interval,
            mute_time_intervals: names(&raw.mute_time_intervals),
            active_time_intervals: names(&raw.active_time_intervals),
            routes: raw.routes.iter().map(|child| self.route(child)).collect(),
        }
    }

    fn inhibit_rule(&mut self, raw: &RawInhibitRule) -> InhibitRule {
        let source = self.matchers(&raw.source_match, &raw.source_match_re, &raw.source_matchers);
        let target = self.matchers(&raw.target_match, &raw.target_match_re, &raw.target_matchers);
        let equal = raw.equal.iter().map(|label| label.value.clone()).collect();
        InhibitRule { name: raw.name.clone(), source, target, equal }
    }

    fn matchers(
        &mut self,
        equal: &Pairs,
        regex: &Pairs,
        texts: &[Located<String>],
    ) -> Vec<Matcher> {
        let mut matchers: Vec<Matcher> = Vec::new();
        matchers.extend(equal.iter().map(|(n, value)| Matcher::equal(&n.value, &value.value)));
        for (name, pattern) in regex {
            // The old form is anchored where it is read, and so stands in the keys of groups.
            let anchored = format!("^(?:{})$", pattern.value);
            match Matcher::new(&name.value, MatchOp::Regex, &anchored) {
                Ok(matcher) => matchers.push(matcher),
                Err(error) => self.error(pattern, error),
            }
        }
        for text in texts {
            match parse_matchers(&text.value) {
                Ok(more) => matchers.extend(more),
                Err(error) => self.error(text, error),
            }
        }
        matchers
    }

    fn interval(&mut self, raw: &RawInterval) -> TimeInterval {
        let mut times = Vec::new();
        for (start, end) in &raw.times {
            match MinuteRange::parse(&start.value, &end.value) {
                Ok(range) => times.push(range),
                Err(error) => self.error(start, error),
            }
        }
        let location = raw.location.as_ref().and_then(|name| {
            Location::parse(&name.value).map_err(|error| self.error(name, error)).ok()
        });
        TimeInterval {
            times: (!times.is_empty()).then_some(times),
            weekdays: self.ranges(&raw.weekdays, WeekdayRange::parse),
            days_of_month: self.ranges(&raw.days_of_month, DayOfMonthRange::parse),
            months: self.ranges(&raw.months, MonthRange::parse),
            years: self.ranges(&raw.years, YearRange::parse),
            location,
        }
    }

    fn ranges<T>(
        &mut self,
        texts: &[Located<String>],
        parse: impl Fn(&str) -> Result<T, InvalidInterval>,
    ) -> Option<Vec<T>> {
        let mut ranges = Vec::new();
        for text in texts {
            match parse(&text.value) {
                Ok(range) => ranges.push(range),
                Err(error) => self.error(text, error),
            }
        }
        (!ranges.is_empty()).then_some(ranges)
    }
}
