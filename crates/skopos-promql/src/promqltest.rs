//! Runs test scripts in Prometheus' `promqltest` language.
//!
//! ```text
//! load 1m
//!     requests_total{path="/a"} 0+60x10
//!
//! eval instant at 10m rate(requests_total[5m])
//!     {path="/a"} 1
//! ```
//!
//! Each instant case is run in all the ways Prometheus runs it: as written, as the middle step of
//! a range query, and with `@` forced on every selector while the evaluation time moves. Queries
//! run with Prometheus' conformance settings: everything experimental on, metric names dropped
//! late, start timestamps looked at. `series@st -30s -1mx4` gives a series' samples start
//! timestamps, as offsets from the time of each sample.

mod compare;
mod run;
mod script;
mod series;
mod store;

pub use compare::same_histogram;
pub use run::{Case, Report, run};
pub use script::ScriptError;
pub use series::{Point, parse_series, write_histogram};
pub use store::Store;

/// Reads a script without running it.
pub fn check_syntax(script: &str) -> Result<(), ScriptError> {
    script::parse(script).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(script: &str) -> Vec<(usize, String)> {
        let report = run(script).unwrap();
        report.cases.into_iter().filter_map(|c| c.failure.map(|f| (c.line, f))).collect()
    }

    #[test]
    fn right_expectations_pass_and_wrong_ones_name_their_line() {
        let script = "load 1m\n  m{a=\"b\"} 1+1x3\n\neval instant at 2m m\n  m{a=\"b\"} 3\n\n";
        assert_eq!(failures(script), []);
        let wrong = format!("{script}eval instant at 2m m\n  m{{a=\"b\"}} 4\n");
        let found = failures(&wrong);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 7);
        assert!(found[0].1.contains("expected 4"), "{}", found[0].1);
    }

    #[test]
    fn too_much_and_too_little_fail() {
        let load = "load 1m\n  m{a=\"b\"} 1 2\n  m{a=\"c\"} 1 2\n\n";
        assert_eq!(failures(&format!("{load}eval instant at 1m m\n  m{{a=\"b\"}} 2\n")).len(), 1);
        let much = "eval instant at 1m m{a=\"b\"}\n  m{a=\"b\"} 2\n  m{a=\"c\"} 2\n";
        assert_eq!(failures(&format!("{load}{much}")).len(), 1);
        let nothing = "eval instant at 1m m\n";
        assert_eq!(failures(&format!("{load}{nothing}")).len(), 1);
    }

    #[test]
    fn annotations_and_failures_are_expected_by_text() {
        let load = "load 1m\n  m 1 2\n\n";
        for (case, want) in [
            ("eval instant at 1m rate(m[2m])\n  expect info\n  {} 0.016666666666666666\n", 0),
            ("eval instant at 1m rate(m[2m])\n  expect no_info\n  {} 0.016666666666666666\n", 1),
            ("eval instant at 1m topk(NaN, m)\n  expect fail msg: Parameter value is NaN\n", 0),
            ("eval instant at 1m topk(NaN, m)\n  expect fail msg: other\n", 1),
            ("eval instant at 1m m\n  expect fail\n", 1),
        ] {
            assert_eq!(failures(&format!("{load}{case}")).len(), want, "{case}");
        }
    }

    #[test]
    fn nonsense_is_an_error_with_its_line() {
        for (script, line) in [
            ("frobnicate\n", 1),
            ("\nload\n", 2),
            ("load 1m\n  m 1 2 x\n", 2),
            ("eval instant at 1m m\n  m{ 3\n", 2),
            ("eval range from 0 to 1m step 1m m\n  m {{schema:x}}\n", 2),
        ] {
            assert_eq!(run(script).unwrap_err().line, line, "{script:?}");
        }
    }
}
