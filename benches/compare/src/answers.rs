//! Whether two systems say the same, before their times count.
//!
//! Prometheus must agree with Skopos point by point within 1e-9. VictoriaMetrics means something
//! else by rates (no extrapolation, the sample before the window counts), so its answers must have
//! the same series and agree within a few percent at the median.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// Median relative difference up to which VictoriaMetrics' answer counts as the same.
pub const LOOSE: f64 = 0.05;
pub const STRICT: f64 = 1e-9;

type Points = BTreeMap<(String, String), f64>;

/// How far two answers are apart.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    pub series: (usize, usize),
    pub points: (usize, usize),
    /// Of relative differences of points that both have.
    pub median: f64,
    pub largest: f64,
}

impl Distance {
    pub fn between(ours: &[u8], theirs: &[u8]) -> Result<Self> {
        let (ours, theirs) = (points(ours)?, points(theirs)?);
        let mut all: Vec<f64> =
            ours.iter().filter_map(|(key, a)| theirs.get(key).map(|b| relative(*a, *b))).collect();
        all.sort_by(f64::total_cmp);
        let of = |points: &Points| {
            let mut names: Vec<&str> = points.keys().map(|(metric, _)| metric.as_str()).collect();
            names.dedup();
            names.len()
        };
        Ok(Self {
            series: (of(&ours), of(&theirs)),
            points: (ours.len(), theirs.len()),
            median: all.get(all.len() / 2).copied().unwrap_or(f64::INFINITY),
            largest: all.last().copied().unwrap_or(f64::INFINITY),
        })
    }

    pub fn is_strict(&self) -> bool {
        self.points.0 == self.points.1 && self.series.0 == self.series.1 && self.largest <= STRICT
    }

    pub fn is_loose(&self) -> bool {
        self.series.0 == self.series.1 && self.median <= LOOSE
    }
}

fn relative(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() / a.abs().max(b.abs()) }
}

fn points(body: &[u8]) -> Result<Points> {
    let answer: Value = serde_json::from_slice(body).context("read an answer")?;
    let mut points = Points::new();
    for series in answer["data"]["result"].as_array().into_iter().flatten() {
        let metric = series["metric"].to_string();
        let one = std::slice::from_ref(&series["value"]);
        let values = series["values"].as_array().map_or(one, Vec::as_slice);
        for pair in values {
            let value = pair[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
            points.insert((metric.clone(), pair[0].to_string()), value);
        }
    }
    Ok(points)
}
