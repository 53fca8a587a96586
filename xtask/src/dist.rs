//! `cargo xtask dist`: the archive that is released: binary, completions, manual pages, service files, licence, README.
//!
//! The binary is built with the profile `dist` (thin LTO, stripped). The same files make the
//! same archive: its entries are sorted, and their times and owners are fixed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::system::{self, Cmd};

/// Shells that the archive has completions for, with the file each looks for.
const SHELLS: [(&str, &str); 3] =
    [("bash", "skopos.bash"), ("zsh", "_skopos"), ("fish", "skopos.fish")];
/// Files of the repository that go along, with their place in the archive.
const FILES: [(&str, &str); 5] = [
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("docs/operating.md", "operating.md"),
    ("docs/reference/skopos.yaml", "skopos.yaml"),
    ("packaging/skopos.service", "skopos.service"),
];
/// What a released binary may weigh.
const MAX_BINARY_BYTES: u64 = 100_000_000;

/// Builds, packs, and prints size and build time; false when the binary is too large.
pub(crate) fn run() -> Result<bool> {
    let watch = system::Stopwatch::start();
    let Some(binary) = build()? else { return Ok(false) };
    let took = watch.elapsed();
    let name = format!("skopos-{}-{}", version()?, target()?);
    let out = system::root()?.join("dist");
    let staged = out.join(&name);
    if staged.exists() {
        std::fs::remove_dir_all(&staged).context("remove the earlier dist folder")?;
    }
    stage(&binary, &staged)?;
    let archive = pack(&out, &name)?;
    let size = std::fs::metadata(staged.join("skopos")).context("look at the binary")?.len();
    println!("{}", report(size, std::fs::metadata(&archive)?.len(), took));
    println!("{}", archive.display());
    Ok(size <= MAX_BINARY_BYTES)
}

/// The binary with everything in it, the demo too.
pub(crate) fn build() -> Result<Option<PathBuf>> {
    let line = "cargo rustc --locked --profile dist -p skopos-cli --bin skopos --features demo";
    let mut build = Cmd::new(line);
    // There rustc links with its own LLD, which can keep one of functions that are alike.
    if target()? == "x86_64-unknown-linux-gnu" {
        build = build.args("-- -C link-arg=-Wl,--icf=all");
    }
    let ok = build.run()?;
    Ok(if ok { Some(system::target_folder()?.join("dist/skopos")) } else { None })
}

/// Collects the files of the archive in a folder.
fn stage(binary: &Path, folder: &Path) -> Result<()> {
    let copy = |from: &Path, to: PathBuf| {
        std::fs::copy(from, &to).map(drop).with_context(|| format!("copy {}", from.display()))
    };
    for sub in ["completions", "man"] {
        std::fs::create_dir_all(folder.join(sub)).context("make the dist folder")?;
    }
    copy(binary, folder.join("skopos"))?;
    let root = system::root()?;
    for (from, to) in FILES {
        copy(&root.join(from), folder.join(to))?;
    }
    // The binary makes them itself, so they say what it does.
    let skopos = folder.join("skopos").to_string_lossy().into_owned();
    for (shell, file) in SHELLS {
        let script = Cmd::new(&skopos).arg("completions").arg(shell).capture()?;
        std::fs::write(folder.join("completions").join(file), script)?;
    }
    if !Cmd::new(&skopos).arg("man").arg("--out").arg(folder.join("man")).run()? {
        bail!("the binary could not write its manual pages");
    }
    Ok(())
}

/// Makes `NAME.tar.gz` and, for `sha256sum --check`, `NAME.tar.gz.sha256`.
fn pack(out: &Path, name: &str) -> Result<PathBuf> {
    let archive = out.join(format!("{name}.tar.gz"));
    let packed = Cmd::new("tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0")
        .arg("--use-compress-program=gzip -n9")
        .arg("-C")
        .arg(out)
        .arg("-cf")
        .arg(&archive)
        .arg(name);
    if !packed.run()? {
        bail!("tar could not make {}", archive.display());
    }
    let sum = Cmd::new("sha256sum").arg(&archive).capture()?;
    let sum = sum.split_whitespace().next().context("read the output of sha256sum")?;
    std::fs::write(out.join(format!("{name}.tar.gz.sha256")), format!("{sum}  {name}.tar.gz\n"))?;
    Ok(archive)
}

fn report(binary_bytes: u64, archive_bytes: u64, took: Duration) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let verdict =
        if binary_bytes <= MAX_BINARY_BYTES { "" } else { ", more than the 100 MB allowed" };
    format!(
        "binary {:.1} MB{verdict}; archive {:.1} MB; built in {}",
        megabytes(binary_bytes),
        megabytes(archive_bytes),
        system::human(took)
    )
}

fn version() -> Result<String> {
    let text = Cmd::new("cargo metadata --format-version 1 --no-deps").capture()?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("read cargo metadata")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut cli = packages.filter(|package| package["name"] == "skopos-cli");
    let version = cli.next().and_then(|package| package["version"].as_str());
    Ok(version.context("find skopos-cli in cargo metadata")?.to_owned())
}

fn target() -> Result<String> {
    let text = Cmd::new("rustc -vV").capture()?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("find the host in `rustc -vV`")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_when_it_is_too_much() {
        let line = report(41_250_000, 15_000_000, Duration::from_secs(601));
        assert_eq!(line, "binary 41.2 MB; archive 15.0 MB; built in 10 min 01 s");
        assert!(report(100_000_001, 1, Duration::ZERO).contains("more than the 100 MB allowed"));
    }

    #[test]
    fn what_goes_along_exists() {
        let root = system::root().unwrap();
        for (file, _) in FILES {
            assert!(root.join(file).is_file(), "{file}");
        }
        assert!(version().unwrap().contains('.') && target().unwrap().contains('-'));
    }
}
