//! What a server takes that nobody uses: memory, processor time; and how large the binary is.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Setup;
use crate::report::{Section, mb, number};
use crate::server::{Kind, Server};

pub fn run(setup: &Setup) -> Result<Section> {
    let seconds = if setup.quick { 5 } else { 60 };
    let mut section = Section::new("Idle");
    let mut rows = Vec::new();
    for kind in Kind::here(setup) {
        // As it comes: Skopos stores its own metrics.
        let (server, _) = Server::start_with(kind, setup, &[])?;
        let before = server.cpu_seconds();
        std::thread::sleep(Duration::from_secs(seconds));
        let cpu = (server.cpu_seconds() - before) / seconds as f64;
        let memory = server.memory_mb("VmRSS");
        let size = binary(setup, kind)?;
        if kind == Kind::Skopos {
            let measured = format!("{} MB", number(memory));
            section.target("idle memory", "< 60 MB resident", measured, memory < 60.0);
            let measured = format!("{} MB stripped, as built by --release", mb(size));
            section.target("binary", "< 100 MB", measured, size < 100e6);
        }
        let share = format!("{:.2} %", cpu * 100.0);
        rows.push(vec![kind.name().to_owned(), number(memory), share, mb(size)]);
    }
    let head = ["system", "RSS, MB", "of a processor", "binary stripped, MB"];
    section.table(&head, &rows);
    section.say(&format!(
        "Empty folders, default settings, nobody sends or asks, after {seconds} s. Skopos scrapes itself meanwhile; the others are not asked to."
    ));
    Ok(section)
}

/// Bytes of the binary without symbols.
fn binary(setup: &Setup, kind: Kind) -> Result<f64> {
    let mut path = kind.program(setup);
    if kind != Kind::Skopos {
        let which = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(&path).output();
        let which = which.context("look for a program")?;
        path = String::from_utf8_lossy(&which.stdout).trim().into();
    }
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join("stripped");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&stripped).arg(&path).stderr(Stdio::null());
    // Without binutils the file counts as it is.
    let done = strip.status().is_ok_and(|status| status.success());
    let measured = if done { stripped } else { path };
    let size = std::fs::metadata(&measured);
    Ok(size.with_context(|| format!("look at {}", measured.display()))?.len() as f64)
}
