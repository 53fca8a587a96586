//! One audit: read every file once, find the services, let the rules judge, hold back what comments say.

mod held;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use self::held::Holders;
use crate::cache::lock;
use crate::report::{FileProblem, Finding, REPORT_VERSION, ServiceReport, Stats, Suppressed};
use crate::repository::Role;
use crate::rule::Rule;
use crate::score::Outcome;
use crate::verdict::{Judgement, Verdict};
use crate::{
    Cache, Case, Config, File, Language, Lines, Live, Place, Report, Repository, Service, Severity,
    Span, Tree, Verdicts, discover, files, prefilter, role,
};

/// Version of the rules: scores compare only within one.
pub const RULES_VERSION: &str = "2026.11";

/// Files of code beyond this are not parsed: nobody writes them by hand.
const CODE_LIMIT: usize = 1 << 20;

/// Trees of code are walked by recursion, to a depth that is limited.
const STACK: usize = 32 << 20;

/// What helps an audit along, and changes nothing of what comes out but [`Means::live`].
#[derive(Clone, Copy, Default)]
pub struct Means<'a> {
    /// Facts of code that was seen before.
    pub cache: Option<&'a Cache>,
    /// Told now and then how many files of how many are read, by any thread.
    pub progress: Option<&'a (dyn Fn(usize, usize) + Sync)>,
    /// What a running server has seen of the services.
    pub live: Option<&'a Live>,
}

/// How many files are read between two words of progress.
const STEP: usize = 64;

/// Audits a tree.
pub fn audit(tree: &dyn Tree, config: &Config) -> Report {
    audit_with(tree, config, Means::default())
}

/// Audits a tree by given means.
pub fn audit_with(tree: &dyn Tree, config: &Config, means: Means<'_>) -> Report {
    let (repository, stats) = read(tree, config, means);
    judge(tree, &repository, config, means.live, stats)
}

/// How the code of a file became facts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// Nothing in it is of interest.
    Skipped,
    /// By parsing.
    Parsed,
    /// Before.
    Cached,
}

