//! Fixes: what they write, that a second run writes nothing more, and that nothing else is touched.

use std::fs;
use std::path::Path;

use skopos_audit::cli::{Args, Done, Format, run};
use skopos_audit::{Rule, fix};

struct Fix {
    rule: &'static str,
    /// Whether `--fix` alone does it.
    is_safe: bool,
    path: &'static str,
    before: &'static str,
    after: &'static str,
    /// Further files that the rule needs.
    beside: &'static [(&'static str, &'static str)],
}

const APP: &str = "from fastapi import FastAPI\napp = FastAPI()\n";

const FIXES: &[Fix] = &[
    Fix {
        rule: "LOG009",
        is_safe: true,
        path: "app.py",
        before: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay():\n    try:\n        charge()\n    except ValueError as e:\n        log.error(\"charge failed: %s\", e)\n",
        after: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay():\n    try:\n        charge()\n    except ValueError as e:\n        log.exception(\"charge failed: %s\", e)\n",
        beside: &[],
    },
    Fix {
        rule: "LOG005",
        is_safe: true,
        path: "app.py",
        before: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay(order, sum):\n    log.info(\"order %s costs %d\" % (order.id, sum))\n",
        after: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay(order, sum):\n    log.info(\"order %s costs %d\", order.id, sum)\n",
        beside: &[],
    },
    Fix {
        rule: "LOG005",
        is_safe: false,
        path: "app.py",
        before: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay(order, sum):\n    log.info(f\"order {order.id} is 100% {{paid}}\")\n    log.info(f\"{sum:>10}\")\n",
        after: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay(order, sum):\n    log.info(\"order %s is 100%% {paid}\", order.id)\n    log.info(f\"{sum:>10}\")\n",
        beside: &[],
    },
    Fix {
        rule: "LOG002",
        is_safe: false,
        path: "app.py",
        before: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay(order):\n    print(\"paid (at last), thanks\")\n    print(\"paid\", order)\n",
        after: "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n\ndef pay(order):\n    log.info(\"paid (at last), thanks\")\n    print(\"paid\", order)\n",
        beside: &[],
    },
    Fix {
        rule: "LOG002",
        is_safe: false,
        path: "index.js",
        before: "const express = require('express');\nconst pino = require('pino');\nconst logger = pino();\nconst app = express();\napp.get('/', (req, res) => {\n  console.warn(`late ${req.id}`);\n  console.log('a', 'b');\n  res.end();\n});\napp.listen(3000);\n",
        after: "const express = require('express');\nconst pino = require('pino');\nconst logger = pino();\nconst app = express();\napp.get('/', (req, res) => {\n  logger.warn(`late ${req.id}`);\n  console.log('a', 'b');\n  res.end();\n});\napp.listen(3000);\n",
        beside: &[(
            "package.json",
            "{\"name\": \"shop\", \"dependencies\": {\"express\": \"5\", \"pino\": \"9\"}}",
        )],
    },
    Fix {
        rule: "LOG004",
        is_safe: false,
        path: "main.go",
        before: "package main\n\nimport (\n\t\"log/slog\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {\n\tlogger := slog.New(slog.NewTextHandler(os.Stdout, nil))\n\tslog.SetDefault(logger)\n\thttp.HandleFunc(\"/orders\", orders)\n\thttp.ListenAndServe(\":8080\", nil)\n}\n",
        after: "package main\n\nimport (\n\t\"log/slog\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {\n\tlogger := slog.New(slog.NewJSONHandler(os.Stdout, nil))\n\tslog.SetDefault(logger)\n\thttp.HandleFunc(\"/orders\", orders)\n\thttp.ListenAndServe(\":8080\", nil)\n}\n",
        beside: &[("go.mod", "module example.com/orders\n\ngo 1.23\n")],
    },
    Fix {
        rule: "LOG010",
        is_safe: false,
        path: "app.py",
        before: "import logging\nfrom fastapi import FastAPI\nlogging.basicConfig(level=logging.DEBUG)\napp = FastAPI()\n",
        after: "import logging\nfrom fastapi import FastAPI\nlogging.basicConfig(level=logging.INFO)\napp = FastAPI()\n",
        beside: &[],
    },
    Fix {
        rule: "LOG010",
        is_safe: false,
        path: "compose.yaml",
        before: "services:\n  api:\n    build: .\n    environment:\n      LOG_LEVEL: debug\n",
        after: "services:\n  api:\n    build: .\n    environment:\n      LOG_LEVEL: info\n",
        beside: &[
            ("app.py", APP),
            ("Dockerfile", "FROM python:3.12\nCMD [\"uvicorn\", \"app:app\"]\n"),
        ],
    },
    Fix {
        rule: "LOG011",
        is_safe: false,
        path: "app.py",
        before: "from fastapi import FastAPI\napp = FastAPI(debug=True, title=\"shop\")\n",
        after: "from fastapi import FastAPI\napp = FastAPI(debug=False, title=\"shop\")\n",
        beside: &[],
    },
    Fix {
        rule: "SEC011",
        is_safe: false,
        path: "app.py",
        before: "from fastapi import FastAPI\nfrom sqlalchemy import create_engine\napp = FastAPI()\nengine = create_engine(\"postgresql://db/shop\", echo=True)\n",
        after: "from fastapi import FastAPI\nfrom sqlalchemy import create_engine\napp = FastAPI()\nengine = create_engine(\"postgresql://db/shop\", echo=False)\n",
        beside: &[],
    },
    Fix {
        rule: "ALR002",
        is_safe: false,
        path: "rules.yml",
        before: "groups:\n- name: g\n  rules:\n  - alert: Errors # every one\n    expr: rate(http_requests_total{status_code=~\"5..\"}[5m]) > 1\n    labels: { severity: critical }\n  - { alert: \"More\", expr: 'rate(http_requests_total[5m]) > 9', labels: { severity: critical } }\n",
        after: "groups:\n- name: g\n  rules:\n  - alert: Errors # every one\n    for: 5m\n    expr: rate(http_requests_total{status_code=~\"5..\"}[5m]) > 1\n    labels: { severity: critical }\n  - { alert: \"More\", for: 5m, expr: 'rate(http_requests_total[5m]) > 9', labels: { severity: critical } }\n",
        beside: &[("app.py", APP)],
    },
    Fix {
        rule: "ALR010",
        is_safe: false,
        path: "slo.yml",
        before: "apiVersion: openslo/v1\nkind: SLO\nmetadata: { name: availability }\nspec:\n  service: orders\n  indicator:\n    metadata: { name: availability }\n    spec:\n      ratioMetric:\n        good: { metricSource: { type: Prometheus, spec: { query: 'a' } } }\n        total: { metricSource: { type: Prometheus, spec: { query: 'b' } } }\n  timeWindow: [{ duration: 30d, isRolling: true }]\n  budgetingMethod: Occurrences\n  objectives:\n  - target: 1.0\n",
        after: "apiVersion: openslo/v1\nkind: SLO\nmetadata: { name: availability }\nspec:\n  service: orders\n  indicator:\n    metadata: { name: availability }\n    spec:\n      ratioMetric:\n        good: { metricSource: { type: Prometheus, spec: { query: 'a' } } }\n        total: { metricSource: { type: Prometheus, spec: { query: 'b' } } }\n  timeWindow: [{ duration: 30d, isRolling: true }]\n  budgetingMethod: Occurrences\n  objectives:\n  - target: 0.999\n",
        beside: &[("app.py", APP)],
    },
    Fix {
        rule: "COL001",
        is_safe: true,
        path: "collector.yaml",
        before: "receivers: { otlp: { protocols: { grpc: {} } } }\nprocessors:\n  batch: {}\n  memory_limiter: { check_interval: 1s, limit_mib: 400 }\nexporters: { otlp: { endpoint: 'tempo:4317' } }\nservice:\n  pipelines:\n    traces:\n      receivers: [otlp]\n      processors: [batch, memory_limiter]\n      exporters: [otlp]\n",
        after: "receivers: { otlp: { protocols: { grpc: {} } } }\nprocessors:\n  batch: {}\n  memory_limiter: { check_interval: 1s, limit_mib: 400 }\nexporters: { otlp: { endpoint: 'tempo:4317' } }\nservice:\n  pipelines:\n    traces:\n      receivers: [otlp]\n      processors: [memory_limiter, batch]\n      exporters: [otlp]\n",
        beside: &[("app.py", APP)],
    },
    Fix {
        rule: "LIF002",
        is_safe: false,
        path: "app.py",
        before: "import os\nimport sys\nfrom fastapi import FastAPI\nfrom opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\ntrace.set_tracer_provider(TracerProvider())\napp = FastAPI()\n\ndef stop():\n    os._exit(1)\n",
        after: "import os\nimport sys\nfrom fastapi import FastAPI\nfrom opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\ntrace.set_tracer_provider(TracerProvider())\napp = FastAPI()\n\ndef stop():\n    sys.exit(1)\n",
        beside: &[],
    },
    Fix {
        rule: "LIF004",
        is_safe: true,
        path: "Dockerfile",
        before: "FROM python:3.12\nCOPY . .\nCMD uvicorn app:app --host 0.0.0.0\n",
        after: "FROM python:3.12\nCOPY . .\nCMD [\"uvicorn\", \"app:app\", \"--host\", \"0.0.0.0\"]\n",
        beside: &[("app.py", APP)],
    },
    Fix {
        rule: "TRC004",
        is_safe: false,
        path: "main.go",
        before: "package main\n\nimport \"net/http\"\n\nfunc orders(w http.ResponseWriter, r *http.Request) {\n\treq, err := http.NewRequest(\"GET\", \"http://stock/items\", nil)\n\tif err != nil {\n\t\treturn\n\t}\n\thttp.DefaultClient.Do(req)\n}\n\nfunc main() {\n\thttp.HandleFunc(\"/orders\", orders)\n\thttp.ListenAndServe(\":8080\", nil)\n}\n",
        after: "package main\n\nimport \"net/http\"\n\nfunc orders(w http.ResponseWriter, r *http.Request) {\n\treq, err := http.NewRequestWithContext(r.Context(), \"GET\", \"http://stock/items\", nil)\n\tif err != nil {\n\t\treturn\n\t}\n\thttp.DefaultClient.Do(req)\n}\n\nfunc main() {\n\thttp.HandleFunc(\"/orders\", orders)\n\thttp.ListenAndServe(\":8080\", nil)\n}\n",
        beside: &[("go.mod", "module example.com/orders\n\ngo 1.23\n")],
    },
    Fix {
        rule: "TRC007",
        is_safe: false,
        path: "app.py",
        before: "from fastapi import FastAPI\nfrom opentelemetry.sdk.trace import TracerProvider\nfrom opentelemetry.sdk.trace.export import SimpleSpanProcessor\nfrom opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter\napp = FastAPI()\nprovider = TracerProvider()\nprovider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))\n",
        after: "from fastapi import FastAPI\nfrom opentelemetry.sdk.trace import TracerProvider\nfrom opentelemetry.sdk.trace.export import BatchSpanProcessor\nfrom opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter\napp = FastAPI()\nprovider = TracerProvider()\nprovider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))\n",
        beside: &[],
    },
];

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn args(root: &Path, rule: &str) -> Args {
    Args {
        path: root.to_owned(),
        select: vec![rule.to_owned()],
        no_cache: true,
        format: Format::Json,
        ..Args::default()
    }
}

fn audit(args: &Args) -> Done {
    run(args, "test").unwrap()
}

#[test]
fn fixes_write_what_they_should_and_only_once() {
    let mut wrong = String::new();
    for case in FIXES {
        let Fix { rule, is_safe, path, before, after, beside } = case;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, path, before);
        beside.iter().for_each(|(path, text)| put(root, path, text));
        let read = || fs::read_to_string(root.join(path)).unwrap();

        let found = audit(&args(root, rule)).output;
        let fix = format!("\"fix\": \"{}\"", if *is_safe { "safe" } else { "unsafe" });
        if !found.contains(&fix) {
            wrong += &format!("{rule} {path}: no {fix} in\n{found}\n");
            continue;
        }
        assert_eq!(read(), *before, "{rule}: nothing is mended unasked");

        let shown = audit(&Args { fix: true, diff: true, unsafe_fixes: true, ..args(root, rule) });
        assert_eq!((shown.code, read().as_str()), (1, *before), "{rule}: a diff changes nothing");
        assert!(shown.output.starts_with(&format!("--- a/{path}\n+++ b/{path}\n@@ ")), "{rule}");

        audit(&Args { fix: true, ..args(root, rule) });
        let safely = if *is_safe { after } else { before };
        if read() != **safely {
            wrong += &format!("{rule} {path} --fix:\n{}\n", read());
            continue;
        }
        let done = audit(&Args { fix: true, unsafe_fixes: true, ..args(root, rule) });
        if read() != *after {
            wrong += &format!("{rule} {path} --unsafe-fixes ({}):\n{}\n", done.notes, read());
            continue;
        }
        let again = audit(&Args { fix: true, unsafe_fixes: true, ..args(root, rule) });
        assert_eq!(read(), *after, "{rule}: a second time changes nothing");
        assert!(again.notes.starts_with("0 findings mended in 0 files"), "{rule}: {}", again.notes);
        for (path, text) in *beside {
            assert_eq!(fs::read_to_string(root.join(path)).unwrap(), *text, "{rule}: {path}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_fix_has_its_case_and_ten_rules_have_one() {
    let rules: Vec<&str> = fix::rules().collect();
    assert!(rules.len() >= 10);
    for rule in rules {
        assert!(Rule::find(rule).is_some() && FIXES.iter().any(|fix| fix.rule == rule), "{rule}");
    }
}

#[test]
fn what_is_held_back_or_elsewhere_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let debug = "from fastapi import FastAPI\napp = FastAPI(debug=True)\n";
    put(outside.path(), "other.py", debug);
    let held = debug.replace("debug=True)", "debug=True)  # skopos-ignore[LOG011]: behind a VPN");
    put(folder.path(), "app.py", &held);
    put(folder.path(), "node_modules/x/app.py", debug);
    std::os::unix::fs::symlink(outside.path().join("other.py"), folder.path().join("link.py"))
        .unwrap();
    let all = Args { fix: true, unsafe_fixes: true, ..args(folder.path(), "LOG011") };
    assert!(audit(&all).notes.starts_with("0 findings"));
    assert_eq!(fs::read_to_string(outside.path().join("other.py")).unwrap(), debug);
    assert_eq!(fs::read_to_string(folder.path().join("app.py")).unwrap(), held);
    assert_eq!(fs::read_to_string(folder.path().join("node_modules/x/app.py")).unwrap(), debug);

    // Known to the baseline: nobody asked for it to be mended.
    put(folder.path(), "app.py", debug);
    let baseline = folder.path().join("known.json");
    audit(&Args { write_baseline: Some(baseline.clone()), ..args(folder.path(), "LOG011") });
    let known = audit(&Args { baseline: Some(baseline), ..all.clone() });
    assert_eq!((known.code, known.notes.as_str()), (0, "0 findings mended in 0 files\n"));
    assert!(audit(&all).notes.starts_with("1 finding mended in 1 file"));

    // Written to by somebody else since it was read.
    let fixed = fix::Fixed {
        path: "app.py".into(),
        before: "what was read\n".into(),
        after: "what is to be\n".into(),
        findings: 1,
    };
    assert!(fix::write(folder.path(), &fixed).is_err());
    assert!(
        fix::write(
            folder.path(),
            &fix::Fixed { path: "link.py".into(), before: debug.into(), ..fixed }
        )
        .is_err()
    );
}
