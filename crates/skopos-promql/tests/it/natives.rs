//! Native histograms made of known observations: what the language computes from histograms must
//! be what the observations say.

use std::sync::Arc;

use skopos_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use skopos_model::storage::QueryBudget;
use skopos_model::{BucketSpan, Histogram, Labels, Sample, SampleValue};
use skopos_promql::{EvalParams, ParseOptions, Plan, Value, evaluate, parse};

use crate::random::Random;
use crate::steps::{Data, select};

const MINUTE_MS: i64 = 60_000;

/// How observations are put into buckets.
#[derive(Clone, Debug)]
enum Layout {
    Exponential { schema: i32, zero_threshold: f64 },
    Custom { bounds: Vec<f64> },
}

/// Observations lie at odd 64ths of an octave, so never on the bound of a bucket of schema 4 or
/// coarser.
fn observation(r: &mut Random) -> f64 {
    let octaves = (r.below(400) as f64 * 2.0 - 399.0) / 64.0;
    if r.chance(30) { -octaves.exp2() } else { octaves.exp2() }
}

fn observations(r: &mut Random, most: usize) -> Vec<f64> {
    (0..r.below(most)).map(|_| observation(r)).collect()
}

/// The index of the bucket that holds a distance from zero.
fn index(size: f64, schema: i32) -> i32 {
    (size.log2() * f64::from(schema).exp2()).ceil() as i32
}

fn bound(index: i32, schema: i32) -> f64 {
    (f64::from(index) * f64::from(-schema).exp2()).exp2()
}

/// One bucket per span: a layout as odd as it gets.
fn spans(counts: &[(i32, f64)]) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut next = 0;
    let span = |(i, (index, _)): (usize, &(i32, f64))| {
        let offset = if i == 0 { *index } else { index - next };
        next = index + 1;
        BucketSpan { offset, length: 1 }
    };
    let spans = counts.iter().enumerate().map(span).collect();
    (spans, counts.iter().map(|(_, count)| *count).collect())
}

fn count(counts: &mut Vec<(i32, f64)>, index: i32) {
    match counts.binary_search_by_key(&index, |(i, _)| *i) {
        Ok(at) => counts[at].1 += 1.0,
        Err(at) => counts.insert(at, (index, 1.0)),
    }
}

fn histogram(layout: &Layout, values: &[f64]) -> Histogram {
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    // Whole numbers add up in any order.
    let sum = values.iter().map(|v| (v * 16.0).round()).sum();
    let mut out = Histogram { count: values.len() as f64, sum, ..Histogram::default() };
    for value in values {
        match layout {
            Layout::Exponential { zero_threshold, .. } if value.abs() <= *zero_threshold => {
                out.zero_count += 1.0;
            }
            Layout::Exponential { schema, .. } if *value < 0.0 => {
                count(&mut negative, index(-value, *schema));
            }
            Layout::Exponential { schema, .. } => count(&mut positive, index(*value, *schema)),
            Layout::Custom { bounds } => {
                count(&mut positive, bounds.partition_point(|b| b < value) as i32);
            }
        }
    }
    match layout {
        Layout::Exponential { schema, zero_threshold } => {
            (out.schema, out.zero_threshold) = (*schema, *zero_threshold);
        }
        Layout::Custom { bounds } => {
            (out.schema, out.custom_values) = (CUSTOM_BUCKETS_SCHEMA, bounds.clone());
        }
    }
    (out.positive_spans, out.positive_buckets) = spans(&positive);
    (out.negative_spans, out.negative_buckets) = spans(&negative);
    out
}

fn exponential(r: &mut Random) -> Layout {
    let schema = r.below(7) as i32 - 2;
    // A bound of a bucket of this schema, though perhaps not of the other's.
    let zero_threshold = if r.chance(40) { 0.0 } else { bound(r.below(40) as i32 - 30, schema) };
    Layout::Exponential { schema, zero_threshold }
}

fn custom(r: &mut Random) -> Layout {
    let all = [-8.0, -1.0, 0.0, 0.25, 1.0, 3.0, 10.0, 30.0];
    Layout::Custom { bounds: all.into_iter().filter(|_| r.chance(70)).collect() }
}

