//! How long a start takes until the server is ready: with nothing, with a log to replay, after a
//! crash; and how much memory replay takes.

use std::time::Duration;

use anyhow::Result;

use crate::Setup;
use crate::metrics::bodies_of;
use crate::report::{Section, mb, number, ratio};
use crate::server::{Kind, Server, bytes_of};
use crate::spread::Spread;

/// What one system needed.
#[derive(Default)]
struct Times {
    empty: Spread,
    stop: Spread,
    after_stop: Spread,
    after_kill: Spread,
    /// Of the process that took the samples, at rest, in MB.
    steady_mb: Spread,
    /// The most that a process had that replayed them, in MB.
    replay_mb: Spread,
    /// … and what it had at rest.
    replayed_mb: Spread,
    log_bytes: f64,
}

pub fn run(setup: &Setup) -> Result<Section> {
    let (starts, rounds) = if setup.quick { (3, 1) } else { (15, 3) };
    let (series, samples) = if setup.quick { (10_000, 10) } else { (100_000, 10) };
    let bodies = bodies_of(series, samples);
    let mut section = Section::new("Start to ready, replay");
    let mut rows = Vec::new();
    for kind in Kind::here(setup) {
        let mut times = Times::default();
        for _ in 0..starts {
            let (_, took) = Server::start(kind, setup)?;
            times.empty.push(took.as_secs_f64() * 1e3);
        }
        for _ in 0..rounds {
            measure(kind, setup, &bodies, &mut times)?;
        }
        if kind == Kind::Skopos {
            let empty = times.empty.median();
            let measured = format!("{} ms", number(empty));
            section.target("start to ready, empty", "< 150 ms", measured, empty < 150.0);
            let (peak, steady) = (times.replay_mb.median(), times.steady_mb.median());
            section.target(
                "peak memory of replay",
                "≤ 1.2 × steady",
                format!("{} MB by {} MB, {}", number(peak), number(steady), ratio(peak, steady)),
                peak <= 1.2 * steady,
            );
        }
        rows.push(vec![
            kind.name().to_owned(),
            format!("{} / {}", number(times.empty.median()), number(times.empty.quantile(1.0))),
            number(times.after_stop.median()),
            number(times.after_kill.median()),
            number(times.stop.median()),
            mb(times.log_bytes),
            number(times.steady_mb.median()),
            number(times.replay_mb.median()),
            number(times.replayed_mb.median()),
        ]);
    }
    let head = [
        "system",
        "empty, ms (median / worst)",
        "after stop, ms",
        "after kill −9, ms",
        "stop takes, ms",
        "on disk, MB",
        "RSS before, MB",
        "replay peak, MB",
        "RSS after, MB",
    ];
    section.table(&head, &rows);
    section.say(&format!(
        "From the start of the process until the readiness probe says yes; {starts} starts with an empty folder, {rounds} rounds with {series} series of \
         {samples} samples each ({} k samples), all recent and therefore still in the log. Memory: resident, at rest after the samples were \
         sent; at most until 3 s after the restart that follows `kill -9` (VmHWM); at rest then.",
        series * samples / 1_000
    ));
    Ok(section)
}

fn measure(kind: Kind, setup: &Setup, bodies: &[Vec<u8>], times: &mut Times) -> Result<()> {
    let (mut server, _) = Server::start(kind, setup)?;
    let mut sender = server.sender();
    for body in bodies {
        sender.write(body)?;
    }
    std::thread::sleep(Duration::from_secs(3));
    server.settle();
    times.steady_mb.push(server.memory_mb("VmRSS"));
    times.stop.push(server.stop()?.as_secs_f64() * 1e3);
    times.after_stop.push(server.start_again()?.as_secs_f64() * 1e3);
    server.settle();
    server.kill();
    times.log_bytes = bytes_of(&server.data(), |_| true)? as f64;
    times.after_kill.push(server.start_again()?.as_secs_f64() * 1e3);
    std::thread::sleep(Duration::from_secs(3));
    times.replay_mb.push(server.memory_mb("VmHWM"));
    server.settle();
    times.replayed_mb.push(server.memory_mb("VmRSS"));
    let took = times.after_kill.median();
    eprintln!("{}: {took:.0} ms until ready after a kill", kind.name());
    Ok(())
}