/// Reads a tree: facts, documents, services.
pub fn read(tree: &dyn Tree, config: &Config, means: Means<'_>) -> (Repository, Stats) {
    let paths = tree.paths();
    let shipped = role::Shipped::of(paths);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(File, Made)>> = Mutex::new(Vec::with_capacity(paths.len()));
    let left_out: Mutex<Vec<(String, String)>> = Mutex::new(tree.left_out().to_vec());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(paths.len().max(1)) {
            let builder = std::thread::Builder::new().stack_size(STACK);
            let worker = || {
                let (mut own, mut buffer) = (Vec::new(), Vec::new());
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(at) else { break };
                    if let Some(progress) = means.progress.filter(|_| at.is_multiple_of(STEP)) {
                        progress(at, paths.len());
                    }
                    let read = || read_file(tree, path, &shipped, means.cache, &mut buffer);
                    match catch_unwind(AssertUnwindSafe(read)) {
                        Ok(Ok(Some(file))) => own.push(file),
                        Ok(Ok(None)) => {}
                        Ok(Err(why)) => lock(&left_out).push((path.clone(), why)),
                        // Ours to mend; theirs is the rest of the report.
                        Err(_) => lock(&left_out).push((
                            path.clone(),
                            "a defect of this audit: please report it".to_owned(),
                        )),
                    }
                }
                lock(&done).append(&mut own);
            };
            if builder.spawn_scoped(scope, worker).is_err() {
                // No thread to be had: this one does the work, and the others find nothing left.
                worker();
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let mut stats = Stats { files: paths.len(), ..Stats::default() };
    for (file, made) in &done {
        if file.language.is_some() {
            stats.parsed += usize::from(*made == Made::Parsed);
            stats.cached += usize::from(*made == Made::Cached);
            stats.skipped += usize::from(*made == Made::Skipped);
        }
        stats.documents += file.documents.len();
        stats.facts += file.facts.len();
    }
    let mut left_out = left_out.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    left_out.sort();
    let files = done.into_iter().map(|(file, _)| file).collect();
    let mut repository = Repository::of(files, tree.paths().to_vec(), left_out);
    repository.services = discover::services(&repository, config, tree.folder().as_deref());
    (repository, stats)
}

/// Reads one file, by way of a buffer; none when nothing wants it.
fn read_file(
    tree: &dyn Tree,
    path: &str,
    shipped: &role::Shipped,
    cache: Option<&Cache>,
    buffer: &mut Vec<u8>,
) -> Result<Option<(File, Made)>, String> {
    let language = Language::of_path(path);
    if language.is_none() && !files::is_wanted(path) {
        return Ok(None);
    }
    tree.read_into(path, buffer).map_err(|error| format!("not readable: {error}"))?;
    let Ok(text) = std::str::from_utf8(buffer) else { return Err("not UTF-8".to_owned()) };
    let mut file = File {
        path: path.into(),
        language,
        role: role::of(&shipped.plain(path), text),
        lines: Lines::of(text),
        facts: Vec::new(),
        documents: Vec::new(),
        comments: Vec::new(),
        problems: Vec::new(),
    };
    let mut made = Made::Skipped;
    let is_ours = !matches!(file.role, Role::Generated | Role::Vendored);
    if let Some(language) = language
        && is_ours
        && text.len() <= CODE_LIMIT
        && prefilter::is_interesting(language, text)
    {
        let known = cache.map(|cache| (cache, cache.key(path, text)));
        let extracted = match known.and_then(|(cache, key)| cache.get(key)) {
            Some(extracted) => {
                made = Made::Cached;
                extracted
            }
            None => {
                made = Made::Parsed;
                let extracted = language.extract(path, text);
                if let Some((cache, key)) = known {
                    cache.put(key, &extracted);
                }
                extracted
            }
        };
        file.facts = extracted.facts;
        file.comments = extracted.comments;
        if let Some(span) = extracted.broken {
            let message = format!("not all of it is {} that we understand", language.as_str());
            file.problems.push(files::Problem { span, message });
        }
    }
    if files::is_wanted(path) && file.role != Role::Vendored {
        let read = files::read(path, text);
        file.documents = read.documents;
        file.comments.extend(read.comments);
        file.problems.extend(read.problems);
    }
    Ok(Some((file, made)))
}

fn is_selected(config: &Config, rule: &Rule) -> bool {
    let by_code = || config.select.iter().any(|code| code.eq_ignore_ascii_case(rule.code));
    config.is_selected(rule.code) && (!rule.preview || by_code())
}

/// What to say of grades when rules were left out that judge by default.
fn partial(config: &Config, live: Option<&Live>) -> Option<String> {
    let of = Rule::all().iter().filter(|r| !r.preview && (live.is_some() || r.area() != "LIV"));
    let (judged, left): (Vec<&Rule>, Vec<&Rule>) =
        of.partition(|rule| config.is_selected(rule.code));
    let all = judged.len() + left.len();
    (!left.is_empty())
        .then(|| format!("by {} of {all} rules; the others are left out", judged.len()))
}

/// One rule's outcome for one subject.
struct Said {
    rule: &'static Rule,
    service: Option<usize>,
    severity: Severity,
    verdicts: Verdicts,
}

/// Lets the rules judge what was read, and what a running server has seen.
pub fn judge(
    tree: &dyn Tree,
    repository: &Repository,
    config: &Config,
    live: Option<&Live>,
    stats: Stats,
) -> Report {
    let rules: Vec<&'static Rule> =
        Rule::all().iter().filter(|rule| is_selected(config, rule)).collect();
    let mut said = Vec::new();
    for rule in &rules {
        let severity = config
            .severity
            .get(rule.code)
            .and_then(|name| Severity::from_name(name))
            .unwrap_or(rule.severity);
        let subjects: Vec<Option<usize>> = if rule.judges_repository() {
            vec![None]
        } else {
            let services = repository.services.iter().enumerate();
            let meant = services.filter(|(_, s)| rule.judges_kind(s.kind) && is_judged(s));
            meant.map(|(at, _)| Some(at)).collect()
        };
        for service in subjects {
            let subject = service.map(|at| &repository.services[at]);
            let mut verdicts = Verdicts::default();
            (rule.judge)(&Case { repository, service: subject, config, live }, &mut verdicts);
            said.push(Said { rule, service, severity, verdicts });
        }
    }
    let mut holders = Holders::of(tree, repository, config);
    let mut report = Report {
        version: REPORT_VERSION,
        rules_version: RULES_VERSION,
        left_out: repository.left_out.clone(),
        stats: Stats { rules: rules.len(), ..stats },
        ..Report::default()
    };
    let mut shower = Shower { tree, repository, text: None };
    for Said { rule, service, severity, verdicts } in &said {
        if verdicts.is_not_applicable {
            continue;
        }
        let service = service.map(|at| &repository.services[at]);
        for judgement in &verdicts.said {
            let (finding, place) = shower.finding(rule, *severity, service, judgement);
            let held = holders.hold(rule.code, &place);
            match held.filter(|_| judgement.verdict == Verdict::Finding) {
                Some((by, reason)) => {
                    report.suppressed.push(Suppressed { finding, by, reason: Some(reason) });
                }
                None => report.findings.push(finding),
            }
        }
    }
    report.findings.sort_by(|a, b| order(a).cmp(&order(b)));
    report.findings.dedup_by(|a, b| order(a) == order(b) && a.service == b.service);
    let was_judged = |name: &str| {
        let named = |rule: &&&Rule| {
            rule.code.eq_ignore_ascii_case(name) || rule.area().eq_ignore_ascii_case(name)
        };
        // Without a server to ask nobody knows whether there is something to hold back.
        rules.iter().find(named).is_some_and(|rule| live.is_some() || rule.area() != "LIV")
    };
    report.not_in_force = holders.not_in_force(was_judged);
    report.services = services(repository, &said);
    let partial = partial(config, live);
    for score in report.services.iter_mut().filter_map(|service| service.score.as_mut()) {
        score.partial.clone_from(&partial);
    }
    for file in &repository.files {
        for problem in &file.problems {
            report.problems.push(FileProblem {
                path: file.path.to_string(),
                line: file.lines.line(problem.span.start),
                message: problem.message.clone(),
            });
        }
    }
    report
}

fn order(finding: &Finding) -> (&str, usize, usize, &str, &str) {
    (&finding.path, finding.line, finding.column, finding.rule, &finding.message)
}

/// Whether a unit's code could be read at all.
fn is_judged(service: &Service) -> bool {
    service.language != Language::Other
}

fn services(repository: &Repository, said: &[Said]) -> Vec<ServiceReport> {
    // By service: what is said of each, and of the repository as a whole.
    let mut own: Vec<Vec<_>> = vec![Vec::new(); repository.services.len()];
    for s in said.iter().filter(|s| !s.verdicts.is_not_applicable) {
        let row = (s.rule, s.severity, outcome(&s.verdicts));
        match s.service {
            Some(at) => own[at].push(row),
            None => own.iter_mut().for_each(|of| of.push(row)),
        }
    }
    let one = |(at, service): (usize, &Service)| {
        let outcomes = &own[at];
        let place = |place: &Place| -> String {
            let line = repository.file(&place.path).map_or(1, |f| f.lines.line(place.span.start));
            format!("{}:{line}", place.path)
        };
        let evidence = service.evidence.iter();
        let is_scored = service.kind.is_watched() && is_judged(service);
        ServiceReport {
            name: service.name.clone(),
            path: if service.root.is_empty() { ".".into() } else { service.root.clone() },
            kind: service.kind,
            language: service.language,
            evidence: evidence.map(|e| format!("{}: {}", place(&e.place), e.what)).collect(),
            files: service.files.len(),
            score: is_scored.then(|| crate::score::score(outcomes)),
            not_judged: (!is_judged(service)).then(|| {
                "its language is recognised but not read: only its files of configuration are"
                    .into()
            }),
        }
    };
    repository.services.iter().enumerate().map(one).collect()
}

fn outcome(verdicts: &Verdicts) -> Outcome {
    let is = |test: fn(&Verdict) -> bool| verdicts.said.iter().any(|j| test(&j.verdict));
    if is(|v| *v == Verdict::Finding) {
        Outcome::Found
    } else if is(|v| matches!(v, Verdict::Mitigated { .. })) {
        Outcome::Mitigated
    } else if is(|v| matches!(v, Verdict::Unknown { .. })) {
        Outcome::Unknown
    } else {
        Outcome::Clean
    }
}

/// Makes judgements into findings; keeps the text of the last file, for findings come by file.
struct Shower<'a> {
    tree: &'a dyn Tree,
    repository: &'a Repository,
    text: Option<(std::sync::Arc<str>, String)>,
}

