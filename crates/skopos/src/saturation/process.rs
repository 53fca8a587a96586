//! The process, by the names that Prometheus' client libraries agreed on. From `/proc`, so only on Linux; elsewhere nothing is
//! shown.

use std::fs;

use crate::metrics::Registry;

/// Ticks of processor time in a second: fixed at 100 for what Linux shows to programs.
const TICKS: f64 = 100.0;

/// Shows processor time, memory, file descriptors, threads and the start.
pub(crate) fn watch(registry: &Registry) {
    let Some(first) = Stat::read() else { return };
    let help = "Processor time that the process used.";
    registry.sum_fn("process_cpu_seconds_total", help, &[], || {
        Stat::read().map_or(f64::NAN, |stat| stat.cpu_ticks / TICKS)
    });
    let gauge = |name: &str, help: &str, read: fn() -> Option<f64>| {
        registry.gauge_fn(name, help, &[], move || read().unwrap_or(f64::NAN));
    };
    gauge("process_resident_memory_bytes", "Memory in use.", || status("VmRSS:"));
    gauge("process_virtual_memory_bytes", "Address space in use.", || status("VmSize:"));
    gauge("process_threads", "Threads.", || Stat::read().map(|stat| stat.threads));
    gauge("process_open_fds", "Open file descriptors.", || {
        Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
    });
    gauge("process_max_fds", "File descriptors that may be open.", || {
        max_fds(&fs::read_to_string("/proc/self/limits").ok()?)
    });
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_time(&stat));
    if let Some(booted) = booted {
        let started = booted + first.start_ticks / TICKS;
        let help = "When the process started, in seconds since the epoch.";
        registry.gauge_fn("process_start_time_seconds", help, &[], move || started);
    }
}

/// What `/proc/self/stat` tells.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    start_ticks: f64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The second field is the program's name in brackets and may hold anything: the last bracket ends it.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // Numbered from 1 with the name as 2, as in proc(5).
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<f64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
        })
    }
}

/// Returns a size of `/proc/self/status` in bytes.
fn status(key: &str) -> Option<f64> {
    size(&fs::read_to_string("/proc/self/status").ok()?, key)
}

fn size(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn max_fds(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Stat, boot_time, max_fds, size};

    #[test]
    fn what_linux_writes_is_read() {
        let stat =
            "4242 (a) b (c)) S 1 4242 4242 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 123456 1 2 3";
        let expected = Stat { cpu_ticks: 200.0, threads: 7.0, start_ticks: 123_456.0 };
        assert_eq!(Stat::parse(stat), Some(expected));
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((size(status, "VmRSS:"), size(status, "VmSwap:")), (Some(1_048_576.0), None));
        let limits = "Max processes             100 100 processes\nMax open files            1024                 524288               files\n";
        assert_eq!(max_fds(limits), Some(1024.0));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
        for broken in ["", "1 (x", "1 (x) S 1", "1 (x) S 1 4242 4242 0 -1 a b c"] {
            assert_eq!(Stat::parse(broken), None, "{broken}");
        }
    }
}
