//! The server's own telemetry, made with our SDK.
//!
//! No feedback loops: only the main port has the HTTP layer, so that taking telemetry in makes
//! none; the store's own series carry `skopos_` names, the HTTP metrics too, so that rules about
//! `http_requests_total` of services never see the server itself.

use std::sync::{Arc, Weak};

use skopos::metrics::Registry;
use skopos::{InitError, Service, Telemetry};
use skopos_store::{SeriesLimits, Store, StoreStats};

use crate::config::{LogFormat, Settings};
use crate::memory::MemoryPlan;
use crate::query::{QueryEngine, QueryStats};
use crate::state::AppState;

/// The server's name in its own telemetry.
const SERVICE: &str = "skopos";

fn builder() -> skopos::Builder {
    let service = Service::new(SERVICE).version(env!("CARGO_PKG_VERSION"));
    Telemetry::builder(service).http_metrics_prefix("skopos_")
}

/// Sets up logging for the process; once, in `main`.
pub fn install(settings: &Settings) -> Result<Telemetry, InitError> {
    let builder = builder().from_env();
    let builder = match settings.log_format {
        LogFormat::Auto => builder,
        LogFormat::Json => builder.format(skopos::LogFormat::Json),
        LogFormat::Pretty => builder.format(skopos::LogFormat::Pretty),
    };
    builder.install()
}

/// Telemetry that writes nothing and stays off the process' subscriber, for embedding and tests.
pub fn silent() -> Result<Telemetry, InitError> {
    let (telemetry, _layer) = builder().without_lines().without_panic_hook().build()?;
    Ok(telemetry)
}

