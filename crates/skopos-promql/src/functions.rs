//! The functions of PromQL: names, signatures, and how each is evaluated.

use std::sync::LazyLock;

use crate::ast::ValueType::{self, Matrix, Scalar, String as Text, Vector};

/// A function's signature.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of its parameters. Those beyond `required` may be left out; when
    /// `repeats` is set the last may occur any number of times.
    pub params: &'static [ValueType],
    /// How many arguments are required.
    pub required: usize,
    /// Whether the last parameter repeats.
    pub repeats: bool,
    /// What it yields.
    pub returns: ValueType,
    /// Whether it exists only behind the experimental switch.
    pub experimental: bool,
    pub(crate) kind: FunctionKind,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Function {
    /// By name.
    pub fn find(name: &str) -> Option<&'static Function> {
        FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
    }

    /// All functions in alphabetical order.
    pub fn all() -> &'static [Function] {
        &FUNCTIONS
    }

    /// The most arguments it takes; `None` when there is no bound.
    pub fn max_args(&self) -> Option<usize> {
        (!self.repeats).then_some(self.params.len())
    }

    /// The type of argument `i`.
    pub fn param(&self, i: usize) -> Option<ValueType> {
        self.params
            .get(i)
            .copied()
            .or_else(|| if self.repeats { self.params.last().copied() } else { None })
    }

    /// The name nearest to a misspelt one, functions and aggregations alike.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let aggregations = crate::ast::AggregateOp::ALL.map(|op| op.as_str());
        nearest(&name.to_ascii_lowercase(), FUNCTIONS.iter().map(|f| f.name).chain(aggregations))
    }
}

/// The candidate nearest to a misspelt word, if one is near enough.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .map(|candidate| {
            // Of equally near words, one that was only begun is likelier.
            (edit_distance(word, candidate), !candidate.starts_with(word), candidate)
        })
        .filter(|(distance, _, candidate)| {
            // Of a short word hardly anything is left after two changes.
            *distance <= 1 + candidate.len().min(word.len()) / 4
        })
        .min()
        .map(|(_, _, candidate)| candidate)
}

/// Single-character edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