/// The finest layout that both can be put into.
fn common(a: &Layout, b: &Layout, values: (&[f64], &[f64])) -> Layout {
    match (a, b) {
        (Layout::Custom { bounds: a }, Layout::Custom { bounds: b }) => {
            Layout::Custom { bounds: a.iter().copied().filter(|v| b.contains(v)).collect() }
        }
        (
            Layout::Exponential { schema: schema_a, zero_threshold: zero_a },
            Layout::Exponential { schema: schema_b, zero_threshold: zero_b },
        ) => {
            let mut zero = zero_a.max(*zero_b);
            // The zero bucket takes in whole buckets, each at the resolution it has.
            loop {
                let before = zero;
                for (values, schema, own) in
                    [(values.0, *schema_a, *zero_a), (values.1, *schema_b, *zero_b)]
                {
                    for size in values.iter().map(|v| v.abs()).filter(|size| *size > own) {
                        let index = index(size, schema);
                        let (lower, upper) = (bound(index - 1, schema), bound(index, schema));
                        if lower < zero && zero < upper {
                            zero = upper;
                        }
                    }
                }
                if zero == before {
                    break;
                }
            }
            Layout::Exponential { schema: *schema_a.min(schema_b), zero_threshold: zero }
        }
        _ => unreachable!("layouts of one kind"),
    }
}

fn one(name: &str, histograms: Vec<Histogram>) -> (Labels, Arc<Vec<Sample>>) {
    let samples = histograms.into_iter().enumerate().map(|(i, h)| Sample {
        timestamp_ms: MINUTE_MS * i as i64,
        value: SampleValue::Histogram(Arc::new(h)),
    });
    (Labels::from_pairs([("__name__", name)]), Arc::new(samples.collect()))
}

/// The only number that a query yields at the time of the last sample, and the remarks.
fn number(query: &str, data: &Data) -> (f64, Vec<String>) {
    let expr = parse(query, &ParseOptions::all()).unwrap_or_else(|e| panic!("{query}: {e}"));
    let last = data.iter().filter_map(|(_, s)| s.last()).map(|s| s.timestamp_ms).max().unwrap();
    let plan = Plan::new(&expr, EvalParams::instant(last)).unwrap();
    let sets = plan.selects().iter().map(|s| select(data, s)).collect();
    let result = evaluate(&plan, sets, &QueryBudget::unlimited()).unwrap();
    let remarks = [result.annotations.warnings(query), result.annotations.infos(query)].concat();
    let Value::Vector(vector) = result.value else { panic!("{query}") };
    let [sample] = vector.as_slice() else { panic!("{query}: {vector:?}") };
    let SampleValue::Float(value) = sample.value else { panic!("{query}: a histogram") };
    (value, remarks)
}

#[test]
fn sums_and_differences_are_those_of_the_observations() {
    let mut r = Random::new(1);
    let mut widened = 0;
    for case in 0..600 {
        let (left, right) = if r.chance(70) {
            (exponential(&mut r), exponential(&mut r))
        } else {
            (custom(&mut r), custom(&mut r))
        };
        let (a, b) = (observations(&mut r, 30), observations(&mut r, 30));
        let shared = common(&left, &right, (&a, &b));
        if let (
            Layout::Exponential { zero_threshold: x, .. },
            Layout::Exponential { zero_threshold: y, .. },
            Layout::Exponential { zero_threshold: both, .. },
        ) = (&left, &right, &shared)
        {
            widened += usize::from(*both > x.max(*y));
        }
        let union = [a.as_slice(), &b].concat();
        let mut data = vec![
            one("a", vec![histogram(&left, &a)]),
            one("b", vec![histogram(&right, &b)]),
            one("both", vec![histogram(&shared, &union)]),
            one("coarse", vec![histogram(&shared, &a)]),
        ];
        data.sort_by(|a, b| a.0.cmp(&b.0));
        for query in [
            "(a + b) == bool both",
            "(b + a) == bool both",
            "sum({__name__=~\"a|b\"}) == bool both",
            "(avg({__name__=~\"a|b\"}) * 2) == bool both",
            "(both - b) == bool coarse",
            "-(b - both) == bool coarse",
            "(a + b) == bool (coarse - (-b))",
        ] {
            let (equal, _) = number(query, &data);
            assert_eq!(equal, 1.0, "case {case}: {query}\n{left:?} {a:?}\n{right:?} {b:?}");
        }
    }
    assert!(widened > 30, "the zero bucket grew beyond both in {widened} cases only");
}

