//! What `skopos audit` does, in order: configuration, the tree, the audit, fixes, what is held back, the report, the code.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Args, Done, Error, Format, host, list};
use crate::output::{annotations, count, markdown, sarif, text};
use crate::{
    Baseline, Cache, Config, ConfigError, FILE_NAME, FolderTree, Means, ProductionCheck, Report,
    Repository, Rule, Safety, Severity, Tree as _, fix, judge, read as read_tree, since,
};

/// Fixes make room for others this often; more would be two that undo each other.
const ROUNDS: usize = 5;

/// Progress is shown for trees of this many files.
const WORTH_A_WAIT: usize = 3_000;

/// Does what the arguments ask. `version` is the binary's.
///
/// # Errors
/// It could not be done; findings are no error.
pub fn run(args: &Args, version: &str) -> Result<Done, Error> {
    if let Some(code) = &args.explain {
        let rule = Rule::find(code).ok_or_else(|| Error::NoRule { code: code.clone() })?;
        return Ok(Done { output: rule.page.to_owned(), notes: String::new(), code: 0 });
    }
    if args.list_rules {
        return Ok(Done { output: list::rules(args.format), notes: String::new(), code: 0 });
    }
    let config = configuration(args)?;
    let told = left_out(args, &config);
    let mut audited = Audited::of(args, &config)?;
    if let Some(path) = &args.write_baseline {
        let baseline = Baseline::of(&audited.report);
        write(path, &baseline.render())?;
        let known = count(audited.report.failures().count(), "finding");
        let notes = format!("{told}{known} known from now on: {}\n", path.display());
        return Ok(Done { output: String::new(), notes, code: 0 });
    }
    let mut notes = told + &hold_back(args, &config, &mut audited)?;
    if args.fix {
        let trusted = if args.unsafe_fixes { Safety::Unsafe } else { Safety::Safe };
        let (mut files, mut findings) = (BTreeSet::new(), 0);
        for _ in 0..ROUNDS {
            let planned = audited.plan(Some(trusted));
            if args.diff {
                let code = u8::from(!planned.is_empty() && !args.exit_zero);
                let show = |f: &fix::Fixed| fix::unified(&f.path, &f.before, &f.after);
                let output = planned.iter().map(show).collect();
                let mended: usize = planned.iter().map(|f| f.findings).sum();
                let notes = format!(
                    "{} would be mended in {}\n",
                    count(mended, "finding"),
                    count(planned.len(), "file")
                );
                return Ok(Done { output, notes, code });
            }
            if planned.is_empty() {
                break;
            }
            for fixed in planned {
                fix::write(audited.tree.root(), &fixed)
                    .map_err(|error| Error::file(Path::new(&fixed.path), &error))?;
                findings += fixed.findings;
                files.insert(fixed.path);
            }
            audited = Audited::of(args, &config)?;
            hold_back(args, &config, &mut audited)?;
        }
        let (findings, files) = (count(findings, "finding"), count(files.len(), "file"));
        notes.push_str(&format!("{findings} mended in {files}\n"));
    }
    audited.plan(None);
    let report = &audited.report;
    let code = u8::from(!args.exit_zero && fails(args, report));
    if args.stats {
        notes.push_str(&stats(&audited));
    }
    if matches!(args.format, Format::Sarif | Format::Github | Format::Gitlab) {
        audited.report.below(&host::prefix(audited.tree.root()));
    }
    let report = &audited.report;
    let is_text = matches!(args.format, Format::Text | Format::Concise);
    let mut output = match &report.production_check {
        Some(check) if is_text => text::production_check(check),
        _ => render(report, args, version),
    };
    if matches!(args.format, Format::Ndjson | Format::Gitlab) {
        // There is no place for them in the form itself.
        let idle = report.not_in_force.iter().map(|idle| text::not_in_force(idle) + "\n");
        notes.extend(idle);
    }
    if let Some(path) = &args.output {
        write(path, &output)?;
        let check = report.production_check.as_ref().map(text::production_summary);
        notes.push_str(&format!("{}\n", check.unwrap_or_else(|| text::summary(report))));
        output = String::new();
    }
    Ok(Done { output, notes, code })
}

/// A folder that was read and judged.
struct Audited {
    tree: FolderTree,
    cache: Option<Cache>,
    repository: Repository,
    report: Report,
}

