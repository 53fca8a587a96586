//! Services: what of a repository runs, and what shows it.

use serde::Serialize;

use crate::{Language, Place};

/// What a unit of a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Answers requests.
    Service,
    /// Consumes jobs or messages.
    Worker,
    /// Runs once or on a schedule.
    Job,
    /// A command for people.
    Cli,
    /// Runs in a browser or on a phone.
    Client,
    /// Used by other code.
    Library,
    /// Tests, load tests, tools of development.
    Tool,
}

impl Kind {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Worker => "worker",
            Self::Job => "job",
            Self::Cli => "cli",
            Self::Client => "client",
            Self::Library => "library",
            Self::Tool => "tool",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Service, Self::Worker, Self::Job, Self::Cli, Self::Client, Self::Library, Self::Tool]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// Whether it is watched in production.
    pub fn is_watched(self) -> bool {
        matches!(self, Self::Service | Self::Worker)
    }
}

/// What shows that a unit is what it is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Where.
    pub place: Place,
    /// What stands there, in a few words (`FastAPI()`, `depends on express`).
    pub what: String,
}

/// A unit of the repository.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, unique in the repository.
    pub name: String,
    /// Whether nothing in the repository names it: its name is that of the folder that is audited, which is another one in
    /// the next clone.
    pub is_nameless: bool,
    /// What else it is called: the names in its manifests.
    pub aliases: Vec<String>,
    /// Its folder from the root; empty for the root.
    pub root: String,
    /// What it is.
    pub kind: Kind,
    /// What most of it is written in.
    pub language: Language,
    /// Whether a Dockerfile makes an image of it.
    pub has_image: bool,
    /// Why it is taken for what it is.
    pub evidence: Vec<Evidence>,
    /// Its files, own and folded in from libraries of the repository: indices of [`crate::Repository::files`], in order.
    pub files: Vec<usize>,
}
