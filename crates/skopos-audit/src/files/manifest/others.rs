//! Manifests of languages whose code is not read: `Gemfile`, `composer.json`, `mix.exs`, projects of .NET.
//!
//! What is asked of them is one thing: is this a service, so that the report can say that nobody judged it. A manifest
//! that names neither a framework that serves nor one that consumes gives nothing, and makes no unit.

use serde_json::Value;

use super::super::text::lines;
use super::super::{Document, Read, name};
use super::{Dependency, Manifest, Quoted};
use crate::service::Kind;
use crate::{Language, Span};

/// Packages and SDKs of programs that answer requests. A name may end in `*`.
const SERVES: [&str; 31] = [
    "rails",
    "sinatra",
    "hanami",
    "grape",
    "roda",
    "padrino",
    "Microsoft.NET.Sdk.Web",
    "laravel/framework",
    "laravel/lumen-framework",
    "symfony/framework-bundle",
    "slim/slim",
    "codeigniter4/framework",
    "cakephp/cakephp",
    "laminas/laminas-mvc",
    "mezzio/mezzio",
    "yiisoft/yii2",
    "hyperf/http-server",
    "phoenix",
    "plug_cowboy",
    "bandit",
    // On the JVM, for what is not Java: these manifests are read for Java.
    "org.springframework.boot:spring-boot-starter-web*",
    "io.ktor:ktor-server-*",
    "io.micronaut:micronaut-http-server*",
    "io.quarkus:quarkus-rest*",
    "io.quarkus:quarkus-resteasy*",
    "io.javalin:javalin",
    "org.http4k:http4k-server-*",
    "com.typesafe.play:play*",
    "com.typesafe.akka:akka-http*",
    "org.playframework:play*",
    "io.vertx:vertx-web",
];

/// Packages and SDKs of programs that consume jobs or messages.
const CONSUMES: [&str; 9] = [
    "sidekiq",
    "resque",
    "shoryuken",
    "karafka",
    "sneakers",
    "Microsoft.NET.Sdk.Worker",
    "broadway",
    "oban",
    "laravel/horizon",
];

pub(crate) fn wants(path: &str) -> bool {
    matches!(name(path), "Gemfile" | "gems.rb" | "composer.json" | "mix.exs")
        || project(path).is_some()
}

/// The name of a .NET project by its file; none for those of tests.
fn project(path: &str) -> Option<&str> {
    let own = name(path);
    let stem = own.strip_suffix(".csproj").or_else(|| own.strip_suffix(".fsproj"))?;
    let is_test = stem.ends_with("Tests") || stem.ends_with("Test") || stem.contains(".Tests.");
    (!is_test).then_some(stem)
}

pub(crate) fn read(path: &str, text: &str) -> Read {
    let mut read = Read::default();
    let manifest = match name(path) {
        "Gemfile" | "gems.rb" => gemfile(text),
        "composer.json" => composer(text),
        "mix.exs" => Some(mix(text)),
        _ => project(path).map(|name| sdk(name, text)),
    };
    if let Some(manifest) = manifest.filter(|manifest| runs(manifest).is_some()) {
        read.documents.push((Span::new(0, text.len()), Document::Manifest(manifest)));
    }
    read
}

/// What a manifest says that its program does, and by which dependency.
pub(crate) fn runs(manifest: &Manifest) -> Option<(Kind, &Dependency)> {
    let of = |names: &[&str]| {
        manifest.dependencies.iter().find(|dependency| {
            names.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(start) => dependency.name.starts_with(start),
                None => dependency.name == *wanted,
            })
        })
    };
    let serves = of(&SERVES).map(|dependency| (Kind::Service, dependency));
    serves.or_else(|| of(&CONSUMES).map(|dependency| (Kind::Worker, dependency)))
}

fn empty(name: Option<String>) -> Manifest {
    Manifest { language: Some(Language::Other), name, ..Manifest::default() }
}

fn dependency(name: &str, span: Span) -> Dependency {
    Dependency { name: name.to_owned(), version: None, is_dev: false, features: Vec::new(), span }
}

/// `gem "rails", "~> 7"`, one a line. A library's own Gemfile says `gemspec`.
fn gemfile(text: &str) -> Option<Manifest> {
    let mut manifest = empty(None);
    for (at, line) in lines(text).take(20_000) {
        let code = line.trim_start();
        if code.trim_end() == "gemspec" || code.starts_with("gemspec ") {
            return None;
        }
        let Some(rest) = code.strip_prefix("gem") else { continue };
        let rest = rest.trim_start_matches([' ', '(']);
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        let Some((gem, _)) = rest[1..].split_once(quote) else { continue };
        let start = at + line.len() - rest.len() + 1;
        manifest.dependencies.push(dependency(gem, Span::new(start, start + gem.len())));
    }
    Some(manifest)
}

