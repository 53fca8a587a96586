//! A panic is an ERROR line, with the ids of the request that it ended.
//!
//! It takes the place of the hook that was there: the standard one would print the message to standard error as it is, with
//! whatever secret stands in it. A backtrace is part of the line when `RUST_BACKTRACE` asks for one.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::time::Duration;

use crate::clock;
use crate::log::writer::LineWriter;

/// How long a panicking thread waits for its line: the process may be about to abort.
const PATIENCE: Duration = Duration::from_millis(200);

/// Logs every panic from now on.
pub(crate) fn install(writer: Option<LineWriter>) {
    std::panic::set_hook(Box::new(move |info| {
        let (file, line) =
            info.location().map_or(("unknown", 0), |location| (location.file(), location.line()));
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(
            target: "skopos::panic",
            {
                code.file.path = file,
                code.line.number = line,
                thread.name = thread.name().unwrap_or("unnamed"),
                "error.type" = "panic",
                exception.stacktrace = backtrace,
            },
            "panic: {}",
            message(info)
        );
        if let Some(writer) = &writer {
            writer.flush(clock::instant() + PATIENCE);
        }
    }));
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
