//! Processes, paths and time: the only file of xtask that touches the machine.
//!
//! Children get no standard input (CI has none), run in the workspace's root, and inherit the environment.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Returns the workspace's root: the folder above the manifest that cargo names when it runs us.
pub(crate) fn root() -> Result<PathBuf> {
    if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR")
        && let Some(parent) = Path::new(&manifest).parent()
    {
        return Ok(parent.to_owned());
    }
    let start = std::env::current_dir().context("read the current folder")?;
    for folder in start.ancestors() {
        if folder.join("xtask/Cargo.toml").is_file() {
            return Ok(folder.to_owned());
        }
    }
    bail!("not inside the workspace: run it as `cargo xtask` from the checkout")
}

/// Returns cargo's target folder, as cargo itself would choose it.
pub(crate) fn target_folder() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(root()?.join(folder)),
        None => Ok(root()?.join("target")),
    }
}

/// True when a program of this name can be started.
pub(crate) fn has_program(name: &str) -> bool {
    let Some(paths) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

/// True when `CI` is set to anything but nothing.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// A stopwatch for the durations that are printed after each step.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "xtask measures real commands; it has no virtual time"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns a duration as a person reads it: `8.4 s`, `3 min 05 s`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

/// One command line with its extra environment.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Where it runs, if not in the workspace's root.
    folder: Option<PathBuf>,
}

impl Cmd {
    /// Splits at white space: our own command lines hold no quoted words.
    pub(crate) fn new(line: &str) -> Self {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap_or_default();
        Self { program, args: words.collect(), env: Vec::new(), folder: None }
    }

    /// A program by its path, which may hold white space.
    pub(crate) fn program(path: &Path) -> Self {
        let program = path.to_string_lossy().into_owned();
        Self { program, args: Vec::new(), env: Vec::new(), folder: None }
    }

    /// Runs in the folder of a package, and says so, as cargo does for the package's tests.
    pub(crate) fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }.env("CARGO_MANIFEST_DIR", folder)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_string_lossy().into_owned());
        self
    }

    pub(crate) fn args(mut self, line: &str) -> Self {
        self.args.extend(line.split_whitespace().map(str::to_owned));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.to_owned(), value.as_ref().to_string_lossy().into_owned()));
        self
    }

    /// Returns the command line as it is echoed before it runs.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.env {
            line.push_str(&format!("{name}={value} "));
        }
        line.push_str(&self.program);
        for arg in &self.args {
            line.push(' ');
            line.push_str(arg);
        }
        line
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let folder = self.folder.clone().map_or_else(root, Ok)?;
        command.args(&self.args).current_dir(folder).stdin(Stdio::null());
        // `cargo run` sets these for us; a nested cargo would take them for its own and rebuild.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs it with our own output streams; true when it exits with 0.
    pub(crate) fn run(&self) -> Result<bool> {
        eprintln!("$ {}", self.line());
        let status =
            self.command()?.status().with_context(|| format!("start `{}`", self.program))?;
        Ok(status.success())
    }

    /// Runs it quietly and returns its standard output; an error carries what it wrote to standard error.
    pub(crate) fn capture(&self) -> Result<String> {
        let output =
            self.command()?.output().with_context(|| format!("start `{}`", self.program))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` failed: {}", self.line(), stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it, passes both streams on as they come, and calls `on_line` with each line.
    pub(crate) fn run_watched(&self, mut on_line: impl FnMut(&str)) -> Result<bool> {
        eprintln!("$ {}", self.line());
        let mut command = self.command()?;
        if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{}`", self.program))?;
        // Bounded by back pressure: a child that prints faster than the terminal takes waits for us.
        let (sender, lines) = mpsc::sync_channel::<String>(1024);
        let stdout = child.stdout.take().context("take the child's standard output")?;
        let stderr = child.stderr.take().context("take the child's standard error")?;
        let readers = [
            forward(stdout, std::io::stdout(), sender.clone()),
            forward(stderr, std::io::stderr(), sender),
        ];
        for line in lines {
            on_line(&strip_ansi(&line));
        }
        for reader in readers {
            let _ = reader.join();
        }
        Ok(child.wait().context("wait for the child")?.success())
    }
}

fn forward(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    sender: mpsc::SyncSender<String>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            // Our own output may be closed (`| head`); the child must be drained all the same.
            let _ = to.write_all(&bytes).and_then(|()| to.flush());
            let _ = sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned());
            bytes.clear();
        }
    })
}

/// Removes terminal colour sequences (`ESC [ … letter`).
fn strip_ansi(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        for following in chars.by_ref() {
            if following.is_ascii_alphabetic() {
                break;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_removed() {
        assert_eq!(strip_ansi("\u{1b}[32;1m     Summary\u{1b}[0m [ 1s]"), "     Summary [ 1s]");
        assert_eq!(strip_ansi("plain"), "plain");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(human(Duration::from_millis(8_420)), "8.4 s");
        assert_eq!(human(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn both_streams_are_watched_and_the_exit_code_counts() {
        let mut seen = Vec::new();
        let script = Cmd::new("sh -c").arg("echo out; echo err >&2; exit 3");
        let ok = script.run_watched(|line| seen.push(line.to_owned())).expect("sh starts");
        seen.sort();
        assert!(!ok);
        assert_eq!(seen, ["err", "out"]);
    }
}
