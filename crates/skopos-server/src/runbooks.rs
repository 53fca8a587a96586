//! Runbooks of the rules in force: the page that an alert links, and which of its steps somebody has done.
//!
//! Pages are read from files, by the link *as the rule file writes it*: what a template makes of labels is told by whoever
//! sends data, and must not name files here. Nothing is fetched: an address without a file in `rules.runbooks` stays a link.
//!
//! Ticks belong to one firing (fingerprint and start), are durable when a call returns, and are forgotten 30 days after
//! the last one; beyond [`MAX_FIRINGS`] those ticked longest ago go first.

mod ticks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skopos_alerting::builtin;
use skopos_alerting::notify::fingerprint;
use skopos_lint::runbook::{self, Block, MAX_PAGE_BYTES, Problem, Runbook};
use skopos_model::Clock;
use skopos_model::storage::StorageError;

use crate::rules::RulesView;
use crate::state::Storage;

use ticks::Ticks;
pub(crate) use ticks::{Firing, Tick, TickError};

/// Annotations that link a page.
const LINKS: [&str; 3] = ["runbook_url", "runbook", "runbook_link"];
/// Files of the rules that come with the server are named so.
const BUILTIN: &str = "builtin/";
/// Firings whose ticks are kept at most.
pub(crate) const MAX_FIRINGS: usize = 4_096;

/// Where pages are, and what was done of them.
pub struct Runbooks {
    folders: Vec<PathBuf>,
    rules: Arc<RulesView>,
    ticks: Ticks,
}

/// What an alert links.
pub(crate) struct Linked {
    /// The rule file.
    pub(crate) file: String,
    /// The link as the rule writes it.
    pub(crate) link: Option<String>,
}

/// A page that was read.
pub(crate) struct Page {
    /// Its file's name, without the folder.
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) blocks: Vec<Block>,
}

impl Page {
    fn of(name: String, text: &str) -> Self {
        let page = Runbook::parse(text);
        let problems = page.problems(None);
        let blocks = runbook::blocks(text);
        Self { name, title: page.title, owner: page.owner, problems, blocks }
    }
}

impl Runbooks {
    /// Restores the ticks.
    pub(crate) async fn restore(
        folders: Vec<PathBuf>,
        rules: Arc<RulesView>,
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        Ok(Self { folders, rules, ticks: Ticks::restore(store, clock).await? })
    }

    /// What the alert of this name links; of several rules of one name the one that has this firing, else the first that
    /// links anything. `None` when no rule has the name.
    pub(crate) fn linked(&self, alert: &str, firing: Option<&Firing>) -> Option<Linked> {
        let groups = self.rules.groups();
        let rules =
            groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
        let mut named: Vec<(bool, Linked)> = rules
            .filter(|(_, rule)| rule.name == alert)
            .filter_map(|(group, rule)| {
                let alerting = rule.alerting.as_ref()?;
                let link = LINKS.iter().find_map(|name| alerting.annotations.get(*name)).cloned();
                let is_its = firing.is_some_and(|firing| {
                    alerting.alerts.iter().any(|a| fingerprint(&a.labels) == firing.fingerprint)
                });
                let link = link.filter(|link| !link.trim().is_empty());
                Some((is_its, Linked { file: group.file.clone(), link }))
            })
            .collect();
        named.sort_by_key(|(is_its, linked)| (!is_its, linked.link.is_none()));
        named.into_iter().next().map(|(_, linked)| linked)
    }

    /// The page behind a link; `Ok(None)` when there is no such file.
    pub(crate) async fn page(&self, linked: &Linked) -> Result<Option<Page>, String> {
        let Some(link) = linked.link.clone().filter(|link| !link.contains("{{")) else {
            return Ok(None);
        };
        // The rules that come with the server have no folder: their pages come with it too.
        if linked.file.starts_with(BUILTIN)
            && let Some(page) = builtin::runbook(link.trim())
        {
            let name = page.name().rsplit('/').next().unwrap_or_default();
            return Ok(Some(Page::of(name.to_owned(), page.text)));
        }
        let places = runbook::places(Path::new(&linked.file), &link, &self.folders);
        let read = tokio::task::spawn_blocking(move || read_first(&places));
        let found = read.await.map_err(|_| "the page could not be read".to_owned())??;
        Ok(found.map(|(name, text)| Page::of(name, &text)))
    }

    /// Whether this alert fires (or is pending, or was over a moment ago), or has ticks.
    pub(crate) fn knows(&self, alert: &str, firing: &Firing) -> bool {
        let groups = self.rules.groups();
        let mut rules = groups.iter().flat_map(|group| &group.rules).filter(|r| r.name == alert);
        let is_there = rules.any(|rule| {
            let mut alerts = rule.alerting.iter().flat_map(|alerting| &alerting.alerts);
            alerts.any(|a| {
                a.active_at.as_millis() == firing.start_ms
                    && fingerprint(&a.labels) == firing.fingerprint
            })
        });
        is_there || !self.ticks.of(firing).is_empty()
    }

    /// The steps that were ticked, by name.
    pub(crate) fn ticks(&self, firing: &Firing) -> Vec<(String, Tick)> {
        self.ticks.of(firing)
    }

    /// Ticks a step, or takes the tick back; durable when this returns.
    pub(crate) async fn set(
        &self,
        firing: &Firing,
        step: &str,
        by: Option<String>,
        done: bool,
    ) -> Result<(), TickError> {
        self.ticks.set(firing, step, by, done).await
    }
}

/// The first of the files that is there, with its name.
fn read_first(places: &[PathBuf]) -> Result<Option<(String, String)>, String> {
    let Some(path) = places.iter().find(|path| path.is_file()) else { return Ok(None) };
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let failed = |error: std::io::Error| format!("{name} cannot be read: {}", error.kind());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_PAGE_BYTES as u64 {
        return Err(format!("{name} is larger than {MAX_PAGE_BYTES} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(Some((name, text)))
}