#[test]
fn counters_reset_when_observations_vanish() {
    let mut r = Random::new(2);
    let mut found = [0; 2];
    for case in 0..600 {
        let layout = if r.chance(70) { exponential(&mut r) } else { custom(&mut r) };
        let before = observations(&mut r, 20);
        let mut after = before.clone();
        let is_reset = r.chance(50) && !before.is_empty();
        if is_reset {
            after.remove(r.below(before.len()));
        } else {
            after.extend(observations(&mut r, 20));
        }
        // A counter may become coarser meanwhile.
        let later = match &layout {
            Layout::Exponential { schema, zero_threshold } if r.chance(50) => {
                let coarser = Layout::Exponential {
                    schema: schema - r.below(3) as i32,
                    zero_threshold: *zero_threshold,
                };
                common(&layout, &coarser, (&before, &after))
            }
            layout => layout.clone(),
        };
        let data = vec![one("c", vec![histogram(&layout, &before), histogram(&later, &after)])];
        let (resets, _) = number("resets(c[5m])", &data);
        assert_eq!(resets, f64::from(is_reset), "case {case}: {layout:?} {before:?} {after:?}");
        found[usize::from(is_reset)] += 1;
        // Over (0, 61 s] with samples at 0 s and 60 s: one minute's growth for 61 s.
        let grown = if is_reset { after.len() } else { after.len() - before.len() };
        let (increase, _) = number("histogram_count(increase(c[61s]))", &data);
        let want = match grown as f64 / 60.0 {
            // Not further back than to where the counter was zero.
            growth if growth > 0.0 && (before.len() as f64 / growth) < 1.0 => {
                grown as f64 + before.len() as f64
            }
            growth => grown as f64 + growth,
        };
        assert!((increase - want).abs() < 1e-9, "case {case}: {increase} {want}");
    }
    assert!(found.iter().all(|n| *n > 150), "{found:?}");
}

#[test]
fn quantiles_fractions_and_cuts_agree() {
    let mut r = Random::new(3);
    for case in 0..400 {
        let layout = if r.chance(70) { exponential(&mut r) } else { custom(&mut r) };
        let mut values = observations(&mut r, 40);
        values.push(observation(&mut r));
        let data = vec![one("h", vec![histogram(&layout, &values)])];
        let total = values.len() as f64;
        let at = observation(&mut r);
        let (share, _) = number(&format!("histogram_fraction(-Inf, {at}, h)"), &data);
        let (above, _) = number(&format!("histogram_fraction({at}, Inf, h)"), &data);
        assert!((share + above - 1.0).abs() < 1e-9, "case {case}");
        // A cut keeps as many as the fraction says, on either side.
        for (query, want) in [("</", share), (">/", above)] {
            let (kept, _) = number(&format!("histogram_count(h {query} {at})"), &data);
            assert!((kept - want * total).abs() < 1e-9, "case {case}: {query} {at} {layout:?}");
        }
        // The estimate is off by what the bucket around holds.
        let exact = values.iter().filter(|v| **v <= at).count() as f64;
        let same_bucket = match &layout {
            Layout::Exponential { schema, zero_threshold } => {
                let place = |v: f64| match v.abs() <= *zero_threshold {
                    true => None,
                    false => Some((v < 0.0, index(v.abs(), *schema))),
                };
                values.iter().filter(|v| place(**v) == place(at)).count()
            }
            Layout::Custom { bounds } => {
                let place = |v: f64| bounds.partition_point(|b| *b < v);
                values.iter().filter(|v| place(**v) == place(at)).count()
            }
        };
        let off = (share * total - exact).abs();
        assert!(off <= same_bucket as f64 + 1e-9, "case {case}: off by {off} of {same_bucket}");
        // A quantile is where the fraction below is that large.
        let q = (r.below(998) + 1) as f64 / 1000.0;
        let query = format!("histogram_quantile({q}, h)");
        let (value, remarks) = number(&query, &data);
        assert!(remarks.is_empty(), "{remarks:?}");
        let below = format!("histogram_fraction(-Inf, {value}, h)");
        let (share, _) = number(&below, &data);
        let unbounded = matches!(&layout, Layout::Custom { bounds }
            if value == bounds.first().copied().unwrap_or(value)
                || value == bounds.last().copied().unwrap_or(value));
        // Quantiles in a bucket without end are its finite end.
        let good = unbounded || (share - q).abs() < 1e-6;
        assert!(good, "case {case}: {q} at {value}, fraction {share}: {layout:?} {values:?}");
    }
}
