//! The labels of a sample: parsing `{…}`, adding those of the target, freezing.

use std::borrow::Cow;

use skopos_model::{Labels, METRIC_NAME, MetricType};

use super::cursor::{Cursor, Failure};
use super::{ExpositionErrorKind, ExpositionOptions};
use crate::float::canonical_float;

pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Parses `{name="value",…}` onto `pairs`. A quoted text without a value is the metric's name;
/// it is returned. White space between the parts is allowed when `spaced`.
pub(super) fn braces<'a>(
    cursor: &mut Cursor<'a>,
    pairs: &mut Pairs<'a>,
    spaced: bool,
) -> Result<Option<Cow<'a, str>>, Failure> {
    let mut metric = None;
    if !cursor.eat(b'{') {
        return cursor.expected("'{'");
    }
    loop {
        skip(cursor, spaced);
        if cursor.eat(b'}') {
            return Ok(metric);
        }
        let start = cursor.at;
        let (name, quoted) = match cursor.peek() {
            Some(b'"') => (cursor.quoted()?, true),
            _ => (Cow::Borrowed(cursor.identifier(false)), false),
        };
        if name.is_empty() && !quoted {
            return cursor.expected("a label name or '}'");
        }
        skip(cursor, spaced);
        if quoted && matches!(cursor.peek(), Some(b',' | b'}')) {
            if name.is_empty() || metric.replace(name).is_some() {
                return Err((start, ExpositionErrorKind::InvalidMetricName));
            }
        } else {
            if !cursor.eat(b'=') {
                return cursor.expected("'='");
            }
            if name.is_empty() {
                return Err((
                    start,
                    ExpositionErrorKind::Expected { expected: "a label name", found: Some('"') },
                ));
            }
            skip(cursor, spaced);
            pairs.push((name, cursor.quoted()?));
            skip(cursor, spaced);
        }
        if !cursor.eat(b',') && cursor.peek() != Some(b'}') {
            return cursor.expected("',' or '}'");
        }
    }
}

fn skip(cursor: &mut Cursor<'_>, spaced: bool) {
    if spaced {
        cursor.blanks();
    }
}

/// Brings `le` of buckets and `quantile` of summaries into the canonical form.
pub(super) fn normalise(pairs: &mut Pairs<'_>, metric: &str, family: &str, kind: MetricType) {
    let histogram = matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
    let Some(suffix) = metric.strip_prefix(family) else { return };
    let special = match suffix {
        "_bucket" if histogram => "le",
        "" if kind == MetricType::Summary => "quantile",
        _ => return,
    };
    let Some((_, value)) = pairs.iter_mut().find(|(name, _)| name == special) else { return };
    if let Ok(number) = value.parse::<f64>() {
        let canonical = canonical_float(number);
        if canonical != **value {
            *value = Cow::Owned(canonical);
        }
    }
}

/// Adds name and target labels, checks limits and duplicates, freezes.
pub(super) fn freeze<'a>(
    pairs: &mut Pairs<'a>,
    metric: Cow<'a, str>,
    options: &'a ExpositionOptions<'_>,
) -> Result<Labels, ExpositionErrorKind> {
    let limits = options.limits;
    let exceeded = |limit, max, found| Err(ExpositionErrorKind::Limit { limit, max, found });
    pairs.push((METRIC_NAME.into(), metric));
    sort(pairs)?;
    if !options.target_labels.is_empty() {
        add_target_labels(pairs, options);
        sort(pairs)?;
    }
    if pairs.len() > limits.labels_per_series + 1 {
        return exceeded("labels_per_series", limits.labels_per_series, pairs.len() - 1);
    }
    for (name, value) in pairs.iter() {
        // The metric's name is a name, though it stands as a value.
        let (name, value) =
            if name == METRIC_NAME { (value.len(), 0) } else { (name.len(), value.len()) };
        if name > limits.label_name_bytes {
            return exceeded("label_name_bytes", limits.label_name_bytes, name);
        }
        if value > limits.label_value_bytes {
            return exceeded("label_value_bytes", limits.label_value_bytes, value);
        }
    }
    let present = pairs.iter().filter(|(_, value)| !value.is_empty());
    Ok(Labels::from_sorted_pairs(present.map(|(name, value)| (&**name, &**value))))
}

fn sort(pairs: &mut Pairs<'_>) -> Result<(), ExpositionErrorKind> {
    pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    match pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(ExpositionErrorKind::DuplicateLabel(pair[0].0.to_string())),
        None => Ok(()),
    }
}

/// `pairs` must be sorted and stays unique, not sorted.
fn add_target_labels<'a>(pairs: &mut Pairs<'a>, options: &'a ExpositionOptions<'_>) {
    for (name, value) in options.target_labels.iter() {
        let Some(at) = pairs.iter().position(|(n, _)| n == name) else {
            pairs.push((Cow::Borrowed(name), Cow::Borrowed(value)));
            continue;
        };
        if pairs[at].1.is_empty() {
            pairs[at].1 = Cow::Borrowed(value);
        } else if !options.honor_labels {
            let own = std::mem::replace(&mut pairs[at].1, Cow::Borrowed(value));
            let mut exported = format!("exported_{name}");
            while pairs.iter().any(|(n, _)| *n == exported)
                || options.target_labels.get(&exported).is_some()
            {
                exported.insert_str(0, "exported_");
            }
            pairs.push((Cow::Owned(exported), own));
        }
    }
}
