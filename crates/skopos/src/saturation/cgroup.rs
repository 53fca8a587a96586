//! What the container may use: the limits of its control group, version 2 or 1, and how near the process is to them.
//!
//! A limit that is not set is not shown: a ratio to the machine's memory would be a lie in a container that has no limit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::metrics::Registry;

/// Memory of version 1 that is no limit: more than any machine has.
const NO_LIMIT: f64 = 1e18;

/// Shows limits and use.
pub(crate) fn watch(registry: &Registry) {
    watch_under(registry, Path::new("/sys/fs/cgroup"));
}

fn watch_under(registry: &Registry, root: &Path) {
    let Some(group) = Group::find(root) else { return };
    if let Some(limit) = group.memory_limit() {
        let help = "Memory that the container may use.";
        let read = group.clone();
        registry.gauge_fn("container_memory_limit_bytes", help, &[], move || {
            read.memory_limit().unwrap_or(limit)
        });
        let read = group.clone();
        let help = "Part of the container's memory in use that cannot be freed at once, 0 to 1.";
        registry.gauge_fn("container_memory_usage_ratio", help, &[], move || {
            read.memory_used().unwrap_or(f64::NAN) / read.memory_limit().unwrap_or(limit)
        });
    }
    if group.memory_used().is_some() {
        let read = group.clone();
        let help = "Memory of the container in use that cannot be freed at once.";
        registry.gauge_fn("container_memory_working_set_bytes", help, &[], move || {
            read.memory_used().unwrap_or(f64::NAN)
        });
    }
    if group.cpu_limit().is_some() {
        let read = group.clone();
        let help = "Processors that the container may use.";
        registry.gauge_fn("container_cpu_limit_cores", help, &[], move || {
            read.cpu_limit().unwrap_or(f64::INFINITY)
        });
        let help = "Time for which the container was held back because it had used its share.";
        registry.sum_fn("container_cpu_throttled_seconds_total", help, &[], move || {
            group.throttled().unwrap_or(f64::NAN)
        });
    }
}

#[derive(Debug, Clone)]
enum Group {
    V2(PathBuf),
    V1(PathBuf),
}

impl Group {
    /// Inside a container its own group is mounted at the root; on a host this is the root group, which has no limits.
    fn find(root: &Path) -> Option<Group> {
        if root.join("cgroup.controllers").exists() {
            return Some(Group::V2(root.to_owned()));
        }
        root.join("memory").is_dir().then(|| Group::V1(root.to_owned()))
    }

    fn memory_limit(&self) -> Option<f64> {
        match self {
            Group::V2(root) => number(&root.join("memory.max")),
            Group::V1(root) => number(&root.join("memory/memory.limit_in_bytes")),
        }
        .filter(|limit| *limit < NO_LIMIT)
    }

    fn memory_used(&self) -> Option<f64> {
        let (used, stat, cache) = match self {
            Group::V2(root) => ("memory.current", root.join("memory.stat"), "inactive_file"),
            Group::V1(root) => (
                "memory/memory.usage_in_bytes",
                root.join("memory/memory.stat"),
                "total_inactive_file",
            ),
        };
        let (Group::V2(root) | Group::V1(root)) = self;
        let used = number(&root.join(used))?;
        let cache = fs::read_to_string(stat).ok().and_then(|stat| value(&stat, cache));
        Some((used - cache.unwrap_or(0.0)).max(0.0))
    }

    fn cpu_limit(&self) -> Option<f64> {
        match self {
            Group::V2(root) => {
                let text = fs::read_to_string(root.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
            }
            Group::V1(root) => {
                let quota = number(&root.join("cpu/cpu.cfs_quota_us"))?;
                let period = number(&root.join("cpu/cpu.cfs_period_us"))?;
                (quota > 0.0).then_some(quota / period)
            }
        }
        .filter(|cores| cores.is_finite())
    }

    fn throttled(&self) -> Option<f64> {
        match self {
            Group::V2(root) => {
                let stat = fs::read_to_string(root.join("cpu.stat")).ok()?;
                Some(value(&stat, "throttled_usec")? / 1e6)
            }
            Group::V1(root) => {
                let stat = fs::read_to_string(root.join("cpu/cpu.stat")).ok()?;
                Some(value(&stat, "throttled_time")? / 1e9)
            }
        }
    }
}

/// Reads a file with one number; `max` and -1 are none.
fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok().filter(|number: &f64| *number >= 0.0)
}

/// Finds `key number` in a file of such lines.
fn value(text: &str, key: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::watch_under;
    use crate::metrics::{Format, Registry};
    use std::path::Path;

    fn shown(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let registry = Registry::new();
        watch_under(&registry, folder.path());
        let text = registry.encode(Format::Prometheus);
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_container_with_limits_of_either_version() {
        let expected = "container_cpu_limit_cores 1.5\n\
            container_cpu_throttled_seconds_total 2.5\n\
            container_memory_limit_bytes 1000000\n\
            container_memory_usage_ratio 0.4\n\
            container_memory_working_set_bytes 400000\n";
        let second = [
            ("cgroup.controllers", "cpu memory\n"),
            ("memory.max", "1000000\n"),
            ("memory.current", "500000\n"),
            ("memory.stat", "anon 1\ninactive_file 100000\n"),
            ("cpu.max", "150000 100000\n"),
            ("cpu.stat", "usage_usec 9\nthrottled_usec 2500000\n"),
        ];
        assert_eq!(shown(&second), expected);
        let first = [
            ("memory/memory.limit_in_bytes", "1000000\n"),
            ("memory/memory.usage_in_bytes", "500000\n"),
            ("memory/memory.stat", "total_inactive_file 100000\n"),
            ("cpu/cpu.cfs_quota_us", "150000\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu/cpu.stat", "throttled_time 2500000000\n"),
        ];
        assert_eq!(shown(&first), expected);
    }

    #[test]
    fn no_limit_is_shown_where_there_is_none() {
        let unlimited = [
            ("cgroup.controllers", "cpu memory\n"),
            ("memory.max", "max\n"),
            ("memory.current", "500000\n"),
            ("cpu.max", "max 100000\n"),
        ];
        assert_eq!(shown(&unlimited), "container_memory_working_set_bytes 500000\n");
        let first = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(shown(&first), "");
        assert_eq!(shown(&[("unrelated", "")]), "");
        watch_under(&Registry::new(), Path::new("/nonexistent"));
    }
}
