//! SLIs: ratios of good or bad events and all, raw ratios, thresholds.

use std::rc::Rc;

use super::super::indicator::{self, Count, Indicator, Mistake, Role};
use super::super::load::{error_with_hint, report};
use super::{OBJECT_KEYS, Read, entry, given};
use crate::rules::yaml::Node;

const SLI_KEYS: &[&str] = &["description", "ratioMetric", "thresholdMetric"];
const RATIO_KEYS: &[&str] = &["counter", "good", "bad", "total", "raw", "rawType"];
const METRIC_KEYS: &[&str] = &["metricSource"];
const SOURCE_KEYS: &[&str] = &["metricSourceRef", "type", "spec"];

impl Read<'_, '_> {
    pub(super) fn indicator(
        &mut self,
        node: &Rc<Node>,
        condition: Option<(&'static str, f64)>,
    ) -> Option<(Indicator, Vec<String>)> {
        let object = self.reader().fields(node, OBJECT_KEYS, "an SLI")?;
        let Some(spec_at) = given(&object, "spec") else {
            self.missing(node, "spec", "an SLI");
            return None;
        };
        let spec = self.reader().fields(spec_at, SLI_KEYS, "the SLI's `spec`")?;
        match (given(&spec, "ratioMetric"), given(&spec, "thresholdMetric")) {
            (Some(ratio), None) => self.ratio(ratio),
            (None, Some(threshold)) => {
                let Some((op, value)) = condition else {
                    let message = "a threshold metric needs `op` and `value` in its objective";
                    self.reader().error_on(threshold, "missing-key", message);
                    return None;
                };
                let (text, at) = self.query(threshold)?;
                let language = self.reader().language;
                if let Err(mistake) = indicator::read_ratio(&text, Role::Good, language) {
                    report(self.reader(), &at, mistake);
                    return None;
                }
                // Comments end with their line.
                let query = format!("({}\n) {op} bool {value}", text.trim());
                Some((Indicator::Ratio { role: Role::Good, query }, Vec::new()))
            }
            _ => {
                let message = "an SLI has either `ratioMetric` or `thresholdMetric`";
                self.reader().error_on(spec_at, "conflict", message);
                None
            }
        }
    }

    /// The text of a metric's query and where it stands.
    pub(super) fn query(&mut self, node: &Rc<Node>) -> Option<(String, Rc<Node>)> {
        let fields = self.reader().fields(node, METRIC_KEYS, "a metric")?;
        let Some(source_at) = given(&fields, "metricSource") else {
            self.missing(node, "metricSource", "a metric");
            return None;
        };
        let source = self.reader().fields(source_at, SOURCE_KEYS, "`metricSource`")?;
        if let Some(kind) = self.text(&source, "type")
            && !kind.eq_ignore_ascii_case("prometheus")
            && !kind.eq_ignore_ascii_case("skopos")
        {
            let at = given(&source, "type")?;
            let message = format!("metrics of {kind:?} cannot be read");
            error_with_hint(self.reader(), at, "value", message, "only PromQL is: type Prometheus");
            return None;
        }
        let query = given(&source, "spec").and_then(|spec| {
            entry(spec, "query").or_else(|| entry(spec, "promql")).or_else(|| entry(spec, "expr"))
        });
        let Some(query) = query else {
            self.missing(source_at, "spec.query", "`metricSource`");
            return None;
        };
        let text = self.reader().string(query, "query")?;
        Some((text, query.clone()))
    }

    fn ratio(&mut self, node: &Rc<Node>) -> Option<(Indicator, Vec<String>)> {
        let fields = self.reader().fields(node, RATIO_KEYS, "`ratioMetric`")?;
        if let Some(raw) = given(&fields, "raw") {
            let role = match self.text(&fields, "rawType").as_deref() {
                Some("failure") => Role::Bad,
                Some("success") | None => Role::Good,
                Some(other) => {
                    let message = format!("{other:?} is no `rawType`");
                    let at = given(&fields, "rawType")?;
                    error_with_hint(
                        self.reader(),
                        at,
                        "value",
                        message,
                        "choose success or failure",
                    );
                    return None;
                }
            };
            let (text, at) = self.query(raw)?;
            let language = self.reader().language;
            return match indicator::read_ratio(&text, role, language) {
                Ok(found) => Some(found),
                Err(mistake) => {
                    report(self.reader(), &at, mistake);
                    None
                }
            };
        }
        let is_counter = self.text(&fields, "counter").is_none_or(|text| text != "false");
        let (role, part) = match (given(&fields, "bad"), given(&fields, "good")) {
            (Some(bad), None) => (Role::Bad, bad),
            (None, Some(good)) => (Role::Good, good),
            _ => {
                let message = "`ratioMetric` has either `good` or `bad`, beside `total`";
                self.reader().error_on(node, "conflict", message);
                return None;
            }
        };
        let Some(total) = given(&fields, "total") else {
            self.missing(node, "total", "`ratioMetric`");
            return None;
        };
        let (part, by) = self.count(part, is_counter)?;
        let (total, total_by) = self.count(total, is_counter)?;
        let by = if by.is_empty() { total_by } else { by };
        Some((Indicator::Events { role, part, total }, by))
    }

    fn count(&mut self, node: &Rc<Node>, is_counter: bool) -> Option<(Count, Vec<String>)> {
        let (text, at) = self.query(node)?;
        let language = self.reader().language;
        let found: Result<_, Mistake> = Count::read(&text, language);
        match found {
            // A gauge of events: each sample counts for itself.
            Ok((Count::Counter(selector), by)) if !is_counter => {
                let by_clause = indicator::by_clause(&by);
                let query = format!("sum{by_clause}(sum_over_time({selector}[$window]))");
                Some((Count::Query(query), by))
            }
            Ok(found) => Some(found),
            Err(mistake) => {
                report(self.reader(), &at, mistake);
                None
            }
        }
    }
}
