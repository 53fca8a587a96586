//! Timing: nanoseconds per operation, on one or more threads that begin together.
//!
//! The machine may be loaded by others, whose load comes and goes. So everything is measured in several passes, each of which
//! has all contestants in turn, and the fastest round counts: it is the one with the least of what is not ours in it.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Rounds of each measurement in a pass.
const ROUNDS: usize = 20;

/// How often all is measured.
pub const PASSES: usize = 4;

/// How long a round takes about: short enough that some rounds are not interrupted.
const ROUND: Duration = Duration::from_millis(4);

/// One measurement.
#[derive(Clone)]
pub struct Row {
    pub group: &'static str,
    pub name: String,
    pub threads: usize,
    /// Nanoseconds per operation of one thread: sorted.
    pub nanos: Vec<f64>,
}

impl Row {
    pub fn fastest(&self) -> f64 {
        self.nanos[0]
    }

    pub fn median(&self) -> f64 {
        self.nanos[self.nanos.len() / 2]
    }
}

/// The measurements so far, and which are wanted.
#[derive(Default)]
pub struct Bench {
    pub wanted: Option<String>,
    pub rows: Vec<Row>,
}

impl Bench {
    /// Measures an operation on each thread, at most so often in a round; `make` makes a thread's own.
    pub fn run<F: FnMut()>(
        &mut self,
        group: &'static str,
        name: &str,
        threads: usize,
        most: u32,
        make: impl Fn() -> F + Sync,
    ) {
        let full = format!("{group} {name}");
        if self.wanted.as_ref().is_some_and(|wanted| !full.contains(wanted)) {
            return;
        }
        // Warms up, and tells how many operations fill a round.
        let nanos = round(threads, (most / 50).max(1), &make);
        let fitting = ROUND.as_nanos() as f64 / nanos.max(0.1);
        let count = (fitting as u32).clamp(1, most);
        let nanos = (0..ROUNDS).map(|_| round(threads, count, &make));
        let nanos: Vec<f64> = nanos.collect();
        let is_same =
            |row: &&mut Row| row.group == group && row.name == name && row.threads == threads;
        let row = match self.rows.iter_mut().find(is_same) {
            Some(row) => {
                row.nanos.extend(nanos);
                row
            }
            None => {
                self.rows.push(Row { group, name: name.to_owned(), threads, nanos });
                let last = self.rows.len() - 1;
                &mut self.rows[last]
            }
        };
        row.nanos.sort_by(f64::total_cmp);
        println!(
            "{full:<64} {threads} threads {:>10.1} ns, fastest {:>10.1}",
            row.median(),
            row.fastest()
        );
    }
}

/// Nanoseconds per operation of the slowest thread.
fn round<F: FnMut()>(threads: usize, count: u32, make: &(impl Fn() -> F + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut operation = make();
                    // The first one fills what a thread keeps.
                    operation();
                    barrier.wait();
                    let started = Instant::now();
                    for _ in 0..count {
                        operation();
                    }
                    started.elapsed().as_nanos() as f64 / f64::from(count)
                })
            })
            .collect();
        let each = running.into_iter().map(|thread| thread.join().expect("a thread"));
        each.fold(0.0_f64, f64::max)
    })
}
