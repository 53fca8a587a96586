//! Prints: which of them are log lines of a server, and which speak to people.
//!
//! What a file is, is asked once a file; what a function does, once a function: a file may print ten thousand times.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::log::runs_once;
use crate::fact::{Function, LogCall, LogStyle};
use crate::repository::Role;
use crate::{Case, Fact, FactKind, File, Guard, Language};

/// Prints that serve as logging: those of command lines and of pages in a browser are something else.
pub(super) fn prints<'r>(
    case: &Case<'r>,
) -> impl Iterator<Item = (&'r File, &'r Fact, &'r LogCall)> {
    let has_pages = case.has_pages();
    let packages = commanding_packages(case);
    let case = *case;
    let imports = OnceCell::new();
    let files = case.files().filter(|file| file.role == Role::Production);
    files.flat_map(move |file| {
        if has_pages && file.is_script() {
            return Vec::new();
        }
        let mut found: Vec<(&File, &Fact, &LogCall)> = logs(file)
            .filter(|(fact, log)| log.style == LogStyle::Print && is_of_servers(fact))
            .map(|(fact, log)| (file, fact, log))
            .collect();
        let is_beside_commands = || {
            file.language == Some(Language::Go)
                && packages.contains(crate::files::folder(&file.path))
                && !serves(file)
        };
        let is_elsewhere = || {
            let is_module =
                || is_run_by_guard(file) && is_part(imports.get_or_init(|| imported(&case)), file);
            is_command(file) && !is_module()
                || is_front(file)
                || is_beside_commands()
                || is_sink(file)
        };
        if found.is_empty() || is_elsewhere() {
            return Vec::new();
        }
        let talk = Talk::of(file);
        found.retain(|(_, fact, log)| !talk.speaks_to_people(fact, log));
        found
    })
}

/// What the service's Python imports: each part of a name with the part before it, `("shop", "answers")`.
fn imported<'r>(case: &Case<'r>) -> BTreeSet<(&'r str, &'r str)> {
    let mut found = BTreeSet::new();
    let is_python = |file: &&File| file.language == Some(Language::Python);
    let files = case.files().filter(is_python).filter(|file| file.role == Role::Production);
    for fact in files.flat_map(|file| &file.facts) {
        let FactKind::Import(import) = &fact.kind else { continue };
        let mut before = "";
        for part in import.split('.').filter(|part| !part.is_empty()) {
            found.insert((before, part));
            before = part;
        }
    }
    found
}

/// Whether a module of Python can be run by hand, and is a part of what serves: something else imports it.
fn is_part(imported: &BTreeSet<(&str, &str)>, file: &File) -> bool {
    let own = crate::files::name(&file.path).trim_end_matches(".py");
    let above = crate::files::name(crate::files::folder(&file.path));
    imported.contains(&("", own)) || imported.contains(&(above, own))
}

/// Packages of Go that make a command line: their files share it.
fn commanding_packages<'r>(case: &Case<'r>) -> BTreeSet<&'r str> {
    let is_of_go = |file: &&File| file.language == Some(Language::Go);
    let commands = case
        .files()
        .filter(is_of_go)
        .filter(|file| file.facts.iter().any(|fact| matches!(fact.kind, FactKind::CommandLine(_))));
    commands.map(|file| crate::files::folder(&file.path)).collect()
}

fn serves(file: &File) -> bool {
    file.facts.iter().any(|fact| matches!(fact.kind, FactKind::Server(_)))
}

