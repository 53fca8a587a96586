//! Standard output behind a buffer: writing a line never waits for the reader of the pipe.
//!
//! A line is made in memory of its thread and appended to a buffer under a short lock; a thread of our own swaps the buffer for
//! an empty one and writes. After a write it rests for a millisecond, unless somebody flushes: one wake-up then serves many lines. When the
//! buffer is full (8 MiB that the reader has not taken) the line is dropped and counted.

use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// Bytes that wait at most.
const CAPACITY: usize = 8 * 1024 * 1024;

/// How long the thread rests after a write.
const REST: Duration = Duration::from_millis(1);

/// Memory for a line that a thread keeps.
const LONGEST_KEPT: usize = 64 * 1024;

thread_local! {
    /// The line that a thread makes.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Writes lines from many threads. Cloning shares it.
#[derive(Clone)]
pub(crate) struct LineWriter {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something to write, or the end.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    buffer: String,
    is_writing: bool,
    is_closed: bool,
    /// The thread waits for the first line.
    is_idle: bool,
    /// Somebody waits for everything to be written.
    flushing: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while rendering leaves at worst half a line.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineWriter {
    /// Starts the thread that writes to `output`. Without a thread (the limit of the system is reached) lines are dropped.
    pub(crate) fn spawn(output: Box<dyn Write + Send>) -> LineWriter {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            filled: Condvar::new(),
            drained: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let for_thread = shared.clone();
        let started = std::thread::Builder::new()
            .name("skopos-lines".to_owned())
            .spawn(move || write_until_closed(&for_thread, output));
        if started.is_err() {
            shared.lock().is_closed = true;
        }
        LineWriter { shared }
    }

    /// Appends what `render` writes, or drops it when too much is waiting.
    pub(crate) fn write_with(&self, render: impl FnOnce(&mut String)) {
        // Made outside the lock, so that threads only wait for each other's copying.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        render(&mut line);
        self.append(&line);
        line.shrink_to(LONGEST_KEPT);
        let _ = LINE.try_with(|kept| kept.set(line));
    }

    fn append(&self, line: &str) {
        let mut state = self.shared.lock();
        if state.is_closed || state.buffer.len() > CAPACITY {
            drop(state);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.buffer.push_str(line);
        let is_idle = std::mem::take(&mut state.is_idle);
        drop(state);
        if is_idle {
            self.shared.filled.notify_one();
        }
    }

    /// Lines that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, at most until the deadline; returns whether it is.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let mut state = self.shared.lock();
        state.flushing += 1;
        self.shared.filled.notify_one();
        let is_flushed = loop {
            if state.buffer.is_empty() && !state.is_writing {
                break true;
            }
            let left = deadline.saturating_duration_since(clock::instant());
            if left == Duration::ZERO {
                break false;
            }
            let waited = self.shared.drained.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.flushing -= 1;
        is_flushed
    }
}

fn write_until_closed(shared: &Shared, mut output: Box<dyn Write + Send>) {
    let mut lines = String::new();
    loop {
        let mut state = shared.lock();
        state.is_writing = false;
        if state.buffer.is_empty() {
            shared.drained.notify_all();
        }
        if !lines.is_empty() && state.flushing == 0 {
            let rested = shared.filled.wait_timeout(state, REST);
            state = rested.unwrap_or_else(PoisonError::into_inner).0;
        }
        while state.buffer.is_empty() {
            if state.is_closed {
                return;
            }
            state.is_idle = true;
            state = shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.is_idle = false;
        }
        lines.clear();
        std::mem::swap(&mut lines, &mut state.buffer);
        state.is_writing = true;
        drop(state);
        // A reader that went away takes its lines with it: count them, stop nothing.
        let written = output.write_all(lines.as_bytes()).and_then(|()| output.flush());
        if written.is_err() {
            let count = lines.bytes().filter(|byte| *byte == b'\n').count();
            shared.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LineWriter;
    use crate::clock;
    use std::io::{self, Write};
    use std::sync::mpsc;
    use std::time::Duration;

    /// Blocks until it is let go.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_blocks_nobody() {
        let (release, held) = mpsc::channel();
        let writer = LineWriter::spawn(Box::new(Stuck(held)));
        let line = "x".repeat(1024 * 1024);
        for _ in 0..32 {
            writer.write_with(|buffer| buffer.push_str(&line));
        }
        assert!(writer.dropped() > 0);
        assert!(!writer.flush(clock::instant() + Duration::from_millis(20)));
        drop(release);
        assert!(writer.flush(clock::instant() + Duration::from_secs(30)));
    }
}
