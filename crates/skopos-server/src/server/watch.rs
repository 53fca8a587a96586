//! Says aloud what the store cannot say itself: once, that a log can no longer be written or that the
//! disk is full, so that from then on every ingest request is refused, which senders see but nobody
//! may read; when a full disk is over; that a block is damaged; and once in ten minutes per metric and sender, that new series
//! went beyond a limit.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use skopos_store::cardinality::SeriesSender;
use skopos_store::{SeriesRefusal, Store, StoreHealth};
use tokio_util::sync::CancellationToken;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks until told to stop, or until the store is gone.
pub(super) async fn watch(store: Weak<Store>, stop: CancellationToken) {
    let mut told = Told::default();
    loop {
        // In one step, so that nothing holds the store while this waits.
        let Some((health, notices)) =
            store.upgrade().map(|store| (store.health(), store.take_series_notices()))
        else {
            return;
        };
        told.tell(&health);
        notices.iter().for_each(tell_of_limit);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// One line with all that it takes to find who added which label.
fn tell_of_limit(refusal: &SeriesRefusal) {
    let SeriesSender { job, service, scope } = &refusal.sender;
    let (metric, label, first_value) = (&refusal.metric, &refusal.label, &refusal.first_value);
    tracing::warn!(
        reason = refusal.reason,
        limit = refusal.limit,
        action = refusal.action.as_str(),
        metric,
        label,
        first_value,
        job,
        service_name = service,
        scope,
        samples = refusal.samples,
        "new series went beyond a limit; known series go on, see `skopos cardinality`"
    );
}

/// What was said already.
#[derive(Default)]
struct Told {
    wal: bool,
    state_log: bool,
    disk: bool,
    /// Numbers of damaged blocks.
    blocks: BTreeSet<u64>,
}

impl Told {
    fn tell(&mut self, health: &StoreHealth) {
        match (&health.disk_failure, self.disk) {
            (Some(cause), false) => tracing::error!(
                %cause,
                "the disk is full or nearly so: no telemetry is stored until there is space; \
                 queries, rules and notification go on"
            ),
            (None, true) => tracing::info!("there is space on the disk again: ingest goes on"),
            _ => {}
        }
        self.disk = health.disk_failure.is_some();
        for block in &health.damaged_blocks {
            if self.blocks.insert(block.number) {
                tracing::error!(
                    %block,
                    "a block is damaged: what it holds cannot be read; restore a snapshot, or stop \
                     the server and set it aside with `skopos verify --set-aside`"
                );
            }
        }
        if let Some(cause) = health.wal_failure.as_deref().filter(|_| !self.wal) {
            self.wal = true;
            tracing::error!(
                cause,
                "the write-ahead log failed and stays closed: no telemetry is stored; free space \
                 or mend the disk, then restart the server"
            );
        }
        if let Some(cause) = health.state_failure.as_deref().filter(|_| !self.state_log) {
            self.state_log = true;
            tracing::error!(
                cause,
                "the state log failed and stays closed: rules wait and nobody is notified; free \
                 space or mend the disk, then restart the server"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span;
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Keeps the errors of this thread as text.
    #[derive(Clone, Default)]
    struct Errors(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Errors {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::ERROR
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    let _ = write!(self.0, "{}={value:?} ", field.name());
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn health(wal: Option<&str>, state: Option<&str>) -> StoreHealth {
        StoreHealth {
            open: true,
            disk_failure: None,
            flush_failure: None,
            wal_writable: wal.is_none(),
            state_writable: state.is_none(),
            wal_failure: wal.map(str::to_owned),
            state_failure: state.map(str::to_owned),
            head_full: false,
            replay_finished: true,
            replay_fraction: 1.0,
            damaged_blocks: Vec::new(),
        }
    }

    #[test]
    fn a_full_disk_is_reported_each_time_it_begins() {
        let errors = Errors::default();
        tracing::subscriber::with_default(errors.clone(), || {
            let mut told = Told::default();
            let full =
                StoreHealth { disk_failure: Some("5 bytes free".into()), ..health(None, None) };
            for health in [&full, &full, &health(None, None), &full] {
                told.tell(health);
            }
        });
        let errors = errors.0.lock().unwrap();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("5 bytes free") && errors[0].contains("until there is space"));
    }

    #[test]
    fn each_log_is_reported_once_with_cause_and_remedy() {
        let errors = Errors::default();
        tracing::subscriber::with_default(errors.clone(), || {
            let mut told = Told::default();
            told.tell(&health(None, None));
            told.tell(&health(Some("no space left"), None));
            told.tell(&health(Some("no space left"), None));
            told.tell(&health(Some("no space left"), Some("input/output error")));
            told.tell(&health(Some("no space left"), Some("input/output error")));
        });
        let errors = errors.0.lock().unwrap();
        assert_eq!(errors.len(), 2, "{errors:?}");
        for (error, wants) in [
            (&errors[0], ["write-ahead log", "no space left", "restart"]),
            (&errors[1], ["state log", "input/output error", "restart"]),
        ] {
            assert!(wants.iter().all(|want| error.contains(want)), "{error}");
        }
    }
}
