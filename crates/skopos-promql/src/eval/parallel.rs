//! Work on many series on several threads.
//!
//! Series are taken in small runs by whoever is free, and results are put together in the order of
//! the series, so that the answer does not depend on who was faster. What is summed across series
//! is never split by series. Workers share the query's budget; the first error in series order is
//! the one reported.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Evaluator;
use super::counted::Counted;
use crate::annotations::Annotations;
use crate::error::EvalError;
use crate::value::QueryStats;

/// Samples and points below which another thread costs more than it saves.
pub(super) const MIN_WORK: u64 = 200_000;

/// Most threads for one query, so that one query does not take a large machine alone.
const MAX_WORKERS: usize = 8;

/// How many runs each worker gets on average; more even out uneven series.
const RUNS_PER_WORKER: usize = 8;

/// As many threads as make sense here.
pub(super) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_WORKERS))
}

impl<'a> Evaluator<'a> {
    /// An evaluator that only reads, for one worker.
    fn fork(&self) -> Evaluator<'a> {
        Evaluator {
            params: self.params,
            data: self.data,
            shared: &[],
            budget: self.budget,
            annotations: Annotations::default(),
            stats: QueryStats::default(),
            cache: Vec::new(),
            profile: None,
            workers: 1,
            min_work: self.min_work,
            counted: self.counted.as_ref().map(Counted::fork),
        }
    }

    fn join_worker(&mut self, worker: Evaluator<'a>) {
        self.annotations.merge(worker.annotations);
        self.stats.series += worker.stats.series;
        self.stats.samples += worker.stats.samples;
        if let (Some(mine), Some(theirs)) = (&mut self.counted, &worker.counted) {
            mine.merge(theirs);
        }
    }

    /// Maps every item, in order, leaving out those mapped to nothing. `scratch` is memory to
    /// reuse, made once per thread; `work` is about how much there is to do in all.
    pub(super) fn map_parallel<I: Sync, S, T: Send>(
        &mut self,
        items: &[I],
        work: u64,
        scratch: impl Fn() -> S + Sync,
        map: impl Fn(&mut Evaluator<'a>, &mut S, &I) -> Result<Option<T>, EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        let run = |evaluator: &mut Evaluator<'a>, scratch: &mut S, items: &[I]| {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                out.extend(map(evaluator, scratch, item)?);
            }
            Ok(out)
        };
        let workers = self.workers.min(items.len());
        if workers < 2 || work < self.min_work {
            return run(self, &mut scratch(), items);
        }
        let length = items.len().div_ceil(workers * RUNS_PER_WORKER);
        let runs: Vec<&[I]> = items.chunks(length).collect();
        let next = AtomicUsize::new(0);
        let drain = |evaluator: &mut Evaluator<'a>| {
            let mut scratch = scratch();
            let mut done: Vec<(usize, Result<Vec<T>, EvalError>)> = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(items) = runs.get(at) else { return done };
                let result = run(evaluator, &mut scratch, items);
                if result.is_err() {
                    // No run after this one needs to be begun.
                    next.store(runs.len(), Ordering::Relaxed);
                }
                done.push((at, result));
            }
        };
        let forks: Vec<Evaluator<'a>> = (1..workers).map(|_| self.fork()).collect();
        let (mut done, forks) = std::thread::scope(|scope| {
            let drain = &drain;
            let spawned: Vec<_> = forks
                .into_iter()
                .map(|mut fork| scope.spawn(move || (drain(&mut fork), fork)))
                .collect();
            let mut done = drain(self);
            let mut forks = Vec::new();
            for thread in spawned {
                match thread.join() {
                    Ok((theirs, fork)) => {
                        done.extend(theirs);
                        forks.push(fork);
                    }
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            (done, forks)
        });
        forks.into_iter().for_each(|fork| self.join_worker(fork));
        done.sort_by_key(|(at, _)| *at);
        let mut out = Vec::with_capacity(items.len());
        for (_, result) in done {
            out.append(&mut result?);
        }
        Ok(out)
    }
}
