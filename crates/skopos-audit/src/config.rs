//! `skopos-audit.toml`: what a house says about its repository. Unknown keys are refused.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The name of the file, at the root of a repository.
pub const FILE_NAME: &str = "skopos-audit.toml";

/// What a house says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Codes or areas (`LOG`, `SEC001`) to judge; all when empty.
    pub select: Vec<String>,
    /// Codes or areas not to judge.
    pub ignore: Vec<String>,
    /// Globs of paths to leave out.
    pub exclude: Vec<String>,
    /// Other weights for rules: code → `low`, `normal`, `important`, `critical`.
    pub severity: BTreeMap<String, String>,
    /// Functions that make a value harmless to log.
    pub sanitizers: Vec<String>,
    /// Further names whose values must not be logged.
    pub sensitive: Vec<String>,
    /// Names that look sensitive and are not.
    pub harmless: Vec<String>,
    /// Alerting that lives elsewhere.
    pub alerts: Elsewhere,
    /// Scraping that lives elsewhere.
    pub scraping: Elsewhere,
    /// Corrections to the services that were found.
    #[serde(rename = "service")]
    pub services: Vec<ServiceOverride>,
    /// Findings that the house has looked at and lives with.
    #[serde(rename = "accept")]
    pub accepted: Vec<Accepted>,
}

/// Findings that are accepted, where a comment cannot stand or would stand too often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Codes or areas.
    pub rules: Vec<String>,
    /// A file, or a folder and all below it, from the root; `.` for the whole repository.
    pub path: String,
    /// Why; never empty.
    pub reason: String,
}

impl Accepted {
    /// Whether it holds back what a rule says of a file.
    pub fn covers(&self, code: &str, path: &str) -> bool {
        let names = |name: &String| {
            code.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let own = self.path.trim_start_matches("./").trim_end_matches('/');
        let is_within = own == "."
            || own.is_empty()
            || path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        is_within && self.rules.iter().any(names)
    }
}

/// Something that another repository holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elsewhere {
    /// Where: an address or a path, for people.
    pub external: Option<String>,
}

/// A correction to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceOverride {
    /// Its name in reports.
    pub name: String,
    /// Its folder from the root; empty for the root.
    pub path: String,
    /// What it is: `service`, `worker`, `job`, `cli`, `client`, `library`, `tool`.
    #[serde(default)]
    pub kind: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FILE_NAME}: {message}")]
pub struct ConfigError {
    /// What is wrong and where.
    pub message: String,
}

impl Config {
    /// Reads a `skopos-audit.toml`.
    ///
    /// # Errors
    /// Not TOML, an unknown key, or a value that does not exist.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError { message: error.to_string().trim_end().to_owned() })?;
        let accepted = config.accepted.iter().flat_map(|accepted| &accepted.rules);
        let named = config.select.iter().chain(&config.ignore).chain(config.severity.keys());
        let named = named.chain(accepted);
        for code in named {
            if !crate::Rule::is_named(code) {
                let message =
                    format!("there is no rule `{code}`; `skopos audit --list-rules` lists them");
                return Err(ConfigError { message });
            }
        }
        for (code, severity) in &config.severity {
            let named = crate::Severity::from_name(severity).is_some();
            if !named {
                let message = format!(
                    "severity.{code} is `{severity}`; it can be low, normal, important or critical"
                );
                return Err(ConfigError { message });
            }
        }
        if let Some(accepted) = config.accepted.iter().find(|a| a.reason.trim().is_empty()) {
            let message = format!(
                "accept of `{}` has no reason: nothing is held back without one",
                accepted.path
            );
            return Err(ConfigError { message });
        }
        for service in &config.services {
            let kind = service.kind.as_deref().unwrap_or("service");
            if crate::Kind::from_name(kind).is_none() {
                let message = format!(
                    "service `{}` has kind `{kind}`; it can be service, worker, job, cli, client, library or tool",
                    service.name
                );
                return Err(ConfigError { message });
            }
        }
        Ok(config)
    }

    /// Whether a rule is to judge.
    pub fn is_selected(&self, code: &str) -> bool {
        let names = |list: &[String]| {
            list.iter()
                .any(|name| code.get(..name.len()).is_some_and(|c| c.eq_ignore_ascii_case(name)))
        };
        (self.select.is_empty() || names(&self.select)) && !names(&self.ignore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_and_values_are_refused() {
        let config = Config::parse(
            "ignore = ['LOG005']\nsanitizers = ['scrub']\n[[service]]\nname = 'api'\npath = 'srv'\n",
        )
        .unwrap();
        assert!(config.is_selected("LOG001") && !config.is_selected("LOG005"));
        for wrong in [
            "ignored = []",
            "ignore = ['LOG999']",
            "[[accept]]\nrules=['LOG']\npath='a'\nreason=' '",
            "[[accept]]\nrules=['LOG']\npath='a'",
            "severity = { LOG001 = 'loud' }",
            "[[service]]\nname='a'\npath=''\nkind='x'",
        ] {
            let error = Config::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("skopos-audit.toml: "), "{error}");
        }
        let accepted =
            Accepted { rules: vec!["LOG".into()], path: "a/b".into(), reason: "x".into() };
        assert!(accepted.covers("LOG002", "a/b") && accepted.covers("LOG001", "a/b/c.py"));
        assert!(!accepted.covers("LOG002", "a/bc") && !accepted.covers("SEC001", "a/b"));
        let areas = Config { select: vec!["sec".into()], ..Config::default() };
        assert!(areas.is_selected("SEC001") && !areas.is_selected("LOG001"));
    }
}
