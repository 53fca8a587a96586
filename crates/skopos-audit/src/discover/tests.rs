use crate::{Config, MemoryTree, audit};

fn units(files: &[(&str, &str)]) -> Vec<(String, &'static str)> {
    let report = audit(&MemoryTree::of(files.iter().copied()), &Config::default());
    report.services.iter().map(|s| (s.name.clone(), s.kind.as_str())).collect()
}

#[test]
fn folders_that_say_nothing_give_no_names() {
    let flask = "from flask import Flask\napp = Flask(__name__)\n";
    let found = units(&[
        ("src/cart/src/requirements/prod.txt", "flask\n"),
        ("src/cart/src/app.py", flask),
        ("src/till/cmd/requirements.txt", "flask\n"),
        ("src/till/cmd/app.py", flask),
    ]);
    assert_eq!(found, [("cart".to_owned(), "service"), ("till".to_owned(), "service")]);
}

#[test]
fn packaging_of_what_others_made_is_no_service() {
    let found = units(&[
        ("docker/kafka/Dockerfile", "FROM apache/kafka:4\nCOPY server.properties /etc/\n"),
        (
            "pom.xml",
            "<project><artifactId>shop</artifactId><modules><module>a</module></modules></project>",
        ),
        ("docker/Dockerfile", "FROM eclipse-temurin:21\nCOPY app.jar .\n"),
        (
            "setup.py",
            "from setuptools import setup\nsetup(name='board', install_requires=['flask'])\n",
        ),
        ("board/app.py", "from flask import Flask\nclass Board(Flask):\n    pass\n"),
    ]);
    assert_eq!(found, [("board".to_owned(), "service")]);
}

#[test]
fn what_an_image_serves_is_a_service_whatever_its_code_says() {
    let django = |command: &'static str| {
        units(&[
            ("shop/requirements.txt", "django\n"),
            ("shop/manage.py", "import os\nif __name__ == '__main__':\n    main()\n"),
            ("shop/shop/settings.py", "DEBUG = True\nROOT_URLCONF = 'shop.urls'\n"),
            ("shop/shop/urls.py", "urlpatterns = []\n"),
            ("shop/Dockerfile", command),
        ])
    };
    let gunicorn = django("FROM python:3.12\nCMD [\"gunicorn\", \"shop.wsgi\"]\n");
    assert_eq!(gunicorn, [("shop".to_owned(), "service")]);
    let worker = django("FROM python:3.12\nCMD celery -A shop worker\n");
    assert_eq!(worker, [("shop".to_owned(), "worker")]);
    let migration = django("FROM python:3.12\nCMD python manage.py migrate\n");
    assert_ne!(migration, [("shop".to_owned(), "service")]);
}

#[test]
fn entry_points_are_evidence_beside_manifests_too() {
    let flask = "from flask import Flask\napp = Flask(__name__)\n";
    let found = units(&[
        ("services/a/requirements.txt", "flask\n"),
        ("services/a/app.py", flask),
        ("noman/x/app.py", flask),
        ("noman/x/views/more.py", flask),
        ("jobs/mail.py", "from celery import Celery\napp = Celery('mail')\n"),
    ]);
    let wanted = [("a", "service"), ("jobs", "worker"), ("x", "service")];
    assert_eq!(found, wanted.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn servers_that_share_a_manifest_are_several() {
    let flask = "from flask import Flask\napp = Flask(__name__)\n";
    let found = units(&[
        ("requirements.txt", "flask\n"),
        ("shared/log.py", "import logging\n"),
        ("services/cart/app.py", flask),
        ("services/till/app.py", flask),
    ]);
    let wanted = [("cart", "service"), ("repository", "library"), ("till", "service")];
    assert_eq!(found, wanted.map(|(name, kind)| (name.to_owned(), kind)));
    // What they depend on counts for each.
    let tree = MemoryTree::of([
        ("requirements.txt", "flask\nstructlog\n"),
        ("services/cart/app.py", flask),
        ("services/till/app.py", flask),
    ]);
    let report = audit(&tree, &Config::default());
    assert!(report.services.iter().filter(|s| s.kind.is_watched()).all(|s| s.files == 2));

    // One that takes in the other is one program.
    let mounted =
        "from flask import Flask\nfrom shop.admin import app as admin\napp = Flask(__name__)\n";
    let found = units(&[
        ("requirements.txt", "flask\n"),
        ("shop/admin/app.py", flask),
        ("shop/api/app.py", mounted),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn services_in_languages_that_are_not_read_are_listed() {
    let tree = MemoryTree::of([
        ("rb/Gemfile", "gem 'rails'\n"),
        ("rb/package.json", "{\"devDependencies\": {\"vite\": \"5\"}}"),
        ("rb/app/models/order.rb", "class Order\nend\n"),
        ("net/Orders.csproj", "<Project Sdk=\"Microsoft.NET.Sdk.Web\"></Project>"),
        ("net/Program.cs", "var app = WebApplication.Create();\n"),
        ("php/composer.json", "{\"require\": {\"laravel/framework\": \"^11\"}}"),
        ("php/public/index.php", "<?php\n"),
        ("ex/mix.exs", "[app: :shop]\n[{:phoenix, \"1\"}]\n"),
        ("ex/lib/shop.ex", "defmodule Shop do\nend\n"),
        ("docs/Gemfile", "gem 'jekyll'\n"),
    ]);
    let report = audit(&tree, &Config::default());
    let found: Vec<&str> = report.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(found, ["ex", "net", "php", "rb"]);
    for service in &report.services {
        assert_eq!(service.kind.as_str(), "service", "{}", service.name);
        assert!(service.not_judged.is_some() && service.score.is_none(), "{}", service.name);
    }
}

#[test]
fn routes_of_a_package_that_others_serve_are_no_service() {
    let manifest =
        |name: &str| format!("[package]\nname = \"{name}\"\n[dependencies]\naxum = \"0.8\"\n");
    let routes = "use axum::Router;\npub fn router() -> Router { Router::new() }\n";
    let serves =
        "use axum::Router;\npub async fn run() { axum::serve(listener, Router::new()).await; }\n";
    let main = "use axum::Router;\nfn main() { axum::serve(listener, Router::new()); }\n";
    let (api, edge, server) = (manifest("api"), manifest("edge"), manifest("server"));
    let found = units(&[
        ("crates/api/Cargo.toml", &api),
        ("crates/api/src/lib.rs", routes),
        ("crates/server/Cargo.toml", &server),
        ("crates/server/src/lib.rs", serves),
        ("crates/edge/Cargo.toml", &edge),
        ("crates/edge/src/main.rs", main),
    ]);
    let found: Vec<(&str, &str)> = found.iter().map(|(n, k)| (n.as_str(), *k)).collect();
    assert_eq!(found, [("api", "library"), ("edge", "service"), ("server", "service")]);
}

#[test]
fn a_general_name_of_a_program_is_that_of_its_module() {
    let server =
        "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":80\", nil) }\n";
    let tool = "package main\nimport \"fmt\"\nfunc main() { fmt.Println(1) }\n";
    let found = units(&[
        ("services/ingest/go.mod", "module example.com/shop/ingest\n"),
        ("services/ingest/cmd/server/main.go", server),
        ("services/ingest/cmd/simulator/main.go", tool),
    ]);
    let watched: Vec<&str> =
        found.iter().filter(|(_, kind)| *kind == "service").map(|(n, _)| n.as_str()).collect();
    assert_eq!(watched, ["ingest"]);
}
