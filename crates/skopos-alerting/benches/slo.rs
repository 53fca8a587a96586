//! What 1,000 objectives cost at a slot of 15 s, without the queries themselves: planning, counting,
//! ledgers, samples and records; and what is asked on demand.
//!
//! `cargo bench -p skopos-alerting --bench slo`. The target is one core with room to spare: a slot well
//! below a second. Each objective has a counter of failures with 5 series and one of all requests
//! with 20, a sample each 15 s, and four days behind it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

use divan::{Bencher, black_box};
use skopos_alerting::slo::{self, Ledger, Plan, SavedSlos, Slice, SloEngine, SloSettings};
use skopos_model::{Labels, Sample, Timestamp};
use skopos_promql::MatrixSeries;

const START: i64 = 1_767_571_200_000;
const INTERVAL: i64 = 15_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 1440 * MINUTE;

fn main() {
    divan::main();
}

fn engine(objectives: usize, now: i64) -> SloEngine {
    let mut text = String::new();
    for n in 0..objectives {
        let _ = write!(
            text,
            "---\nslo: slo-{n}\nservice: service-{}\nowner: o\nrunbook: r.md\n\
             sli: {{bad: 'bad_total{{n=\"{n}\"}}', total: 'all_total{{n=\"{n}\"}}'}}\ntarget: 99.9%\nwindow: 30d\n",
            n / 2
        );
    }
    let set = slo::load(&[("slo.yml", &text)]).expect("objectives are valid");
    let (engine, _) = SloEngine::restore(
        SloSettings::default(),
        &set,
        &SavedSlos::default(),
        Timestamp::from_millis(now),
    );
    engine
}

/// Counters that grow steadily; `bad` more slowly.
fn answers(plan: &Plan) -> Vec<Result<Vec<MatrixSeries>, String>> {
    let answer = |query: &slo::SloQuery| {
        let is_bad = query.expr.contains("bad_total");
        let (series, rate) = if is_bad { (5, 1.0) } else { (20, 300.0) };
        let one = |n: usize| {
            let first = query.start_ms.div_euclid(INTERVAL) + 1;
            let times = (first..=query.end_ms / INTERVAL).map(|step| step * INTERVAL);
            let samples = times
                .map(|t| Sample::float(t, ((t - START + DAY * 40) / INTERVAL) as f64 * rate))
                .collect();
            let instance = n.to_string();
            let labels = Labels::from_pairs([("instance", instance.as_str()), ("job", "j")]);
            MatrixSeries { labels, samples }
        };
        Ok((0..series).map(one).collect())
    };
    plan.queries.iter().map(answer).collect()
}

/// One slot, answers given.
#[divan::bench(args = [100, 1000], sample_count = 20, sample_size = 1)]
fn slot(bencher: Bencher, objectives: usize) {
    let engine = RefCell::new(engine(objectives, START));
    let now = RefCell::new(START);
    bencher
        .with_inputs(|| {
            *now.borrow_mut() += INTERVAL;
            let plan = engine.borrow().plan(Timestamp::from_millis(*now.borrow()));
            let answers = answers(&plan);
            (plan, answers)
        })
        .bench_local_refs(|(plan, answers)| engine.borrow_mut().step(plan, answers));
}

/// What is asked at a slot.
#[divan::bench(args = [1000])]
fn plan(bencher: Bencher, objectives: usize) {
    let engine = engine(objectives, START);
    bencher.bench_local(|| engine.plan(Timestamp::from_millis(black_box(START + INTERVAL))));
}

fn ledger() -> (Ledger, i64) {
    let now = START + 400 * DAY;
    let mut ledger = Ledger::new(Duration::from_secs(60), now);
    for day in 0..400 {
        let slices: Vec<(i64, Slice)> = (0..1440)
            .map(|minute| {
                let total = 17_000.0 + minute as f64;
                (START + day * DAY + minute * MINUTE, Slice { bad: (minute % 7) as f64, total })
            })
            .collect();
        ledger.write(&slices);
    }
    (ledger, now)
}

/// The sum of a window of so many minutes: the same for five minutes, thirty days and a year.
#[divan::bench(args = [5, 43_200, 525_600])]
fn window(bencher: Bencher, minutes: i64) {
    let (ledger, now) = ledger();
    bencher.bench_local(|| ledger.sum(black_box(now - minutes * MINUTE), black_box(now)));
}

/// Bytes of one objective with 400 days of slices, printed once.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn restore_and_size() -> usize {
    let (ledger, _) = ledger();
    println!("one ledger of 400 days: {} bytes", ledger.size_bytes());
    ledger.size_bytes()
}
