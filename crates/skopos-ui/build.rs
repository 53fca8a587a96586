//! Builds the web UI into `OUT_DIR/ui`, which `src/lib.rs` embeds.
//!
//! `SKOPOS_UI` says how:
//! - `auto` (default): `web/dist` when its stamp fits the sources; else npm and Vite when Node is there; else a release
//!   build fails with the commands to run, and a debug build warns and embeds the small page of `fallback/`;
//! - `prebuilt`: `web/dist` or fail; for cross builds, after one machine has run Vite;
//! - `build`: npm and Vite or fail;
//! - `skip`: the small page, without looking; for clippy and editors.
//!
//! The stamp is a hash of everything that Vite reads. The OpenAPI document is not among it: it gives types, which are
//! checked by `npm run check` and gone from what is built. Several cargo processes with different target folders share
//! `web/node_modules`, so npm runs under a file lock. Nothing is printed unless something fails.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What Vite reads, from `web/`. Folders count with all that is in them.
const INPUTS: &[&str] = &[
    "index.html",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "vite.config.ts",
    "tsconfig.json",
    "src",
    "public",
];
/// The oldest Node that Vite 8 runs on.
const NODE: (u32, u32) = (20, 19);
/// Lines of npm's output that are worth showing when it fails.
const TAIL_LINES: usize = 40;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("ui");
    build(&out)?;
    list(&out)
}

/// Writes `ui.rs`: every file of the folder with its path, sorted, as `src/lib.rs` includes it.
fn list(out: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(out, &mut files)?;
    let mut names = Vec::new();
    for file in &files {
        names.push(file.strip_prefix(out)?.to_string_lossy().replace('\\', "/"));
    }
    names.retain(|name| name != ".stamp");
    names.sort();
    let mut code = String::from("[\n");
    for name in names {
        writeln!(code, "    ({name:?}, include_bytes!({:?}) as &[u8]),", out.join(&name))?;
    }
    code.push_str("]\n");
    Ok(fs::write(out.with_extension("rs"), code)?)
}

fn build(out: &Path) -> Result<()> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let web = manifest.join("web");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo:rerun-if-env-changed=SKOPOS_UI");
    println!("cargo:rerun-if-changed={}", manifest.join("fallback").display());
    println!("cargo:rerun-if-changed={}", web.join("dist/.stamp").display());
    for input in INPUTS {
        println!("cargo:rerun-if-changed={}", web.join(input).display());
    }
    let mode = std::env::var("SKOPOS_UI").unwrap_or_else(|_| "auto".into());
    let fallback = manifest.join("fallback");
    match mode.as_str() {
        "skip" => replace(&fallback, out),
        "prebuilt" => {
            let dist = web.join("dist");
            if !dist.join("index.html").is_file() {
                return Err(format!(
                    "SKOPOS_UI=prebuilt, but {} holds no UI\n{}",
                    dist.display(),
                    by_hand(&web)
                )
                .into());
            }
            replace(&dist, out)
        }
        "build" => vite(&web, out),
        "auto" => {
            let sources = web.join("src").is_dir();
            let stamp = if sources { stamp(&web)? } else { String::new() };
            let built = fs::read_to_string(web.join("dist/.stamp")).ok();
            if built.is_some_and(|built| !sources || built.trim() == stamp) {
                return replace(&web.join("dist"), out);
            }
            // Beside the folder, not in it: what is in it is embedded.
            let made = out.with_extension("stamp");
            if fs::read_to_string(&made).is_ok_and(|made| made == stamp) {
                return Ok(());
            }
            let _ = fs::remove_file(&made);
            let tried = node_is_new_enough().and_then(|()| vite(&web, out));
            match tried {
                Ok(()) => Ok(fs::write(made, stamp)?),
                Err(error) if release => {
                    Err(format!("the web UI cannot be built: {error}\n{}", by_hand(&web)).into())
                }
                Err(error) => {
                    for line in error.to_string().lines() {
                        println!("cargo:warning=web UI: {line}");
                    }
                    println!(
                        "cargo:warning=web UI: a small page is embedded instead; the API is whole"
                    );
                    replace(&fallback, out)
                }
            }
        }
        other => Err(format!("SKOPOS_UI={other} is none of auto, prebuilt, build, skip").into()),
    }
}

fn by_hand(web: &Path) -> String {
    let web = web.display();
    format!(
        "run, with Node {}.{} or newer:\n  cd {web}\n  npm ci\n  npm run build\nor set SKOPOS_UI=skip for a binary without the UI",
        NODE.0, NODE.1
    )
}

/// A hash over the names and contents of all inputs. `vite.config.ts` computes the same one for `dist/.stamp`.
fn stamp(web: &Path) -> Result<String> {
    let mut files = Vec::new();
    for input in INPUTS {
        collect(&web.join(input), &mut files)?;
    }
    let mut names = Vec::new();
    for file in &files {
        names.push(file.strip_prefix(web)?.to_string_lossy().replace('\\', "/"));
    }
    names.sort();
    let mut hash = Sha256::new();
    for name in names {
        let bytes = fs::read(web.join(&name))?;
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            // Generated from the OpenAPI document, and types only.
            if !path.ends_with("api/schema.d.ts") {
                collect(&path, files)?;
            }
        }
    }
    Ok(())
}

fn node_is_new_enough() -> Result<()> {
    let output = Command::new("node").arg("--version").output();
    let Ok(output) = output else {
        return Err(format!("there is no Node; {}.{} or newer is needed", NODE.0, NODE.1).into());
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    let mut numbers = text.split('.').map_while(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < NODE {
        return Err(
            format!("Node {text} is too old; {}.{} or newer is needed", NODE.0, NODE.1).into()
        );
    }
    Ok(())
}

fn vite(web: &Path, out: &Path) -> Result<()> {
    let lock = fs::File::create(web.join(".build.lock"))?;
    lock.lock()?;
    install(web)?;
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.arg(web.join(script)).current_dir(web);
        command
    };
    let mut build = node("node_modules/vite/bin/vite.js");
    build.args(["build", "--emptyOutDir", "--logLevel", "warn", "--outDir"]).arg(out);
    quietly(&mut build, "vite build")
}

/// `npm ci`, only when the lock file is another one than that of the installed tree.
fn install(web: &Path) -> Result<()> {
    let wanted = fs::read_to_string(web.join("package-lock.json"))?;
    // Written last, and removed by npm together with everything else.
    let installed = web.join("node_modules/.skopos-lock.json");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"]).current_dir(web);
    quietly(&mut npm, "npm ci")?;
    Ok(fs::write(installed, wanted)?)
}

fn quietly(command: &mut Command, name: &str) -> Result<()> {
    // Cargo's own variables would be taken for npm configuration by nobody, but CI switches colours and spinners off.
    let output = command
        .env("CI", "true")
        .output()
        .map_err(|error| format!("cannot start `{name}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    Err(format!("`{name}` failed ({}):\n{tail}", output.status).into())
}

/// Makes `to` a copy of `from`.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))? {
        let entry = entry?;
        if entry.file_name() == ".stamp" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