/// `require` of Composer; what is published for others says `"type": "library"`.
fn composer(text: &str) -> Option<Manifest> {
    let value: Value = serde_json::from_str(text).ok()?;
    if value["type"].as_str().is_some_and(|kind| kind == "library" || kind.ends_with("-bundle")) {
        return None;
    }
    let mut manifest = empty(value["name"].as_str().map(str::to_owned));
    let quoted = Quoted::of(text);
    for (name, _) in value["require"].as_object().into_iter().flatten() {
        manifest.dependencies.push(dependency(name, quoted.key("require", name)));
    }
    Some(manifest)
}

/// `app: :shop` and `{:phoenix, "~> 1.7"}`: the atoms that tuples of an Elixir project begin with.
fn mix(text: &str) -> Manifest {
    let atom = |rest: &str| -> usize {
        rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())
    };
    let app = text.split_once("app: :").map(|(_, rest)| rest[..atom(rest)].to_owned());
    let mut manifest = empty(app);
    for (at, _) in text.match_indices("{:").take(2_000) {
        let start = at + 2;
        let end = start + atom(&text[start..]);
        manifest.dependencies.push(dependency(&text[start..end], Span::new(start, end)));
    }
    manifest
}

/// The SDK of a .NET project, which says what it is made for.
fn sdk(name: &str, text: &str) -> Manifest {
    let mut manifest = empty(Some(name.to_owned()));
    let key = "Sdk=\"";
    if let Some(start) = text.find(key).map(|at| at + key.len())
        && let Some((sdk, _)) = text[start..].split_once('"')
    {
        // `Sdk="Name/1.0"` pins a version.
        let sdk = sdk.split('/').next().unwrap_or(sdk);
        manifest.dependencies.push(dependency(sdk, Span::new(start, start + sdk.len())));
    }
    manifest
}

/// Reads any bytes as each of these manifests, for the fuzzer.
pub fn fuzz_audit_other_manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for path in ["Gemfile", "composer.json", "mix.exs", "Shop.csproj"] {
        super::assert_inside(&read(path, &text), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Option<(Option<String>, &'static str, String)> {
        let documents = read(path, text).documents;
        let Some((_, Document::Manifest(manifest))) = documents.into_iter().next() else {
            return None;
        };
        let (kind, by) = runs(&manifest)?;
        let span = by.span.start as usize..by.span.end as usize;
        Some((manifest.name.clone(), kind.as_str(), text[span].to_owned()))
    }

    #[test]
    fn frameworks_tell_services_and_workers() {
        let said = |name: Option<&str>, kind: &'static str, by: &str| {
            Some((name.map(str::to_owned), kind, by.to_owned()))
        };
        let gems = "source 'https://gems.test'\ngem 'pg'\n  gem \"rails\", '~> 7'\ngem 'sidekiq'\n";
        assert_eq!(of("Gemfile", gems), said(None, "service", "rails"));
        assert_eq!(of("Gemfile", "gem 'sidekiq'\n"), said(None, "worker", "sidekiq"));
        let composer = r#"{"name": "acme/shop", "require": {"laravel/framework": "^11"}}"#;
        let by = "\"laravel/framework\"";
        assert_eq!(of("composer.json", composer), said(Some("acme/shop"), "service", by));
        let mix = "def project, do: [app: :shop]\ndefp deps, do: [{:phoenix, \"~> 1.7\"}]\n";
        assert_eq!(of("mix.exs", mix), said(Some("shop"), "service", "phoenix"));
        let web = "<Project Sdk=\"Microsoft.NET.Sdk.Web\">\n</Project>\n";
        let by = "Microsoft.NET.Sdk.Web";
        assert_eq!(of("src/Orders.Api.csproj", web), said(Some("Orders.Api"), "service", by));
    }

    #[test]
    fn libraries_tests_and_tools_are_none() {
        assert_eq!(of("Gemfile", "gemspec\ngem 'rails'\n"), None);
        assert_eq!(of("Gemfile", "gem 'jekyll'\ngem 'cocoapods'\n"), None);
        let library = r#"{"type": "library", "require": {"slim/slim": "^4"}}"#;
        assert_eq!(of("composer.json", library), None);
        assert_eq!(of("composer.json", "{"), None);
        assert_eq!(of("A.csproj", "<Project Sdk=\"Microsoft.NET.Sdk\">"), None);
        assert!(!wants("Orders.Tests.csproj"));
    }
}
