//! Settings as keys and values: `application.yml`, `application.properties`, `.env`.

use super::Problem;
use super::node::Node;
use super::text::{Text, lines};
use crate::Span;

/// The most settings that are read of one file.
const MAX_SETTINGS: usize = 20_000;

/// Settings of one file, or of one document of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What kind of file.
    pub format: Format,
    /// The profile or environment that they hold for, from the name of the file or from within.
    pub profile: Option<String>,
    /// Dotted keys in the order of the file.
    pub values: Vec<(Text, Text)>,
    /// Where they stand.
    pub span: Span,
}

/// Kinds of settings files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Of Spring Boot, Quarkus or Micronaut.
    #[default]
    Application,
    /// Environment variables.
    Env,
    /// Other Java properties (`log4j2.properties`, `logging.properties`).
    Properties,
}

impl Settings {
    /// The last value of a key; Spring's spelling variants (`a-b`, `a_b`, `aB`) count as one.
    pub fn get(&self, key: &str) -> Option<&Text> {
        let key = relaxed(key);
        self.values.iter().rev().find(|(name, _)| relaxed(name) == key).map(|(_, value)| value)
    }

    /// Keys that begin with `prefix`, and their values.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a (Text, Text)> {
        self.values.iter().filter(move |(key, _)| key.starts_with(prefix))
    }
}

fn relaxed(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Whether a path is `application*.yml` or its like.
pub fn is_application(path: &str) -> bool {
    let name = super::name(path);
    let is_named = name.starts_with("application") || name.starts_with("bootstrap");
    is_named && [".yml", ".yaml", ".properties"].iter().any(|ending| name.ends_with(ending))
}

/// Whether a path is an environment file.
pub fn is_env(path: &str) -> bool {
    let name = super::name(path);
    name == ".env" || name.starts_with(".env.") || name.ends_with(".env")
}

/// The profile in a file's name: `application-prod.yml`, `.env.production`, `prod.env`.
pub fn profile_of(path: &str) -> Option<String> {
    let name = super::name(path);
    if let Some(rest) = name.strip_prefix(".env.") {
        return Some(rest.to_owned());
    }
    if let Some(rest) = name.strip_suffix(".env") {
        return (!rest.is_empty()).then(|| rest.to_owned());
    }
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.split_once('-').map(|(_, profile)| profile.to_owned())
}

/// Reads one document of `application.yml`.
pub fn read_yaml(path: &str, root: &Node) -> Settings {
    let mut found = Settings { profile: profile_of(path), ..Settings::default() };
    found.span = Span { start: root.span.start, end: root.last_byte() };
    root.walk(&mut |key, node| {
        if found.values.len() < MAX_SETTINGS {
            let value = node.text().unwrap_or_default();
            found.values.push((Text::new(key, node.span), Text::new(value, node.span)));
        }
    });
    found.take_profile();
    found
}

/// Reads properties; `#---` divides documents, as in Spring Boot.
pub fn read_properties(path: &str, text: &str) -> Vec<Settings> {
    let format = if is_application(path) { Format::Application } else { Format::Properties };
    let fresh = || Settings { format, profile: profile_of(path), ..Settings::default() };
    let mut all = vec![fresh()];
    let mut open: Option<(Text, Text)> = None;
    for (at, line) in lines(text) {
        let trimmed = line.trim();
        let Some(current) = all.last_mut() else { break };
        if let Some((_, value)) = &mut open {
            value.value.push_str(trimmed.trim_end_matches('\\'));
            if !trimmed.ends_with('\\') {
                current.values.extend(open.take());
            }
            continue;
        }
        if trimmed == "#---" || trimmed == "!---" {
            if all.len() < 100 {
                all.push(fresh());
            }
            continue;
        }
        if trimmed.is_empty() || trimmed.starts_with(['#', '!']) {
            continue;
        }
        let divider = trimmed.find(['=', ':']).or_else(|| trimmed.find(char::is_whitespace));
        let (key, value) = match divider {
            Some(divider) => {
                let (key, rest) = trimmed.split_at(divider);
                // The divider may be a space of several bytes.
                let mut rest = rest.chars();
                rest.next();
                (key, rest.as_str().trim_start())
            }
            None => (trimmed, ""),
        };
        let start = at + line.len() - line.trim_start().len();
        let end = start + trimmed.len();
        let pair = (
            Text::new(key.trim_end(), start..start + key.trim_end().len()),
            Text::new(value.trim_end_matches('\\'), end - value.len()..end),
        );
        match trimmed.ends_with('\\') {
            true => open = Some(pair),
            false if current.values.len() < MAX_SETTINGS => current.values.push(pair),
            false => {}
        }
    }
    for settings in &mut all {
        settings.span = Span::new(0, text.len());
        settings.take_profile();
    }
    all.retain(|settings| !settings.values.is_empty());
    all
}

/// Reads an environment file.
pub fn read_env(path: &str, text: &str) -> (Settings, Vec<Problem>) {
    let profile = profile_of(path);
    let span = Span::new(0, text.len());
    let mut found = Settings { format: Format::Env, profile, values: Vec::new(), span };
    let mut problems = Vec::new();
    for (at, line) in lines(text) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') || found.values.len() >= MAX_SETTINGS {
            continue;
        }
        let start = at + line.len() - line.trim_start().len();
        let pair = trimmed.strip_prefix("export ").unwrap_or(trimmed);
        let Some((key, value)) = pair.split_once('=') else {
            if problems.len() < 20 {
                problems.push(Problem::new(start..start + trimmed.len(), "a line without `=`"));
            }
            continue;
        };
        let value = value.trim();
        let unquoted = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.split(*quote).next())
            .unwrap_or_else(|| value.split(" #").next().unwrap_or(value).trim_end());
        let end = start + trimmed.len();
        found.values.push((
            Text::new(key.trim(), start..start + trimmed.len() - value.len()),
            Text::new(unquoted, end - value.len()..end),
        ));
    }
    (found, problems)
}

