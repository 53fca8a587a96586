//! Fuzz targets, plain functions that stable Rust can drive. They panic when a promise breaks.

use skopos_model::storage::{BudgetLimit, QueryBudget, SeriesSet};

use crate::{EvalParams, ParseOptions, Plan, evaluate, parse};

/// Any text parses or is refused with a place inside the text. What parses prints as PromQL that
/// parses to the same print, and plans and evaluates on no data without panicking.
pub fn fuzz_promql_parse(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let expr = match parse(query, &ParseOptions::all()) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(error.span.start <= error.span.end, "{error:?}");
            assert!(error.at.line >= 1 && error.at.column >= 1, "{error:?}");
            assert!(!error.render().is_empty());
            return;
        }
    };
    let printed = expr.to_string();
    let again = parse(&printed, &ParseOptions::all())
        .unwrap_or_else(|e| panic!("{query:?} prints as {printed:?}, which fails: {e}"));
    assert_eq!(printed, again.to_string(), "from {query:?}");
    for params in [EvalParams::instant(0), EvalParams::range(-90_000, 90_000, 15_000)] {
        let Ok(plan) = Plan::new(&expr, params) else { continue };
        for select in plan.selects() {
            assert!(select.start_ms <= select.end_ms, "{select:?} of {query:?}");
        }
        // Subqueries of subqueries can ask for any number of steps; the budget ends them.
        let limit = BudgetLimit {
            timeout: Some(std::time::Duration::from_millis(200)),
            max_samples: 10_000,
            max_bytes: 1 << 20,
            max_series: 10_000,
        };
        let clock = std::sync::Arc::new(skopos_model::SystemClock::new());
        let data = vec![SeriesSet::default(); plan.selects().len()];
        let _ = evaluate(&plan, data, &QueryBudget::new(limit, clock));
    }
}

/// Any text is a script or is refused with a line.
pub fn fuzz_promqltest_script(data: &[u8]) {
    let Ok(script) = std::str::from_utf8(data) else { return };
    if let Err(error) = crate::promqltest::check_syntax(script) {
        assert!(error.line >= 1);
    }
}
