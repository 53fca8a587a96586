//! What is logged and what is traced: one global filter.
//!
//! `RUST_LOG` decides about events. Spans of level INFO and above are always on, whatever it says: turning logs down must not
//! turn traces off. In production nothing below INFO is logged unless that is asked for twice (`SKOPOS_ALLOW_DEBUG`). There is no
//! per-layer filter, because those can lose spans (see tracing's issue 2519). Nothing that the exporters do is ever seen: their
//! threads are marked, and marked threads are silent. The filter for events can be put out of force for a while by another one
//! ([`level`](crate::level)).

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::{EnvFilter, registry::LookupSpan};

use crate::context::propagators::Propagators;

pub(crate) mod words;

/// Libraries that talk much and are held at WARN, unless `RUST_LOG` names them.
pub(crate) const QUIET: &[&str] = &[
    "hyper",
    "hyper_util",
    "h2",
    "tonic",
    "tower",
    "tower_http",
    "rustls",
    "reqwest",
    "sqlx",
    "mio",
    "want",
];

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Silences the current thread for good: for threads that export telemetry.
pub(crate) fn silence_thread() {
    SILENT.with(|silent| silent.set(true));
}

/// Calls on a silenced thread what shall be heard all the same.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
pub(crate) fn aloud(say: impl FnOnce()) {
    let was_silent = SILENT.replace(false);
    say();
    SILENT.set(was_silent);
}

fn is_silent() -> bool {
    SILENT.try_with(Cell::get).unwrap_or(true)
}

/// What the global filter asks.
pub(crate) struct Filters {
    events: EnvFilter,
    /// Holds instead of `events` while it is there.
    raised: RwLock<Option<EnvFilter>>,
    is_raised: AtomicBool,
    /// Events below this level are off, whatever the filter says.
    floor: LevelFilter,
    /// Whether a directive is about spans (`[span{field}]`). Without one the filter need not hear of spans at all, which
    /// spares every request a dozen turns at its lock.
    follows_spans: bool,
    /// Kept here because whoever sends headers finds this by its subscriber.
    propagators: Propagators,
}

impl Filters {
    pub(crate) fn new(events: EnvFilter, floor: LevelFilter, propagators: Propagators) -> Filters {
        let follows_spans = events.to_string().contains('[');
        Filters {
            events,
            raised: RwLock::new(None),
            is_raised: AtomicBool::new(false),
            floor,
            follows_spans,
            propagators,
        }
    }

    /// Puts another filter in force, or the usual one. The caller rebuilds the interest of all call sites.
    pub(crate) fn raise(&self, filter: Option<EnvFilter>) {
        let mut raised = self.raised.write().unwrap_or_else(PoisonError::into_inner);
        self.is_raised.store(filter.is_some(), Ordering::Relaxed);
        *raised = filter;
    }

    /// Calls with the filter that holds for events now.
    fn now<T>(&self, ask: impl FnOnce(&EnvFilter) -> T) -> T {
        if self.is_raised.load(Ordering::Relaxed) {
            let raised = self.raised.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(filter) = &*raised {
                return ask(filter);
            }
        }
        ask(&self.events)
    }
}

/// The global filter.
pub(crate) struct SignalFilter(pub(crate) Arc<Filters>);

impl SignalFilter {
    pub(crate) fn propagators(&self) -> Propagators {
        self.0.propagators
    }
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SignalFilter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The usual filter hears of every call site: it keeps what it has to know about spans.
        let usual = Layer::<S>::register_callsite(&self.0.events, metadata);
        let interest = if self.0.is_raised.load(Ordering::Relaxed) {
            self.0.now(|events| Layer::<S>::register_callsite(events, metadata))
        } else {
            usual
        };
        if is_traced(metadata) || !interest.is_never() {
            // Never `always`: a silent thread is only found out when it asks.
            return Interest::sometimes();
        }
        interest
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        !is_silent()
            && (is_traced(metadata)
                || (*metadata.level() <= self.0.floor
                    && self.0.now(|events| events.enabled(metadata, context))))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let events = self.0.now(|events| Layer::<S>::max_level_hint(events));
        Some(events.unwrap_or(LevelFilter::TRACE).min(self.0.floor).max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if self.0.follows_spans {
            self.0.events.on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if self.0.follows_spans {
            Layer::<S>::on_record(&self.0.events, id, values, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if self.0.follows_spans {
            self.0.events.on_enter(id, context);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if self.0.follows_spans {
            self.0.events.on_exit(id, context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if self.0.follows_spans {
            self.0.events.on_close(id, context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::QUIET;
    use crate::{Service, Telemetry};
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tracing::Subscriber as _;
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Logs at INFO and WARN as this target and returns how many lines each made.
    fn lines_of(target: &str, filter: Option<&str>) -> (usize, usize) {
        let output = Output::default();
        let builder = Telemetry::builder(Service::new("shop"))
            .from_lookup(|key| filter.filter(|_| key == "RUST_LOG").map(str::to_owned));
        let (telemetry, layer) = builder.output(output.clone()).build().unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            // `tracing`'s own macros want a target that is known when they are compiled; the bridge from `log` does not.
            let bridge = tracing_log::LogTracer::new();
            for level in [log::Level::Info, log::Level::Warn] {
                let arguments = format_args!("said");
                let record =
                    log::Record::builder().target(target).level(level).args(arguments).build();
                log::Log::log(&bridge, &record);
            }
        });
        assert!(telemetry.flush(Duration::from_secs(20)));
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        (text.matches("\"INFO\"").count(), text.matches("\"WARN\"").count())
    }

    #[test]
    fn what_is_below_the_level_is_not_even_asked_about() {
        for (filter, expected) in [
            (None, LevelFilter::INFO),
            (Some("debug"), LevelFilter::DEBUG),
            // Spans are on whatever the filter says.
            (Some("off"), LevelFilter::INFO),
        ] {
            let builder = Telemetry::builder(Service::new("shop"))
                .from_lookup(|key| filter.filter(|_| key == "RUST_LOG").map(str::to_owned));
            let (_telemetry, layer) = builder.without_lines().build().unwrap();
            let subscriber = tracing_subscriber::registry().with(layer);
            // What the macros compare with, before anything else.
            assert_eq!(subscriber.max_level_hint(), Some(expected), "{filter:?}");
        }
    }

    #[test]
    fn every_talkative_library_is_held_at_warn_unless_it_is_named() {
        // The guide's three kinds: what serves, what calls, what queries; and what carries them.
        for library in ["hyper", "h2", "tonic", "tower", "tower_http", "reqwest", "rustls", "sqlx"]
        {
            assert!(QUIET.contains(&library), "{library}");
        }
        for library in QUIET {
            for target in [(*library).to_owned(), format!("{library}::inside")] {
                assert_eq!(lines_of(&target, None), (0, 1), "{target}");
                assert_eq!(lines_of(&target, Some("debug")), (0, 1), "{target}, all at DEBUG");
                let named = format!("warn,{library}=info");
                assert_eq!(lines_of(&target, Some(&named)), (1, 1), "{target}, named");
            }
        }
        assert_eq!(lines_of("shop", None), (1, 1), "others are at INFO");
    }
}
