//! The memory budget: one figure, divided over what holds data.
//!
//! Constraints:
//! - The figure is `memory.limit`, or half of what the machine or the cgroup (version 2 or 1, the
//!   tightest limit on the way up) lets this process have: the rest belongs to the page cache.
//! - Shares are fixed fractions of it; a share that has a key of its own may be set by that.
//! - Each share is kept by who holds the data: the head flushes and refuses, queries end with an error
//!   that names the limit, what is kept of blocks goes by age of use.

use std::path::{Path, PathBuf};

use crate::config::Settings;

/// Of the whole, one in so many bytes is for recent data.
const HEAD_SHARE: u64 = 2;
/// For all queries together.
const QUERY_SHARE: u64 = 4;
/// For what is kept of blocks that have been read.
const CACHE_SHARE: u64 = 8;
/// For label sets that remote write has brought before, most of which the head shares.
const LABEL_SHARE: u64 = 32;
/// A merged block is put together in memory, out of what is left.
const MERGE_SHARE: u64 = 8;
/// Memory of a machine that does not say how much it has.
const UNKNOWN_MACHINE_BYTES: u64 = 2 << 30;

/// Who may hold how much, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The whole.
    pub total_bytes: u64,
    /// Recent data that is not in blocks yet.
    pub head_bytes: u64,
    /// All queries together.
    pub query_pool_bytes: u64,
    /// One query.
    pub query_bytes: u64,
    /// What is kept of blocks that have been read.
    pub cache_bytes: u64,
    /// Label sets that remote write has brought before.
    pub label_bytes: u64,
    /// The largest block that compaction puts together.
    pub merge_bytes: u64,
}

impl MemoryPlan {
    /// The plan for these settings on a machine (or in a cgroup) with so much memory.
    pub fn new(settings: &Settings, machine_bytes: u64) -> Self {
        let total_bytes = settings.memory_limit.unwrap_or(machine_bytes / 2);
        let query_pool_bytes = total_bytes / QUERY_SHARE;
        Self {
            total_bytes,
            head_bytes: settings.max_head_bytes.unwrap_or(total_bytes / HEAD_SHARE),
            query_pool_bytes: query_pool_bytes.max(settings.max_query_bytes.unwrap_or(0)),
            query_bytes: settings.max_query_bytes.unwrap_or(query_pool_bytes / 2),
            cache_bytes: total_bytes / CACHE_SHARE,
            label_bytes: total_bytes / LABEL_SHARE,
            merge_bytes: total_bytes / MERGE_SHARE - total_bytes / LABEL_SHARE,
        }
    }

    /// The plan for this machine.
    pub fn for_this_machine(settings: &Settings) -> Self {
        Self::new(settings, machine_bytes(Path::new("/")))
    }
}

/// Memory that this process may have by what the files under `root` say.
fn machine_bytes(root: &Path) -> u64 {
    let machine = installed_bytes(root).unwrap_or(UNKNOWN_MACHINE_BYTES);
    cgroup_bytes(root).map_or(machine, |limit| limit.min(machine))
}

fn installed_bytes(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The tightest limit of the cgroups that the process is in; `None` when there is none.
fn cgroup_bytes(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|c| c == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        tightest(&root.join(mount), path, file)
    });
    limits.min()
}

/// The least number in `file` of a group and the groups above it. Within a container the group's own
/// path may not be there; the mount itself is the container's group then.
fn tightest(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let group = group.trim_start_matches('/');
    let above = Path::new(group).ancestors().map(Path::to_path_buf);
    let read = |group: PathBuf| {
        let text = std::fs::read_to_string(mount.join(group).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    above.filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_of_machine_and_cgroups_counts() {
        const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:   8388608 kB\nMemFree: 1 kB\n");
        const V2: (&str, &str) = ("proc/self/cgroup", "0::/app.slice/skopos\n");
        const V1: (&str, &str) = ("proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/docker/7\n");
        let group = "sys/fs/cgroup/app.slice/skopos/memory.max";
        let slice = "sys/fs/cgroup/app.slice/memory.max";
        let container = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        let outside = "sys/fs/cgroup/memory/docker/7/memory.limit_in_bytes";
        for (files, want) in [
            (&[][..], UNKNOWN_MACHINE_BYTES),
            (&[MACHINE], 8 << 30),
            (&[MACHINE, V2, (group, "max\n")], 8 << 30),
            (&[MACHINE, V2, (group, "1073741824\n")], 1 << 30),
            (&[MACHINE, V2, (group, "max\n"), (slice, "536870912\n")], 512 << 20),
            (&[MACHINE, V2, (group, "17179869184\n")], 8 << 30),
            (&[MACHINE, V1, (outside, "268435456\n")], 256 << 20),
            (&[MACHINE, V1, (container, "134217728\n")], 128 << 20),
            (&[MACHINE, V1, (outside, "9223372036854771712\n")], 8 << 30),
            (&[("proc/meminfo", "nonsense"), V2, (group, "nonsense")], UNKNOWN_MACHINE_BYTES),
        ] {
            assert_eq!(machine_bytes(root(files).path()), want, "{files:?}");
        }
    }

    #[test]
    fn shares_are_fractions_and_keys_win() {
        let plan = MemoryPlan::new(&Settings::defaults(), 4 << 30);
        assert_eq!(plan.total_bytes, 2 << 30);
        assert_eq!((plan.head_bytes, plan.query_pool_bytes), (1 << 30, 512 << 20));
        assert_eq!((plan.query_bytes, plan.cache_bytes), (256 << 20, 256 << 20));
        let given = plan.head_bytes + plan.query_pool_bytes + plan.cache_bytes;
        assert!(given < plan.total_bytes, "something must be left");

        let settings = Settings {
            memory_limit: Some(1 << 30),
            max_head_bytes: Some(10 << 20),
            max_query_bytes: Some(2_000),
            ..Settings::defaults()
        };
        let plan = MemoryPlan::new(&settings, 4 << 30);
        assert_eq!((plan.total_bytes, plan.head_bytes), (1 << 30, 10 << 20));
        assert_eq!((plan.query_pool_bytes, plan.query_bytes), (256 << 20, 2_000));
    }
}
