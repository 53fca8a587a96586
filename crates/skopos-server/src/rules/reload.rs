//! Reading the files of rules, objectives and receivers again: when asked to, and when they change.
//!
//! Changes are noticed by looking at names, sizes, times and inodes every few seconds, not by file
//! system events: those do not come from network file systems, are lost when an editor or a
//! container platform replaces the file or a whole folder by renaming, and need a watch for every
//! folder of a pattern. A look costs one `stat` per file. A change is taken once it has stood still
//! from one look to the next, so that a file that is being written is not read in the middle.
//!
//! A set with any mistake in it is refused as a whole and the running rules go on. It is not tried
//! again before somebody touches the files.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopos::metrics::{Counter, Registry};
use skopos_alerting::rules::RuleSet;
use skopos_alerting::slo::SloSet;
use skopos_model::Timestamp;
use tokio_util::sync::CancellationToken;

use super::files::{self, Look};
use super::{Inner, RulesView, load};
use crate::ServerError;
use crate::config::Settings;
use crate::notify::Notifier;
use crate::slos;

/// What became of reading the files, and what they looked like.
pub(super) struct Reloading {
    state: Mutex<State>,
    failures: Counter,
    successes: Counter,
}

struct State {
    /// How the files looked when they were read last, with or without success.
    read: Look,
    /// When they were last read with success.
    loaded_at: Timestamp,
    /// Why the last reading failed.
    failure: Option<ReloadFailure>,
}

/// The files of rules, of objectives and of receivers.
pub(super) fn watched(settings: &Settings) -> Vec<String> {
    let receivers = settings.alertmanager_config.iter().map(|path| path.display().to_string());
    settings.rule_files.iter().chain(&settings.slo_files).cloned().chain(receivers).collect()
}

/// The same and the template files of the receivers in force: all that is looked at for changes.
pub(super) fn with_templates(watched: &[String], notifier: &Notifier) -> Vec<String> {
    watched.iter().cloned().chain(notifier.template_files()).collect()
}

/// What became of the last attempt to read the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadStatus {
    /// When what is in force was read.
    pub loaded_at: Timestamp,
    /// Why a later attempt failed.
    pub failure: Option<ReloadFailure>,
}

/// What is read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Rule files.
    Rules,
    /// Files of objectives.
    Objectives,
    /// The `alertmanager.yml` and its templates.
    Receivers,
}

/// Why files were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadFailure {
    /// Where the mistake is.
    pub part: Part,
    /// The first mistake, with its file, line and column.
    pub error: String,
}

impl Reloading {
    pub(super) fn new(sources: &[String], now: Timestamp, registry: &Registry) -> Self {
        let state = State { read: files::look(sources), loaded_at: now, failure: None };
        Self {
            state: Mutex::new(state),
            failures: registry.counter(
                "skopos_rules_reload_failures_total",
                "Attempts to read the rule files again that failed; the old rules stayed in force.",
            ),
            successes: registry.counter(
                "skopos_rules_reloads_total",
                "Times the rule files were read again with success.",
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RulesView {
    /// Reads the files of rules, objectives and receivers again. With any mistake in them everything stays as it
    /// is. Alerts of rules that are still there keep their state.
    pub async fn reload(&self) -> Result<usize, ServerError> {
        let inner = &self.inner;
        // The look comes first: what changes from here on is noticed later.
        inner.reloading.lock().read = files::look(&self.watched());
        let (set, slos, notifier) = self.read().map_err(|(part, error)| {
            inner.reloading.failures.inc();
            let text = error.to_string();
            let first = text.lines().next().unwrap_or("unknown").to_owned();
            inner.reloading.lock().failure = Some(ReloadFailure { part, error: first });
            error
        })?;
        let mut groups = inner.groups.lock().await;
        let objectives = slos.slos.len();
        // First, so that the alerts of new objectives find their series.
        inner.slos.replace(slos).await;
        groups.stop.cancel();
        while groups.tasks.join_next().await.is_some() {}
        let loaded = {
            let _order = inner.commit_order.lock().await;
            let loaded = inner.lock_engine().reload(&set, inner.clock.now());
            inner.commit(loaded.commit.as_ref()).await;
            loaded
        };
        inner.delivering.accept(loaded.intents).await;
        inner.handover.push(loaded.sends);
        inner.delivering.replace(Arc::clone(&notifier));
        let (routing, renderer) = (notifier.routing(), notifier as _);
        inner.change(|dispatcher, now| ((), dispatcher.reload(routing, renderer, now))).await;
        groups.stop = inner.stop.child_token();
        inner.spawn_groups(&mut groups);
        inner.reloading.successes.inc();
        {
            let mut state = inner.reloading.lock();
            (state.loaded_at, state.failure) = (inner.clock.now(), None);
        }
        tracing::info!(rules = set.rule_count(), objectives, "rules were read again");
        Ok(set.rule_count())
    }

    fn watched(&self) -> Vec<String> {
        with_templates(&self.inner.watched, &self.notifier())
    }

    /// All that the files say, or the mistake and what sort of file it is in.
    fn read(&self) -> Result<(RuleSet, SloSet, Arc<Notifier>), (Part, ServerError)> {
        let Inner { files, language, settings, external_url, clock, .. } = &*self.inner;
        let of = |part| move |error| (part, error);
        let slos = slos::load(&settings.slo_files, language).map_err(of(Part::Objectives))?;
        let set = load(files, language).map_err(of(Part::Rules))?;
        let set = slos::with_alerts(set, &slos).map_err(of(Part::Objectives))?;
        let notifier = Notifier::new(settings, external_url, Arc::clone(clock));
        let notifier = notifier.map_err(of(Part::Receivers))?;
        Ok((set, slos, Arc::new(notifier)))
    }

    /// What became of the last attempt to read the files.
    pub fn reload_status(&self) -> ReloadStatus {
        let state = self.inner.reloading.lock();
        ReloadStatus { loaded_at: state.loaded_at, failure: state.failure.clone() }
    }

    /// Reads the files again whenever they have changed, until told to stop.
    pub(crate) async fn watch(&self, every: Duration, stop: &CancellationToken) {
        let mut changing: Option<Look> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let sources = self.watched();
            // A look may hang on a network file system.
            let Ok(seen) = tokio::task::spawn_blocking(move || files::look(&sources)).await else {
                continue;
            };
            if seen == self.inner.reloading.lock().read {
                changing = None;
            } else if changing.as_ref() != Some(&seen) {
                changing = Some(seen);
            } else {
                changing = None;
                if let Err(error) = self.reload().await {
                    tracing::error!(%error, "changed files were not loaded, the old rules and receivers stay in force");
                }
            }
        }
    }
}
