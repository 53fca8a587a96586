//! The store passes the suites of every seam, and agrees with the oracle on random workloads,
//! across restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use skopos_model::event::{EventOrder, EventScan, EventSignal, Predicate};
use skopos_model::storage::{
    Append, CommitId, Committed, MetricMetadata, QueryBudget, SelectSeries, SeriesExemplars,
    SeriesSelect, SeriesSet, StateCommit, StateKind, StateLog, StateRecord, StorageError,
};
use skopos_model::{
    Appended, Clock, Labels, MatchOp, SeriesSamples, SignalBatch, TimeRange, Timestamp, TraceId,
};
use skopos_store::head::HeadConfig;
use skopos_store::scan::{Follower, ScanEvents, Visitor};
use skopos_store::{BlockConfig, ReplayProgress, Store, StoreConfig, event};
use skopos_testkit::conformance::compare::{matcher, rows, scan, select, series_select};
use skopos_testkit::conformance::{self, conditions};
use skopos_testkit::fault_fs::{FaultFs, Survival};
use skopos_testkit::generate::{MetricGenerator, Random, SERVICES, log_batch, trace_batch};
use skopos_testkit::{MemStore, VirtualClock};

use super::support::DATA;

/// Small chunks, segments and WAL files, so that short workloads fill many.
fn config(chunk_samples: usize, segment_rows: usize) -> StoreConfig {
    StoreConfig {
        segment_bytes: 64 << 10,
        blocks: BlockConfig { automatic: false, compact_count: 3, ..BlockConfig::default() },
        head: HeadConfig { chunk_samples, segment_rows, ..HeadConfig::default() },
        ..StoreConfig::new(DATA)
    }
}

fn open(fs: &FaultFs, config: StoreConfig, clock: Arc<VirtualClock>) -> Store {
    let fs = Arc::new(fs.clone());
    Store::open_on(config, fs, clock, ReplayProgress::new()).expect("the store opens")
}

fn fresh(clock: Arc<VirtualClock>) -> Store {
    open(&FaultFs::new(), StoreConfig::new(DATA), clock)
}

fn fresh_and_small(clock: Arc<VirtualClock>) -> Store {
    open(&FaultFs::new(), config(5, 16), clock)
}

/// A store that flushes after every so many appends and commits, and compacts now and then: what
/// is read comes from blocks, from the head and from both.
struct Flushing {
    store: Store,
    every: u64,
    maintain_every: u64,
    calls: AtomicU64,
}

impl Flushing {
    fn new(clock: Arc<VirtualClock>, every: u64, maintain_every: u64) -> Self {
        let store = open(&FaultFs::new(), config(5, 16), clock);
        Self { store, every, maintain_every, calls: AtomicU64::new(0) }
    }

    async fn flush_now_and_then(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call.is_multiple_of(self.every) {
            self.store.flush().await.expect("flush");
            let stats = self.store.stats();
            assert_eq!((stats.head.logs, stats.head.spans), (0, 0), "the head is empty");
        }
        if call.is_multiple_of(self.maintain_every) {
            self.store.maintain().await.expect("maintain");
        }
    }
}

#[async_trait::async_trait]
impl Append for Flushing {
    async fn append(&self, batch: SignalBatch) -> Result<Appended, StorageError> {
        let appended = self.store.append(batch).await;
        self.flush_now_and_then().await;
        appended
    }
}

#[async_trait::async_trait]
impl StateLog for Flushing {
    async fn commit(&self, commit: StateCommit) -> Result<Committed, StorageError> {
        let committed = self.store.commit(commit).await;
        self.flush_now_and_then().await;
        committed
    }

    async fn load(&self, kind: StateKind) -> Result<Vec<StateRecord>, StorageError> {
        self.store.load(kind).await
    }

    async fn last_slot(&self, source: &str) -> Result<Option<i64>, StorageError> {
        self.store.last_slot(source).await
    }

    async fn compact(&self) -> Result<(), StorageError> {
        self.store.compact().await
    }
}

#[async_trait::async_trait]
impl SelectSeries for Flushing {
    async fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError> {
        self.store.select(select, budget).await
    }

