//! Tests of rule files in the format of `promtool test rules`, unchanged.
//!
//! A test file names rule files, lays down series in the test notation, and says which alerts fire
//! and what queries answer at given times. The rules run in the real [`Engine`](crate::Engine) on a
//! virtual clock, at every `evaluation_interval` from the start to the latest time that is asked
//! about, over series in memory.
//!
//! What follows promtool where one might expect otherwise:
//! - Every group is evaluated at the file's `evaluation_interval`, whatever its own `interval` says.
//! - An alert test at a time between two evaluations looks at the earlier one. Queries see only the
//!   samples laid down until the last evaluation.
//! - `exp_annotations` must name every annotation; numbers must be equal to the bit unless
//!   `fuzzy_compare` is set, and NaN equals nothing.
//! - The first rule that fails ends its test group.
//!
//! What differs from the promtool of Prometheus 2: ranges are open on the left, as in Prometheus 3.
//! Reads no files itself: [`RuleFiles`] is the host's.

mod file;
mod report;
mod run;

use skopos_promql::ParseOptions;

pub use report::{Failure, FileReport, GroupReport, junit};

/// Where a test file's rule files come from.
pub trait RuleFiles {
    /// The files that a `rule_files` entry means, as (path, text), relative to the test file and in
    /// order of name. None is a warning; an unreadable one an error.
    fn find(&self, pattern: &str) -> Result<Vec<(String, String)>, String>;
}

/// How to run a test file.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Only test groups whose name matches.
    pub only: Option<regex::Regex>,
    /// Which parts of PromQL rules and tests may use.
    pub language: ParseOptions,
    /// Whether reports hold every series as it was at the end.
    pub dump: bool,
}

/// Runs the tests of a file. What is wrong with it, or with its rule files, is part of the report.
pub fn run(path: &str, text: &str, files: &dyn RuleFiles, options: &RunOptions) -> FileReport {
    let mut report = FileReport { file: path.into(), ..FileReport::default() };
    match file::read(path, text, &options.language) {
        Ok(file) => run::run(&file, files, options, &mut report),
        Err(errors) => report.errors = errors,
    }
    report
}

/// Reads arbitrary bytes as a test file; for fuzzing. Positions of errors must lie in the file.
pub fn fuzz_rule_test_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(errors) = file::read("fuzz.yml", text, &ParseOptions::default()) {
        assert!(!errors.is_empty());
        for error in errors {
            assert!((1..=text.split('\n').count()).contains(&error.line), "{error:?}");
            assert!((1..=error.snippet.chars().count() + 1).contains(&error.column), "{error:?}");
            let _ = error.to_string();
        }
    }
}
