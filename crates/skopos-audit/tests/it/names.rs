//! What services are called: by the repository where it says so, else by the folder that is audited, which changes nothing
//! but what is shown and what a running server is asked for.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use skopos_audit::Live;
use skopos_audit::cli::{Args, Format, run};

const SERVER: &str = "from flask import Flask\napp = Flask(__name__)\n\n\n@app.get('/orders')\ndef orders():\n    print('x')\n    return {}\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn args(root: &Path) -> Args {
    Args { path: root.to_owned(), no_cache: true, format: Format::Json, ..Args::default() }
}

fn report(args: &Args) -> Value {
    serde_json::from_str(&run(args, "test").unwrap().output).unwrap()
}

fn names(report: &Value) -> Vec<&str> {
    let services = report["services"].as_array().unwrap().iter();
    services.map(|service| service["name"].as_str().unwrap()).collect()
}

#[test]
fn a_lone_service_is_called_by_its_folder_and_known_whatever_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("orders"), folder.path().join("clone-7/src"));
    for root in [&one, &other] {
        write(root, "app.py", SERVER);
        write(root, "requirements.txt", "flask\n");
    }
    let (first, second) = (report(&args(&one)), report(&args(&other)));
    assert_eq!(names(&first), ["orders"]);
    assert_eq!(names(&second), ["clone-7"], "`src` says nothing");
    let known = |report: &Value| -> Vec<String> {
        let all = report["findings"].as_array().unwrap().iter();
        all.map(|f| format!("{} {}", f["rule"], f["fingerprint"])).collect()
    };
    assert_eq!(known(&first), known(&second));
    assert!(known(&first).len() > 3);

    let baseline = folder.path().join("known.json");
    let writes = Args { write_baseline: Some(baseline.clone()), ..args(&one) };
    run(&writes, "test").unwrap();
    let held = run(&Args { baseline: Some(baseline), ..args(&other) }, "test").unwrap();
    assert_eq!(held.code, 0, "what is known in one clone is known in the next: {}", held.output);
}

#[test]
fn a_server_is_asked_for_the_folder_and_for_every_name_in_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let lone = folder.path().join("orders");
    write(&lone, "app.py", SERVER);
    let shop = folder.path().join("shop");
    write(&shop, "s/app.py", SERVER);
    write(&shop, "s/pyproject.toml", "[project]\nname = \"orders\"\ndependencies = [\"flask\"]\n");
    write(&shop, "t/app.py", SERVER);
    write(&shop, "t/requirements.txt", "flask\n");
    let seen = |service: &str| {
        let series = json!({"data": [{"__name__": "traces_spanmetrics_calls_total",
            "service_name": service, "span_name": "GET /orders"}]});
        Live::of_series("http://127.0.0.1:4319", &series).unwrap()
    };
    let said = |root: &Path, service: &str| -> Vec<String> {
        let live = Args { seen: Some(seen(service)), select: vec!["LIV001".into()], ..args(root) };
        let report = report(&live);
        let all = report["findings"].as_array().unwrap().iter();
        all.map(|f| f["message"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(said(&lone, "orders"), Vec::<String>::new());
    assert_eq!(
        said(&lone, "app"),
        ["http://127.0.0.1:4319 has never heard of `orders`; it knows app"]
    );
    // Folders name services in a repository, and the names of their manifests are theirs, too.
    assert_eq!(
        said(&shop, "orders"),
        ["http://127.0.0.1:4319 has never heard of `t`; it knows orders"]
    );
}
