//! The service as a child of the doctor's: started with its OTLP pointed here, its output read, ended as a whole.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::lines::read_pipe;
use crate::Error;
use crate::heard::Hearing;

/// Lines of output that are shown when the command ends too early.
const LAST_LINES: usize = 10;
/// How long it may take to end when asked to.
const GRACE: Duration = Duration::from_secs(10);

/// A running command; dropping it ends it and all that it started.
pub(super) struct Service {
    child: Child,
    /// The group of processes that it leads.
    group: Option<u32>,
    last: Arc<Mutex<VecDeque<String>>>,
    is_judged: Arc<AtomicBool>,
}

impl Service {
    /// Starts it with these variables, where its own environment does not set them.
    pub(super) fn start(
        command: &[OsString],
        variables: &[(&str, String)],
        hearing: &Hearing,
    ) -> Result<Service, Error> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::Io {
                what: "start the service".to_owned(),
                source: std::io::Error::other("the command is empty"),
            });
        };
        let mut started = Command::new(program);
        started.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        started.kill_on_drop(true);
        // A group of its own: what it starts is ended with it, and Ctrl-C is ours to pass on.
        #[cfg(unix)]
        started.process_group(0);
        for (name, value) in variables {
            if *name == "OTEL_EXPORTER_OTLP_ENDPOINT" || std::env::var_os(name).is_none() {
                started.env(name, value);
            }
        }
        let mut child = started.spawn().map_err(|source| Error::Io {
            what: format!("start {}", program.to_string_lossy()),
            source,
        })?;
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let is_judged = Arc::new(AtomicBool::new(false));
        let watch = || {
            let (last, is_judged) = (Arc::clone(&last), Arc::clone(&is_judged));
            move |line: &str| {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(crate::shown::shown(line));
                is_judged.load(Ordering::Relaxed)
            }
        };
        if let Some(pipe) = child.stdout.take() {
            read_pipe(pipe, hearing.clone(), watch());
        }
        if let Some(pipe) = child.stderr.take() {
            read_pipe(pipe, hearing.clone(), watch());
        }
        Ok(Service { group: child.id(), child, last, is_judged })
    }

    /// From now on its lines are judged. What came before is the build's, or the start's.
    pub(super) fn judge_lines(&self) {
        self.is_judged.store(true, Ordering::Relaxed);
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Its last lines, each after a line break.
    pub(super) fn output(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(|line| format!("\n  {line}")).collect()
    }

    /// Asks it to end, as an orchestrator does, and waits; whether it did.
    pub(super) async fn stop(mut self) -> bool {
        if let Some(group) = self.group {
            signal(group, "TERM");
        }
        tokio::time::timeout(GRACE, self.child.wait()).await.is_ok()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            signal(group, "KILL");
        }
    }
}

/// Signals a group through the shell, whose `kill` is always there: no code of ours may be unsafe.
fn signal(group: u32, name: &str) {
    let script = format!("kill -{name} -- -{group}");
    let sent = std::process::Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Without a shell `kill_on_drop` still ends the child itself.
    drop(sent);
}
