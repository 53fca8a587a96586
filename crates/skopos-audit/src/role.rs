//! What a file is for, by where it stands and how it begins.

use crate::repository::Role;

const VENDORED: &[&str] = &[
    "node_modules",
    "vendor",
    "third_party",
    "thirdparty",
    "third-party",
    "site-packages",
    "bower_components",
    ".venv",
    "venv",
    "virtualenv",
    "__pypackages__",
    "jspm_packages",
    "external_libs",
    "vendored",
    "_vendor",
    "_vendored",
];
const GENERATED: &[&str] = &[
    "dist",
    ".next",
    ".nuxt",
    "__generated__",
    "generated",
    "gen",
    "coverage",
    "storybook-static",
];
const TEST: &[&str] = &[
    "test",
    "tests",
    "__tests__",
    "__mocks__",
    "testing",
    "testdata",
    "test_data",
    "fixtures",
    "mocks",
    "spec",
    "specs",
    "e2e",
    "integration_tests",
    "integration-tests",
    "cypress",
    "playwright",
    "conformance",
    "snapshots",
    "k6",
    "locust",
    "loadtest",
    "loadtests",
    "load-test",
    "load-tests",
    "load_tests",
    "stress",
    "benches",
    "benchmark",
    "benchmarks",
    "testkit",
    "testutil",
    "testutils",
    "test-utils",
    "test_utils",
    "testmode",
    "functional-tests",
    "functional_tests",
    "system-tests",
    "system_tests",
];
/// How folders of tests end: `shop-integration-tests/`. Modules of Java may end shorter: `orders-it/`.
const TEST_ENDS: &[&str] = &["-tests", "_tests", "-e2e", "-benchmarks", "-mocks"];
const TEST_ENDS_OF_JAVA: &[&str] = &["-it", "-test", "-tests", "-benchmarks", "-benchmark"];
const EXAMPLE: &[&str] = &[
    "examples",
    "example",
    "docs",
    "doc",
    "samples",
    "sample",
    "demo",
    "demos",
    "tutorial",
    "tutorials",
    "website",
    "contrib",
    "documentation",
];
/// Folders whose scripts a browser runs.
const BROWSER: &[&str] =
    &["static", "public", "assets", "wwwroot", "webroot", "htdocs", "templates"];
/// Folders of code: what stands in them is part of a program, whatever it is called.
const CODE: &[&str] = &["src", "app", "lib", "internal", "pkg", "server", "api", "backend"];
const SCRIPT: &[&str] = &[
    "scripts",
    "script",
    "tools",
    "hack",
    "migrations",
    "alembic",
    "seeds",
    "seed",
    "bin",
    "notebooks",
    "ci",
    ".github",
    "devtools",
    "cli",
    "extra",
];

/// Packages that are shipped built: all their code stands in `dist`, and what was built is all there is to read.
#[derive(Debug, Default)]
pub(crate) struct Shipped {
    /// Folders of their manifests.
    roots: Vec<String>,
}

impl Shipped {
    /// Finds them by the paths of a repository.
    pub(crate) fn of(paths: &[String]) -> Self {
        let roots = paths.iter().filter_map(|path| path.strip_suffix("package.json"));
        let is_code = |path: &str| {
            [".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx"].iter().any(|end| path.ends_with(end))
                && !path.ends_with(".d.ts")
        };
        let roots = roots.filter(|root| root.is_empty() || root.ends_with('/'));
        let is_shipped = |root: &&str| {
            let root: &str = root;
            let own = paths.iter().filter_map(|path| path.strip_prefix(root));
            let code: Vec<&str> = own.filter(|path| is_code(path)).collect();
            let is_built = |path: &str| path.starts_with("dist/");
            let is_aside = |path: &str| {
                !path.contains('/')
                    || ["bin/", "node_modules/", "scripts/", "test/", "tests/"]
                        .iter()
                        .any(|folder| path.starts_with(folder))
            };
            code.iter().any(|path| is_built(path))
                && code.iter().all(|path| is_built(path) || is_aside(path))
        };
        Self { roots: roots.filter(is_shipped).map(str::to_owned).collect() }
    }

    /// A path without the `dist` of a shipped package.
    pub(crate) fn plain(&self, path: &str) -> String {
        let built = self.roots.iter().find_map(|root| {
            Some((root, path.strip_prefix(root.as_str())?.strip_prefix("dist/")?))
        });
        match built {
            Some((root, rest)) => format!("{root}{rest}"),
            None => path.to_owned(),
        }
    }
}

