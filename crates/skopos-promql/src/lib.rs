//! PromQL: parser, planner, evaluator, annotations, and a runner for Prometheus' test scripts.
//!
//! What it is not: it fetches nothing, asks no clock and waits for nothing. A query runs in three
//! steps, of which the host does the middle one: [`parse`] and [`Plan::new`] say what must be
//! fetched ([`Plan::selects`]); the host fetches it; [`evaluate`] computes the answer from it.
//!
//! What it promises:
//! - The semantics of Prometheus 3: left-open ranges, stale markers by their bits, extrapolation,
//!   native histograms, errors and remarks worded as Prometheus words them.
//! - No query and no data make it panic, and no query makes it run past its
//!   [`QueryBudget`](skopos_model::storage::QueryBudget).
//! - The same input gives the same bits.
//!
//! ```
//! use std::sync::Arc;
//! use skopos_model::storage::{QueryBudget, SelectedSeries, SeriesSet};
//! use skopos_model::{Labels, Sample};
//! use skopos_promql::{EvalParams, ParseOptions, Plan, Value, evaluate, parse};
//!
//! let query = r#"sum by (job) (rate(http_requests_total[5m]))"#;
//! let expr = parse(query, &ParseOptions::default())?;
//! let plan = Plan::new(&expr, EvalParams::instant(600_000))?;
//! assert_eq!(plan.selects().len(), 1);
//!
//! // What a store would answer: one series, one sample each 30 s, growing by 60.
//! let labels = Labels::from_pairs([("__name__", "http_requests_total"), ("job", "shop")]);
//! let samples: Vec<Sample> =
//!     (0..=20).map(|i| Sample::float(i * 30_000, i as f64 * 60.0)).collect();
//! let set = SeriesSet { series: vec![SelectedSeries { labels, samples: Arc::new(samples) }] };
//!
//! let result = evaluate(&plan, vec![set], &QueryBudget::unlimited())?;
//! let Value::Vector(vector) = result.value else { panic!("instant queries yield vectors") };
//! assert_eq!(vector[0].labels.to_string(), r#"{job="shop"}"#);
//! assert_eq!(vector[0].value, skopos_model::SampleValue::Float(2.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod annotations;
pub mod ast;
pub mod error;
mod eval;
pub mod format;
pub mod functions;
pub mod fuzz;
mod histogram;
mod lexer;
pub mod parser;
pub mod plan;
pub mod promqltest;
pub mod span;
pub mod value;

pub use annotations::{Annotation, Annotations, Severity};
pub use ast::{Expr, ExprKind, ValueType};
pub use error::{EvalError, ParseError, PlanError};
pub use eval::{Execution, evaluate, evaluate_with};
pub use format::{format_duration_ms, format_value};
pub use functions::Function;
pub use histogram::histogram_share_below;
pub use parser::{ParseOptions, parse, parse_selector};
pub use plan::explain::{Cost, Explanation, Operator, Profile};
pub use plan::{EvalParams, MAX_POINTS_PER_SERIES, Plan};
pub use span::{LineColumn, Place, Span, caret_snippet};
pub use value::{MatrixSeries, QueryResult, QueryStats, QueryableSamples, Value, VectorSample};