impl Settings {
    fn take_profile(&mut self) {
        let inside =
            self.get("spring.config.activate.on-profile").or_else(|| self.get("spring.profiles"));
        if let Some(profile) = inside {
            self.profile = Some(profile.value.clone());
        }
    }
}

/// Reads any bytes as settings, for the fuzzer.
pub fn fuzz_audit_settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (env, _) = read_env(".env", &text);
    let properties = read_properties("application.properties", &text);
    for (key, value) in properties.iter().chain([&env]).flat_map(|settings| &settings.values) {
        assert!(key.span.end as usize <= text.len() && value.span.end as usize <= text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_properties_are_one() {
        let text = "management:\n  endpoints.web.exposure.include: health\n---\nspring.config.activate.on-profile: prod\nlogging.level.root: DEBUG\n";
        let found = crate::files::yaml::read(text);
        let first = read_yaml("application.yml", &found.documents[0]);
        assert_eq!(first.get("management.endpoints.web.exposure.include").unwrap().value, "health");
        let second = read_yaml("application.yml", &found.documents[1]);
        assert_eq!(second.profile.as_deref(), Some("prod"));
        let text =
            "a.b-c = x\nlong = one \\\n  two\n#---\nspring.config.activate.on-profile=dev\nd: e\n";
        let all = read_properties("src/main/resources/application-prod.properties", text);
        assert_eq!(all[0].get("a.bC").unwrap().value, "x");
        assert_eq!(all[0].get("long").unwrap().value, "one two");
        assert_eq!(all[0].profile.as_deref(), Some("prod"));
        assert_eq!(all[1].profile.as_deref(), Some("dev"));
        // A space of three bytes divides like any other.
        let all = read_properties("messages.properties", "welcome\u{3000}hello\n");
        assert_eq!(all[0].get("welcome").unwrap().value, "hello");
    }

    #[test]
    fn environment_files() {
        let text = "# c\nexport LOG_LEVEL=debug # why\nNAME=\"a b\"\nbroken\nURL=x=y\n";
        let (found, problems) = read_env("deploy/.env.production", text);
        assert_eq!(found.profile.as_deref(), Some("production"));
        let values: Vec<&str> = found.values.iter().map(|(_, v)| v.value.as_str()).collect();
        assert_eq!(values, ["debug", "a b", "x=y"]);
        assert_eq!(problems.len(), 1);
    }
}
