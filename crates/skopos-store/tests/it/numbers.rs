//! Series in a log that calls them by number: whatever comes between a label set and the frames that
//! lean on it, each sample is found again under its own labels, once.
//!
//! Random workloads, with an oracle of what was acknowledged. `SKOPOS_PROPERTY_SEEDS` sets how many.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::Append;
use skopos_model::{Labels, MetricBatch, Sample, SeriesSamples, SignalBatch, Timestamp};
use skopos_store::snapshot::{Damaged, restore};
use skopos_store::{ReplayProgress, Store, StoreConfig, codec};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};
use skopos_testkit::generate::Random;

use crate::format;
use crate::support::*;

const SERIES: usize = 24;
const STEPS: usize = 70;

/// A sample as it is found again.
type Found = (String, i64, u64);

struct Run {
    at: String,
    random: Random,
    clock: Arc<VirtualClock>,
    fs: FaultFs,
    config: StoreConfig,
    store: Option<Arc<Store>>,
    /// Another one in this process, which gets clones of the same label sets.
    neighbour: Store,
    neighbours: BTreeSet<Found>,
    labels: Vec<Labels>,
    acknowledged: BTreeSet<Found>,
    sent: i64,
    snapshots: usize,
}

fn open_at(fs: &FaultFs, config: &StoreConfig, clock: &Arc<VirtualClock>) -> Store {
    let (fs, clock) = (Arc::new(fs.clone()), Arc::clone(clock));
    Store::open_on(config.clone(), fs, clock, ReplayProgress::new()).unwrap()
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let clock = Arc::new(VirtualClock::default());
        clock.set(Timestamp::from_millis(NOW_MS));
        let segment_bytes = *random.pick(&[1, 150, 600, 2_000, 1 << 20]);
        let config = StoreConfig { segment_bytes, ..config() };
        let label = |i: usize| {
            let (name, pod) = (format!("m{}", i % 3), format!("pod-{i}"));
            Labels::from_pairs([("__name__", name.as_str()), ("pod", &pod), ("zone", "eu")])
        };
        let labels = (0..SERIES).map(label).collect();
        let fs = FaultFs::new();
        let mut run = Self {
            at: format!("seed {seed}, segments of {segment_bytes} bytes"),
            store: None,
            neighbour: open_at(&FaultFs::new(), &config, &clock),
            neighbours: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            sent: 0,
            snapshots: 0,
            random,
            clock,
            fs,
            config,
            labels,
        };
        if run.random.one_in(2) {
            run.begin_with_version_1();
        }
        run.open();
        run
    }

    /// A log of the first version, as an older binary leaves it when it is killed.
    fn begin_with_version_1(&mut self) {
        let mut segments = 1 + self.random.below(3);
        while segments > 0 {
            let frames: Vec<Vec<u8>> = (0..self.random.below(4))
                .map(|_| {
                    let batch = self.batch();
                    self.acknowledged.extend(found_in(&batch));
                    codec::encode_metrics(&batch)
                })
                .collect();
            let frames: Vec<(u8, u8, &[u8])> = frames.iter().map(|body| (1, 1, &**body)).collect();
            let number = 1 + self.fs.files().len() as u64;
            self.fs.put(&wal_path(number), format::file(b"SKOPWAL\n", 1, number, &frames));
            segments -= 1;
        }
    }

    fn open(&mut self) {
        self.store = Some(Arc::new(open_at(&self.fs, &self.config, &self.clock)));
    }

    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("open between steps")
    }

    /// One or two samples of some series, most of which come as clones of the same label sets.
    fn batch(&mut self) -> MetricBatch {
        let count = 1 + self.random.below(6);
        let mut series = Vec::new();
        for _ in 0..count {
            // Some are common and some rare.
            let most = if self.random.one_in(3) { SERIES as u64 } else { 4 };
            let labels = &self.labels[self.random.below(most) as usize];
            let labels =
                if self.random.one_in(4) { labels.to_builder().build() } else { labels.clone() };
            let samples = (0..1 + self.random.below(2)).map(|_| {
                self.sent += 1;
                Sample::float(NOW_MS - 3_000_000 + self.sent * 10, self.sent as f64)
            });
            let samples = samples.collect();
            series.push(SeriesSamples { samples, ..SeriesSamples::single(labels, 0, 0.0) });
        }
        MetricBatch { series, metadata: vec![] }
    }

    /// Some batches at once, so that one is encoded before the fate of another is known. Yields
    /// what of them was acknowledged and what was not.
    async fn append(&mut self) -> (BTreeSet<Found>, Vec<(String, BTreeSet<Found>)>) {
        let batches: Vec<MetricBatch> =
            (0..1 + self.random.below(5)).map(|_| self.batch()).collect();
        if self.random.one_in(3) {
            let batch = batches[0].clone();
            self.neighbours.extend(found_in(&batch));
            self.neighbour.append(SignalBatch::Metrics(batch)).await.unwrap();
        }
        let (mut good, mut bad) = (BTreeSet::new(), Vec::new());
        let tasks: Vec<_> = batches
            .into_iter()
            .map(|batch| {
                let store = Arc::clone(self.store());
                let found: BTreeSet<Found> = found_in(&batch).collect();
                tokio::spawn(
                    async move { (store.append(SignalBatch::Metrics(batch)).await, found) },
                )
            })
            .collect();
        for task in tasks {
            match task.await.unwrap() {
                (Ok(_), found) => good.extend(found),
                (Err(error), found) => bad.push((error.to_string(), found)),
            }
        }
        (good, bad)
    }

    async fn run(mut self) {
        for step in 0..STEPS {
            self.clock.advance(Duration::from_secs(1));
            match self.random.below(14) {
                0 => drop(self.store().flush().await.unwrap()),
                1 => drop(self.store().maintain().await.unwrap()),
                2 => self.restart().await,
                3 => self.crash().await,
                4 | 5 => self.want_space().await,
                6 => self.snapshot().await,
                _ => {
                    let (good, bad) = self.append().await;
                    assert_eq!(bad.len(), 0, "{} step {step}", self.at);
                    self.acknowledged.extend(good);
                }
            }
            assert_eq!(found(self.store()).await, self.acknowledged, "{} step {step}", self.at);
        }
        assert_eq!(found(&self.neighbour).await, self.neighbours, "{}", self.at);
    }

    fn end(&mut self) -> Arc<Store> {
        self.store.take().expect("open between steps")
    }

    async fn restart(&mut self) {
        let store = self.end();
        if self.random.one_in(2) {
            store.close().await.unwrap();
        }
        drop(store);
        self.fs.restart(*self.random.pick(&Survival::ALL));
        self.open();
    }

    /// The machine dies within some appends or a flush. Of a batch that was not acknowledged all may
    /// be there, or nothing.
    async fn crash(&mut self) {
        let crash_at = Some(1 + self.random.below(12));
        let torn_bytes = self.random.below(200) as usize;
        self.fs.set_faults(Faults { crash_at, torn_bytes, ..Faults::default() });
        let mut unsure = Vec::new();
        for _ in 0..12 {
            if self.random.one_in(4) {
                let _ = self.store().flush().await;
            }
            let (good, bad) = self.append().await;
            self.acknowledged.extend(good);
            unsure.extend(bad);
        }
        assert!(self.fs.has_crashed(), "{}: nothing crashed", self.at);
        drop(self.end());
        self.fs.restart(*self.random.pick(&Survival::ALL));
        self.open();
        let there = found(self.store()).await;
        for (_, batch) in unsure {
            let left = batch.intersection(&there).count();
            assert!(left == 0 || left == batch.len(), "{}: {left} of {}", self.at, batch.len());
            if left > 0 {
                self.acknowledged.extend(batch);
            }
        }
    }

    /// A write or an fsync finds no space; the store goes on by itself, and what was refused is gone.
    async fn want_space(&mut self) {
        let point = Some(1 + self.random.below(4));
        self.fs.set_faults(match self.random.one_in(2) {
            true => Faults { fail_write: point, no_space: true, ..Faults::default() },
            false => Faults { fail_sync: point, no_space: true, ..Faults::default() },
        });
        for _ in 0..4 {
            if self.random.one_in(4) {
                let _ = self.store().flush().await;
            }
            let (good, _refused) = self.append().await;
            self.acknowledged.extend(good);
            self.clock.advance(Duration::from_secs(1));
        }
        self.fs.set_faults(Faults::default());
        let (good, bad) = self.append().await;
        let errors: Vec<String> = bad.into_iter().map(|(error, _)| error).collect();
        assert!(errors.is_empty(), "{}: it does not go on: {errors:?}", self.at);
        self.acknowledged.extend(good);
    }

    /// A snapshot holds what was acknowledged before and nothing that was not; it opens without the
    /// store it was taken of.
    async fn snapshot(&mut self) {
        self.snapshots += 1;
        let to = PathBuf::from(format!("/copies/{}", self.snapshots));
        let taking = {
            let (store, to) = (Arc::clone(self.store()), to.clone());
            tokio::spawn(async move { store.snapshot(&to, Damaged::Fail).await })
        };
        let before = self.acknowledged.clone();
        let (good, bad) = self.append().await;
        assert_eq!(bad.len(), 0, "{}", self.at);
        self.acknowledged.extend(good);
        taking.await.unwrap().unwrap();
        let copy = self.fs.fork();
        copy.restart(Survival::Nothing);
        let data = Path::new("/restored");
        restore(&copy, &to, data, false).unwrap();
        let config = StoreConfig { data_dir: data.into(), ..self.config.clone() };
        let there = found(&open_at(&copy, &config, &self.clock)).await;
        assert!(there.is_superset(&before), "{}: the snapshot lacks some", self.at);
        assert!(there.is_subset(&self.acknowledged), "{}: the snapshot has more", self.at);
    }
}

