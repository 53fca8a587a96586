//! Skopos beside Debian's Prometheus 2.42: the same samples by remote write, the same questions,
//! the same answers.
//!
//! The questions stand in `testdata/differential.txt`. Windows of 2.x contain their left edge and
//! those of 3.x do not, so no sample and no subquery step lies on an edge: samples stand at odd
//! milliseconds, and evaluation times 33 s after a full minute. Values agree within 1e-9 relative.
//! The samples that `stats` says were looked at are the same too.
//!
//! `prometheus` is taken from the path (or `SKOPOS_PROMETHEUS`); where there is none, the test says
//! so and skips. `cargo xtask test` installs it.

mod compare;
mod data;
mod oracle;
mod script;

use std::collections::BTreeMap;

use skopos_ingest::remote_write::encode;
use skopos_promql::parser::{ParseOptions, parse};

use crate::api::Api;
use compare::difference;
use data::{END, START};
use oracle::{Asked, Oracle};
use script::{Case, Mark, cases};

/// Every function of 2.42 under its name in 3.x.
const FUNCTIONS: &str = "abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time \
    ceil changes clamp clamp_max clamp_min cos cosh count_over_time day_of_month day_of_week \
    day_of_year days_in_month deg delta deriv double_exponential_smoothing exp floor \
    histogram_count histogram_fraction histogram_quantile histogram_sum hour idelta increase irate \
    label_join label_replace last_over_time ln log10 log2 max_over_time min_over_time minute month \
    pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn sin \
    sinh sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time \
    timestamp vector year";

const AGGREGATIONS: &str =
    "avg bottomk count count_values group max min quantile stddev stdvar sum topk";

/// `pi()` and `time()` have no argument to vary, but three uses all the same.
const LEAST_USES: usize = 3;
const MOST_EXPLAINED: usize = 10;

#[test]
fn the_questions_cover_the_language() {
    let mut uses: BTreeMap<&str, usize> = FUNCTIONS
        .split_whitespace()
        .chain(AGGREGATIONS.split_whitespace())
        .map(|f| (f, 0))
        .collect();
    let (mut good, mut explained) = (0, 0);
    for case in cases() {
        explained += usize::from(matches!(case.mark, Mark::Differs(_)));
        let Ok(expr) = parse(&case.ours, &ParseOptions::all()) else { continue };
        good += 1;
        for node in expr.descendants() {
            let name = match &node.kind {
                skopos_promql::ExprKind::Call(call) => call.func.name,
                skopos_promql::ExprKind::Aggregate(aggregate) => aggregate.op.as_str(),
                _ => continue,
            };
            *uses.get_mut(name).unwrap_or_else(|| panic!("{name} is not of 2.42")) += 1;
        }
    }
    assert!(good >= 300, "{good} questions");
    assert!(explained <= MOST_EXPLAINED, "{explained} explained differences");
    uses.retain(|_, count| *count < LEAST_USES);
    assert!(uses.is_empty(), "asked too seldom: {uses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_42_answers_alike() {
    let Some(oracle) = Oracle::start().await else { return };
    let api = Api::with(|settings| settings.experimental_queries = true).await;
    for batch in data::batches() {
        let body = encode(&batch);
        for base in [&oracle.base, &api.base] {
            oracle.write(base, body.clone()).await;
        }
    }
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in cases() {
        let verdict = ask(&oracle, &api, &case).await;
        let (kind, failure) = match (&case.mark, verdict) {
            (Mark::Differs(why), Ok(())) => {
                ("failed", Some(format!("{case}: the same, although explained by {why}")))
            }
            (Mark::Differs(_), Err(_)) => ("differ as explained", None),
            (_, Ok(())) => ("the same", None),
            (_, Err(why)) => ("failed", Some(format!("{case}\n    {why}"))),
        };
        *tally.entry(kind).or_default() += 1;
        failures.extend(failure);
    }
    for path in [
        "/api/v1/labels",
        "/api/v1/label/job/values",
        "/api/v1/label/__name__/values",
        "/api/v1/series?match[]=up&match[]={__name__=~\"pods.*\",pod!=\"pod-3\"}",
    ] {
        let join = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{join}start={START}&end={END}");
        let (theirs, ours) =
            (oracle.get(&oracle.base, &path).await, oracle.get(&api.base, &path).await);
        if theirs["data"] != ours["data"] {
            failures.push(format!("{path}\n    theirs {theirs}\n    ours   {ours}"));
        }
    }
    println!("questions asked of Prometheus 2.42 and Skopos, three times instant and as a range:");
    for (kind, count) in &tally {
        println!("{count:>6} {kind}");
    }
    api.stop().await;
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// Asks both in every way; the first difference is the answer.
async fn ask(oracle: &Oracle, api: &Api, case: &Case) -> Result<(), String> {
    // 33 s after a full minute: no step of a subquery lies on the edge of a window.
    let instants = [START + 3_633, START + 5_433, END - 27];
    let ways = instants.map(Asked::Instant).into_iter().chain([
        Asked::Range { start: START + 1_833, end: END - 27, step: 60 },
        Asked::Range { start: START + 333, end: END - 27, step: 660 },
    ]);
    for way in ways {
        let theirs = oracle.ask(&oracle.base, &case.theirs, &way).await;
        let ours = oracle.ask(&api.base, &case.ours, &way).await;
        // A native histogram counts for one in 2.42, later for as many floats as it takes.
        let counts = !case.ours.contains("native") && !matches!(case.mark, Mark::Differs(_));
        if counts && theirs.status == 200 {
            let theirs = oracle.samples(&oracle.base, &case.theirs, &way).await;
            let ours = oracle.samples(&api.base, &case.ours, &way).await;
            if theirs != ours {
                return Err(format!(
                    "{way:?}: samples looked at\n theirs {theirs}\n ours   {ours}"
                ));
            }
        }
        let ordered = matches!(way, Asked::Range { .. }) || case.mark == Mark::Ordered;
        if let Some(why) = difference(&theirs, &ours, ordered) {
            return Err(format!("{way:?}: {why}"));
        }
    }
    Ok(())
}
