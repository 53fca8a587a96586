//! Reading the files of objectives, and their alerts as rules.

use skopos_alerting::rules::{RuleError, RuleSet};
use skopos_alerting::slo::{self, SloSet};
use skopos_promql::ParseOptions;

use crate::ServerError;
use crate::config::{ConfigError, Settings};
use crate::query::QueryLimits;
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

/// What is wrong in the files of rules and objectives that the configuration names, as the server would find it at its
/// start. The places are in those files.
pub fn check_files(settings: &Settings) -> Vec<ConfigError> {
    let language = QueryLimits::language(settings);
    let mut errors = Vec::new();
    let rules = files::load(&settings.rule_files, &language);
    let slos = load(&settings.slo_files, &language);
    match (rules, slos) {
        (Ok(rules), Ok(slos)) => errors.extend(with_alerts(rules, &slos).err()),
        (rules, slos) => {
            errors.extend(rules.err());
            errors.extend(slos.err());
        }
    }
    errors.into_iter().flat_map(placed).collect()
}

fn placed(error: ServerError) -> Vec<ConfigError> {
    let of_file = |error: RuleError| {
        let RuleError { file, line, column, message, hint, .. } = error;
        let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
        ConfigError { place: format!("{file}:{line}:{column}"), message: message + &hint }
    };
    match error {
        ServerError::Rules(errors) => errors.into_iter().map(of_file).collect(),
        ServerError::File { path, source } => {
            let message = format!("cannot be read: {source}");
            vec![ConfigError { place: path.display().to_string(), message }]
        }
        other => vec![ConfigError { place: "rules".into(), message: other.to_string() }],
    }
}