impl Audited {
    fn of(args: &Args, config: &Config) -> Result<Self, Error> {
        let tree = FolderTree::open(&args.path, config)?;
        config.check(tree.paths())?;
        let folder = match &args.cache {
            Some(folder) => Some(folder.clone()),
            None if args.no_cache => None,
            None => Cache::default_folder(),
        };
        let cache = folder.map(|folder| Cache::open(&folder, tree.root()));
        let shown = AtomicUsize::new(usize::MAX);
        let progress = |done: usize, all: usize| {
            let percent = done * 100 / all.max(1);
            if shown.swap(percent, Ordering::Relaxed) != percent {
                // A terminal that went away wants no progress.
                let _ = write!(std::io::stderr(), "\r\x1b[Kreading {done} of {all} files");
            }
        };
        let is_shown = args.progress && tree.paths().len() >= WORTH_A_WAIT;
        let means = Means {
            cache: cache.as_ref(),
            progress: is_shown.then_some(&progress),
            live: args.seen.as_ref(),
        };
        let (repository, stats) = read_tree(&tree, config, means);
        let report = if judges_all(args) {
            let all = config.with_every_rule();
            let mut report = judge(&tree, &repository, &all, means.live, stats);
            report.hold_unselected(config);
            report
        } else {
            judge(&tree, &repository, config, means.live, stats)
        };
        if is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        // Without a place to write to the next audit takes longer, and that is all.
        let _ = cache.as_ref().map(Cache::save);
        Ok(Self { tree, cache, repository, report })
    }

    fn plan(&mut self, trusted: Option<Safety>) -> Vec<fix::Fixed> {
        fix::plan(&self.tree, &self.repository, &mut self.report, trusted)
    }
}

/// Whether every rule judges, whatever the configuration leaves out: a verdict on a release and a grade that is asked for say
/// what is.
fn judges_all(args: &Args) -> bool {
    args.production_check || args.min_grade.is_some()
}

/// What to tell of rules that the configuration leaves out and that judge nevertheless.
fn left_out(args: &Args, config: &Config) -> String {
    let lists = [("select", &config.select), ("ignore", &config.ignore)];
    let lists = lists.iter().filter(|(_, codes)| !codes.is_empty());
    let lists: Vec<String> =
        lists.map(|(key, codes)| format!("{key} = {}", codes.join(", "))).collect();
    if lists.is_empty() || !judges_all(args) {
        return String::new();
    }
    let (asked, lists) = (if args.production_check { "check" } else { "grade" }, lists.join("; "));
    format!(
        "rules that the configuration leaves out ({lists}) count for the {asked} all the same\n"
    )
}

fn configuration(args: &Args) -> Result<Config, Error> {
    let mut config = house(args)?;
    if args.min_grade.is_some() && !(args.select.is_empty() && args.ignore.is_empty()) {
        return Err(Error::PartialGrade);
    }
    for code in args.select.iter().chain(&args.ignore) {
        if !Rule::is_named(code) {
            return Err(Error::NoRule { code: code.clone() });
        }
    }
    if !args.select.is_empty() {
        config.select.clone_from(&args.select);
    }
    config.ignore.extend(args.ignore.iter().cloned());
    Ok(config)
}

