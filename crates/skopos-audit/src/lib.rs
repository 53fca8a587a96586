//! Finds what leaves a repository's services flying blind: logging, metrics, tracing, health checks and alerts that are
//! missing, secrets that are logged.
//!
//! What it is: [`audit`] reads a [`Tree`] once, turns code into [`Fact`]s and configuration into [`files::Document`]s, finds
//! the services and what shows them, and lets every [`Rule`] judge each service over what is known of it. Rules are pages in
//! `rules/` whose examples are their tests.
//!
//! What it is not: a linter of lines, a scanner for committed secrets, a type checker. It runs nothing, downloads nothing,
//! and changes a file only when asked to fix.
//!
//! What it promises:
//! - the same files and configuration give the same report, whatever the order in which files were read;
//! - no input makes it fail: what cannot be made out is reported and left out;
//! - what cannot be told from the repository is *unknown*, with what would settle it: never a finding, never a pass;
//! - a comment holds back only what it names, and only with a reason.
//!
//! What it asks of a program that it is a part of: that nobody else calls `tree_sitter::set_allocator`. It gives that parser
//! its own memory, for the whole process, the first time that code is read: one that was set before would be replaced, and
//! what it gave out be freed by the system.
//!
//! ```
//! use skopos_audit::{Config, MemoryTree, audit};
//!
//! let tree = MemoryTree::of([("package.json", r#"{"name": "shop", "dependencies": {"react": "19"}}"#)]);
//! let report = audit(&tree, &Config::default());
//! assert_eq!(report.services[0].kind.as_str(), "client");
//! assert_eq!(report.failures().count(), 0);
//! ```

mod baseline;
mod cache;
mod case;
pub mod cli;
mod config;
mod discover;
mod engine;
pub mod fact;
pub mod files;
pub mod fix;
pub mod guide;
pub mod lang;
mod live;
pub mod output;
mod prefilter;
mod production;
mod report;
mod repository;
mod role;
mod rule;
mod rules;
mod score;
mod sensitive;
mod service;
mod since;
mod span;
mod suppress;
mod tree;
mod verdict;
mod walk;

pub use baseline::Baseline;
pub use cache::Cache;
pub use case::Case;
pub use config::{Accepted, Config, ConfigError, Elsewhere, FILE_NAME, ServiceOverride};
pub use engine::{Means, RULES_VERSION, audit, audit_with, judge, read};
pub use fact::{Fact, FactKind, Guard, Level, Scope};
pub use fix::Safety;
pub use lang::Language;
pub use live::{Live, LiveService};
pub use production::{Pass, PillarCheck, ProductionCheck, ServiceCheck};
pub use report::{FileProblem, Finding, REPORT_VERSION, Report, ServiceReport, Stats, Suppressed};
pub use repository::{File, Repository, Role};
pub use rule::{Judge, Pillar, Rule, Severity};
pub use score::{Lost, PillarScore, Score};
pub use service::{Evidence, Kind, Service};
pub use span::{Lines, Place, Span};
pub use tree::{MemoryTree, Tree};
pub use verdict::{Judgement, Verdict, Verdicts};
pub use walk::{FolderTree, WalkError};
