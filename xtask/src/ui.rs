//! The web UI's own checks, and its pictures: everything here needs Node, and a browser that apt installs.
//!
//! The binary under test is the one that the other steps have built, with the UI inside it: what is tested is what is
//! shipped. The built files are found beside it, where the build script of `skopos-ui` put them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::system::{self, Cmd};
use crate::test::Need;

/// From the workspace's root.
const WEB: &str = "crates/skopos-ui/web";
/// Where the pictures go, from the workspace's root.
const SCREENS: &str = "docs/screens";

/// What the browser test needs beside Node.
pub(crate) const CHROMIUM: Need = Need {
    probe: "chromium --version",
    package: "chromium",
    why: "walks through the web UI as a person would",
};

/// What pictures need beside that.
const PICTURES: &[Need] = &[
    CHROMIUM,
    Need { probe: "pngquant --version", package: "pngquant", why: "makes the pictures small" },
    Need {
        probe: "fc-list DejaVu",
        package: "fonts-dejavu-core",
        why: "gives the pictures the same letters everywhere",
    },
];

/// Types and templates, against the OpenAPI document in the repository.
pub(crate) fn check() -> Cmd {
    Cmd::new("npm --prefix").arg(WEB).args("run --silent check")
}

/// The unit tests.
pub(crate) fn unit() -> Cmd {
    Cmd::new("npm --prefix").arg(WEB).args("test --silent").env("NO_COLOR", "1")
}

/// The browser tests, against the binary that was built with `selection`.
pub(crate) fn browser(selection: &str) -> Result<Cmd> {
    let binary = binary(selection)?;
    let files = built_files(&binary)?;
    Ok(Cmd::new("node --test --test-reporter=spec")
        .arg(format!("{WEB}/e2e/sizes.test.mjs"))
        .arg(format!("{WEB}/e2e/walk.test.mjs"))
        .arg(format!("{WEB}/e2e/service.test.mjs"))
        .arg(format!("{WEB}/e2e/slo.test.mjs"))
        .arg(format!("{WEB}/e2e/live.test.mjs"))
        .env("NO_COLOR", "1")
        .env("SKOPOS_BIN", binary)
        .env("SKOPOS_UI_DIST", files))
}

/// `cargo xtask shots`: every screen in both themes, into `docs/screens/`.
pub(crate) fn shots() -> Result<bool> {
    crate::test::install(PICTURES)?;
    let binary = binary(crate::test::WHOLE)?;
    let root = system::root()?;
    let taken = Cmd::new("node")
        .arg(format!("{WEB}/e2e/shots.mjs"))
        .arg(root.join(SCREENS))
        .env("SKOPOS_BIN", binary)
        .run()?;
    if !taken {
        return Ok(false);
    }
    let mut pictures = Vec::new();
    for entry in std::fs::read_dir(root.join(SCREENS)).context("list the pictures")? {
        let path = entry.context("list the pictures")?.path();
        if path.extension().is_some_and(|extension| extension == "png") {
            pictures.push(path);
        }
    }
    pictures.sort();
    let shrink = Cmd::new("pngquant --force --ext .png --strip --speed 1 96");
    pictures.iter().fold(shrink, |cmd, picture| cmd.arg(picture)).run()
}

fn binary(selection: &str) -> Result<PathBuf> {
    if !Cmd::new("cargo build --quiet --bin skopos").args(selection).run()? {
        bail!("skopos does not build");
    }
    Ok(system::target_folder()?.join("debug/skopos"))
}

/// The newest folder that the build script of `skopos-ui` made for this target folder.
fn built_files(binary: &Path) -> Result<PathBuf> {
    let builds = binary.parent().context("find the target folder")?.join("build");
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(&builds).context("list the build scripts' folders")? {
        let entry = entry.context("list the build scripts' folders")?;
        let files = entry.path().join("out/ui");
        let is_ours = entry.file_name().to_string_lossy().starts_with("skopos-ui-");
        if is_ours && let Ok(page) = std::fs::metadata(files.join("index.html")) {
            found.push((page.modified().context("read a file's time")?, files));
        }
    }
    found.sort();
    let (_, files) = found.pop().context("skopos-ui has built no files")?;
    if !files.join("assets").is_dir() {
        bail!("the binary holds no web UI: was it built without Node, or with SKOPOS_UI=skip?");
    }
    Ok(files)
}