/// What a file is for. Folders of the path count from the root that is audited: an audit of an example takes it for
/// what it is, not for an example.
pub(crate) fn of(path: &str, text: &str) -> Role {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let is_in = |names: &[&str]| {
        parts.iter().any(|part| names.contains(&part.to_ascii_lowercase().as_str()))
    };
    if is_in(VENDORED) {
        return Role::Vendored;
    }
    if is_in(GENERATED) || is_generated(name, text) {
        return Role::Generated;
    }
    // `src/test/java` and `src/main/java`: what follows is a package, not a folder of tests.
    let package = parts.windows(2).position(|pair| pair == ["src", "main"]);
    let modules = &parts[..package.unwrap_or(parts.len())];
    let is_of = |names: &[&str], ends: &[&str]| {
        modules.iter().any(|part| {
            let part = part.to_ascii_lowercase();
            names.contains(&part.as_str()) || ends.iter().any(|end| part.ends_with(end))
        })
    };
    let ends = if package.is_some() { TEST_ENDS_OF_JAVA } else { TEST_ENDS };
    let is_test = is_of(TEST, ends) || modules.first() == Some(&"functional");
    if is_test_name(name) || is_test || is_of_tests(name, text) {
        return Role::Test;
    }
    if package.is_some() {
        // `demo/` is what makers of new projects call them.
        let aside = ["contrib", "examples", "example", "samples", "docs"];
        let is_aside = is_of(&aside, &["-examples", "-contrib"]);
        return if is_aside { Role::Example } else { Role::Production };
    }
    if is_of(EXAMPLE, &["-examples"]) {
        return Role::Example;
    }
    let is_script = [".js", ".mjs", ".ts", ".jsx", ".tsx"].iter().any(|end| name.ends_with(end));
    if is_script && (is_in(BROWSER) || is_of_a_page(text)) {
        return Role::Browser;
    }
    // At the top it builds the rest; further down it is about builds.
    let is_build = parts.is_empty() && matches!(name.split('.').next(), Some("build" | "make"));
    if is_in_scripts(&parts, name) || is_script_name(name) || is_build {
        return Role::Script;
    }
    Role::Production
}

/// Whether a script is one of a page: it touches the page, and nothing of Node.
fn is_of_a_page(text: &str) -> bool {
    let page = [
        "document.getElementById",
        "document.querySelector",
        "window.location",
        "$(document)",
        "document.createElement",
        "addEventListener(\"DOMContentLoaded",
        "addEventListener('DOMContentLoaded",
        "window.addEventListener",
        "window.document",
        "document.currentScript",
        "document.referrer",
        "localStorage.",
        "sessionStorage.",
    ];
    let node =
        ["require(", "module.exports", "process.", "from 'node:", "from \"node:", "__dirname"];
    let has = |sign: &&str| memchr::memmem::find(text.as_bytes(), sign.as_bytes()).is_some();
    has(&"eslint-env browser") || page.iter().any(has) && !node.iter().any(has)
}