/// What the house says. A link in the tree that leads out of it is not followed: who sends a change must not have files of
/// the machine shown that audits it. One that stays within may lead to what nobody should see in a log, either.
fn house(args: &Args) -> Result<Config, Error> {
    let path = args.config.clone().unwrap_or_else(|| args.path.join(FILE_NAME));
    let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
    if args.config.is_none() && !is_link && !path.is_file() {
        return Ok(Config::default());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    let root = args.path.canonicalize();
    let (Ok(folder), Ok(root)) = (folder, root) else { return Ok(Config::parse(&read(&path)?)?) };
    if !is_link || !folder.starts_with(&root) {
        return Ok(Config::parse(&read(&path)?)?);
    }
    let refused = |message: &str| ConfigError { message: message.to_owned() };
    let target = path.canonicalize().ok().filter(|target| target.starts_with(&root));
    let Some(target) = target.filter(|target| target.is_file()) else {
        return Err(refused("a link to no file of the folder that is audited is not read; put the file itself there, or name it with --config").into());
    };
    let text = read(&target)?;
    let config = Config::parse(&text).map_err(|_| {
        refused("what the link leads to cannot be used; `--config` with the file itself says why")
    })?;
    Ok(config)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::file(path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| Error::file(path, &error))
}

/// Leaves what was asked for: new since the baseline or a revision, of one service. Gives what is to be told beside it.
fn hold_back(args: &Args, config: &Config, audited: &mut Audited) -> Result<String, Error> {
    let report = &mut audited.report;
    if let Some(name) = &args.service {
        only_service(report, name)?;
    }
    // The check says what is, whatever is held back.
    report.production_check = args.production_check.then(|| ProductionCheck::of(report));
    if let Some(path) = &args.baseline {
        let wrong = |message| Error::File { path: path.display().to_string(), message };
        Baseline::parse(&read(path)?).map_err(wrong)?.apply(report);
    }
    match &args.since {
        Some(revision) => {
            only_new(args, config, audited, revision).map_err(|message| Error::Since { message })
        }
        None => Ok(String::new()),
    }
}

/// Leaves what stands on lines that changed since a revision, and what the tree of then had not.
fn only_new(
    args: &Args,
    config: &Config,
    audited: &mut Audited,
    revision: &str,
) -> Result<String, String> {
    let Audited { tree, cache, report, .. } = audited;
    let changed = since::changed(tree, revision)?;
    let is_elsewhere = report.findings.iter().any(|f| !changed.has(&f.path, f.line));
    let mut before = Report::default();
    if is_elsewhere && !changed.is_empty() {
        let tree = since::Before::of(tree, &changed)?;
        let means = Means { cache: cache.as_ref(), progress: None, live: args.seen.as_ref() };
        let (repository, stats) = read_tree(&tree, config, means);
        before = judge(&tree, &repository, config, means.live, stats);
        let _ = cache.as_ref().map(Cache::save);
    }
    since::only_new(&mut report.findings, &before.findings, &changed);
    report.not_in_force.retain(|idle| changed.has(&idle.path, idle.line));
    Ok(changed.notes.iter().map(|note| format!("{note}\n")).collect())
}

fn only_service(report: &mut Report, name: &str) -> Result<(), Error> {
    if !report.services.iter().any(|service| service.name == name) {
        let known: Vec<&str> =
            report.services.iter().map(|service| service.name.as_str()).collect();
        return Err(Error::NoService { name: name.to_owned(), known: known.join(", ") });
    }
    let path = report.services.iter().find(|s| s.name == name).map(|s| s.path.clone());
    let path = path.filter(|path| path != ".").map(|path| path + "/").unwrap_or_default();
    report.not_in_force.retain(|idle| idle.path.starts_with(&path));
    report.services.retain(|service| service.name == name);
    report.findings.retain(|finding| finding.service.as_deref().is_none_or(|of| of == name));
    report.suppressed.retain(|s| s.finding.service.as_deref().is_none_or(|of| of == name));
    Ok(())
}

fn fails(args: &Args, report: &Report) -> bool {
    let scores = || report.services.iter().filter_map(|service| service.score.as_ref());
    if let Some(check) = &report.production_check {
        return !check.verdict.0;
    }
    if let Some(least) = &args.min_grade
        && scores().any(|score| score.grade.trim_end_matches('?') > least.as_str())
    {
        return true;
    }
    if args.min_grade.is_some() && args.fail_on.is_none() {
        return false;
    }
    let least = args.fail_on.as_deref().and_then(Severity::from_name).unwrap_or(Severity::Low);
    report.failures().any(|finding| finding.severity >= least)
}

fn stats(audited: &Audited) -> String {
    let (s, report) = (&audited.report.stats, &audited.report);
    let mut out = format!(
        "{} of the tree: {} of code parsed, {} known from before, {} without any word of interest; {} of configuration\n",
        count(audited.tree.paths().len(), "file"),
        s.parsed,
        s.cached,
        s.skipped,
        count(s.documents, "document"),
    );
    out.push_str(&format!(
        "{}, {}, {}; {} and {} left out\n",
        count(s.facts, "fact"),
        count(s.rules, "rule"),
        count(report.services.len(), "unit"),
        count(report.problems.len(), "place") + " not understood",
        count(report.left_out.len(), "file"),
    ));
    out
}

fn render(report: &Report, args: &Args, version: &str) -> String {
    let json =
        |value: &dyn Fn() -> Result<String, serde_json::Error>| value().unwrap_or_default() + "\n";
    let show = |concise| text::Show { concise, verbose: args.verbose, color: args.color };
    match args.format {
        Format::Text => text::text(report, show(false)),
        Format::Concise => text::text(report, show(true)),
        Format::Json => json(&|| serde_json::to_string_pretty(report)),
        Format::Ndjson => {
            report.findings.iter().map(|f| json(&|| serde_json::to_string(f))).collect()
        }
        Format::Sarif => json(&|| serde_json::to_string_pretty(&sarif::sarif(report, version))),
        Format::Github => annotations::github(report),
        Format::Gitlab => json(&|| serde_json::to_string_pretty(&annotations::gitlab(report))),
        Format::Markdown => markdown::markdown(report),
    }
}
