//! Reading the files of objectives, and their alerts as rules.

use skopos_alerting::rules::RuleSet;
use skopos_alerting::slo::{self, SloSet};
use skopos_promql::ParseOptions;

use crate::ServerError;
use crate::rules::files;

/// Reads the files given with `--slo`: all of them are right, or none is taken.
pub(crate) fn load(sources: &[String], language: &ParseOptions) -> Result<SloSet, ServerError> {
    let texts = files::read(sources)?;
    let files: Vec<(&str, &str)> = texts.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let set = slo::load_with(&files, language).map_err(ServerError::Rules)?;
    if set.slos.is_empty() && !sources.is_empty() {
        tracing::warn!("the files given with --slo hold no objective");
    }
    Ok(set)
}

/// The rules of files and the alerts of objectives together.
pub(crate) fn with_alerts(mut rules: RuleSet, slos: &SloSet) -> Result<RuleSet, ServerError> {
    let alerts = slo::rules::alert_rules(slos).map_err(ServerError::Rules)?;
    rules.groups.extend(alerts.groups);
    Ok(rules)
}
