//! Prints: which of them are log lines of a server, and which speak to people.
//!
//! What a file is, is asked once a file; what a function does, once a function: a file may print ten thousand times.

use std::collections::{BTreeMap, BTreeSet};

use super::log::runs_once;
use crate::fact::{Function, LogCall, LogStyle};
use crate::repository::Role;
use crate::{Case, Fact, FactKind, File, Guard, Language};

/// Prints that serve as logging: those of command lines and of pages in a browser are something else.
pub(super) fn prints<'r>(
    case: &Case<'r>,
) -> impl Iterator<Item = (&'r File, &'r Fact, &'r LogCall)> {
    let files = case.files().filter(|file| file.role == Role::Production);
    files.flat_map(|file| {
        let mut found: Vec<(&File, &Fact, &LogCall)> = logs(file)
            .filter(|(fact, log)| log.style == LogStyle::Print && is_of_servers(fact))
            .map(|(fact, log)| (file, fact, log))
            .collect();
        if found.is_empty() || is_command(file) || is_front(file) {
            return Vec::new();
        }
        let talk = Talk::of(file);
        found.retain(|(_, fact, log)| !talk.speaks_to_people(fact, log));
        found
    })
}

fn logs(file: &File) -> impl Iterator<Item = (&Fact, &LogCall)> {
    file.facts.iter().filter_map(|fact| match &fact.kind {
        FactKind::Log(log) => Some((fact, log)),
        _ => None,
    })
}

/// Whether a print runs where a server runs.
fn is_of_servers(fact: &Fact) -> bool {
    !matches!(fact.scope.guard, Guard::Development | Guard::Main)
}

/// Whether a file is a page in a browser.
fn is_front(file: &File) -> bool {
    let is_page = || {
        [".tsx", ".jsx"].iter().any(|ending| file.path.ends_with(ending))
            || file
                .facts
                .iter()
                .any(|fact| matches!(&fact.kind, FactKind::Import(name) if is_of_browsers(name)))
    };
    matches!(file.language, Some(Language::JavaScript | Language::TypeScript)) && is_page()
}

/// Whether a package runs in browsers.
fn is_of_browsers(name: &str) -> bool {
    matches!(name, "react" | "vue" | "socket.io-client")
        || ["react-", "vue-", "react.", "vue.", "@vue/"].iter().any(|start| name.starts_with(start))
}

/// Whether a file is part of a command line, by what it uses or what it is called: what it prints is its output.
fn is_command(file: &File) -> bool {
    const NAMES: [&str; 25] = [
        "cli",
        "command",
        "commands",
        "repl",
        "shell",
        "installer",
        "install",
        "uninstall",
        "migrate",
        "migration",
        "migrations",
        "usage",
        "help",
        "argparse",
        "args",
        "argv",
        "prompt",
        "onboarding",
        "wizard",
        "banner",
        "scripts",
        "upgrade",
        "upgrades",
        "setuptools",
        "scaffold",
    ];
    let libraries =
        ["clap", "structopt", "lexopt", "argh", "docopt", "optparse", "commander", "yargs", "nopt"];
    let serves = file.facts.iter().any(|fact| matches!(fact.kind, FactKind::Server(_)));
    let by_library = file.facts.iter().any(|fact| match &fact.kind {
        FactKind::CommandLine(_) => true,
        FactKind::Import(name) if !serves => {
            let root = name.split(['.', ':', '/']).next().unwrap_or(name);
            libraries.contains(&root)
        }
        _ => false,
    });
    let name = crate::files::name(&file.path);
    let stem = name.split('.').next().unwrap_or(name);
    let is_named = |part: &str| {
        crate::sensitive::words(part).iter().any(|word| NAMES.contains(&word.as_str()))
    };
    // Go keeps its command lines beside the servers' mains.
    let is_go_command = file.language == Some(Language::Go) && stem.starts_with("command");
    let in_folder = crate::files::folder(&file.path).split('/').any(|part| {
        part.ends_with("migrations")
            || part.ends_with("setuptools")
            || matches!(part, "cli" | "commands" | "console" | "upgrade" | "upgrades")
    });
    by_library || in_folder || is_go_command || is_named(stem) || runs_once(file)
}

/// What of a file's functions speaks to people: help, a version, a question, a banner.
struct Talk<'r> {
    /// By function: where a line says how to call the program.
    usage: BTreeMap<Option<&'r str>, BTreeSet<u32>>,
    /// Functions that ask.
    asking: BTreeSet<&'r str>,
    /// Functions that do so by their name.
    named: BTreeSet<&'r str>,
}

impl<'r> Talk<'r> {
    fn of(file: &'r File) -> Self {
        let (mut usage, mut functions) = (BTreeMap::new(), BTreeSet::new());
        for (fact, log) in logs(file) {
            let function = fact.scope.function.as_deref();
            functions.extend(function);
            if is_usage(log) {
                let places: &mut BTreeSet<u32> = usage.entry(function).or_default();
                places.insert(fact.span.start);
            }
        }
        let asking = file.facts.iter().filter_map(|fact| match &fact.kind {
            FactKind::Function(function) if asks(function) => Some(function.name.as_str()),
            _ => None,
        });
        let named = functions.into_iter().filter(|function| is_said_by_name(function));
        Self { usage, asking: asking.collect(), named: named.collect() }
    }

    fn speaks_to_people(&self, fact: &Fact, log: &LogCall) -> bool {
        let function = fact.scope.function.as_deref();
        let at = fact.span.start;
        // A block of lines of which one says how to call the program.
        let in_block = || {
            let near = at.saturating_sub(NEAR - 1)..at.saturating_add(NEAR);
            self.usage.get(&function).is_some_and(|places| places.range(near).next().is_some())
        };
        let by_function =
            |function| self.named.contains(function) || self.asking.contains(function);
        function.is_some_and(by_function) || is_usage(log) || in_block()
    }
}

/// So many bytes are a block of lines.
const NEAR: u32 = 1500;

fn is_said_by_name(function: &str) -> bool {
    const DOES: [&str; 14] = [
        "usage",
        "help",
        "version",
        "versions",
        "banner",
        "prompt",
        "install",
        "uninstall",
        "completion",
        "dump",
        "ask",
        "confirm",
        "interactive",
        "startup",
    ];
    let own = crate::sensitive::words(function.rsplit('.').next().unwrap_or(function));
    own.iter().any(|word| DOES.contains(&word.as_str()))
        || own.first().is_some_and(|verb| matches!(verb.as_str(), "print" | "show" | "display"))
}

fn is_usage(log: &LogCall) -> bool {
    let text = log.message.as_deref().unwrap_or_default().to_lowercase();
    text.trim_start().starts_with("usage")
        || text.contains("--help")
        || text.contains(" -h,")
        || text.contains("version: ")
}

fn asks(function: &Function) -> bool {
    function.calls.iter().any(|(call, _)| {
        matches!(
            call.rsplit('.').next(),
            Some("input" | "getpass" | "Scanln" | "Scan" | "question" | "read_line")
        )
    })
}