/// Exposes what the store counts. Weak, so that metrics never keep a store open.
pub(crate) fn register_store(registry: &Registry, store: &Arc<Store>) {
    let read = |store: &Arc<Store>, read: fn(&StoreStats) -> u64| {
        let store: Weak<Store> = Arc::downgrade(store);
        move || store.upgrade().map_or(0, |store| read(&store.stats()))
    };
    let gauge = |name: &str, help: &str, field: fn(&StoreStats) -> u64| {
        let read = read(store, field);
        registry.gauge_fn(name, help, &[], move || read() as f64);
    };
    gauge("prometheus_tsdb_head_series", "Series in the head.", |s| s.head.series);
    gauge("skopos_store_head_series", "Series in the head.", |s| s.head.series);
    gauge("skopos_store_head_samples", "Samples in the head.", |s| s.head.samples);
    gauge("skopos_store_head_chunks", "Sealed chunks in the head.", |s| s.head.chunks);
    gauge("skopos_store_head_logs", "Log records in the head.", |s| s.head.logs);
    gauge("skopos_store_head_spans", "Spans in the head.", |s| s.head.spans);
    gauge("skopos_store_head_bytes", "Memory held by the head.", |s| s.head_bytes);
    gauge("skopos_store_head_limit_bytes", "Memory the head may hold.", |s| s.max_head_bytes);
    gauge("skopos_store_wal_bytes", "Size of the write-ahead log.", |s| s.wal.bytes);
    gauge("skopos_store_state_log_bytes", "Size of the state log.", |s| s.state_log.bytes);
    gauge("skopos_store_state_records", "State records held.", |s| s.state_records);
    gauge("skopos_store_disk_free_bytes", "Free space of the data disk.", |s| s.disk.free_bytes);
    gauge("skopos_store_disk_floor_bytes", "Free space below which ingest is refused.", |s| {
        s.disk.floor_bytes
    });
    gauge("skopos_store_disk_low", "1 while ingest is refused because of the disk floor.", |s| {
        u64::from(s.disk.is_low())
    });
    gauge("skopos_store_wal_no_space", "1 while the WAL waits for space on the disk.", |s| {
        u64::from(s.wal.no_space)
    });
    gauge("skopos_store_state_log_no_space", "1 while it waits for space on the disk.", |s| {
        u64::from(s.state_log.no_space)
    });
    gauge("skopos_store_wal_poisoned", "1 once a failed write has stopped the WAL.", |s| {
        u64::from(s.wal.poisoned)
    });
    gauge("skopos_store_state_log_poisoned", "1 once a failed write has stopped it.", |s| {
        u64::from(s.state_log.poisoned)
    });
    gauge("skopos_store_corrupt_blocks", "Blocks found damaged, which queries cannot read.", |s| {
        s.blocks.damaged
    });
    type ReadStats = fn(&StoreStats) -> u64;
    let per_signal: [(&str, ReadStats, ReadStats, ReadStats); 3] = [
        ("metrics", |s| s.blocks.blocks[0], |s| s.blocks.bytes[0], |s| s.blocks.rows[0]),
        ("logs", |s| s.blocks.blocks[1], |s| s.blocks.bytes[1], |s| s.blocks.rows[1]),
        ("traces", |s| s.blocks.blocks[2], |s| s.blocks.bytes[2], |s| s.blocks.rows[2]),
    ];
    for (signal, blocks, bytes, rows) in per_signal {
        for (name, help, field) in [
            ("skopos_store_blocks", "Blocks on disk, by signal.", blocks),
            ("skopos_store_block_bytes", "Size of the blocks, by signal.", bytes),
            ("skopos_store_block_items", "Samples, records, spans in blocks.", rows),
        ] {
            let read = read(store, field);
            registry.gauge_fn(name, help, &[("signal", signal)], move || read() as f64);
        }
    }
    let counter = |name: &str, help: &str, field: fn(&StoreStats) -> u64| {
        registry.counter_fn(name, help, &[], read(store, field));
    };
    counter("skopos_store_flushes_total", "Flushes that wrote blocks.", |s| s.blocks.flushes);
    counter("skopos_store_flush_failures_total", "Flushes that failed.", |s| {
        s.blocks.flush_failures
    });
    counter("skopos_store_flushed_items_total", "Samples, records, spans flushed.", |s| {
        s.blocks.flushed_rows
    });
    counter("skopos_store_flushed_bytes_total", "Bytes of blocks flushed.", |s| {
        s.blocks.flushed_bytes
    });
    counter("skopos_store_blocks_merged_total", "Blocks merged by compaction.", |s| {
        s.blocks.merged
    });
    counter("skopos_store_blocks_expired_total", "Blocks removed by retention.", |s| {
        s.blocks.expired
    });
    counter("skopos_store_wal_batches_total", "Batches written.", |s| s.wal.frames);
    counter("skopos_store_wal_fsyncs_total", "Fsyncs of the WAL.", |s| s.wal.fsyncs.count);
    counter("skopos_store_refused_head_full_total", "Batches refused: head full.", |s| {
        s.refused_head_full
    });
    counter("skopos_store_series_created_total", "Series that came into being.", |s| {
        s.series_created
    });
    counter("skopos_store_series_removed_total", "Series that left the head.", |s| {
        s.series_removed
    });
    counter("skopos_store_folded_samples_total", "Samples added to series with `other`.", |s| {
        s.folded_samples
    });
    for reason in SeriesLimits::REASONS {
        let store: Weak<Store> = Arc::downgrade(store);
        let name = "skopos_store_refused_series_samples_total";
        let help = "Samples of new series refused, by limit.";
        registry.counter_fn(name, help, &[("reason", reason)], move || {
            let refused = store.upgrade().map(|store| store.stats().refused_series);
            let of_reason = refused.into_iter().flatten().find(|(name, _)| *name == reason);
            of_reason.map_or(0, |(_, count)| count)
        });
    }
    counter("skopos_store_refused_disk_low_total", "Batches refused: disk below its floor.", |s| {
        s.disk.refused
    });
    let accepted = |signal: &str, field: fn(&StoreStats) -> u64| {
        let help = "Items accepted by the store, by signal.";
        let name = "skopos_store_accepted_items_total";
        registry.counter_fn(name, help, &[("signal", signal)], read(store, field));
    };
    accepted("metrics", |s| s.accepted_samples);
    accepted("logs", |s| s.accepted_logs);
    accepted("traces", |s| s.accepted_spans);
}

