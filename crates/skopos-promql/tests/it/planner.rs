//! The planner: what is fetched once, computed once, and that none of it shows in the answer.

use skopos_model::SystemClock;
use skopos_model::storage::QueryBudget;
use skopos_promql::{
    EvalParams, Execution, ParseOptions, Plan, QueryResult, Value, evaluate_with, parse,
};

use crate::random::{Random, vector};
use crate::steps::{Data, random_data, select};

fn plan(query: &str) -> Plan {
    let expr = parse(query, &ParseOptions::all()).unwrap();
    Plan::new(&expr, EvalParams::range(600_000, 1_200_000, 60_000)).unwrap()
}

#[test]
fn selectors_share_fetches_where_nothing_more_is_read() {
    for (query, fetches) in [
        ("m / m", 1),
        ("m{a=\"b\", c=\"d\"} / m{c=\"d\", a=\"b\"}", 1),
        // Times that touch are joined; those far apart would read what nobody asked for.
        ("m / m offset 1m", 1),
        ("m / m offset 1w", 2),
        ("rate(m[5m]) / rate(m[10m])", 1),
        // A part of what is fetched anyway.
        ("m{code=~\"5..\"} / m", 1),
        ("m / m{code=~\"5..\"}", 1),
        ("rate(m{code=\"500\"}[5m]) / rate(m[5m])", 1),
        ("m{a=\"1\"} + m{a=\"1\", b=\"2\"} + m{b=\"2\", a=\"1\", c=\"3\"}", 1),
        // Neither contains the other.
        ("m{a=\"1\"} / m{a=\"2\"}", 2),
        // Contained in labels, not in time.
        ("rate(m{code=\"500\"}[10m]) / rate(m[5m])", 2),
        // Not one metric: everything would be fetched to filter it.
        ("{a=\"1\"} / {a=\"1\", b=\"2\"}", 2),
    ] {
        assert_eq!(plan(query).selects().len(), fetches, "{query}");
    }
}

#[test]
fn hints_name_the_labels_that_matter() {
    for (query, want) in [
        ("m", None),
        ("sum(m)", Some((vec![], true))),
        ("sum by (a, b) (rate(m[5m]))", Some((vec!["a", "b"], true))),
        ("sum without (a) (-abs(m) * 2)", Some((vec!["a"], false))),
        ("max(sum by (a) (m))", Some((vec!["a"], true))),
        ("topk by (a) (1, m)", None),
        ("sum by (a) (topk(1, m))", None),
        ("sum by (a) (m * on(b) m)", None),
        ("sum by (a) (label_replace(m, \"a\", \"$1\", \"b\", \"(.*)\"))", None),
        ("sum by (a) (m) + m", None),
    ] {
        let plan = plan(query);
        let got = plan.selects()[0].hints.projection.as_ref();
        let want = want.map(|(labels, include): (Vec<&str>, bool)| {
            (labels.into_iter().map(str::to_owned).collect::<Vec<_>>(), include)
        });
        assert_eq!(got.map(|p| (p.labels.clone(), p.include)), want, "{query}");
    }
}