/// How a function is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FunctionKind {
    /// A number to a number, sample by sample; histograms are left out.
    Map(fn(f64) -> f64),
    /// Part of a date, of the sample's value or of the evaluation time.
    Date(DatePart),
    /// A window of samples to one sample.
    Range(RangeFn),
    /// A number drawn from a native histogram.
    HistogramPart(HistogramPart),
    Absent,
    AbsentOverTime,
    Clamp,
    ClampMax,
    ClampMin,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    Info,
    LabelJoin,
    LabelReplace,
    Pick {
        max: bool,
    },
    QueryConstant(QueryConstant),
    Pi,
    Round,
    ScalarOf,
    StartTimestamp,
    Sort {
        descending: bool,
    },
    SortByLabel {
        descending: bool,
    },
    Time,
    Timestamp,
    VectorOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Hour,
    Minute,
    Month,
    Year,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramPart {
    Avg,
    Count,
    Stddev,
    Stdvar,
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryConstant {
    Start,
    End,
    Step,
    Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeFn {
    Avg,
    Changes,
    Count,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    First,
    Idelta,
    Increase,
    Irate,
    Last,
    Mad,
    Max,
    Min,
    PredictLinear,
    Present,
    Quantile,
    Rate,
    Resets,
    Stddev,
    Stdvar,
    Sum,
    TsOfFirst,
    TsOfLast,
    TsOfMax,
    TsOfMin,
}

impl RangeFn {
    /// Whether the result keeps the metric's name.
    pub(crate) fn keeps_name(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }
}

fn sgn(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

static FUNCTIONS: LazyLock<Vec<Function>> = LazyLock::new(|| {
    use FunctionKind as K;
    let mut all = Vec::new();
    let mut add = |name, params: &'static [ValueType], required, returns, kind| {
        all.push(Function {
            name,
            params,
            required,
            repeats: false,
            returns,
            experimental: false,
            kind,
        });
    };
    type Map = (&'static str, fn(f64) -> f64);
    let maps: [Map; 23] = [
        ("abs", f64::abs),
        ("acos", f64::acos),
        ("acosh", f64::acosh),
        ("asin", f64::asin),
        ("asinh", f64::asinh),
        ("atan", f64::atan),
        ("atanh", f64::atanh),
        ("ceil", f64::ceil),
        ("cos", f64::cos),
        ("cosh", f64::cosh),
        ("deg", f64::to_degrees),
        ("exp", f64::exp),
        ("floor", f64::floor),
        ("ln", f64::ln),
        ("log10", f64::log10),
        ("log2", f64::log2),
        ("rad", f64::to_radians),
        ("sgn", sgn),
        ("sin", f64::sin),
        ("sinh", f64::sinh),
        ("sqrt", f64::sqrt),
        ("tan", f64::tan),
        ("tanh", f64::tanh),
    ];
    for (name, map) in maps {
        add(name, &[Vector], 1, Vector, K::Map(map));
    }
    for (name, part) in [
        ("day_of_month", DatePart::DayOfMonth),
        ("day_of_week", DatePart::DayOfWeek),
        ("day_of_year", DatePart::DayOfYear),
        ("days_in_month", DatePart::DaysInMonth),
        ("hour", DatePart::Hour),
        ("minute", DatePart::Minute),
        ("month", DatePart::Month),
        ("year", DatePart::Year),
    ] {
        add(name, &[Vector], 0, Vector, K::Date(part));
    }
    for (name, range) in [
        ("avg_over_time", RangeFn::Avg),
        ("changes", RangeFn::Changes),
        ("count_over_time", RangeFn::Count),
        ("delta", RangeFn::Delta),
        ("deriv", RangeFn::Deriv),
        ("first_over_time", RangeFn::First),
        ("idelta", RangeFn::Idelta),
        ("increase", RangeFn::Increase),
        ("irate", RangeFn::Irate),
        ("last_over_time", RangeFn::Last),
        ("mad_over_time", RangeFn::Mad),
        ("max_over_time", RangeFn::Max),
        ("min_over_time", RangeFn::Min),
        ("present_over_time", RangeFn::Present),
        ("rate", RangeFn::Rate),
        ("resets", RangeFn::Resets),
        ("stddev_over_time", RangeFn::Stddev),
        ("stdvar_over_time", RangeFn::Stdvar),
        ("sum_over_time", RangeFn::Sum),
        ("ts_of_first_over_time", RangeFn::TsOfFirst),
        ("ts_of_last_over_time", RangeFn::TsOfLast),
        ("ts_of_max_over_time", RangeFn::TsOfMax),
        ("ts_of_min_over_time", RangeFn::TsOfMin),
    ] {
        add(name, &[Matrix], 1, Vector, K::Range(range));
    }
    for (name, part) in [
        ("histogram_avg", HistogramPart::Avg),
        ("histogram_count", HistogramPart::Count),
        ("histogram_stddev", HistogramPart::Stddev),
        ("histogram_stdvar", HistogramPart::Stdvar),
        ("histogram_sum", HistogramPart::Sum),
    ] {
        add(name, &[Vector], 1, Vector, K::HistogramPart(part));
    }
    for (name, constant) in [
        ("start", QueryConstant::Start),
        ("end", QueryConstant::End),
        ("step", QueryConstant::Step),
        ("range", QueryConstant::Range),
    ] {
        add(name, &[], 0, Scalar, K::QueryConstant(constant));
    }
    add("absent", &[Vector], 1, Vector, K::Absent);
    add("absent_over_time", &[Matrix], 1, Vector, K::AbsentOverTime);
    add("clamp", &[Vector, Scalar, Scalar], 3, Vector, K::Clamp);
    add("clamp_max", &[Vector, Scalar], 2, Vector, K::ClampMax);
    add("clamp_min", &[Vector, Scalar], 2, Vector, K::ClampMin);
    let smoothing = K::Range(RangeFn::DoubleExponentialSmoothing);
    add("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 3, Vector, smoothing);
    add("histogram_fraction", &[Scalar, Scalar, Vector], 3, Vector, K::HistogramFraction);
    add("histogram_quantile", &[Scalar, Vector], 2, Vector, K::HistogramQuantile);
    add("histogram_quantiles", &[Vector, Text, Scalar], 3, Vector, K::HistogramQuantiles);
    add("info", &[Vector, Vector], 1, Vector, K::Info);
    add("label_join", &[Vector, Text, Text, Text], 3, Vector, K::LabelJoin);
    add("label_replace", &[Vector, Text, Text, Text, Text], 5, Vector, K::LabelReplace);
    add("max_of", &[Scalar, Scalar], 2, Scalar, K::Pick { max: true });
    add("min_of", &[Scalar, Scalar], 2, Scalar, K::Pick { max: false });
    add("pi", &[], 0, Scalar, K::Pi);
    let predict = K::Range(RangeFn::PredictLinear);
    add("predict_linear", &[Matrix, Scalar], 2, Vector, predict);
    let quantile = K::Range(RangeFn::Quantile);
    add("quantile_over_time", &[Scalar, Matrix], 2, Vector, quantile);
    add("round", &[Vector, Scalar], 1, Vector, K::Round);
    add("scalar", &[Vector], 1, Scalar, K::ScalarOf);
    add("sort", &[Vector], 1, Vector, K::Sort { descending: false });
    add("sort_desc", &[Vector], 1, Vector, K::Sort { descending: true });
    add("sort_by_label", &[Vector, Text], 1, Vector, K::SortByLabel { descending: false });
    add("sort_by_label_desc", &[Vector, Text], 1, Vector, K::SortByLabel { descending: true });
    add("start_timestamp", &[Vector], 1, Vector, K::StartTimestamp);
    add("time", &[], 0, Scalar, K::Time);
    add("timestamp", &[Vector], 1, Vector, K::Timestamp);
    add("vector", &[Scalar], 1, Vector, K::VectorOf);

    const REPEATING: [&str; 4] =
        ["histogram_quantiles", "label_join", "sort_by_label", "sort_by_label_desc"];
    const EXPERIMENTAL: [&str; 17] = [
        "double_exponential_smoothing",
        "end",
        "histogram_quantiles",
        "info",
        "mad_over_time",
        "max_of",
        "min_of",
        "range",
        "sort_by_label",
        "sort_by_label_desc",
        "start",
        "start_timestamp",
        "step",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
    ];
    for function in &mut all {
        function.repeats = REPEATING.contains(&function.name);
        function.experimental = EXPERIMENTAL.contains(&function.name);
    }
    all.sort_by_key(|f| f.name);
    all
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_name() {
        assert!(Function::all().len() > 85);
        for function in Function::all() {
            assert_eq!(Function::find(function.name).map(|f| f.name), Some(function.name));
            assert!(function.required <= function.params.len());
        }
        assert!(Function::find("nope").is_none());
    }

    #[test]
    fn suggests_the_nearest_name() {
        for (wrong, want) in [
            ("rat", Some("rate")),
            ("histogram_quantil", Some("histogram_quantile")),
            ("sums", Some("sum")),
            ("avg_overtime", Some("avg_over_time")),
            ("completely_different", None),
        ] {
            assert_eq!(Function::nearest(wrong), want, "{wrong}");
        }
    }
}
