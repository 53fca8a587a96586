//! What starts processes without containers: Procfiles, systemd units, GitHub workflows.

use super::node::Node;
use super::text::{Text, lines};
use crate::Span;

/// Processes that a file starts.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    /// Which kind of file.
    pub source: Source,
    /// Name and command of each.
    pub commands: Vec<(Text, Text)>,
    /// Environment that is set for them.
    pub env: Vec<(Text, Text)>,
    /// The signal that stops them, and how long they have.
    pub stop: Vec<(Text, Text)>,
    /// Paths or commands that the platform asks for their health.
    pub health: Vec<Text>,
    /// Where it stands.
    pub span: Span,
}

/// Kinds of files that start processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// `Procfile`.
    #[default]
    Procfile,
    /// A systemd unit.
    Systemd,
    /// A file of a platform (`fly.toml`, `render.yaml`).
    Platform,
}

/// A GitHub workflow, as far as it says something about what is run and watched.
#[derive(Clone, Debug, Default)]
pub struct Workflow {
    /// Its name.
    pub name: Option<Text>,
    /// Actions that it uses.
    pub uses: Vec<Text>,
    /// What its steps run.
    pub runs: Vec<Text>,
    /// Where it deploys to (`environment`).
    pub environments: Vec<Text>,
    /// Where it stands.
    pub span: Span,
}

/// Whether a path is a Procfile.
pub fn is_procfile(path: &str) -> bool {
    let name = super::name(path);
    name == "Procfile" || name.starts_with("Procfile.")
}

/// Whether a path is a systemd unit that runs something.
pub fn is_unit(path: &str) -> bool {
    path.ends_with(".service")
}

/// Whether a path is a GitHub workflow.
pub fn is_workflow(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    (path.starts_with(".github/workflows/") || path.contains("/.github/workflows/"))
        && (path.ends_with(".yml") || path.ends_with(".yaml"))
}

/// Reads a Procfile: `name: command` on each line.
pub fn read_procfile(text: &str) -> Processes {
    let span = Span::new(0, text.len());
    let mut found = Processes { span, ..Processes::default() };
    for (at, line) in lines(text).take(500) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let Some((name, command)) = line.split_once(':') else { continue };
        if name.is_empty() || !name.chars().all(is_name) {
            continue;
        }
        let start = at + line.len() - command.trim_start().len();
        found.commands.push((
            Text::new(name, at..at + name.len()),
            Text::new(command.trim(), start..at + line.len()),
        ));
    }
    found
}

/// Reads a systemd unit.
pub fn read_unit(text: &str) -> Processes {
    let span = Span::new(0, text.len());
    let mut found = Processes { source: Source::Systemd, span, ..Processes::default() };
    for (at, line) in lines(text).take(2_000) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        let name = Text::new(key, at..at + key.len());
        let value_text = Text::new(value, at + line.len() - value.len()..at + line.len());
        match key {
            "ExecStart" => {
                let command = value.trim_start_matches(['-', '@', '+', '!', ':']);
                found.commands.push((name, Text { value: command.to_owned(), ..value_text }));
            }
            "Environment" => {
                for word in super::dockerfile::words(value) {
                    let Some((key, value)) = word.split_once('=') else { continue };
                    found.env.push((Text::new(key, name.span), Text::new(value, value_text.span)));
                }
            }
            "KillSignal" | "KillMode" | "TimeoutStopSec" | "WatchdogSec" | "Restart" => {
                found.stop.push((name, value_text));
            }
            _ => {}
        }
    }
    found
}

/// Reads a GitHub workflow.
pub fn read_workflow(root: &Node) -> Workflow {
    let mut found = Workflow {
        name: root.text_at("name"),
        span: Span { start: root.span.start, end: root.last_byte() },
        ..Workflow::default()
    };
    for (_, job) in root.get("jobs").entries() {
        found.uses.extend(job.text_at("uses"));
        found
            .environments
            .extend(job.text_at("environment").or_else(|| job.text_at("environment.name")));
        for step in job.get("steps").items() {
            found.uses.extend(step.text_at("uses"));
            found.runs.extend(step.text_at("run"));
        }
    }
    found
}

/// Reads any bytes as a Procfile, a unit and a workflow, for the fuzzer.
pub fn fuzz_audit_process(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for found in [read_procfile(&text), read_unit(&text)] {
        for (name, command) in found.commands.iter().chain(&found.env) {
            assert!(
                name.span.end as usize <= text.len() && command.span.end as usize <= text.len()
            );
        }
    }
    for document in super::yaml::read(&text).documents {
        let _ = read_workflow(&document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfiles_and_units() {
        let found = read_procfile("web: gunicorn app:app\n# x: y\nworker:  celery -A app worker\n");
        let commands: Vec<&str> = found.commands.iter().map(|(_, c)| c.value.as_str()).collect();
        assert_eq!(commands, ["gunicorn app:app", "celery -A app worker"]);
        let unit = read_unit(
            "[Service]\nExecStart=-/usr/bin/api --port 80\nEnvironment=\"A=b c\" D=e\nKillSignal=SIGKILL\n",
        );
        assert_eq!(unit.commands[0].1.value, "/usr/bin/api --port 80");
        assert_eq!(unit.env.len(), 2);
        assert_eq!(unit.stop[0].1.value, "SIGKILL");
    }
}
