//! The figures as Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::answers::{Distance, LOOSE};

pub struct Table {
    pub name: String,
    pub loaded: Loaded,
    pub memory: [u64; 3],
    pub rows: Vec<Row>,
}

pub struct Loaded {
    pub samples: u64,
    pub wall: [Duration; 3],
    pub cpu: [f64; 3],
}

pub struct Row {
    pub name: String,
    pub text: &'static str,
    pub differs: bool,
    /// Sorted, by system: Skopos, Prometheus, VictoriaMetrics.
    pub times: [Vec<Duration>; 3],
    /// Processor seconds per query.
    pub cpu: [f64; 3],
    pub strict: Distance,
    pub loose: Distance,
    pub bytes: usize,
}

impl Row {
    fn median(&self, system: usize) -> f64 {
        quantile(&self.times[system], 0.5)
    }

    fn ratio(&self, system: usize) -> f64 {
        self.median(0) / self.median(system)
    }

    /// Only answers that agree are compared.
    fn counts(&self) -> bool {
        self.strict.is_strict() && (self.differs || self.loose.is_loose())
    }

    fn remark(&self) -> String {
        let mut remark = String::new();
        if !self.strict.is_strict() {
            let _ = write!(remark, "not Prometheus' answer: {:?}; ", self.strict);
        }
        if !self.loose.is_loose() {
            let Distance { series, median, .. } = self.loose;
            let _ =
                write!(remark, "VM: {} of {} series, median {median:.2} off", series.1, series.0);
        }
        remark
    }
}

/// Milliseconds.
fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let index = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len());
    sorted[index - 1].as_secs_f64() * 1e3
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = ratios.filter(|r| *r > 0.0 && r.is_finite()).map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp()
}

pub fn line(row: &Row) -> String {
    let times: Vec<String> = (0..3).map(|i| format!("{:9.2}", row.median(i))).collect();
    format!(
        "{:24} {} ms   ×{:.2} of Prometheus ×{:.2} of VM, n={} {}",
        row.name,
        times.join(" "),
        row.ratio(1),
        row.ratio(2),
        row.times[0].len(),
        row.remark()
    )
}

pub fn print(circumstances: &str, tables: &[Table]) -> String {
    let mut out = String::from(
        "# PromQL beside Prometheus 2.42 and VictoriaMetrics 1.79\n\n\
         Written by `cargo xtask bench promql`; `benches/compare/` has the queries and says how it is measured.\n\
         Times are milliseconds from sending the request to the last byte of the answer, median and 95th percentile;\n\
         ratios below 1 mean that Skopos is faster. CPU is the ratio of processor time, which other work on the machine\n\
         disturbs less.\n\n",
    );
    let _ = writeln!(out, "```\n{}\n```\n", circumstances.trim());
    summary(&mut out, tables);
    for table in tables {
        let _ = writeln!(out, "\n## {}\n", table.name);
        let Loaded { samples, wall, cpu } = &table.loaded;
        let _ = writeln!(out, "| | Skopos | Prometheus | VictoriaMetrics |\n|---|---:|---:|---:|");
        let rate = |i: usize| *samples as f64 / 1e3 / wall[i].as_secs_f64();
        let per_cpu = |i: usize| *samples as f64 / 1e3 / cpu[i].max(0.01);
        let _ = writeln!(
            out,
            "| remote write, k samples/s | {:.0} | {:.0} | {:.0} |",
            rate(0),
            rate(1),
            rate(2)
        );
        let _ = writeln!(
            out,
            "| … per processor second | {:.0} | {:.0} | {:.0} |",
            per_cpu(0),
            per_cpu(1),
            per_cpu(2)
        );
        let [a, b, c] = table.memory;
        let _ = writeln!(out, "| resident after the queries, MiB | {a} | {b} | {c} |\n");
        let _ = writeln!(
            out,
            "| query | Skopos p50 / p95 | Prometheus p50 / p95 | VictoriaMetrics p50 / p95 | ÷ Prometheus | ÷ VM | CPU ÷ VM | answer, kB |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|"
        );
        for row in &table.rows {
            let _ =
                write!(out, "| {}{}", row.name, if row.counts() { "" } else { " (not counted)" });
            for times in &row.times {
                let _ =
                    write!(out, " | {:.2} / {:.2}", quantile(times, 0.5), quantile(times, 0.95));
            }
            let cpu = row.cpu[0].max(0.0005) / row.cpu[2].max(0.0005);
            let (prometheus, vm, kb) = (row.ratio(1), row.ratio(2), row.bytes / 1000);
            let _ = writeln!(out, " | {prometheus:.2} | {vm:.2} | {cpu:.2} | {kb} |");
        }
        for row in table.rows.iter().filter(|row| !row.remark().is_empty()) {
            let _ = writeln!(out, "\n- {}: {}", row.name, row.remark());
        }
        let _ = writeln!(out, "\n<details><summary>the queries</summary>\n");
        for row in &table.rows {
            let _ = writeln!(out, "- {}: `{}`", row.name, row.text);
        }
        let _ = writeln!(out, "\n</details>");
    }
    out
}

fn summary(out: &mut String, tables: &[Table]) {
    let counted = || tables.iter().flat_map(|table| &table.rows).filter(|row| row.counts());
    let mean = |system: usize| geometric_mean(counted().map(|row| row.ratio(system)));
    let vm_to_prometheus = geometric_mean(counted().map(|row| row.median(2) / row.median(1)));
    let cpu = geometric_mean(counted().map(|row| row.cpu[0].max(0.0005) / row.cpu[2].max(0.0005)));
    let _ = writeln!(
        out,
        "**Geometric mean over {} queries: Skopos takes {:.2} × VictoriaMetrics' time (target ≤ 0.9) and {:.2} × Prometheus'; \
         VictoriaMetrics takes {vm_to_prometheus:.2} × Prometheus'. Processor time: {cpu:.2} × VictoriaMetrics'.**",
        counted().count(),
        mean(2),
        mean(1),
    );
    let _ = writeln!(
        out,
        "\nAnswers are compared before times count: Prometheus' must be ours within 1e-9 point by point; VictoriaMetrics', which \
         does not extrapolate and counts the sample before a window, must have the same series and be within {} % at the median, \
         except where `queries.txt` says that it means something else.",
        LOOSE * 100.0
    );
}
