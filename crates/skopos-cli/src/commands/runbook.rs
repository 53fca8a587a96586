//! `skopos runbook`: pages for whoever is woken, begun and checked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use skopos_lint::runbook::{self, Begun, find_alert, link_to, skeleton, slug};
use skopos_lint::{Finding, Options};

use super::rules::check::read_owners;
use super::rules::read_files;
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

/// Begin and check runbooks.
#[derive(Debug, Subcommand)]
pub(crate) enum RunbookCommand {
    /// Write the beginning of an alert's runbook: what its rule says, and what is left to be written.
    New(NewArgs),
    /// Check that pages answer the five questions, with an owner and an escalation.
    Check(CheckArgs),
}

/// Write the beginning of an alert's runbook.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos runbook new HighErrorRate --rules rules.yml --out runbooks
  skopos runbook new HighErrorRate --rules rules/ --out -

Exit codes: 0 written, 1 failed (the page exists, a file could not be read), 3 the rules have no such alert.")]
pub(crate) struct NewArgs {
    /// The alert's name.
    alert: String,
    /// Rule files or folders where the alert stands; without them the page has headings only.
    #[arg(long, value_name = "FILE|DIR")]
    rules: Vec<PathBuf>,
    /// Folder to write to, made if needed; `-` prints the page.
    #[arg(long, value_name = "DIR", default_value = "runbooks")]
    out: PathBuf,
    /// Overwrite a page that exists.
    #[arg(long)]
    force: bool,
}

/// Check runbooks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos runbook check runbooks/
  skopos runbook check runbooks/ --owners owners.yml --format json

Exit codes: 0 all good, 4 something is missing, 1 a file could not be read.")]
pub(crate) struct CheckArgs {
    /// Markdown files, or folders of them (README.md and index.md are passed over).
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// File of owners: a mapping from names, `schedule` says how they are reached.
    #[arg(long, value_name = "FILE")]
    owners: Option<PathBuf>,
}

pub(crate) fn run(command: RunbookCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        RunbookCommand::New(args) => new(&args, global),
        RunbookCommand::Check(args) => check(&args, global),
    }
}

fn new(args: &NewArgs, global: &GlobalArgs) -> Result<Outcome> {
    let begun = if args.rules.is_empty() {
        Begun { alert: args.alert.clone(), ..Begun::default() }
    } else {
        let files = read_files(&args.rules)?;
        let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        match find_alert(&borrowed, &args.alert, &Options::default()) {
            Some(begun) => begun,
            None => {
                eprintln!("no alert {:?} in {}", args.alert, named(&args.rules));
                return Ok(Outcome::NothingFound);
            }
        }
    };
    let page = skeleton(&begun);
    if args.out == Path::new("-") {
        write_stdout(&page);
        return Ok(Outcome::Done);
    }
    let name = slug(&args.alert);
    if name.is_empty() {
        bail!("no file name can be made of {:?}; print the page with --out -", args.alert);
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("make {}", args.out.display()))?;
    let path = args.out.join(format!("{name}.md"));
    let mut open = std::fs::OpenOptions::new();
    open.write(true);
    // Asking whether it exists and then writing would overwrite what appears in between.
    if args.force {
        open.create(true).truncate(true)
    } else {
        open.create_new(true)
    };
    let written =
        open.open(&path).and_then(|mut file| std::io::Write::write_all(&mut file, page.as_bytes()));
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists; --force overwrites it", path.display())
        }
        other => other.with_context(|| format!("write {}", path.display()))?,
    }
    match global.format {
        Format::Text => write_stdout(&format!(
            "{0}\nanswer what says TODO, link it: annotations: {{ runbook: {1} }}, then: skopos runbook check {0}\n",
            path.display(),
            link(&begun, &path)
        )),
        format => print_json(
            &serde_json::json!({ "alert": args.alert, "path": path.display().to_string() }),
            format,
        ),
    }
    Ok(Outcome::Done)
}

/// How the rule file links the page: checks follow links from the rule file's folder.
fn link(begun: &Begun, page: &Path) -> String {
    let as_given = page.display().to_string();
    let Some((rule_file, _)) = &begun.place else { return as_given };
    let (Ok(rule_file), Ok(page)) = (std::path::absolute(rule_file), std::path::absolute(page))
    else {
        return as_given;
    };
    link_to(&rule_file, &page).unwrap_or(as_given)
}

fn check(args: &CheckArgs, global: &GlobalArgs) -> Result<Outcome> {
    let owners = args.owners.as_deref().map(read_owners).transpose()?;
    let pages = markdown_files(&args.paths)?;
    if pages.is_empty() {
        bail!("no *.md file in {}", named(&args.paths));
    }
    let mut findings: Vec<Finding> = Vec::new();
    for path in &pages {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        findings.extend(runbook::check(&path.display().to_string(), &text, owners.as_ref()));
    }
    let broken = {
        let mut files: Vec<&str> = findings.iter().map(|f| f.file.as_str()).collect();
        files.dedup();
        files.len()
    };
    match global.format {
        Format::Text => {
            let mut out: String = findings.iter().map(|finding| format!("{finding}\n\n")).collect();
            out += &format!(
                "{} page{}: {} good, {broken} incomplete\n",
                pages.len(),
                if pages.len() == 1 { "" } else { "s" },
                pages.len() - broken
            );
            write_stdout(&out);
        }
        format => print_json(
            &serde_json::json!({ "pages": pages.len(), "incomplete": broken, "findings": findings }),
            format,
        ),
    }
    Ok(if findings.is_empty() { Outcome::Done } else { Outcome::ConditionFailed })
}

fn named(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Files as given, and of folders the pages in order of name.
fn markdown_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        let listed = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        for entry in listed {
            let path = entry.with_context(|| format!("read {}", path.display()))?.path();
            let stem = path.file_stem().map(|s| s.to_string_lossy().to_lowercase());
            let is_index = stem.is_some_and(|s| matches!(&*s, "readme" | "index" | "_index"));
            if path.extension().is_some_and(|e| e == "md") && path.is_file() && !is_index {
                found.push(path);
            }
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}
