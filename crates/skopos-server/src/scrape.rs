//! Scraping: one task per target, each with its own clockwork, all under one token of shutdown.
//!
//! Promises:
//! - `up` and the `scrape_*` series are written for every scrape, good or bad;
//! - a series that vanishes from its target, and every series of a target that is lost or whose
//!   scraping ends, gets a stale marker, so that queries do not look back at it;
//! - a scrape counts as a whole or not at all: a body that does not parse stores only `up 0`.
//!
//! Every target is scraped within a second of the start, and from then on at an offset derived from
//! its labels, so that many targets do not answer at the same moment and a restart does not move
//! them.

mod config;
mod fetch;
mod labels;
mod target;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skopos_ingest::Limits;
use skopos_model::{Clock, Labels, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{ScrapeConfig, ScrapeJob, StaticTarget, parse};

use crate::receipts::Receipts;
use crate::state::Storage;
use fetch::Source;
use target::Target;

/// Whether a target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetHealth {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape was good.
    Up,
    /// The last scrape failed.
    Down,
}

impl TargetHealth {
    /// Name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A target as `/api/v1/targets` shows it.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    /// Name of its job.
    pub scrape_pool: String,
    /// Labels before anything was derived from them.
    pub discovered_labels: Labels,
    /// Labels put on its samples.
    pub labels: Labels,
    /// Where it is scraped.
    pub scrape_url: String,
    /// Why the last scrape failed; empty when it did not.
    pub last_error: String,
    /// When it was scraped last.
    pub last_scrape: Option<Timestamp>,
    /// How long that took.
    pub last_scrape_duration: Duration,
    /// Samples in it.
    pub last_samples: usize,
    /// Whether it answers.
    pub health: TargetHealth,
    /// From scrape to scrape.
    pub interval: Duration,
    /// For one scrape.
    pub timeout: Duration,
}

/// Scrape targets and their last results.
#[derive(Debug, Default)]
pub struct TargetsView {
    targets: Mutex<Vec<Arc<Mutex<TargetStatus>>>>,
}

impl TargetsView {
    /// All targets in the order of the configuration.
    pub fn snapshot(&self) -> Vec<TargetStatus> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().map(|t| t.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    fn add(&self, status: TargetStatus) -> Arc<Mutex<TargetStatus>> {
        let status = Arc::new(Mutex::new(status));
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.push(Arc::clone(&status));
        status
    }
}

/// What scraping needs from the server.
#[derive(Clone)]
pub(crate) struct ScrapeContext {
    pub(crate) store: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) limits: Arc<Limits>,
}

/// Renders the server's own metrics as text format 0.0.4.
pub(crate) type OwnMetrics = Arc<dyn Fn() -> Bytes + Send + Sync>;

/// The server's own metrics as a target.
pub(crate) struct OwnTarget {
    pub(crate) instance: String,
    pub(crate) interval: Duration,
    pub(crate) render: OwnMetrics,
}

/// Targets whose samples would replace each other's because their labels are the same.
pub(crate) fn indistinct_targets(jobs: &[ScrapeJob]) -> Vec<String> {
    let mut first_of: HashMap<Labels, String> = HashMap::new();
    let mut messages = Vec::new();
    for (job, target) in jobs.iter().flat_map(|job| job.targets.iter().map(move |t| (job, t))) {
        let url = scrape_url(job, target);
        match first_of.entry(labels::target_labels(job, target)) {
            Entry::Vacant(entry) => {
                entry.insert(url);
            }
            Entry::Occupied(entry) => messages.push(format!(
                "targets {} and {url} have the same labels {}, so that the samples of one would \
                 replace the other's: JOB=URL gives a target a job of its own, in a prometheus.yml \
                 job_name or labels do",
                entry.get(),
                entry.key()
            )),
        }
    }
    messages
}

/// Where a target is scraped, without its parameters.
fn scrape_url(job: &ScrapeJob, target: &StaticTarget) -> String {
    format!("{}://{}{}", job.scheme, target.address, job.metrics_path)
}

/// Starts one task per target. They end when `stop` is cancelled, after their stale markers.
pub(crate) fn start(
    jobs: Vec<ScrapeJob>,
    own: Option<OwnTarget>,
    context: &ScrapeContext,
    view: &TargetsView,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), reqwest::Error> {
    let client = |follow: bool| {
        let redirects = if follow {
            reqwest::redirect::Policy::limited(10)
        } else {
            reqwest::redirect::Policy::none()
        };
        reqwest::Client::builder()
            .user_agent(concat!("skopos/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects)
            .no_proxy()
            .build()
    };
    let (following, direct) = (client(true)?, client(false)?);
    let mut targets = Vec::new();
    for job in jobs {
        let job = Arc::new(job);
        for target in &job.targets {
            let client = if job.follow_redirects { &following } else { &direct };
            let source = Source::http(client.clone(), &job, target);
            targets.push((Arc::clone(&job), target.clone(), source));
        }
    }
    if let Some(own) = own {
        let job = ScrapeJob::new("skopos", own.interval, own.interval);
        let target = StaticTarget { address: own.instance, labels: Vec::new() };
        targets.push((Arc::new(job), target, Source::Own(own.render)));
    }
    for (job, address, source) in targets {
        let status = view.add(TargetStatus {
            scrape_pool: job.name.clone(),
            discovered_labels: labels::discovered_labels(&job, &address),
            labels: labels::target_labels(&job, &address),
            scrape_url: scrape_url(&job, &address),
            last_error: String::new(),
            last_scrape: None,
            last_scrape_duration: Duration::ZERO,
            last_samples: 0,
            health: TargetHealth::Unknown,
            interval: job.interval,
            timeout: job.timeout,
        });
        let labels = labels::target_labels(&job, &address);
        let target = Target::new(job, labels, source, status, context.clone());
        tasks.spawn(target.run(stop.clone()));
    }
    Ok(())
}
