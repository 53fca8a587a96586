//! Timing: nanoseconds per operation, the median of rounds, on one or more threads that begin together.

use std::sync::Barrier;
use std::time::Instant;

/// Rounds of each measurement; the first of them warms up and does not count.
const ROUNDS: usize = 8;

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
    /// Measures an operation on each thread; `make` makes a thread's own.
    pub fn run<F: FnMut()>(
        &mut self,
        group: &'static str,
        name: &str,
        threads: usize,
        count: u32,
        make: impl Fn() -> F + Sync,
    ) {
        let full = format!("{group} {name}");
        if self.wanted.as_ref().is_some_and(|wanted| !full.contains(wanted)) {
            return;
        }
        let mut nanos = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let barrier = Barrier::new(threads);
            let slowest = std::thread::scope(|scope| {
                let running: Vec<_> = (0..threads)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut operation = make();
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
            });
            nanos.push(slowest);
        }
        nanos.remove(0);
        nanos.sort_by(f64::total_cmp);
        let row = Row { group, name: name.to_owned(), threads, nanos };
        println!("{full:<64} {threads} threads {:>10.1} ns", row.median());
        self.rows.push(row);
    }
}
