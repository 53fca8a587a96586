//! From YAML to a test file: strict about keys, complete about errors.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use granit_parser::ScalarStyle;
use skopos_model::{Labels, SampleValue};
use skopos_promql::ParseOptions;
use skopos_promql::promqltest::{Point, parse_series};

use crate::rules::RuleError;
use crate::rules::load::{Fields, Reader, texts};
use crate::rules::yaml::{self, Node, NodeKind};

const FILE_KEYS: &[&str] =
    &["rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"];
const GROUP_KEYS: &[&str] = &[
    "name",
    "interval",
    "start_timestamp",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
];
const SERIES_KEYS: &[&str] = &["series", "values"];
const ALERT_TEST_KEYS: &[&str] = &["eval_time", "alertname", "exp_alerts"];
const ALERT_KEYS: &[&str] = &["exp_labels", "exp_annotations"];
const EXPR_TEST_KEYS: &[&str] = &["expr", "eval_time", "exp_samples"];
const SAMPLE_KEYS: &[&str] = &["labels", "value", "histogram"];

/// The default of `evaluation_interval`.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(60);

/// Most points of all input series of a file: beyond this it is no test, and no memory holds it.
const MAX_POINTS: usize = 20_000_000;

#[derive(Debug, Default)]
pub(super) struct TestFile {
    pub(super) rule_files: Vec<String>,
    pub(super) evaluation_interval: Duration,
    pub(super) group_eval_order: Vec<String>,
    pub(super) fuzzy_compare: bool,
    pub(super) groups: Vec<TestGroup>,
}

#[derive(Debug)]
pub(super) struct TestGroup {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) interval: Duration,
    pub(super) start_ms: i64,
    pub(super) input: BTreeMap<Labels, Vec<Point>>,
    pub(super) alert_tests: Vec<AlertTest>,
    pub(super) expr_tests: Vec<ExprTest>,
    pub(super) external_labels: BTreeMap<String, String>,
    pub(super) external_url: String,
}

#[derive(Debug)]
pub(super) struct AlertTest {
    pub(super) line: usize,
    pub(super) at: Duration,
    pub(super) alert: String,
    pub(super) expected: Vec<FiringAlert>,
}

/// Labels and annotations of an alert. Maps, because an expected label without a value is not the
/// same as none: nothing ever equals it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FiringAlert {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct ExprTest {
    pub(super) line: usize,
    pub(super) at: Duration,
    pub(super) expr: String,
    pub(super) expected: Vec<(Labels, SampleValue)>,
}

/// Reads a test file: all of it is good, or every error is returned.
pub(super) fn read(
    path: &str,
    text: &str,
    language: &ParseOptions,
) -> Result<TestFile, Vec<RuleError>> {
    let mut group_ids = HashMap::new();
    let reader = Reader { path, text, language, errors: Vec::new(), group_ids: &mut group_ids };
    let mut reader = TestReader { inner: reader, points: 0 };
    let file = match yaml::parse(text) {
        Ok(root) => reader.file(root.filter(|root| !matches!(root.kind, NodeKind::Null))),
        Err(error) => {
            reader.inner.error(error.offset, 1, "yaml", error.message);
            TestFile::default()
        }
    };
    let mut errors = reader.inner.errors;
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

struct TestReader<'a> {
    inner: Reader<'a>,
    points: usize,
}

