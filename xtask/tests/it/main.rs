//! The project's paperwork against its sources: the guide's fixtures are verbatim, the runbooks answer the five
//! questions, and `docs/coverage.md` quotes the guide and not our memory of it.
//!
//! The guide stands beside the checkout, not in it. Where it is absent the tests that read it say so and pass.

mod coverage;
mod guide_fixtures;

use std::path::{Path, PathBuf};

/// Returns the checkout's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the checkout").to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the guide, or `None` with a printed note where it is absent.
fn guide() -> Option<String> {
    let path = root().join("../shared/guide.md");
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: the guide is not at ../shared/guide.md");
    }
    text
}