/// Exposes how memory is divided and how much of each share is used.
pub(crate) fn register_memory(
    registry: &Registry,
    plan: &MemoryPlan,
    store: &Arc<Store>,
    queries: &Arc<QueryEngine>,
) {
    let limit = "skopos_memory_limit_bytes";
    let limit_help = "Memory for data: total (memory.limit), and the shares that divide it.";
    let used = "skopos_memory_used_bytes";
    let used_help = "Memory held, by share.";
    for (share, bytes) in [
        ("total", plan.total_bytes),
        ("head", plan.head_bytes),
        ("queries", plan.query_pool_bytes),
        ("caches", plan.cache_bytes),
    ] {
        registry.gauge_fn(limit, limit_help, &[("share", share)], move || bytes as f64);
    }
    let of_store = |share: &str, read: fn(&StoreStats) -> u64| {
        let store = Arc::downgrade(store);
        registry.gauge_fn(used, used_help, &[("share", share)], move || {
            store.upgrade().map_or(0.0, |store| read(&store.stats()) as f64)
        });
    };
    of_store("head", |stats| stats.head_bytes);
    of_store("caches", |stats| stats.cache.bytes);
    let pool = queries.memory().clone();
    registry.gauge_fn(used, used_help, &[("share", "queries")], move || pool.used_bytes() as f64);
    let pool = queries.memory().clone();
    let help = "Queries that ended because all queries together held too much.";
    registry.counter_fn("skopos_memory_refused_queries_total", help, &[], move || pool.refused());
    let of_cache = Arc::downgrade(store);
    let help = "Times that something kept of a block went for want of room.";
    registry.counter_fn("skopos_store_cache_evictions_total", help, &[], move || {
        of_cache.upgrade().map_or(0, |store| store.stats().cache.evicted)
    });
}

/// Exposes what the server's own parts count.
pub(crate) fn register_server(registry: &Registry, state: &Arc<AppState>) {
    let weak: Weak<AppState> = Arc::downgrade(state);
    registry.gauge_fn(
        "skopos_ingest_requests_in_flight",
        "Ingest requests being handled.",
        &[],
        move || {
            weak.upgrade().map_or(f64::NAN, |state| {
                state.ingest.admission.requests_in_flight(&state.settings) as f64
            })
        },
    );
    let queries = Arc::downgrade(&state.queries);
    let gauge = |name: &str, help: &str, field: fn(&QueryStats) -> usize| {
        let queries = queries.clone();
        registry.gauge_fn(name, help, &[], move || {
            queries.upgrade().map_or(f64::NAN, |queries| field(&queries.stats()) as f64)
        });
    };
    gauge("skopos_query_running", "Queries at work.", |stats| stats.running);
    gauge("skopos_query_waiting", "Queries waiting for a place.", |stats| stats.waiting);
    gauge("skopos_query_following", "Clients following logs.", |stats| stats.following);
    let ended = |outcome: &str, field: fn(&QueryStats) -> u64| {
        let queries = queries.clone();
        let name = "skopos_query_ended_total";
        let help = "Queries by how they ended: finished, failed, refused for want of a place.";
        registry.counter_fn(name, help, &[("outcome", outcome)], move || {
            queries.upgrade().map_or(0, |queries| field(&queries.stats()))
        });
    };
    ended("finished", |stats| stats.finished);
    ended("failed", |stats| stats.failed);
    ended("refused", |stats| stats.refused);
    let tails = |name: &str, help: &str, labels: &[(&str, &str)], field: fn(&QueryStats) -> u64| {
        let queries = queries.clone();
        let read = move || queries.upgrade().map_or(0, |queries| field(&queries.stats()));
        registry.counter_fn(name, help, labels, read);
    };
    let skipped = "Events that tails were told they were not shown.";
    let name = "skopos_tail_skipped_events_total";
    tails(name, skipped, &[("reason", "rate")], |stats| stats.skipped_rate);
    tails(name, skipped, &[("reason", "slow")], |stats| stats.skipped_slow);
    let reaped = "Tails given up because their reader took nothing.";
    tails("skopos_tail_reaped_total", reaped, &[], |stats| stats.reaped);
    let started = state.started_at.as_secs_f64();
    registry
        .gauge_fn("process_start_time_seconds", "When the server started.", &[], move || started);
}