/// Whether a file helps tests, by what it imports: Go's own package of tests, a case of `unittest`, `pytest`.
fn is_of_tests(name: &str, text: &str) -> bool {
    const HEAD: usize = 4000;
    let head = || {
        let end = (0..=HEAD.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        &text[..end.unwrap_or_default()]
    };
    match name.rsplit_once('.') {
        Some((_, "go")) => {
            let head = head();
            head.contains("\t\"testing\"\n") || head.contains("import \"testing\"\n")
        }
        Some((_, "py")) => {
            let head = head();
            head.contains("import pytest")
                || head.contains("unittest") && text.contains("TestCase)")
        }
        _ => false,
    }
}

/// Whether a folder above holds scripts: `tools/seed.py`, but not `app/tools/search.py` of a program.
fn is_in_scripts(parts: &[&str], name: &str) -> bool {
    let lower: Vec<String> = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
    lower.iter().enumerate().any(|(at, part)| {
        let in_code = lower[..at].iter().any(|above| CODE.contains(&above.as_str()));
        match part.as_str() {
            // Cargo's binaries, and what Express starts from.
            "bin" if name.ends_with(".rs") => false,
            "bin" => !matches!(name, "www.js" | "server.js" | "start.js" | "index.js"),
            "tools" | "ci" | "script" | "seed" | "seeds" | "extra" => !in_code,
            // Django's commands.
            "management" => lower.get(at + 1).is_some_and(|next| next == "commands"),
            part => SCRIPT.contains(&part),
        }
    })
}

fn is_test_name(name: &str) -> bool {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    match ending {
        "py" => {
            stem.starts_with("test_")
                || stem.ends_with("_test")
                || stem.ends_with("_tests")
                || stem.contains("pytest")
                || matches!(
                    stem,
                    "conftest"
                        | "tests"
                        | "testing"
                        | "run_tests"
                        | "runtests"
                        | "locustfile"
                        | "noxfile"
                        | "tasks_test"
                )
        }
        "go" => stem.ends_with("_test"),
        "rs" => {
            matches!(stem, "tests" | "test") || stem.ends_with("_test") || stem.ends_with("_tests")
        }
        "java" => {
            stem.ends_with("Test")
                || stem.ends_with("Tests")
                || stem.ends_with("IT")
                || stem.starts_with("Test")
        }
        "js" | "ts" | "jsx" | "tsx" | "mjs" | "cjs" | "mts" | "cts" => {
            stem.ends_with(".test")
                || stem.ends_with(".spec")
                || stem.ends_with("-test")
                || stem.ends_with(".stories")
                || stem.ends_with(".e2e-spec")
                || stem.ends_with(".cy")
                || matches!(stem, "run_tests" | "run-tests" | "runtests" | "runTests")
        }
        _ => false,
    }
}

/// Files of tools that run code: configuration of builds and tests, set-up scripts.
fn is_script_name(name: &str) -> bool {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    match ending {
        "py" => matches!(
            stem,
            "setup" | "fabfile" | "tasks_local" | "seed" | "manage" | "gunicorn_conf"
        ),
        "rs" => stem == "build",
        "js" | "ts" | "mjs" | "cjs" | "mts" | "cts" => {
            stem.ends_with(".config")
                || stem.ends_with("rc") && stem.starts_with('.')
                || matches!(
                    stem,
                    "gulpfile"
                        | "Gruntfile"
                        | "esbuild"
                        | "webpack"
                        | "seed"
                        | "karma.conf"
                        | "jest.setup"
                        | "vitest.setup"
                )
        }
        _ => false,
    }
}

fn is_generated(name: &str, text: &str) -> bool {
    let by_name = [
        ".min.js",
        ".bundle.js",
        "_pb2.py",
        "_pb2_grpc.py",
        ".pb.go",
        "_pb.js",
        "_pb.d.ts",
        "_grpc.pb.go",
        ".pb.gw.go",
        "_generated.go",
        ".gen.go",
        ".gen.ts",
        "_gen.go",
        ".generated.ts",
        ".generated.js",
    ];
    if by_name.iter().any(|ending| name.ends_with(ending)) {
        return true;
    }
    let end = text.char_indices().nth(600).map_or(text.len(), |(at, _)| at);
    let head = &text[..end];
    let says =
        ["DO NOT EDIT", "@generated", "Code generated by", "auto-generated by", "autogenerated by"];
    if says.iter().any(|sign| head.contains(sign)) {
        return true;
    }
    // Minified: lines that nobody reads.
    let is_script = name.ends_with(".js") || name.ends_with(".mjs") || name.ends_with(".cjs");
    is_script
        && text.len() > 5000
        && text.len() / (text.bytes().filter(|b| *b == b'\n').count() + 1) > 400
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_place_name_and_head() {
        let cases = [
            ("app/main.py", "", Role::Production),
            ("app/tests/test_api.py", "", Role::Test),
            ("src/orders.spec.ts", "", Role::Test),
            ("node_modules/express/index.js", "", Role::Vendored),
            ("api/orders_pb2.py", "", Role::Generated),
            ("api/orders.py", "# @generated by protoc\n", Role::Generated),
            ("scripts/seed.py", "", Role::Script),
            ("examples/hello/app.py", "", Role::Example),
            ("src/main/java/com/acme/demo/Api.java", "", Role::Production),
            ("src/test/java/com/acme/ApiTest.java", "", Role::Test),
            ("vite.config.ts", "", Role::Script),
            ("tools/load.py", "", Role::Script),
            ("app/tools/search.py", "", Role::Production),
            ("shop/management/commands/load.py", "", Role::Script),
            ("shop/management/orders.py", "", Role::Production),
            ("src/bin/server.rs", "", Role::Production),
            ("bin/shop.js", "", Role::Script),
            ("shop-it/src/main/java/com/acme/Load.java", "", Role::Test),
            ("contrib/graph/src/main/java/com/acme/Graph.java", "", Role::Example),
            ("src/main/java/com/acme/test/Api.java", "", Role::Production),
            ("functional/cmd/proxy/main.go", "", Role::Test),
            ("shoptest/server.go", "package shoptest\nimport (\n\t\"testing\"\n)\n", Role::Test),
            (
                "shop/storage/cases.py",
                "import unittest\nclass A(unittest.TestCase):\n    pass\n",
                Role::Test,
            ),
            ("shop/_vendor/pint.py", "", Role::Vendored),
            ("build.py", "", Role::Script),
            ("shop/build.py", "", Role::Production),
            ("run_tests.js", "", Role::Test),
            ("shop/static/js/cart.js", "", Role::Browser),
            ("shop/static/cart.py", "", Role::Production),
        ];
        for (path, text, role) in cases {
            assert_eq!(of(path, text), role, "{path}");
        }
    }
}