    async fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        self.store.label_names(selects, budget).await
    }

    async fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        self.store.label_values(name, selects, budget).await
    }

    async fn metadata(&self, metric: Option<&str>) -> Result<MetricMetadata, StorageError> {
        self.store.metadata(metric).await
    }

    async fn oldest_sample_ms(&self) -> Result<Option<i64>, StorageError> {
        self.store.oldest_sample_ms().await
    }

    async fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        self.store.exemplars(select, budget).await
    }
}

#[async_trait::async_trait]
impl ScanEvents for Flushing {
    async fn scan(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        self.store.scan(scan, budget).await
    }

    async fn visit(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
        visitor: Visitor,
    ) -> Result<(), StorageError> {
        self.store.visit(scan, budget, visitor).await
    }

    async fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        self.store.trace(id, budget).await
    }

    async fn follow_all(
        &self,
        scans: &[EventScan],
        budget: &QueryBudget,
    ) -> Result<(Vec<Vec<RecordBatch>>, Follower), StorageError> {
        self.store.follow_all(scans, budget).await
    }

    async fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        self.store.services(range).await
    }

    async fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        self.store.span_services(range).await
    }

    async fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError> {
        self.store.operations(service, range).await
    }
}

/// Everything is in blocks when it is read.
fn blocks_only(clock: Arc<VirtualClock>) -> Flushing {
    Flushing::new(clock, 1, 4)
}

/// Some is in small blocks, some in compacted ones, some in the head.
fn mixed(clock: Arc<VirtualClock>) -> Flushing {
    Flushing::new(clock, 7, 50)
}

#[tokio::test]
async fn append_contract_with_blocks() {
    conformance::append_suite(async |clock| blocks_only(clock)).await;
    conformance::append_suite(async |clock| mixed(clock)).await;
}

#[tokio::test]
async fn select_contract_with_blocks() {
    conformance::select_suite(async |clock| blocks_only(clock)).await;
    conformance::select_suite(async |clock| mixed(clock)).await;
}

#[tokio::test]
async fn scan_contract_with_blocks() {
    conformance::scan_suite(async |clock| blocks_only(clock)).await;
    conformance::scan_suite(async |clock| mixed(clock)).await;
}

#[tokio::test]
async fn state_contract_with_blocks() {
    conformance::state_suite(async |clock| blocks_only(clock)).await;
}

#[tokio::test]
async fn append_contract() {
    conformance::append_suite(async |clock| fresh(clock)).await;
    conformance::append_suite(async |clock| fresh_and_small(clock)).await;
}

#[tokio::test]
async fn select_contract() {
    conformance::select_suite(async |clock| fresh(clock)).await;
    conformance::select_suite(async |clock| fresh_and_small(clock)).await;
}

#[tokio::test]
async fn scan_contract() {
    conformance::scan_suite(async |clock| fresh(clock)).await;
    conformance::scan_suite(async |clock| fresh_and_small(clock)).await;
}

#[tokio::test]
async fn state_contract() {
    conformance::state_suite(async |clock| fresh(clock)).await;
}

/// `SKOPOS_PROPERTY_SEEDS` sets how many random workloads are run.
#[tokio::test]
async fn store_and_oracle_agree_on_random_workloads() {
    let seeds = std::env::var("SKOPOS_PROPERTY_SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 0..seeds.unwrap_or(6) {
        Workload::new(seed).run().await;
    }
}

struct Workload {
    seed: u64,
    random: Random,
    clock: Arc<VirtualClock>,
    fs: FaultFs,
    config: StoreConfig,
    store: Option<Store>,
    oracle: MemStore,
    metrics: MetricGenerator,
    last_slot: i64,
}

impl Workload {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let clock = Arc::new(VirtualClock::default());
        let fs = FaultFs::new();
        let config = config(2 + random.below(20) as usize, 1 << random.below(8));
        let now_ms = clock.now().as_millis();
        Self {
            seed,
            store: Some(open(&fs, config.clone(), Arc::clone(&clock))),
            oracle: MemStore::new(clock.clone()),
            metrics: MetricGenerator::new(seed, 42, now_ms, 15_000),
            last_slot: 0,
            random,
            clock,
            fs,
            config,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between steps")
    }

