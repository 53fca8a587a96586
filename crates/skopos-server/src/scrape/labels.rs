//! The labels of targets. How they meet a sample's own labels is decided by the decoder
//! (`skopos_ingest::exposition`).

use skopos_model::{Labels, LabelsBuilder, METRIC_NAME};

use super::config::{ScrapeJob, StaticTarget};

/// The labels of a target: `job`, `instance` and what the configuration adds. Labels that begin
/// with `__` steer the scrape and are not stored.
pub(super) fn target_labels(job: &ScrapeJob, target: &StaticTarget) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set("job", &job.name).set("instance", &target.address);
    for (name, value) in target.labels.iter().filter(|(name, _)| !name.starts_with("__")) {
        labels.set(name, value);
    }
    labels.build()
}

/// The labels as discovered, before anything is derived from them.
pub(super) fn discovered_labels(job: &ScrapeJob, target: &StaticTarget) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels
        .set("__address__", &target.address)
        .set("__metrics_path__", &job.metrics_path)
        .set("__scheme__", &job.scheme)
        .set("job", &job.name);
    for (name, value) in &target.labels {
        labels.set(name, value);
    }
    labels.build()
}

/// The labels of a series about the scrape itself, such as `up`.
pub(super) fn report(name: &str, target: &Labels) -> Labels {
    let mut labels = target.to_builder();
    labels.set(METRIC_NAME, name);
    labels.build()
}