impl Shower<'_> {
    fn finding(
        &mut self,
        rule: &'static Rule,
        severity: Severity,
        service: Option<&Service>,
        judgement: &Judgement,
    ) -> (Finding, Place) {
        let is_absence = judgement.place.is_none();
        let first = service.and_then(|s| s.evidence.first()).map(|e| e.place.clone());
        let place = judgement.place.clone().or(first);
        let place = place.unwrap_or_else(|| Place::new(".", Span::default()));
        let (line, column, width, snippet) = self.frame(&place);
        let name = service.map(|s| s.name.clone());
        let what = if is_absence { String::new() } else { normal(&snippet) };
        let path = if is_absence { "" } else { &*place.path };
        // Names of services come and go, and may be those of the folder a clone lies in: what is known stays known.
        let of = service.map_or("", |s| if s.root.is_empty() { "." } else { &s.root });
        let key = format!("{}\0{of}\0{path}\0{what}", rule.code);
        let (mitigated_at, settle) = match &judgement.verdict {
            Verdict::Finding => (None, None),
            Verdict::Mitigated { at } => {
                let line =
                    self.repository.file(&at.path).map_or(1, |f| f.lines.line(at.span.start));
                (Some(format!("{}:{line}", at.path)), None)
            }
            Verdict::Unknown { settle } => (None, Some(settle.clone())),
        };
        let finding = Finding {
            rule: rule.code,
            severity,
            path: place.path.to_string(),
            line,
            column,
            width,
            service: name,
            verdict: judgement.verdict.as_str(),
            message: judgement.message.clone(),
            hint: judgement.hint.clone(),
            mitigated_at,
            settle,
            fingerprint: format!("{:016x}", xxh3_64(key.as_bytes())),
            snippet,
            fix: None,
            place: judgement.place.clone(),
        };
        (finding, place)
    }

    /// Line, column, width and text of a place.
    fn frame(&mut self, place: &Place) -> (usize, usize, usize, String) {
        let Some(file) = self.repository.file(&place.path) else {
            return (1, 1, 1, String::new());
        };
        if self.text.as_ref().is_none_or(|(path, _)| *path != place.path) {
            let bytes = self.tree.read(&place.path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.text = Some((place.path.clone(), text));
        }
        let text = self.text.as_ref().map_or("", |(_, text)| text.as_str());
        let line = file.lines.line(place.span.start);
        let start = file.lines.start(line).unwrap_or(0) as usize;
        let rest = text.get(start..).unwrap_or_default();
        let shown = rest.lines().next().unwrap_or_default();
        let before = text.get(start..place.span.start as usize).unwrap_or_default();
        let meant = text.get(place.span.start as usize..place.span.end as usize);
        let meant = meant.unwrap_or_default().lines().next().unwrap_or_default();
        let snippet: String = shown.chars().take(400).collect();
        (line, before.chars().count() + 1, meant.chars().count().max(1), snippet)
    }
}

/// The line without what may change without a change of meaning.
fn normal(snippet: &str) -> String {
    snippet.split_whitespace().collect::<Vec<_>>().join(" ")
}
