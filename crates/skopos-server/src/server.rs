//! Wiring: from settings to a running server, and back down in order.
//!
//! Start: read what the settings point to (nothing is bound or opened when a file is wrong), bind
//! all listeners, answer probes while the store replays, then serve, scrape and evaluate. Stop: no
//! new connections, answers under way finish, targets get their stale markers, rules end, the
//! store closes. Every task is owned by [`RunningServer`] and has a name.

mod serve;
mod watch;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use skopos::Telemetry;
use skopos::health::Health;
use skopos::metrics::Format;
use skopos_model::Clock;
use skopos_sql::SqlEngine;
use skopos_store::fs::{Fs, StdFs};
use skopos_store::head::HeadConfig;
use skopos_store::{
    BlockConfig, DiskFloor, ReplayProgress, Retention, Store, StoreConfig, StoreError, SyncPolicy,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Tokens;
use crate::config::{ConfigError, FloorSetting, RetentionSetting, Settings, SyncSetting};
use crate::derive::{self, Deriver};
use crate::http;
use crate::ingest::{Ingest, decoder_limits};
use crate::listen::Addresses;
use crate::memory::MemoryPlan;
use crate::notify::Heartbeat;
use crate::query::{QueryEngine, QueryLimits};
use crate::receipts::Receipts;
use crate::rules::{self, RuleContext, RulesView};
use crate::runbooks::Runbooks;
use crate::scrape::{self, OwnTarget, ScrapeContext, ScrapeJob, TargetsView};
use crate::slos::{self, SloContext, Slos};
use crate::state::{AppState, SharedState, Storage};
use crate::status::{self, Rates};
use crate::{ServerError, ready, telemetry};

/// How long answers under way may take after the server was told to stop.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// How long scraping and rules may take to write their last records.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(5);

/// Starts servers.
pub struct Server;

/// A server that runs until [`shutdown`](Self::shutdown). Dropping it stops it at once, without
/// any order: what was acknowledged is safe, what was under way is lost.
pub struct RunningServer {
    addresses: Addresses,
    state: SharedState,
    store: Arc<Store>,
    tasks: Tasks,
}

/// Everything that runs, and how it is told to stop.
#[derive(Default)]
struct Tasks {
    /// Stops taking connections; long answers end.
    shutdown: CancellationToken,
    servers: Vec<(&'static str, JoinHandle<()>)>,
    /// Stops scraping and rules.
    stop_background: CancellationToken,
    background: TaskTracker,
}

impl Tasks {
    /// Ends everything at once and waits until ports and store are let go.
    async fn abort(&mut self) {
        self.shutdown.cancel();
        self.stop_background.cancel();
        for (_, task) in self.servers.drain(..) {
            task.abort();
            // It ends as cancelled, or had ended before.
            let _ = task.await;
        }
        self.background.close();
        let _ = tokio::time::timeout(BACKGROUND_PATIENCE, self.background.wait()).await;
    }
}

impl Server {
    /// Starts a server and returns once it is ready. When it fails nothing of it is left running.
    pub async fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Telemetry,
    ) -> Result<RunningServer, ServerError> {
        Self::start_on(settings, clock, telemetry, Arc::new(StdFs)).await
    }

    /// Like [`start`](Self::start), with the store on a file system of the caller's choice: so
    /// that tests can make it fail.
    pub async fn start_on(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Telemetry,
        fs: Arc<dyn Fs>,
    ) -> Result<RunningServer, ServerError> {
        let mut tasks = Tasks::default();
        match Self::assemble(Arc::new(settings), clock, telemetry, fs, &mut tasks).await {
            Ok((addresses, state, store)) => Ok(RunningServer { addresses, state, store, tasks }),
            Err(error) => {
                tasks.abort().await;
                Err(error)
            }
        }
    }

    async fn assemble(
        settings: Arc<Settings>,
        clock: Arc<dyn Clock>,
        telemetry: Telemetry,
        fs: Arc<dyn Fs>,
        tasks: &mut Tasks,
    ) -> Result<(Addresses, SharedState, Arc<Store>), ServerError> {
        // Tokens may also be kept in the state log; without a data folder there are none.
        if settings.tokens.is_empty() && !holds_anything(&settings.data_dir) {
            refuse_exposed(&settings)?;
        }
        let jobs = scrape_jobs(&settings)?;
        let language = QueryLimits::language(&settings);
        let slo_set = slos::load(&settings.slo_files, &language)?;
        let rule_set = rules::load(&settings.rule_files, &language)?;
        let rule_set = slos::with_alerts(rule_set, &slo_set)?;

        let http_listener = settings.http_listen.bind("UI and API").await?;
        let grpc_listener = settings.otlp_grpc_listen.bind("OTLP over gRPC").await?;
        let otlp_listener = settings.otlp_http_listen.bind("OTLP over HTTP").await?;
        let addresses = Addresses {
            http: local_address(&http_listener)?,
            otlp_grpc: local_address(&grpc_listener)?,
            otlp_http: local_address(&otlp_listener)?,
        };
        let app = Arc::new(OnceLock::new());
        let http_task = serve::http(
            http_listener,
            Arc::clone(&app),
            settings.request_timeout,
            tasks.shutdown.clone(),
        );
        tasks.servers.push(("http", http_task));

        let memory = MemoryPlan::for_this_machine(&settings);
        let store = Arc::new(open_store(&settings, &memory, fs, Arc::clone(&clock)).await?);
        let dyn_store: Arc<dyn Storage> = Arc::clone(&store) as _;
        let tokens = Arc::new(Tokens::load(&settings.tokens, &*store).await?);
        if tokens.is_empty() {
            refuse_exposed(&settings)?;
        }
        let receipts = Arc::new(Receipts::new(telemetry.registry()));
        let limits = QueryLimits::new(&settings, &memory);
        let queries =
            Arc::new(QueryEngine::new(Arc::clone(&dyn_store), Arc::clone(&clock), limits));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let sql =
            Arc::new(SqlEngine::new(Arc::clone(&store) as _, Arc::clone(&store) as _, threads));
        let deriver = Arc::new(Deriver::new(
            &settings,
            HeadConfig::default().future_tolerance,
            Arc::clone(&dyn_store),
            Arc::clone(&clock),
            Arc::clone(&receipts),
        ));
        let ingest = Ingest::new(
            Arc::clone(&dyn_store),
            Arc::clone(&store) as _,
            Arc::clone(&clock),
            Arc::clone(&receipts),
            Arc::clone(&deriver),
            &settings,
            usize::try_from(memory.label_bytes).unwrap_or(usize::MAX),
        );
        let stop_rules = tasks.stop_background.child_token();
        let context = SloContext {
            store: Arc::clone(&dyn_store),
            clock: Arc::clone(&clock),
            queries: Arc::clone(&queries),
            late: Arc::clone(&ingest.late),
        };
        let slos =
            Slos::restore(&settings, slo_set, context, telemetry.registry(), stop_rules.clone());
        let slos = Arc::new(slos.await?);
        let context = RuleContext {
            store: Arc::clone(&dyn_store),
            clock: Arc::clone(&clock),
            queries: Arc::clone(&queries),
            slos: Arc::clone(&slos),
            external_url: settings
                .external_url
                .clone()
                .unwrap_or_else(|| format!("http://{}", addresses.http)),
        };
        let rules =
            RulesView::restore(&settings, &rule_set, context, telemetry.registry(), stop_rules);
        let rules = Arc::new(rules.await?);
        let runbooks = Runbooks::restore(
            settings.runbooks.clone(),
            Arc::clone(&rules),
            Arc::clone(&dyn_store),
            Arc::clone(&clock),
        );
        let runbooks = Arc::new(runbooks.await?);
        let state: SharedState = Arc::new(AppState {
            started_at: clock.now(),
            health: health(&store, &rules),
            queries,
            sql,
            targets: Arc::new(TargetsView::default()),
            shutdown: tasks.shutdown.clone(),
            store: dyn_store,
            cardinality: Arc::clone(&store) as _,
            clock,
            settings: Arc::clone(&settings),
            tokens,
            receipts,
            rules,
            slos,
            runbooks,
            telemetry,
            ingest,
            deriver,
            memory_bytes: memory.total_bytes,
            addresses,
            rates: Rates::default(),
            folder: Arc::clone(&store),
        });
        telemetry::register_store(state.telemetry.registry(), &store);
        telemetry::register_server(state.telemetry.registry(), &state);
        telemetry::register_memory(state.telemetry.registry(), &memory, &store, &state.queries);
        derive::register(state.telemetry.registry(), &state.deriver);

        let router = http::router(http::routes(&settings), Arc::clone(&state));
        // Set once, here: nobody else has the cell.
        let _ = app.set(router.layer(state.telemetry.http_layer()));
        tasks.servers.push(("otlp-http", serve::otlp_http(otlp_listener, Arc::clone(&state))));
        tasks.servers.push(("otlp-grpc", serve::otlp_grpc(grpc_listener, Arc::clone(&state))));

        let watched = watch::watch(Arc::downgrade(&store), tasks.stop_background.clone());
        tasks.background.spawn(watched);
        let rules = Arc::clone(&state.rules);
        tasks.background.spawn(reload_on_hangup(Arc::clone(&rules), tasks.stop_background.clone()));
        if let Some(every) = settings.reload_interval {
            let (rules, stop) = (Arc::clone(&rules), tasks.stop_background.clone());
            tasks.background.spawn(async move { rules.watch(every, &stop).await });
        }
        tasks.background.spawn(async move { rules.run().await });
        let slos = Arc::clone(&state.slos);
        tasks.background.spawn(async move { slos.run().await });
        if let Some(heartbeat) = Heartbeat::new(&settings, state.telemetry.registry())? {
            let rules = Arc::clone(&state.rules);
            let stop = tasks.stop_background.clone();
            let beating = async move { heartbeat.run(|| rules.check_recent(), stop).await };
            tasks.background.spawn(beating);
        }
        let deriver = Arc::clone(&state.deriver);
        let stop = tasks.stop_background.clone();
        tasks.background.spawn(async move { deriver.run(stop).await });
        let counting = status::count(Arc::clone(&state), tasks.stop_background.clone());
        tasks.background.spawn(counting);
        start_scraping(jobs, &state, &addresses, &tasks.background, &tasks.stop_background)?;

        state.health.mark_started();
        if let Some(path) = &settings.ready_file {
            ready::write(path, &addresses)
                .map_err(|source| ServerError::ReadyFile { path: path.clone(), source })?;
        }
        tracing::info!(http = %addresses.http, otlp_grpc = %addresses.otlp_grpc, otlp_http = %addresses.otlp_http, "server is ready");
        Ok((addresses, state, store))
    }
}

impl RunningServer {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The state its handlers share, for embedding and tests.
    pub fn state(&self) -> &SharedState {
        &self.state
    }

    /// Reads the rule files again and returns how many rules are in force; with any mistake in
    /// them everything stays as it is.
    pub async fn reload_rules(&self) -> Result<usize, ServerError> {
        self.state.rules.reload().await
    }

    /// Stops in order. An error means that the logs could not be closed cleanly; what was
    /// acknowledged is safe all the same.
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        self.state.health.mark_draining();
        if let Some(path) = &self.state.settings.ready_file {
            // It may be gone already; nobody is harmed by either.
            let _ = std::fs::remove_file(path);
        }
        self.state.shutdown.cancel();
        for (name, mut task) in self.tasks.servers.drain(..) {
            if tokio::time::timeout(DRAIN_PATIENCE, &mut task).await.is_err() {
                tracing::warn!(task = name, "answers under way were cut off");
                task.abort();
            }
        }
        self.tasks.stop_background.cancel();
        let background = &self.tasks.background;
        background.close();
        if tokio::time::timeout(BACKGROUND_PATIENCE, background.wait()).await.is_err() {
            tracing::warn!(tasks = background.len(), "background tasks did not end in time");
        }
        self.store.close().await?;
        tracing::info!("server has stopped");
        Ok(())
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.stop_background.cancel();
        for (_, task) in &self.servers {
            task.abort();
        }
    }
}

