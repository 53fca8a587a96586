//! The lock-free parts of the SDK, in every order in which threads can meet.
//!
//! The files are those of the SDK; only [`sync`] is another: loom's atomics, which try each interleaving and each value that
//! the memory model lets a load see. It is **not** a test of what the parts are for, which the SDK's own tests are.
//!
//! `cargo xtask prove interleavings` runs it.
#![cfg(test)]

/// What the files take from `crate::sync`.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
}

#[path = "../../../crates/skopos/src/metrics/seqlock.rs"]
mod seqlock;
#[path = "../../../crates/skopos/src/log/limit/window.rs"]
mod window;

use loom::sync::Arc;
use loom::thread;

use crate::seqlock::SeqLock;
use crate::window::Window;

/// Tries all interleavings with at most so many switches that no thread asked for.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_reader_sees_the_words_of_one_writer() {
    check(3, || {
        let lock = Arc::new(SeqLock::<2>::default());
        let writers: Vec<_> = [1, 2]
            .into_iter()
            .map(|word| {
                let lock = lock.clone();
                thread::spawn(move || lock.put([word, word]))
            })
            .collect();
        if let Some([left, right]) = lock.get() {
            assert_eq!(left, right, "torn");
            assert_ne!(left, 0, "nobody wrote that");
        }
        for writer in writers {
            writer.join().unwrap();
        }
        let [left, right] = lock.get().expect("one of them wrote");
        assert!(left == right && (1..=2).contains(&left), "{left} {right}");
    });
}

#[test]
fn what_is_written_after_a_reading_is_wanted() {
    check(3, || {
        let lock = Arc::new(SeqLock::<1>::default());
        lock.put([1]);
        assert!(!lock.is_wanted());
        let reader = {
            let lock = lock.clone();
            thread::spawn(move || assert_eq!(lock.get(), Some([1])))
        };
        reader.join().unwrap();
        assert!(lock.is_wanted());
    });
}

#[test]
fn no_more_lines_pass_than_the_limit_and_each_is_accounted_for() {
    check(3, || {
        let window = Arc::new(Window::default());
        // One passes of two in a second, and who passes tells of the others.
        let count = |window: &Window| {
            if window.admits(7, 1) {
                (1, window.take_suppressed())
            } else {
                window.suppress();
                (0, 0)
            }
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let window = window.clone();
                thread::spawn(move || count(&window))
            })
            .collect();
        let mut counted = vec![count(&window)];
        counted.extend(others.into_iter().map(|other| other.join().unwrap()));
        let passed: u64 = counted.iter().map(|(passed, _)| passed).sum();
        let told: u64 = counted.iter().map(|(_, told)| told).sum();
        assert_eq!(passed, 1);
        assert_eq!(passed + told + window.take_suppressed(), 3, "none lost, none told twice");
    });
}

#[test]
fn a_new_second_begins_a_new_count() {
    check(3, || {
        let window = Arc::new(Window::default());
        assert!(window.admits(7, 1));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let window = window.clone();
                thread::spawn(move || u32::from(window.admits(8, 1)))
            })
            .collect();
        let passed: u32 = others.into_iter().map(|other| other.join().unwrap()).sum();
        assert_eq!(passed, 1);
        assert!(!window.admits(8, 1));
    });
}
