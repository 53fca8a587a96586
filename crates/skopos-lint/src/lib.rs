//! Checks of alert rules: rule files, the routes their alerts take, and the runbooks they link, made
//! into findings with their place in the file.
//!
//! What it is: [`check`] reads Prometheus rule files (or Kubernetes' `PrometheusRule`) and says what
//! does not load, what can never fire or always does, what wakes people for nothing, and which
//! alert leaves them without help. Every check is a page of [`Check`]: what, why, a bad and a good
//! example, and those examples are its test. [`runbook`] reads the pages that alerts link.
//!
//! What it is not: it evaluates nothing, reads no data, opens no file and fetches nothing. Pages come
//! through [`Pages`], which the caller implements. Whether an alert *would have* fired is for a
//! backtest to say.
//!
//! What it promises:
//! - A file that Prometheus' loader accepts gets no error of the codes `yaml/parse`, `promql/syntax`
//!   and `rule/schema`, and one that it refuses gets at least one.
//! - Codes are stable, and are the ones of pint where pint has the check.
//! - The same files give the same findings in the same order.
//! - A comment holds back only what it names, and ours only with a reason.
//!
//! ```
//! use skopos_lint::{NoPages, Options, Severity, check};
//!
//! let file = "
//! groups:
//! - name: api
//!   rules:
//!   - alert: HighErrorRate
//!     expr: sum(rate(errors_total[5m])) > 5 and count(up) == 0
//!     for: 5m
//! ";
//! let report = check(&[("api.yml", file)], &Options::default(), &NoPages);
//! let errors: Vec<_> = report.findings.iter().filter(|f| f.severity == Severity::Error).collect();
//! assert_eq!(errors[0].code, "alerts/threshold");
//! assert_eq!((errors[0].line, errors[0].column, errors[0].width), (6, 47, 14));
//! assert_eq!(errors[0].message, "`count(up) == 0` never holds: the left side is at least 1");
//! ```

mod checks;
mod comment;
mod context;
mod finding;
mod interval;
mod metric;
mod output;
mod policy;
mod priority;
mod routes;
mod rule;
pub mod runbook;
mod shape;
mod source;
mod suppress;

use std::time::Duration;

use skopos_promql::ParseOptions;

pub use comment::fuzz_lint_comments;
pub use finding::{Finding, Report, Severity, Suppressed};
pub use output::sarif;
pub use policy::{Policies, PolicyError};
pub use priority::{Priority, Severities};
pub use routes::Routes;
pub use rule::Check;
pub use runbook::{Fetched, NoPages, Owners, Pages};

/// What the checks take for granted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which parts of PromQL rules may use.
    pub language: ParseOptions,
    /// What severity labels mean.
    pub severities: Severities,
    /// The shortest `for` that is not a spike (guide: 5 minutes).
    pub shortest_for: Duration,
    /// Who may own and be escalated to; any name when absent.
    pub owners: Option<Owners>,
    /// What a house demands beyond what everybody should.
    pub policies: Option<Policies>,
    /// Where alerts go; not judged when absent.
    pub routes: Option<Routes>,
    /// Today, `YYYY-MM-DD`: ends what `pint snooze` began. Absent: snoozes last.
    pub today: Option<String>,
    /// Report only these codes (or areas, as `alerts/*`); all when empty.
    pub only: Vec<String>,
    /// Do not report these.
    pub except: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: ParseOptions::default(),
            severities: Severities::default(),
            shortest_for: Duration::from_secs(300),
            owners: None,
            policies: None,
            routes: None,
            today: None,
            only: Vec::new(),
            except: Vec::new(),
        }
    }
}

/// Checks rule files given as (path, text), together: rules may use what other files record.
pub fn check(files: &[(&str, &str)], options: &Options, pages: &dyn Pages) -> Report {
    let mut context = context::Context::new(files, options, pages);
    checks::run(&mut context);
    suppress::report(context)
}
