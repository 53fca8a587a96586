//! Drives the fuzz targets of the readers: the committed corpus, then seeded mutations of it for
//! `SKOPOS_FUZZ_SECONDS` (1 by default).

use std::path::Path;
use std::time::Duration;

use skopos_audit::files;
use skopos_model::{Clock, SystemClock};

/// What the formats are made of, to be put anywhere.
const PIECES: [&str; 30] = [
    "\n---\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "- ",
    "  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "|\n  ",
    ">-\n  ",
    "\"",
    "'",
    "#",
    "\\\n",
    "{{ .Values.a }}",
    "{{- end }}",
    "{%",
    "<a b=\"c\">",
    "</a>",
    "<!--",
    "=",
    "<<EOF\n",
    "FROM a AS b\n",
    "${A:-b}",
    "é",
    "\0",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    data.truncate(4096);
    for _ in 0..=random.below(5) {
        let at = random.below(data.len() + 1);
        match random.below(4) {
            0 => {
                let end = (at + random.below(40)).min(data.len());
                data.drain(at..end);
            }
            1 => {
                let piece = PIECES[random.below(PIECES.len())].bytes();
                data.splice(at..at, piece);
            }
            2 if at < data.len() => data[at] = u8::try_from(random.next() & 0xff).unwrap(),
            _ => {
                let end = (at + random.below(120)).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
        }
    }
    data
}

fn run(folder: &str, check: fn(&[u8])) {
    let corpus = corpus(folder);
    corpus.iter().for_each(|data| check(data));
    check(b"");
    let seconds = std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let clock = SystemClock::new();
    let end = clock.monotonic() + Duration::from_secs(seconds.unwrap_or(1));
    let mut random = Random(0x5eed);
    let mut runs = 0;
    while clock.monotonic() < end {
        check(&mutate(&mut random, &corpus));
        runs += 1;
    }
    assert!(runs > 0, "{folder} never ran");
}

macro_rules! targets {
    ($($name:ident: $folder:literal, $check:path;)*) => {
        $(#[test]
        fn $name() {
            run($folder, $check);
        })*
    };
}

targets! {
    fuzz_audit_alerting_by_seeds: "alerting", files::alerting::fuzz_audit_alerting;
    fuzz_audit_alertmanager_by_seeds: "alerting", files::alertmanager::fuzz_audit_alertmanager;
    fuzz_audit_cargo_manifest_by_seeds: "manifest", files::manifest::cargo::fuzz_audit_cargo_manifest;
    fuzz_audit_code_by_seeds: "code", skopos_audit::lang::fuzz_audit_code;
    fuzz_audit_collector_by_seeds: "yaml", files::collector::fuzz_audit_collector;
    fuzz_audit_compose_by_seeds: "yaml", files::compose::fuzz_audit_compose;
    fuzz_audit_dockerfile_by_seeds: "dockerfile", files::dockerfile::fuzz_audit_dockerfile;
    fuzz_audit_files_by_seeds: "yaml", files::fuzz_audit_files;
    fuzz_audit_go_manifest_by_seeds: "manifest", files::manifest::go::fuzz_audit_go_manifest;
    fuzz_audit_helm_by_seeds: "helm", files::helm::fuzz_audit_helm;
    fuzz_audit_java_manifest_by_seeds: "manifest", files::manifest::java::fuzz_audit_java_manifest;
    fuzz_audit_json_by_seeds: "json", files::json::fuzz_audit_json;
    fuzz_audit_kubernetes_by_seeds: "yaml", files::kubernetes::fuzz_audit_kubernetes;
    fuzz_audit_kustomize_by_seeds: "yaml", files::kustomize::fuzz_audit_kustomize;
    fuzz_audit_log_conf_by_seeds: "log_conf", files::log_conf::fuzz_audit_log_conf;
    fuzz_audit_log_xml_by_seeds: "log_xml", files::log_xml::fuzz_audit_log_xml;
    fuzz_audit_objective_by_seeds: "alerting", files::objective::fuzz_audit_objective;
    fuzz_audit_other_manifest_by_seeds: "manifest", files::manifest::others::fuzz_audit_other_manifest;
    fuzz_audit_platform_by_seeds: "platform", files::platform::fuzz_audit_platform;
    fuzz_audit_process_by_seeds: "settings", files::process::fuzz_audit_process;
    fuzz_audit_prometheus_by_seeds: "alerting", files::prometheus::fuzz_audit_prometheus;
    fuzz_audit_proto_by_seeds: "proto", files::proto::fuzz_audit_proto;
    fuzz_audit_python_manifest_by_seeds: "manifest", files::manifest::python::fuzz_audit_python_manifest;
    fuzz_audit_settings_by_seeds: "settings", files::settings::fuzz_audit_settings;
    fuzz_audit_toml_by_seeds: "manifest", files::toml::fuzz_audit_toml;
    fuzz_audit_yaml_by_seeds: "yaml", files::yaml::fuzz_audit_yaml;
    fuzz_package_json_by_seeds: "json", files::manifest::fuzz_package_json;
}
