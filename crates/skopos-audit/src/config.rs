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
        self.is_about(path) && self.rules.iter().any(names)
    }

    /// Whether a file is, or lies in, what is accepted.
    pub(crate) fn is_about(&self, path: &str) -> bool {
        let own = self.path.trim_start_matches("./").trim_end_matches('/');
        own == "."
            || own.is_empty()
            || path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

impl ServiceOverride {
    /// Its folder as paths of a tree have it.
    pub(crate) fn folder(&self) -> &str {
        let path = self.path.trim_matches('/').trim_start_matches("./");
        if path == "." { "" } else { path }
    }
}

/// Whether files of a tree lie below. Paths are in order.
fn is_folder(folder: &str, paths: &[String]) -> bool {
    let within = format!("{folder}/");
    let at = paths.partition_point(|path| **path < *within);
    folder.is_empty() || paths.get(at).is_some_and(|path| path.starts_with(&within))
}

/// What is wrong with a folder that is not there, and which one may be meant.
fn no_folder(folder: &str, paths: &[String]) -> String {
    let shown = format!("there is no folder `{folder}` with files that are read");
    if paths.iter().any(|path| path == folder) {
        return format!("`{folder}` is a file; `path` is the folder of the service, from the root");
    }
    let last = folder.rsplit('/').next().unwrap_or(folder);
    let mut alike = std::collections::BTreeSet::new();
    // A folder of that name elsewhere, or else what there is beside it.
    let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
    let beside = if above.is_empty() { String::new() } else { format!("{above}/") };
    let mut next_to = std::collections::BTreeSet::new();
    for path in paths {
        for (at, _) in path.match_indices('/') {
            let own = &path[..at];
            if own.rsplit('/').next() == Some(last) {
                alike.insert(own);
            }
        }
        let below = path.strip_prefix(&beside).and_then(|rest| rest.split_once('/'));
        next_to.extend(below.map(|(name, _)| name));
    }
    let list = |names: std::collections::BTreeSet<&str>| {
        names.into_iter().take(8).collect::<Vec<_>>().join("`, `")
    };
    match (alike.is_empty(), next_to.is_empty()) {
        (false, _) => format!("{shown}; there is `{}`", list(alike)),
        (true, false) => {
            let above = if above.is_empty() { "the root" } else { above };
            format!("{shown}; in {above} there are `{}`", list(next_to))
        }
        (true, true) => shown,
    }
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

    /// Checks what is said of the folders of a tree: a correction of a folder that is not there would correct nothing, and
    /// nobody would see it.
    ///
    /// # Errors
    /// A service's folder is not among `paths`, or is corrected twice.
    pub fn check(&self, paths: &[String]) -> Result<(), ConfigError> {
        let mut seen = BTreeMap::new();
        for service in &self.services {
            let (name, path) = (&service.name, &service.path);
            if let Some(other) = seen.insert(service.folder(), name) {
                let message =
                    format!("services `{other}` and `{name}` are both at `{path}`: say it once");
                return Err(ConfigError { message });
            }
            if !is_folder(service.folder(), paths) {
                let message = format!("service `{name}`: {}", no_folder(service.folder(), paths));
                return Err(ConfigError { message });
            }
        }
        Ok(())
    }

    /// The same, but every rule judges that is no preview: for verdicts that say what is, not what is asked for.
    pub(crate) fn with_every_rule(&self) -> Self {
        let mut all = Self { ignore: Vec::new(), ..self.clone() };
        if !all.select.is_empty() {
            // What is selected by its code stays so: previews judge nowhere else.
            all.select.extend(crate::Rule::all().iter().map(|rule| rule.area().to_owned()));
        }
        all
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
        let paths: Vec<String> = ["app.py", "services/api/app.py", "services/checkout/src/main.go"]
            .map(str::to_owned)
            .into();
        let check = |path: &str| {
            Config::parse(&format!("[[service]]\nname = 'x'\npath = '{path}'\n"))
                .unwrap()
                .check(&paths)
                .map_err(|error| error.to_string())
        };
        for path in ["", ".", "./", "services/api", "./services/checkout/", "services"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for (path, hint) in [
            ("api", "there is `services/api`"),
            ("services/chekout", "`api`, `checkout`"),
            ("services/ap", "`api`, `checkout`"),
            ("app.py", "is a file"),
            ("../other", "there is no folder"),
        ] {
            let error = check(path).unwrap_err();
            assert!(error.starts_with("skopos-audit.toml: ") && error.contains(hint), "{error}");
        }
        let twice =
            "[[service]]\nname='a'\npath='services'\n[[service]]\nname='b'\npath='./services'\n";
        assert!(Config::parse(twice).unwrap().check(&paths).is_err());
        let accepted =
            Accepted { rules: vec!["LOG".into()], path: "a/b".into(), reason: "x".into() };
        assert!(accepted.covers("LOG002", "a/b") && accepted.covers("LOG001", "a/b/c.py"));
        assert!(!accepted.covers("LOG002", "a/bc") && !accepted.covers("SEC001", "a/b"));
        let areas = Config { select: vec!["sec".into()], ..Config::default() };
        assert!(areas.is_selected("SEC001") && !areas.is_selected("LOG001"));
    }
}