#[test]
fn explanations_draw_the_plan() {
    for (query, want) in [
        (
            "sum by (job) (rate(m{code=~\"5..\"}[5m])) / sum by (job) (rate(m[5m]))",
            "\
steps: 11
fetch 0: {__name__=\"m\"} from 300.001 to 1200 for rate
shared 0:
  rate
  └─ window [5m] of fetch 0
/
├─ sum by (job)
│  └─ shared 0 where {code=~\"5..\"}
└─ sum by (job)
   └─ shared 0
",
        ),
        ("1 + 2 * 3 < bool scalar(vector(2)) + max_of(1, 2)", "steps: 11\nnumber 0\n"),
        (
            "topk without (a) (2, max_over_time((m offset 1m)[4m:2m] @ 60)) > on (b) group_left (c) n",
            "\
steps: 11
fetch 0: {__name__=\"m\"} from -479.999 to -60 for max_over_time
fetch 1: {__name__=\"n\"} from 300.001 to 1200
> on (b) group_left (c)
├─ topk without (a) [once]
│  ├─ number 2
│  └─ max_over_time [once]
│     └─ subquery [4m:2m] @ 60 [once]
│        └─ newest of fetch 0 offset 1m
└─ newest of fetch 1
",
        ),
    ] {
        assert_eq!(plan(query).explain(None).to_string(), want, "{query}");
    }
}

fn run(data: &Data, plan: &Plan, workers: usize) -> Result<QueryResult, String> {
    let sets: Vec<_> = plan.selects().iter().map(|s| select(data, s)).collect();
    let execution = Execution { workers: Some(workers), ..Execution::default() };
    let result = evaluate_with(plan, &sets, &QueryBudget::unlimited(), execution);
    result.map(|(result, _)| result).map_err(|e| e.to_string())
}

/// What is remarked, and where; a remark made for a part and for the whole may stand at either.
fn remarks(result: &QueryResult, with_places: bool) -> Vec<String> {
    let place = |span| if with_places { format!("{span:?}") } else { String::new() };
    result.annotations.iter().map(|a| format!("{} {}", a.text, place(a.span))).collect()
}

/// Queries in which something occurs twice, wholly or in part.
fn repetitive(r: &mut Random) -> String {
    let depth = r.below(3);
    let x = vector(r, depth);
    match r.below(7) {
        0 => format!("({x}) + ({x})"),
        1 => format!("sum by (a) ({x}) / on(a) group_right () ({x})"),
        2 => format!("(({x}) and ({x})) or -({x})"),
        3 => format!("max_over_time(({x})[10m:1m]) - min_over_time(({x})[10m:1m])"),
        4 => format!("({x} @ start()) + ({x})"),
        5 => {
            let (name, all) = (r.pick(&["up", "http.requests", "x.y"]), r.pick(&["", "a!=\"\""]));
            let function = r.pick(&["rate", "sum_over_time", "absent_over_time", "irate"]);
            let part = r.pick(&["a=\"b\"", "a=~\"b|c\"", "b!=\"1\""]);
            format!(
                "{function}({{\"{name}\", {all}}}[5m]) or {function}({{\"{name}\", {part}, {all}}}[5m]) * 2"
            )
            .replace(", }", "}")
            .replace(", [", "[")
        }
        _ => "timestamp(up{a=\"c\"}) - timestamp(up) + up{a=\"c\"} * up".to_owned(),
    }
}

#[test]
fn sharing_and_threads_do_not_show_in_the_answer() {
    let mut r = Random::new(7);
    let (mut compared, mut shared, mut nonempty) = (0, 0, 0);
    for _ in 0..1_500 {
        let data = random_data(&mut r);
        let query = repetitive(&mut r);
        let Ok(expr) = parse(&query, &ParseOptions::all()) else { continue };
        let (start, step) = (r.below(600_000) as i64, 1_000 * (1 + r.below(120) as i64));
        let params = EvalParams {
            delayed_name_removal: r.chance(50),
            ..EvalParams::range(start, start + step * 9, step)
        };
        let Ok(written) = Plan::as_written(&expr, params) else { continue };
        let plan = Plan::new(&expr, params).unwrap();
        let want = run(&data, &written, 1);
        let explained = plan.explain(None).to_string();
        for workers in [1, 3] {
            let got = run(&data, &plan, workers);
            match (&want, got) {
                (Ok(want), Ok(got)) => {
                    // Bit for bit: as text, because NaN differs from itself.
                    let [a, b] = [want, &got].map(|q| format!("{:?}", q.value));
                    assert_eq!(a, b, "{query}");
                    let [a, b] = [want, &got].map(|q| remarks(q, !explained.contains("where")));
                    assert_eq!(a, b, "{query}");
                    nonempty += usize::from(want.value.series_count() > 0);
                }
                (want, got) => {
                    assert_eq!(want.as_ref().err(), got.as_ref().err(), "{query}");
                }
            }
            compared += 1;
        }
        shared += usize::from(!plan.explain(None).shared.is_empty());
    }
    let counts = format!("{compared} compared, {shared} shared, {nonempty} not empty");
    assert!(compared > 2_000 && shared > 600 && nonempty > 1_000, "{counts}");
}

#[test]
fn profiles_say_what_each_operator_cost() {
    let data = random_data(&mut Random::new(3));
    let plan = plan("sum(count_over_time(up[5m])) / sum(count_over_time(up{a=\"c\"}[5m]))");
    let sets: Vec<_> = plan.selects().iter().map(|s| select(&data, s)).collect();
    let clock = SystemClock::new();
    let execution = Execution { clock: Some(&clock), ..Execution::default() };
    let (result, profile) =
        evaluate_with(&plan, &sets, &QueryBudget::unlimited(), execution).unwrap();
    let Value::Matrix(matrix) = &result.value else { panic!("{:?}", result.value) };
    let explained = plan.explain(Some(&profile));
    let cost = explained.root.cost.unwrap();
    assert_eq!((cost.series, cost.samples), (matrix.len() as u64, result.stats.samples));
    assert!(result.stats.samples > 0 && result.stats.series == 3, "{:?}", result.stats);
    let [part] = explained.shared.as_slice() else { panic!("{explained}") };
    let part = part.cost.unwrap();
    assert_eq!((part.series, part.samples, part.calls), (3, result.stats.samples, 1));
    assert!(cost.time >= part.time);
    assert!(explained.to_string().contains("(3 series, "), "{explained}");
}