/// Whether a file of a compiled program is where a logger writes: what it prints are the log lines themselves, or that
/// the logger could not be made.
fn is_sink(file: &File) -> bool {
    let (folder, name) = (crate::files::folder(&file.path), crate::files::name(&file.path));
    let is_named = |part: &str| matches!(part, "log" | "logger" | "logging");
    let stem = name.split('.').next().unwrap_or(name).to_lowercase();
    matches!(file.language, Some(Language::Rust | Language::Java))
        && (is_named(&stem) || stem == "mod" && is_named(crate::files::name(folder)))
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
pub(super) fn is_command(file: &File) -> bool {
    const NAMES: [&str; 27] = [
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
        "gen",
        "keygen",
    ];
    let libraries = [
        "clap",
        "structopt",
        "lexopt",
        "argh",
        "docopt",
        "optparse",
        "argparse",
        "click",
        "typer",
        "commander",
        "yargs",
        "nopt",
    ];
    let serves =
        file.facts.iter().any(|fact| matches!(fact.kind, FactKind::Server(_) | FactKind::Route(_)));
    let by_library = file.facts.iter().any(|fact| match &fact.kind {
        FactKind::CommandLine(_) => true,
        FactKind::Import(name) if !serves => {
            let root = name.split(['.', ':', '/']).next().unwrap_or(name);
            libraries.contains(&root) || parses_arguments(name)
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
    // Clients that try a server out.
    let stem_words = crate::sensitive::words(stem);
    let has = |words: &[&str]| stem_words.iter().any(|word| words.contains(&word.as_str()));
    let tries_out = !serves && has(&["client"]) && has(&["test", "demo", "example", "sample"])
        || !serves && matches!(stem, "testclient" | "loadgen" | "loadtest");
    tries_out || by_library || in_folder || is_go_command || is_named(stem) || runs_once(file)
}

/// Whether nothing but `if __name__ == "__main__"` makes a file of Python a program.
fn is_run_by_guard(file: &File) -> bool {
    let is_guard = |kind: &FactKind| matches!(kind, FactKind::EntryPoint(by) if by == "__main__");
    let other = |kind: &FactKind| {
        matches!(kind, FactKind::CommandLine(_))
            || matches!(kind, FactKind::Import(name) if ["argparse", "click", "typer", "optparse", "docopt"]
                .iter()
                .any(|library| name.split('.').next() == Some(library)))
    };
    let in_folder = file
        .path
        .split('/')
        .any(|part| matches!(part, "cli" | "commands" | "scripts" | "migrations"));
    file.facts.iter().any(|fact| is_guard(&fact.kind))
        && !file.facts.iter().any(|fact| other(&fact.kind))
        && !in_folder
}

/// Whether a command says this before it ends: to people, who have no use for a stack.
pub(super) fn is_last_of_a_command(file: &File, fact: &Fact) -> bool {
    let Some(function) = fact.scope.function.as_deref() else { return false };
    let near = fact.span.end..fact.span.end.saturating_add(LAST);
    let exits = |fact: &Fact| match &fact.kind {
        FactKind::Function(f) if f.name == function => {
            f.calls.iter().any(|(call, span)| is_exit(call) && near.contains(&span.start))
        }
        _ => false,
    };
    is_command(file) && file.facts.iter().any(exits)
}

/// Whether what is imported takes command lines apart: `shop.core.argparser.parse_input_args`.
fn parses_arguments(import: &str) -> bool {
    let last = import.rsplit(['.', '/']).take(2);
    last.into_iter().any(|part| {
        let words = crate::sensitive::words(part);
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        has(&["argparse", "argparser"]) || has(&["parse"]) && has(&["args", "argv", "arguments"])
    })
}

/// What of a file's functions speaks to people: help, a version, a question, a banner.
struct Talk<'r> {
    /// By function: where a line says how to call the program.
    usage: BTreeMap<Option<&'r str>, BTreeSet<u32>>,
    /// Functions that ask.
    asking: BTreeSet<&'r str>,
    /// Functions that do so by their name.
    named: BTreeSet<&'r str>,
    /// By function: where it ends the program. Not of scripts: servers of Node end so, too.
    ends: BTreeMap<&'r str, BTreeSet<u32>>,
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
        let mut ends: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for fact in file.facts.iter().filter(|_| !file.is_script()) {
            let FactKind::Function(function) = &fact.kind else { continue };
            let exits = function.calls.iter().filter(|(call, _)| is_exit(call));
            let places = ends.entry(&function.name).or_default();
            places.extend(exits.map(|(_, span)| span.start));
        }
        Self { usage, asking: asking.collect(), named: named.collect(), ends }
    }

    fn speaks_to_people(&self, fact: &Fact, log: &LogCall) -> bool {
        let function = fact.scope.function.as_deref();
        let at = fact.span.start;
        // A block of lines of which one says how to call the program.
        let in_block = || {
            let near = at.saturating_sub(NEAR - 1)..at.saturating_add(NEAR);
            self.usage.get(&function).is_some_and(|places| places.range(near).next().is_some())
        };
        // The last words of a program that does not start: there is no logger yet, or none any more.
        let is_last = |function| {
            let near = fact.span.end..fact.span.end.saturating_add(LAST);
            self.ends.get(function).is_some_and(|places| places.range(near).next().is_some())
        };
        let by_function = |function| {
            self.named.contains(function) || self.asking.contains(function) || is_last(function)
        };
        function.is_some_and(by_function) || is_usage(log) || in_block()
    }
}

/// So many bytes are a block of lines.
const NEAR: u32 = 1500;
/// So far before its end a program says its last words.
const LAST: u32 = 240;

fn is_exit(call: &str) -> bool {
    let call = call.trim_end_matches("()");
    matches!(call.rsplit(['.', ':']).next(), Some("exit" | "Exit" | "_exit" | "abort" | "return"))
}

fn is_said_by_name(function: &str) -> bool {
    const DOES: [&str; 13] = [
        "usage",
        "help",
        "version",
        "versions",
        "banner",
        "prompt",
        "install",
        "uninstall",
        "dump",
        "ask",
        "confirm",
        "interactive",
        "startup",
    ];
    let own = crate::sensitive::words(function.rsplit('.').next().unwrap_or(function));
    let words: Vec<&str> = own.iter().map(String::as_str).collect();
    // `def echo(line): print(line)`: what it is called for is output.
    matches!(words.as_slice(), ["echo" | "emit" | "output" | "keygen" | "genkey"])
        // Those of a shell: models have completions, too.
        || words.contains(&"completion") && words.iter().any(|w| ["shell", "bash", "zsh"].contains(w))
        || own.iter().any(|word| DOES.contains(&word.as_str()))
        || owner_commands(function)
        || own.first().is_some_and(|verb| matches!(verb.as_str(), "print" | "show" | "display"))
}

/// Whether a method belongs to a command: `InstallCommand.run`.
fn owner_commands(function: &str) -> bool {
    let owner = function.rsplit_once('.').map_or("", |(owner, _)| owner);
    let words = crate::sensitive::words(owner);
    words.last().is_some_and(|word| matches!(word.as_str(), "command" | "cli" | "cmd" | "console"))
}

fn is_usage(log: &LogCall) -> bool {
    let text = log.message.as_deref().unwrap_or_default().to_lowercase();
    text.trim_start().starts_with("usage")
        || text.contains("--help")
        || text.contains(" -h,")
        || text.contains("version: ")
        // To whoever sits before it.
        || ["press ctrl", "ctrl+c", "ctrl-c", "press enter", "press any key", "in your browser", "open http", "please run ", "try running", "to quit"]
            .iter()
            .any(|phrase| text.contains(phrase))
}

fn asks(function: &Function) -> bool {
    function.calls.iter().any(|(call, _)| {
        matches!(
            call.rsplit('.').next(),
            Some("input" | "getpass" | "Scanln" | "Scan" | "question" | "read_line")
        )
    })
}