    async fn run(mut self) {
        for step in 0..160 {
            match self.random.below(10) {
                0..5 => self.append_metrics().await,
                5 | 6 => {
                    let (n, time) = (self.random.below(40) as usize, self.some_time());
                    let batch = log_batch(&mut self.random, n, time);
                    self.append(SignalBatch::Logs(batch)).await;
                }
                7 | 8 => {
                    let (n, time) = (self.random.below(8) as usize, self.some_time());
                    let batch = trace_batch(&mut self.random, n, time);
                    self.append(SignalBatch::Traces(batch)).await;
                }
                _ => self.commit().await,
            }
            match self.random.below(12) {
                0 => drop(self.store().flush().await.expect("flush")),
                1 => drop(self.store().maintain().await.expect("maintain")),
                2 if self.random.one_in(3) => self.store().compact().await.expect("compact"),
                _ => {}
            }
            if step % 40 == 39 {
                self.reopen().await;
            }
            if step % 8 == 7 {
                self.compare(step).await;
            }
        }
    }

    async fn append_metrics(&mut self) {
        let batch = self.metrics.next_batch();
        self.clock.set(Timestamp::from_millis(self.metrics.now_ms()));
        self.append(SignalBatch::Metrics(batch)).await;
    }

    async fn append(&mut self, batch: SignalBatch) {
        let got = self.store().append(batch.clone()).await.expect("append");
        let want = self.oracle.append(batch).await.expect("append");
        assert_eq!(receipt(&got), receipt(&want), "seed {}", self.seed);
    }

    async fn commit(&mut self) {
        self.last_slot += self.random.below(3) as i64;
        let key = format!("k{}", self.random.below(5));
        let value = (!self.random.one_in(4)).then(|| self.last_slot.to_string().into_bytes());
        let labels = Labels::from_pairs([("__name__", "ALERTS"), ("key", key.as_str())]);
        let time = self.clock.now().as_millis();
        let commit = StateCommit {
            id: CommitId { source: "rule".into(), slot: self.last_slot },
            records: vec![StateRecord { kind: StateKind::Alert, key, value }],
            samples: vec![SeriesSamples::single(labels, time, self.last_slot as f64)],
        };
        let got = self.store().commit(commit.clone()).await.expect("commit");
        assert_eq!(got, self.oracle.commit(commit).await.expect("commit"), "seed {}", self.seed);
    }

    /// Closes the store, or lets the machine die; everything acknowledged must be there again.
    async fn reopen(&mut self) {
        let store = self.store.take().expect("open between steps");
        if self.random.one_in(2) {
            store.close().await.expect("close");
        }
        drop(store);
        self.fs.restart(*self.random.pick(&Survival::ALL));
        self.store = Some(open(&self.fs, self.config.clone(), Arc::clone(&self.clock)));
    }

    fn some_time(&mut self) -> Timestamp {
        let back = Duration::from_millis(self.random.below(600_000));
        self.clock.now().saturating_sub(back)
    }

    fn some_range_ms(&mut self) -> (i64, i64) {
        if self.random.one_in(3) {
            return (i64::MIN, i64::MAX);
        }
        let a = self.some_time().as_millis() - self.random.below(2_000_000) as i64;
        (a, a + self.random.below(1_000_000) as i64)
    }

    async fn compare(&mut self, step: usize) {
        let at = format!("seed {} step {step}", self.seed);
        for _ in 0..4 {
            self.compare_series(&at).await;
            self.compare_events(&at).await;
        }
        let (store, oracle) = (self.store(), &self.oracle);
        let (got, want) = (store.metadata(None).await, oracle.metadata(None).await);
        assert_eq!(got.expect("metadata"), want.expect("metadata"), "{at}");
        let (got, want) = (store.load(StateKind::Alert).await, oracle.load(StateKind::Alert).await);
        assert_eq!(got.expect("load"), want.expect("load"), "{at}");
        let (got, want) = (store.last_slot("rule").await, oracle.last_slot("rule").await);
        assert_eq!(got.expect("slot"), want.expect("slot"), "{at}");
    }

