//! `packaging/`: what the files say is what the binary does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Server, repository_file, run};

fn packaged(name: &str) -> String {
    let path = repository_file("packaging").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
fn documents(name: &str) -> Vec<Value> {
    let text = packaged(name);
    let documents = text.split("\n---\n").filter(|text| !text.trim().is_empty());
    documents.map(|text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}"))).collect()
}

/// Every `--flag` among the words is one of `skopos serve`.
fn assert_serve_flags<'a>(words: impl IntoIterator<Item = &'a str>) {
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
    for flag in words.into_iter().filter(|word| word.starts_with("--")) {
        let flag = flag.split('=').next().unwrap();
        assert!(help.split_whitespace().any(|word| word == flag), "{flag} in {help}");
    }
}

/// A line of a Dockerfile in its exec form, continuation lines joined.
fn instruction(dockerfile: &str, name: &str) -> (String, Vec<String>) {
    let joined = dockerfile.replace("\\\n", " ");
    let line = joined.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("{name} in {joined}"));
    let (before, list) = line.split_at(line.find('[').unwrap());
    (before.to_owned(), serde_json::from_str(list).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_container_checks_itself_with_a_command_that_works() {
    let dockerfile = packaged("Dockerfile");
    let (_, entrypoint) = instruction(&dockerfile, "ENTRYPOINT");
    assert!(entrypoint[0].ends_with("/skopos"), "{entrypoint:?}");
    let (_, command) = instruction(&dockerfile, "CMD");
    assert_eq!(command[0], "serve");
    assert_serve_flags(command.iter().map(String::as_str));
    assert!(dockerfile.contains("\nUSER ") && dockerfile.contains("\nVOLUME "), "{dockerfile}");

    let (_, check) = instruction(&dockerfile, "HEALTHCHECK");
    assert_eq!(check[1], "health", "{check:?}");
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).await;
    let url = server.http.clone();
    tokio::task::spawn_blocking(move || {
        let here = |word: &String| word.replace("http://127.0.0.1:4319", &url);
        let args: Vec<String> = check[1..].iter().map(here).collect();
        assert!(args.iter().any(|word| word.contains(&url)), "{args:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(run(&args).status.code(), Some(0), "{args:?}");
        drop(server);
        assert_eq!(run(&args).status.code(), Some(1), "it is gone");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manifest_probes_what_exists() {
    let all = documents("kubernetes.yaml");
    let kinds: Vec<&str> = all.iter().map(|d| d["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Secret", "StatefulSet", "Service"]);
    let pod = &all[1]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let words = |key: &str| -> Vec<&str> {
        container[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
    };
    assert_eq!(words("args")[0], "serve");
    assert_serve_flags(words("args"));

    let ports = container["ports"].as_array().unwrap();
    let ports: BTreeMap<&str, u64> = ports
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
        .collect();
    assert_eq!(ports, [("http", 4319), ("otlp-grpc", 4317), ("otlp-http", 4318)].into());
    for port in all[2]["spec"]["ports"].as_array().unwrap() {
        assert!(ports.contains_key(port["targetPort"].as_str().unwrap()), "{port}");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).await;
    for (probe, path) in [
        ("livenessProbe", "/health/live"),
        ("readinessProbe", "/health/ready"),
        ("startupProbe", "/health/startup"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!((get["path"].as_str(), get["port"].as_str()), (Some(path), Some("http")));
        server.get(path, &[]).await;
    }

    // The volumes are where the data and its copies go, and only there can be written.
    let mounts = container["volumeMounts"].as_array().unwrap();
    let claims = all[1]["spec"]["volumeClaimTemplates"].as_array().unwrap();
    let names = |list: &[Value], path: &str| -> Vec<Value> {
        list.iter().map(|item| item.pointer(path).unwrap().clone()).collect()
    };
    assert_eq!(names(mounts, "/name"), ["data", "backup"]);
    assert_eq!(names(claims, "/metadata/name"), ["data", "backup"]);
    assert!(words("args").contains(&mounts[0]["mountPath"].as_str().unwrap()), "{mounts:?}");
    let backup = mounts[1]["mountPath"].as_str().unwrap();
    assert!(packaged("../docs/operating.md").contains(&format!("`skopos snapshot {backup}/")));
    assert!(packaged("skopos.service").contains(&format!("ReadWritePaths=-{backup}\n")));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert!(container["resources"]["limits"]["memory"].is_string());
    // Tokens come from the Secret under the name that the server reads.
    let env = &container["env"][0];
    assert_eq!(env["name"], "SKOPOS__AUTH__TOKENS");
    assert_eq!(env["valueFrom"]["secretKeyRef"]["name"], all[0]["metadata"]["name"]);
}

#[test]
fn the_unit_starts_what_exists() {
    let unit = packaged("skopos.service");
    let setting = |name: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("{name} in {unit}"))
    };
    let start: Vec<&str> = setting("ExecStart").split_whitespace().collect();
    assert_eq!(start[1], "serve");
    assert_serve_flags(start.iter().copied());
    assert_eq!(setting("Type"), "notify");
    assert_eq!(setting("StateDirectory"), "skopos");
    assert!(start.contains(&"/var/lib/skopos"), "{start:?}");
    for name in ["Restart", "LimitNOFILE", "ProtectSystem", "NoNewPrivileges", "DynamicUser"] {
        setting(name);
    }

    // systemd's own check, where there is systemd.
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("skopos.service");
    let here = unit.replace(start[0], env!("CARGO_BIN_EXE_skopos"));
    std::fs::write(&path, here).unwrap();
    let checked = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let checked = checked.unwrap();
    let complaints = String::from_utf8_lossy(&checked.stderr).into_owned();
    let ours: Vec<&str> = complaints.lines().filter(|l| l.contains("skopos.service")).collect();
    assert!(ours.is_empty(), "{complaints}");
}
