//! Debian's programs. Where one is not installed, the test says so and skips; `cargo xtask test` and
//! `cargo xtask prove alerting` install them.

use tokio::process::{Child, Command};

pub(super) struct Tool(String);

impl Tool {
    /// A program from the path, or the one that `variable` names.
    pub(super) async fn find(name: &str, variable: &str, package: &str) -> Option<Self> {
        let program = std::env::var(variable).unwrap_or_else(|_| name.to_owned());
        match Command::new(&program).arg("--version").output().await {
            Ok(_) => Some(Self(program)),
            Err(error) => {
                let required = std::env::var_os("SKOPOS_TOOLS_REQUIRED").is_some();
                assert!(!required, "{program} is needed (Debian's package `{package}`): {error}");
                println!("skipped: {program} is not installed (Debian's package `{package}`)");
                None
            }
        }
    }

    /// Runs it; whether it succeeded, and what it printed, or why it did not.
    pub(super) async fn run(&self, arguments: Vec<String>) -> (bool, String) {
        let output = Command::new(&self.0).args(arguments).output().await.unwrap();
        let is_ok = output.status.success();
        let text = if is_ok { output.stdout } else { [output.stdout, output.stderr].concat() };
        (is_ok, String::from_utf8_lossy(&text).into_owned())
    }

    /// Starts it; it is killed when dropped.
    pub(super) fn spawn(&self, arguments: &[String]) -> Child {
        Command::new(&self.0).args(arguments).kill_on_drop(true).spawn().unwrap()
    }
}

/// Waits for what other programs do, which may be slow to start.
pub(super) async fn patiently<F, Fut>(what: &str, mut is_so: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    for _ in 0..1_200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("never seen: {what}");
}

/// A port that is free now.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