    async fn compare_series(&mut self, at: &str) {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let matchers = [
            ("__name__", Equal, "orders_placed_total"),
            ("__name__", Regex, "orders.*|noise|payment_seconds"),
            ("job", Equal, SERVICES[0]),
            ("job", NotEqual, SERVICES[1]),
            ("region", Equal, ""),
            ("region", Regex, "eu|us"),
            ("region", NotRegex, "e.+"),
            ("instance", Regex, ".*0:8080"),
        ];
        let matchers = (0..self.random.below(4))
            .map(|_| {
                let (name, op, value) = *self.random.pick(&matchers);
                matcher(name, op, value)
            })
            .collect();
        let (start, end) = self.some_range_ms();
        let wanted = series_select(matchers, start, end);
        let (store, oracle, budget) = (self.store(), &self.oracle, QueryBudget::unlimited());
        let at = format!("{at}: {wanted:?}");
        assert_eq!(select(store, &wanted).await, select(oracle, &wanted).await, "{at}");
        let (got, want) =
            (store.exemplars(&wanted, &budget).await, oracle.exemplars(&wanted, &budget).await);
        assert_eq!(got.expect("exemplars"), want.expect("exemplars"), "{at}");
        // A store may list labels of series that only may have samples in range: ask for all.
        let all = [series_select(wanted.matchers.clone(), i64::MIN, i64::MAX)];
        let (got, want) =
            (store.label_names(&all, &budget).await, oracle.label_names(&all, &budget).await);
        assert_eq!(got.expect("names"), want.expect("names"), "{at}");
        let name = *self.random.clone().pick(&["job", "instance", "region", "absent"]);
        let (got, want) = (
            store.label_values(name, &all, &budget).await,
            oracle.label_values(name, &all, &budget).await,
        );
        assert_eq!(got.expect("values"), want.expect("values"), "{at}");
    }

    async fn compare_events(&mut self, at: &str) {
        let signal = *self.random.pick(&[EventSignal::Logs, EventSignal::Spans]);
        let range = match self.random.below(3) {
            0 => TimeRange::ALL,
            _ => {
                let start = self.some_time();
                let length = Duration::from_millis(self.random.below(400_000));
                TimeRange::new(start, start.saturating_add(length))
            }
        };
        let conditions = conditions();
        let predicates: Vec<Predicate> =
            (0..self.random.below(3)).map(|_| self.random.pick(&conditions).clone()).collect();
        let wanted = EventScan {
            predicates,
            order: *self.random.pick(&[EventOrder::OldestFirst, EventOrder::NewestFirst]),
            limit: (!self.random.one_in(3)).then(|| self.random.below(60) as usize),
            ..EventScan::new(signal, range)
        };
        let (store, oracle, budget) = (self.store(), &self.oracle, QueryBudget::unlimited());
        let at = format!("{at}: {wanted:?}");
        assert_eq!(scan(store, &wanted).await, scan(oracle, &wanted).await, "{at}");
        let (got, want) = (store.services(range).await, oracle.services(range).await);
        assert_eq!(got.expect("services"), want.expect("services"), "{at}");
        for service in SERVICES {
            let (got, want) =
                (store.operations(service, range).await, oracle.operations(service, range).await);
            assert_eq!(got.expect("operations"), want.expect("operations"), "{at}");
        }
        let some = EventScan { limit: Some(3), ..EventScan::new(EventSignal::Spans, range) };
        for batch in oracle.scan(&some, &budget).await.expect("scan") {
            for span in event::spans(&batch).expect("spans read back") {
                let id = span.span.trace_id;
                let got = store.trace(id, &budget).await.expect("trace");
                let want = oracle.trace(id, &budget).await.expect("trace");
                assert_eq!(rows(EventSignal::Spans, &got), rows(EventSignal::Spans, &want), "{at}");
            }
        }
    }
}

fn receipt(appended: &Appended) -> (u64, Vec<(String, String, u64)>) {
    let mut rejected: Vec<_> = appended
        .rejected
        .iter()
        .map(|r| (r.reason.to_string(), r.sender.clone(), r.count))
        .collect();
    rejected.sort();
    (appended.accepted, rejected)
}