/// SIGHUP reads the rules again, as people expect of a daemon.
#[cfg(unix)]
async fn reload_on_hangup(rules: Arc<RulesView>, stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be handled, rules are only reloaded by HTTP");
            return;
        }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            hangup = hangups.recv() => if hangup.is_none() { return },
        }
        if let Err(error) = rules.reload().await {
            tracing::error!(%error, "rules were not reloaded, the old ones stay in force");
        }
    }
}

#[cfg(not(unix))]
async fn reload_on_hangup(_rules: Arc<RulesView>, _stop: CancellationToken) {}

/// Whether a folder is there and not empty.
fn holds_anything(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn refuse_exposed(settings: &Settings) -> Result<(), ServerError> {
    if settings.allow_without_tokens {
        return Ok(());
    }
    let addresses = [&settings.http_listen, &settings.otlp_grpc_listen, &settings.otlp_http_listen];
    match addresses.into_iter().find(|address| !address.is_loopback()) {
        None => Ok(()),
        Some(address) => Err(ServerError::Exposed { address: address.to_string() }),
    }
}

fn local_address(listener: &TcpListener) -> Result<std::net::SocketAddr, ServerError> {
    listener.local_addr().map_err(|source| ServerError::Io { what: "read a local address", source })
}

fn scrape_jobs(settings: &Settings) -> Result<Vec<ScrapeJob>, ServerError> {
    let mut jobs: Vec<ScrapeJob> = Vec::new();
    let mut errors = Vec::new();
    if let Some(path) = &settings.prometheus_config {
        let text = read_file(path)?;
        match scrape::parse(path, &text) {
            Ok(config) => {
                if !config.skipped.is_empty() {
                    tracing::warn!(sections = %config.skipped.join(", "), "sections of the Prometheus configuration are not used");
                }
                jobs.extend(config.jobs);
            }
            Err(error) => errors.push(error),
        }
    }
    for url in &settings.scrape_targets {
        match ScrapeJob::from_url(url, settings.scrape_interval, settings.scrape_timeout) {
            Ok(job) => jobs.push(job),
            Err(message) => {
                // The URL may hold a password, so it is named by its key only.
                let place = "scrape.targets".to_owned();
                errors.push(ConfigError { place, message: format!("a target {message}") });
            }
        }
    }
    for message in scrape::indistinct_targets(&jobs) {
        errors.push(ConfigError { place: "scrape".to_owned(), message });
    }
    if errors.is_empty() { Ok(jobs) } else { Err(ServerError::Config(errors)) }
}

fn read_file(path: &Path) -> Result<String, ServerError> {
    std::fs::read_to_string(path)
        .map_err(|source| ServerError::File { path: path.to_path_buf(), source })
}

async fn open_store(
    settings: &Settings,
    memory: &MemoryPlan,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
) -> Result<Store, ServerError> {
    let mut config = StoreConfig::new(&settings.data_dir);
    config.max_head_bytes = memory.head_bytes;
    config.cache_bytes = memory.cache_bytes;
    let keep = |setting: RetentionSetting| Retention {
        age: setting.age,
        bytes: (setting.bytes > 0).then_some(setting.bytes),
    };
    let blocks = BlockConfig::default();
    config.blocks = BlockConfig {
        compact_bytes: blocks.compact_bytes.min(memory.merge_bytes),
        flush_bytes: settings.flush_bytes,
        flush_age: settings.flush_age,
        metrics: keep(settings.retention_metrics),
        logs: keep(settings.retention_logs),
        spans: keep(settings.retention_traces),
        ..blocks
    };
    config.disk_floor = match settings.disk_floor {
        FloorSetting::Auto => DiskFloor::Auto,
        FloorSetting::Bytes(bytes) => DiskFloor::Bytes(bytes),
    };
    config.head.limits = settings.series_limits.clone();
    config.sync = match settings.sync {
        SyncSetting::Commit => SyncPolicy::EachCommit,
        SyncSetting::Interval(interval) => SyncPolicy::Interval(interval),
    };
    let open = move || Store::open_on(config, fs, clock, ReplayProgress::new());
    let store = match tokio::task::spawn_blocking(open).await {
        Ok(store) => store?,
        Err(error) => {
            let source = std::io::Error::other(error);
            return Err(ServerError::Io { what: "open the store", source });
        }
    };
    let report = store.recovery();
    tracing::info!(
        batches = report.wal_batches,
        took_seconds = report.took.as_secs_f64(),
        "store is open"
    );
    for torn in &report.torn {
        tracing::warn!(?torn, "an unacknowledged end of a log was cut off");
    }
    Ok(store)
}

fn health(store: &Arc<Store>, rules: &Arc<RulesView>) -> Health {
    let wal = Arc::downgrade(store);
    let state_log = Arc::downgrade(store);
    let disk = Arc::downgrade(store);
    let rules = Arc::downgrade(rules);
    // What passes by itself is the disk's matter: restarting for it would help nobody.
    let stopped = |is_open: bool, failure: Option<String>| match (is_open, failure) {
        (_, Some(failure)) => Err(failure),
        (true, None) => Ok(()),
        (false, None) => Err("closed".to_owned()),
    };
    Health::builder()
        .critical("wal", move || {
            let health = wal.upgrade().map(|store| store.health());
            async move { health.map_or(Err("closed".into()), |h| stopped(h.open, h.wal_failure)) }
        })
        .critical("state_log", move || {
            let health = state_log.upgrade().map(|store| store.health());
            async move { health.map_or(Err("closed".into()), |h| stopped(h.open, h.state_failure)) }
        })
        .degraded("disk", move || {
            let health = disk.upgrade().map(|store| store.health());
            let failure = health.and_then(|health| health.disk_failure);
            async move { failure.map_or(Ok(()), Err) }
        })
        .critical("rules", move || {
            let rules = rules.upgrade();
            let recent = rules.map_or(Ok(()), |rules| rules.check_recent());
            async move { recent }
        })
        .build()
}

fn start_scraping(
    jobs: Vec<ScrapeJob>,
    state: &SharedState,
    addresses: &Addresses,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ServerError> {
    let own = state.settings.scrape_self.then(|| {
        let registry = state.telemetry.registry().clone();
        OwnTarget {
            instance: addresses.http.to_string(),
            interval: state.settings.scrape_interval,
            render: Arc::new(move || registry.encode(Format::Prometheus).into()),
        }
    });
    let limits = decoder_limits(&state.settings);
    let context = ScrapeContext {
        store: Arc::clone(&state.store),
        clock: Arc::clone(&state.clock),
        receipts: Arc::clone(&state.receipts),
        limits: Arc::new(limits),
    };
    scrape::start(jobs, own, &context, &state.targets, tasks, stop).map_err(|error| {
        ServerError::Io { what: "make a client for scraping", source: std::io::Error::other(error) }
    })
}

impl From<StoreError> for ServerError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
