//! The log level changed while the service runs: raised for a while, and back by itself.
//!
//! Three ways lead here: [`Telemetry::set_log_level`](crate::Telemetry::set_log_level), `PUT /admin/log-level` on the ops
//! port, and SIGUSR1, which toggles DEBUG for ten minutes. Each change ends by itself, so that nobody has to remember it;
//! each is a line in the log. In production a filter below INFO is refused, as at start, unless `SKOPOS_ALLOW_DEBUG` is set.
//!
//! While nothing is raised the price is one relaxed load for an event that is not cached as off.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use tracing::dispatcher::WeakDispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::clock;
use crate::filter::Filters;

/// The longest that a change may last.
///
/// ```
/// assert_eq!(skopos::LONGEST_CHANGE.as_secs(), 86_400);
/// ```
pub const LONGEST_CHANGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long SIGUSR1 turns DEBUG on.
pub(crate) const SIGNAL_DURATION: Duration = Duration::from_secs(10 * 60);

/// What is logged now, and until when.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// let level = telemetry.log_level();
/// assert_eq!((level.usual.as_str(), level.temporary, level.until), ("info", None, None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLevel {
    /// The filter that holds when nothing was changed.
    pub usual: String,
    /// The filter that holds instead, for now.
    pub temporary: Option<String>,
    /// When the usual one comes back.
    pub until: Option<SystemTime>,
}

/// Why the level was not changed.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// use std::time::Duration;
///
/// let error = telemetry.set_log_level("debug", Duration::ZERO).unwrap_err();
/// assert!(matches!(error, skopos::LogLevelError::Duration { .. }), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogLevelError {
    /// The filter does not parse.
    #[error("log filter `{filter}` does not parse: {reason}")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What the parser said.
        reason: String,
    },
    /// The filter follows spans, which began before it came.
    #[error(
        "log filter `{filter}` has a directive about spans: only levels and targets can be changed at run time"
    )]
    FollowsSpans {
        /// The filter as it was given.
        filter: String,
    },
    /// DEBUG or TRACE in production.
    #[error(
        "log filter `{filter}` goes below INFO, which production refuses: set SKOPOS_ALLOW_DEBUG=1 and start again"
    )]
    BelowFloor {
        /// The filter as it was given.
        filter: String,
    },
    /// No time, or more than a day.
    #[error("a change of the log level lasts from 1 second to 24 hours, not {seconds} seconds")]
    Duration {
        /// What was asked for.
        seconds: u64,
    },
}

/// Changes the filters that the subscriber asks.
#[derive(Clone)]
pub(crate) struct LevelControl {
    shared: Arc<Shared>,
}

struct Shared {
    filters: Arc<Filters>,
    /// The directives that hold the talkative libraries, before those of a change.
    base: String,
    usual: String,
    /// Nothing below INFO, whatever is asked for.
    is_floored: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    current: Option<Change>,
    /// Counts changes, so that the timer of an earlier one ends nothing later.
    generation: u64,
}

#[derive(Clone)]
struct Change {
    filter: String,
    until: SystemTime,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LevelControl {
    pub(crate) fn new(
        filters: Arc<Filters>,
        base: String,
        usual: String,
        is_floored: bool,
    ) -> LevelControl {
        LevelControl {
            shared: Arc::new(Shared {
                filters,
                base,
                usual,
                is_floored,
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    pub(crate) fn current(&self) -> LogLevel {
        let state = self.shared.lock();
        LogLevel {
            usual: self.shared.usual.clone(),
            temporary: state.current.as_ref().map(|change| change.filter.clone()),
            until: state.current.as_ref().map(|change| change.until),
        }
    }

    /// Puts another filter in force for a while.
    pub(crate) fn set(&self, filter: &str, duration: Duration) -> Result<LogLevel, LogLevelError> {
        let shared = &self.shared;
        let filter = filter.trim();
        if duration < Duration::from_secs(1) || duration > LONGEST_CHANGE {
            return Err(LogLevelError::Duration { seconds: duration.as_secs() });
        }
        let wrong = |reason: String| LogLevelError::Filter { filter: filter.to_owned(), reason };
        if filter.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        if filter.contains('[') {
            return Err(LogLevelError::FollowsSpans { filter: filter.to_owned() });
        }
        let parsed = EnvFilter::builder()
            .parse(format!("{}{filter}", shared.base))
            .map_err(|error| wrong(error.to_string()))?;
        let is_below = parsed.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
        if shared.is_floored && is_below {
            tracing::warn!(target: "skopos", filter, "change of the log level refused: DEBUG is off in production");
            return Err(LogLevelError::BelowFloor { filter: filter.to_owned() });
        }
        let generation = {
            let mut state = shared.lock();
            state.generation += 1;
            state.current =
                Some(Change { filter: filter.to_owned(), until: clock::now() + duration });
            shared.filters.raise(Some(parsed));
            state.generation
        };
        tracing::callsite::rebuild_interest_cache();
        shared.changed.notify_all();
        let seconds = duration.as_secs();
        tracing::warn!(target: "skopos", filter, seconds, "log level changed for a while");
        self.end_later(generation, clock::instant() + duration);
        Ok(self.current())
    }

    /// Puts the usual filter back in force; returns whether another one was.
    pub(crate) fn reset(&self) -> bool {
        let was_changed = end(&self.shared, None);
        if was_changed {
            tracing::warn!(target: "skopos", filter = self.shared.usual, "log level restored");
        }
        was_changed
    }

    /// Without a thread (the limit of the system is reached) the change ends at once: better no DEBUG than for ever.
    fn end_later(&self, generation: u64, deadline: Instant) {
        let weak = Arc::downgrade(&self.shared);
        let dispatch = tracing::dispatcher::get_default(tracing::Dispatch::downgrade);
        let started = std::thread::Builder::new()
            .name("skopos-level".to_owned())
            .spawn(move || wait_and_end(&weak, &dispatch, generation, deadline));
        if started.is_err() {
            end(&self.shared, Some(generation));
        }
    }
}

/// How long the timer holds on to what it waits for, so that dropping it is noticed.
const STEP: Duration = Duration::from_millis(500);

fn wait_and_end(weak: &Weak<Shared>, dispatch: &WeakDispatch, generation: u64, deadline: Instant) {
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let state = shared.lock();
        if state.generation != generation || state.current.is_none() {
            return;
        }
        let left = deadline.saturating_duration_since(clock::instant());
        if left > Duration::ZERO {
            let waited = shared.changed.wait_timeout(state, left.min(STEP));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            continue;
        }
        drop(state);
        if end(&shared, Some(generation))
            && let Some(dispatch) = dispatch.upgrade()
        {
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::warn!(target: "skopos", filter = shared.usual, "log level restored: the time was up");
            });
        }
        return;
    }
}

/// Ends the change of this generation, or any; returns whether there was one.
fn end(shared: &Shared, generation: Option<u64>) -> bool {
    {
        let mut state = shared.lock();
        if generation.is_some_and(|generation| generation != state.generation) {
            return false;
        }
        if state.current.take().is_none() {
            return false;
        }
        shared.filters.raise(None);
    }
    tracing::callsite::rebuild_interest_cache();
    shared.changed.notify_all();
    true
}

/// Toggles DEBUG at each SIGUSR1, from a thread of its own.
#[cfg(unix)]
pub(crate) fn follow_signal(control: LevelControl) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGUSR1])?;
    std::thread::Builder::new().name("skopos-signal".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if !control.reset() {
                // A refusal is a WARN line already.
                let _ = control.set("debug", SIGNAL_DURATION);
            }
        }
    })?;
    Ok(())
}
