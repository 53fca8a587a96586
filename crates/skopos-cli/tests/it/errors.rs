//! What users see when something is wrong: what, where, and what to do.

use std::net::TcpListener;

use crate::harness::{Server, repository_file, run, skopos};

fn stderr_of(args: &[&str], code: i32) -> String {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    text
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let text = stderr_of(&["serve", "--data", data, "--listen", &address], 1);
    assert!(text.contains(&address), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    assert!(text.contains("--listen"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_in_use_is_named_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).await;
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let again = tokio::task::spawn_blocking(move || {
        let any = "127.0.0.1:0";
        let args =
            ["serve", "--data", &data, "--listen", any, "--otlp-grpc", any, "--otlp-http", any];
        stderr_of(&args, 1)
    });
    let text = again.await.unwrap();
    assert!(text.contains("in use"), "{text}");
    assert!(text.contains(&server.child.id().to_string()), "{text}");
}

#[test]
fn a_wrong_rule_file_is_named_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yml");
    std::fs::write(
        &path,
        "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: sum(rate(x[5m])\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let output = run(&["rules", "check", path]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("bad.yml:5:"), "{text}");
    let data = folder.path().join("data");
    let text = stderr_of(&["serve", "--data", data.to_str().unwrap(), "--rules", path], 1);
    assert!(text.contains("bad.yml:5:"), "{text}");
}

#[test]
fn the_guides_rules_are_good() {
    let rules = repository_file("examples/guide/rules.yml");
    let output = run(&["rules", "check", rules.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("5 alerting rules"));
}

#[test]
fn an_unknown_key_in_the_configuration_is_named_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skopos.yaml");
    std::fs::write(&path, "http:\n  lisen: 127.0.0.1:1\n").unwrap();
    let text = stderr_of(&["config", "check", path.to_str().unwrap()], 4);
    assert!(text.contains("skopos.yaml:2:") && text.contains("listen"), "{text}");
}

#[test]
fn no_server_is_said_plainly() {
    let text = stderr_of(&["query", "up", "--server", "http://127.0.0.1:9"], 1);
    assert!(text.contains("http://127.0.0.1:9") && text.contains("skopos serve"), "{text}");
}

#[test]
fn listening_beyond_loopback_without_tokens_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let text = stderr_of(&["serve", "--data", data, "--listen", "0.0.0.0:0"], 1);
    assert!(text.contains("token"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _server = Server::start(folder.path(), &[]).await;
    let mut folders = vec![folder.path().join("data")];
    let mut seen = 0;
    while let Some(path) = folders.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", path.display());
        seen += 1;
        if path.is_dir() {
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 4, "folders, lock and logs were looked at");
}

/// What a command does when standard output is what `out` is: its code and what it says on standard error.
#[cfg(target_os = "linux")]
fn with_stdout(args: &[&str], out: std::process::Stdio) -> (Option<i32>, String) {
    let child = skopos().args(args).stdout(out).stderr(std::process::Stdio::piped()).spawn();
    let output = child.and_then(std::process::Child::wait_with_output).expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_a_failure_and_a_closed_pipe_is_none() {
    let blind = repository_file("examples/blind");
    let blind = blind.to_str().unwrap();
    let rules = repository_file("examples/guide/rules.yml");
    let rules = rules.to_str().unwrap();
    for (args, full, closed) in [
        // Its code is an answer, and is kept when nobody reads the rest.
        (&["audit", "--no-cache", blind][..], 2, 1),
        (&["audit", "--no-cache", blind, "--format", "json"], 2, 1),
        (&["audit", "--list-rules"], 2, 0),
        (&["rules", "check", rules], 1, 0),
        (&["config", "show"], 1, 0),
        (&["completions", "bash"], 1, 0),
        (&["man"], 1, 0),
        (&["--help"], 1, 0),
        (&["audit", "--help"], 1, 0),
        (&["--version"], 1, 0),
    ] {
        let device = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, said) = with_stdout(args, device.into());
        assert_eq!(code, Some(full), "{args:?}: {said}");
        assert!(said.contains("standard output could not be written"), "{args:?}: {said}");
        assert!(said.contains("No space left"), "{args:?}: {said}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(with_stdout(args, writer.into()), (Some(closed), String::new()), "{args:?}");
    }
}