impl TestReader<'_> {
    fn file(&mut self, root: Option<Rc<Node>>) -> TestFile {
        let mut file = TestFile { evaluation_interval: EVALUATION_INTERVAL, ..TestFile::default() };
        let Some(root) = root else { return file };
        let Some(fields) = self.inner.fields(&root, FILE_KEYS, "a rule-test file") else {
            return file;
        };
        file.rule_files = self.strings(&fields, "rule_files");
        file.group_eval_order = self.strings(&fields, "group_eval_order");
        for (i, name) in file.group_eval_order.iter().enumerate() {
            if file.group_eval_order[..i].contains(name)
                && let Some((_, node)) = fields.get("group_eval_order")
            {
                let message = format!("group {name:?} occurs twice in the order of evaluation");
                self.inner.error_on(node, "duplicate", message);
            }
        }
        file.fuzzy_compare = self.boolean(&fields, "fuzzy_compare");
        let interval = self.inner.duration(&fields, "evaluation_interval");
        file.evaluation_interval = interval.filter(|i| !i.is_zero()).unwrap_or(EVALUATION_INTERVAL);
        for (i, node) in self.items(&fields, "tests").iter().enumerate() {
            if let Some(group) = self.group(node, i, file.evaluation_interval) {
                file.groups.push(group);
            }
        }
        file
    }

    fn group(&mut self, node: &Rc<Node>, index: usize, interval: Duration) -> Option<TestGroup> {
        let fields = self.inner.fields(node, GROUP_KEYS, "a test group")?;
        let name = self.text(&fields, "name");
        let own_interval = self.inner.duration(&fields, "interval").filter(|i| !i.is_zero());
        let mut group = TestGroup {
            line: self.line(node),
            name: if name.is_empty() { format!("unnamed#{index}") } else { name },
            interval: own_interval.unwrap_or(interval),
            start_ms: self.start(&fields),
            input: BTreeMap::new(),
            alert_tests: Vec::new(),
            expr_tests: Vec::new(),
            external_labels: texts(self.inner.labels(&fields, "external_labels")),
            external_url: self.text(&fields, "external_url"),
        };
        for node in &self.items(&fields, "input_series") {
            if let Some((labels, points)) = self.series(node) {
                // Like promtool: of two equal series the later one counts.
                group.input.insert(labels, points);
            }
        }
        for node in &self.items(&fields, "alert_rule_test") {
            group.alert_tests.extend(self.alert_test(node));
        }
        for node in &self.items(&fields, "promql_expr_test") {
            group.expr_tests.extend(self.expr_test(node));
        }
        Some(group)
    }

    fn series(&mut self, node: &Rc<Node>) -> Option<(Labels, Vec<Point>)> {
        let fields = self.inner.fields(node, SERIES_KEYS, "an input series")?;
        let (series, values) = (self.text(&fields, "series"), self.text(&fields, "values"));
        let line = format!("{} {}", series.trim(), values.trim());
        let result = match line.contains('\n') {
            true => Err("a series and its values must each stand on one line".to_string()),
            false => parse_series(&line),
        };
        match result {
            Ok((labels, points)) => {
                self.points = self.points.saturating_add(points.len());
                if self.points > MAX_POINTS {
                    let message = format!("more than {MAX_POINTS} points in one file");
                    self.inner.error_on(node, "value", message);
                    return None;
                }
                Some((labels, points))
            }
            Err(message) => {
                let culprit = fields.get("values").or(fields.get("series")).map(|(_, n)| *n);
                self.inner.error_on(culprit.unwrap_or(node), "value", message);
                None
            }
        }
    }

    fn alert_test(&mut self, node: &Rc<Node>) -> Option<AlertTest> {
        let fields = self.inner.fields(node, ALERT_TEST_KEYS, "an alert test")?;
        let alert = self.text(&fields, "alertname");
        if alert.is_empty() {
            self.inner.error_on(node, "missing-key", "an alert test needs an `alertname`");
        }
        let at = self.inner.duration(&fields, "eval_time").unwrap_or_default();
        let mut expected = Vec::new();
        for node in &self.items(&fields, "exp_alerts") {
            let Some(fields) = self.inner.fields(node, ALERT_KEYS, "an expected alert") else {
                continue;
            };
            let mut labels = texts(self.inner.labels(&fields, "exp_labels"));
            labels.insert("alertname".into(), alert.clone());
            let annotations = texts(self.inner.labels(&fields, "exp_annotations"));
            expected.push(FiringAlert { labels, annotations });
        }
        expected.sort();
        Some(AlertTest { line: self.line(node), at, alert, expected })
    }

    fn expr_test(&mut self, node: &Rc<Node>) -> Option<ExprTest> {
        let fields = self.inner.fields(node, EXPR_TEST_KEYS, "a query test")?;
        let expr = self.text(&fields, "expr");
        let at = self.inner.duration(&fields, "eval_time").unwrap_or_default();
        let mut expected = Vec::new();
        for node in &self.items(&fields, "exp_samples") {
            expected.extend(self.sample(node));
        }
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        Some(ExprTest { line: self.line(node), at, expr, expected })
    }

    fn sample(&mut self, node: &Rc<Node>) -> Option<(Labels, SampleValue)> {
        let fields = self.inner.fields(node, SAMPLE_KEYS, "an expected sample")?;
        let text = self.text(&fields, "labels");
        let labels = match parse_series(&text) {
            Ok((labels, points)) if points.is_empty() => labels,
            Ok(_) => {
                self.inner.error_on(node, "value", format!("labels expected, found {text:?}"));
                return None;
            }
            Err(message) => {
                self.inner.error_on(node, "value", message);
                return None;
            }
        };
        let number = SampleValue::Float(self.number(&fields, "value"));
        let histogram = self.text(&fields, "histogram");
        if histogram.is_empty() {
            return Some((labels, number));
        }
        let (_, key) = fields.get("histogram")?;
        match parse_series(&histogram) {
            Ok((_, points)) if histogram.trim_start().starts_with("{{") => {
                match points.as_slice() {
                    [Some(value @ SampleValue::Histogram(_))] => Some((labels, value.clone())),
                    _ => {
                        let message =
                            format!("one histogram expected, found {} points", points.len());
                        self.inner.error_on(key, "value", message);
                        None
                    }
                }
            }
            Ok(_) => {
                self.inner.error_on(key, "value", "a histogram is written {{…}}");
                None
            }
            Err(message) => {
                self.inner.error_on(key, "value", message);
                None
            }
        }
    }

    fn line(&self, node: &Node) -> usize {
        let text = self.inner.text;
        let mut end = node.span.start.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].matches('\n').count() + 1
    }

    fn items(&mut self, fields: &Fields<'_>, key: &str) -> Vec<Rc<Node>> {
        fields.get(key).map_or(Vec::new(), |(_, node)| self.inner.list(node, key).to_vec())
    }

    fn strings(&mut self, fields: &Fields<'_>, key: &str) -> Vec<String> {
        let items = self.items(fields, key);
        items.iter().filter_map(|node| self.inner.string(node, key)).collect()
    }

    fn text(&mut self, fields: &Fields<'_>, key: &str) -> String {
        fields.get(key).and_then(|(_, node)| self.inner.string(node, key)).unwrap_or_default()
    }

    fn boolean(&mut self, fields: &Fields<'_>, key: &str) -> bool {
        let text = self.text(fields, key);
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => true,
            "" | "false" | "no" | "off" | "n" => false,
            _ => {
                if let Some((_, node)) = fields.get(key) {
                    self.inner.error_on(node, "value", format!("`{key}` must be true or false"));
                }
                false
            }
        }
    }

    /// A number as YAML writes it; quoted, it is a text, as in promtool.
    fn number(&mut self, fields: &Fields<'_>, key: &str) -> f64 {
        let Some((_, node)) = fields.get(key) else { return 0.0 };
        let NodeKind::Scalar { text, style } = &node.kind else {
            if !matches!(node.kind, NodeKind::Null) {
                self.inner.error_on(node, "value", format!("`{key}` must be a number"));
            }
            return 0.0;
        };
        let number = (*style == ScalarStyle::Plain).then(|| yaml_number(text)).flatten();
        if number.is_none() {
            let message = format!("`{key}` must be a number, found {text:?}");
            self.inner.error_on(node, "value", message);
        }
        number.unwrap_or(0.0)
    }

    /// `start_timestamp`: seconds since the epoch, or RFC 3339.
    fn start(&mut self, fields: &Fields<'_>) -> i64 {
        let text = self.text(fields, "start_timestamp");
        if text.is_empty() {
            return 0;
        }
        let seconds = text.parse::<f64>().ok().filter(|s| s.abs() < 1e11);
        let start = seconds.map(|s| (s * 1000.0).round() as i64).or_else(|| rfc3339(&text));
        if start.is_none()
            && let Some((_, node)) = fields.get("start_timestamp")
        {
            let message = "`start_timestamp` must be seconds since 1970 or RFC 3339, such as \
                           2021-01-01T00:00:00Z";
            self.inner.error_on(node, "value", message);
        }
        start.unwrap_or(0)
    }
}

