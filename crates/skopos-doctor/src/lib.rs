//! The doctor: visits a running service, in any language, and says what of the production-monitoring guide it meets.
//!
//! [`examine`] asks the service over HTTP, takes its OTLP and its log lines where they can be had, and comes back with one
//! [`Verdict`] for each of the [`DEMANDS`]: it holds, it does not, or nothing could be seen, and then what would settle it.
//! [`judge`](judge::judge) is the pure half: from what was [`Seen`] to verdicts.
//!
//! It is **not** an audit (that reads the sources), no load test and no security scanner, and knows no storage: a running
//! Skopos is asked through its API like anybody's.
//!
//! It promises:
//! - it sends `GET` only, a dozen requests or so, and nothing that means to change state;
//! - everything from outside is bounded: time, bytes of an answer, spans, lines, what is shown of them;
//! - what it shows of foreign text is printable and redacted; what it was given to authenticate with is never shown;
//! - a demand that it saw nothing of is *unknown*, never good.
//!
//! ```no_run
//! # #[tokio::main]
//! # async fn main() -> Result<(), skopos_doctor::Error> {
//! use skopos_doctor::{Options, examine};
//!
//! let report = examine(&Options::new("http://127.0.0.1:8000"), &|step| eprintln!("{step}")).await?;
//! print!("{}", report.render(&|_, word| word.to_owned()));
//! assert_eq!(report.failed(), 0);
//! # Ok(())
//! # }
//! ```

mod demand;
mod heard;
pub mod judge;
mod line;
mod report;
mod seen;
mod shown;
mod visit;

pub use demand::{DEMANDS, Demand, Section};
pub use heard::{Heard, HeardSpan};
pub use line::Line;
pub use report::{Report, Status, Verdict};
pub use seen::{Answer, Ids, Seen, Source, Try};
pub use visit::{Logs, Options, Otlp, Skopos, Step, examine};

/// Why no visit could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none that can be asked.
    #[error("{url:?} is no address of a service: {reason}")]
    Address {
        /// What was given, without credentials.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header that was given cannot be sent.
    #[error("header {name:?} cannot be sent: {reason}")]
    Header {
        /// Its name; never its value.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing answers.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The address asked.
        url: String,
        /// What the last attempt came to.
        reason: String,
    },
    /// The command that was to be examined ended before the service answered.
    #[error("the command ended ({status}) before {url} answered{output}")]
    CommandEnded {
        /// The address asked.
        url: String,
        /// How it ended.
        status: String,
        /// Its last lines, each after a line break.
        output: String,
    },
    /// The address for OTLP cannot be listened on, and no Skopos answers in its place.
    #[error("cannot listen for OTLP at {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
    },
    /// A file or a process could not be used.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was to be done, as a verb phrase.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
}