fn found_in(batch: &MetricBatch) -> impl Iterator<Item = Found> {
    batch.series.iter().flat_map(|one| {
        one.samples.iter().map(|sample| match sample.value {
            skopos_model::SampleValue::Float(value) => {
                (one.labels.to_string(), sample.timestamp_ms, value.to_bits())
            }
            _ => unreachable!("floats only"),
        })
    })
}

/// All samples; fails when one is there twice.
async fn found(store: &Store) -> BTreeSet<Found> {
    let all = samples(store).await;
    let set: BTreeSet<Found> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "a sample is there twice");
    set
}

#[test]
fn numbers_lead_to_their_series_whatever_comes_between() {
    let seeds = std::env::var("SKOPOS_PROPERTY_SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 0..seeds.unwrap_or(8) {
        block_on(Run::new(seed).run());
    }
}

/// New series alone end a segment too, and the label set of one that goes on stands in each once.
#[test]
fn label_sets_alone_end_a_segment() {
    let fs = FaultFs::new();
    let store = open_with(&fs, StoreConfig { segment_bytes: 2_000, ..config() }).unwrap();
    let mut first_of = BTreeMap::new();
    block_on(async {
        for i in 0..400 {
            // A series that is known, and one that is new.
            for name in ["old".to_owned(), format!("new_{i}")] {
                store.append(metric(&name, i % 50)).await.unwrap();
            }
            let newest = (1..).take_while(|number| fs.read(&wal_path(*number)).is_some()).last();
            first_of.entry(newest.unwrap()).or_insert(i);
        }
        store.close().await.unwrap();
    });
    assert!(first_of.len() > 4, "{first_of:?}");
    for number in first_of.keys() {
        let frames = format::frames(&fs.read(&wal_path(*number)).unwrap(), b"SKOPWAL\n");
        let (known, _) = format::numbered(&frames);
        let old = known.iter().filter(|labels| labels.starts_with("__name__=old,")).count();
        assert_eq!(old, 1, "segment {number}");
    }
}