fn yaml_number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if [".inf", ".Inf", ".INF"].contains(&digits) {
        return Some(sign * f64::INFINITY);
    }
    if [".nan", ".NaN", ".NAN"].contains(&text) {
        return Some(f64::NAN);
    }
    let plain = digits.replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = plain.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix).ok().map(|n| sign * n as f64);
        }
    }
    let is_number = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && plain.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    is_number.then(|| plain.parse::<f64>().ok()).flatten().map(|n| sign * n)
}

/// Milliseconds since the epoch of `2021-01-01T00:00:00Z`, `2021-01-01T02:30:00.5+02:00`.
fn rfc3339(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let is_at =
        |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    let has_separators =
        is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt ") && is_at(13, b":") && is_at(16, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let in_range = (1..=days_in_month).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !has_separators || !in_range {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            (format!("0.{}", &rest[..end]).parse::<f64>().ok()?, &rest[end..])
        }
        None => (0.0, rest),
    };
    let offset_minutes = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours: i64 = zone.get(1..3)?.parse().ok()?;
            let minutes: i64 = zone.get(4..6)?.parse().ok()?;
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // Days since the epoch, counted in years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
            - 1
            - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(seconds * 1000 + (fraction * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_rfc_3339() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2021-01-01T00:00:00Z", Some(1_609_459_200_000)),
            ("2000-02-29T12:30:01.5Z", Some(951_827_401_500)),
            ("2021-01-01T02:30:00+02:30", Some(1_609_459_200_000)),
            ("1969-12-31T23:59:59Z", Some(-1000)),
            ("2021-02-29T00:00:00Z", None),
            ("2021-01-01", None),
            ("yesterday", None),
        ] {
            assert_eq!(rfc3339(text), want, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_yaml() {
        for (text, want) in [
            ("1", Some(1.0)),
            ("-0.5", Some(-0.5)),
            ("1e3", Some(1000.0)),
            ("0x10", Some(16.0)),
            ("1_000", Some(1000.0)),
            ("-.inf", Some(f64::NEG_INFINITY)),
            ("Inf", None),
            ("1 2", None),
            ("abc", None),
        ] {
            assert_eq!(yaml_number(text), want, "{text}");
        }
        assert!(yaml_number(".nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn every_error_has_its_place() {
        let text = "rule_files: [a.yml]\ntests:\n- interval: 1x\n  input_series:\n  - {series: 'up{', values: '1'}\n  - {series: up, values: '1 foo'}\n  alert_rule_test:\n  - {eval_time: 1m}\n  - {alertname: A, exp_alert: []}\n  promql_expr_test:\n  - {expr: up, exp_samples: [{labels: up, value: '1'}]}\n";
        let errors = read("t.yml", text, &ParseOptions::default()).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.line, e.code)).collect();
        let want = [
            (3, "value"),
            (5, "value"),
            (6, "value"),
            (8, "missing-key"),
            (9, "unknown-key"),
            (11, "value"),
        ];
        assert_eq!(found, want, "{errors:?}");
        assert!(errors[4].hint.as_ref().unwrap().contains("exp_alerts"));
    }
}
