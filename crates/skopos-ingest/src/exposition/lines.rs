//! The lines of a scrape: metadata, samples, exemplars, the end.
//!
//! One parser reads both formats; `strict` marks where OpenMetrics wants exactly one space and
//! forbids empty lines and free comments.

use std::borrow::Cow;
use std::collections::HashMap;

use skopos_model::{Exemplar, Labels, Metadata, MetricType, Sample, SeriesSamples, Temporality};

use super::cursor::{Cursor, Failure};
use super::labels::{Pairs, braces, freeze, normalise};
use super::{Exposition, ExpositionErrorKind, ExpositionFormat, ExpositionOptions};

/// The NaN that Prometheus stores for every NaN it reads from text.
const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

pub(super) struct Parser<'a, 'o> {
    cursor: Cursor<'a>,
    options: &'a ExpositionOptions<'o>,
    strict: bool,
    scrape: Exposition,
    /// Positions in the metadata by metric.
    declared: HashMap<Cow<'a, str>, usize>,
    /// The family of the last `# TYPE` line.
    family: Cow<'a, str>,
    kind: MetricType,
}

impl<'a, 'o> Parser<'a, 'o> {
    pub(super) fn new(text: &'a str, options: &'a ExpositionOptions<'o>) -> Self {
        Self {
            cursor: Cursor::new(text),
            options,
            strict: options.format == ExpositionFormat::OpenMetrics,
            scrape: Exposition::default(),
            declared: HashMap::new(),
            family: Cow::Borrowed(""),
            kind: MetricType::Unknown,
        }
    }

    pub(super) fn parse(mut self) -> Result<Exposition, Failure> {
        // Re-used for every sample.
        let mut pairs = Pairs::new();
        loop {
            if !self.strict {
                self.cursor.blanks();
            }
            match self.cursor.peek() {
                None if self.strict => return self.cursor.fail(ExpositionErrorKind::MissingEof),
                None => break,
                Some(b'\n') if !self.strict => self.cursor.at += 1,
                Some(b'#') => {
                    if self.comment()? {
                        break;
                    }
                }
                Some(_) => self.sample(&mut pairs)?,
            }
        }
        Ok(self.finish())
    }

    /// The names under which the store looks for metadata are those of the series.
    fn finish(mut self) -> Exposition {
        if self.strict {
            for metadata in &mut self.scrape.batch.metadata {
                let suffix = match metadata.metric_type {
                    MetricType::Counter => "_total",
                    MetricType::Info => "_info",
                    _ => continue,
                };
                if !metadata.metric.ends_with(suffix) {
                    metadata.metric.push_str(suffix);
                }
            }
        }
        self.scrape
    }

    /// A line that begins with `#`; says whether it was `# EOF`.
    fn comment(&mut self) -> Result<bool, Failure> {
        let start = self.cursor.at;
        self.cursor.at += 1;
        let spaced = self.separator_is_there();
        let keyword = if spaced { self.cursor.word() } else { "" };
        match keyword {
            "EOF" if self.strict => {
                self.cursor.eat(b'\n');
                if !self.cursor.rest().is_empty() {
                    return self.cursor.fail(ExpositionErrorKind::DataAfterEof);
                }
                return Ok(true);
            }
            "HELP" | "TYPE" => {}
            "UNIT" if self.strict => {}
            _ if self.strict => {
                self.cursor.at = start;
                return self.cursor.expected("# HELP, # TYPE, # UNIT or # EOF");
            }
            _ => {
                self.cursor.line();
                self.cursor.eat(b'\n');
                return Ok(false);
            }
        }
        self.separator("a metric name")?;
        let name = match self.cursor.peek() {
            Some(b'"') => self.cursor.quoted()?,
            _ => Cow::Borrowed(self.cursor.identifier(true)),
        };
        if name.is_empty() {
            return self.cursor.expected("a metric name");
        }
        match keyword {
            "HELP" => self.help(name)?,
            "TYPE" => self.metric_type(name)?,
            _ => self.unit(name)?,
        }
        self.end_of_line()?;
        Ok(false)
    }

    fn help(&mut self, name: Cow<'a, str>) -> Result<(), Failure> {
        if !self.at_end_of_line() {
            self.separator("a space")?;
        }
        let text = unescape_help(self.cursor.line(), self.strict);
        self.declare(name).help = text;
        Ok(())
    }

    fn metric_type(&mut self, name: Cow<'a, str>) -> Result<(), Failure> {
        self.separator("a metric type")?;
        let start = self.cursor.at;
        let word = self.cursor.word();
        let kind = match word {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            "unknown" => MetricType::Unknown,
            "untyped" if !self.strict => MetricType::Unknown,
            "gaugehistogram" if self.strict => MetricType::GaugeHistogram,
            "info" if self.strict => MetricType::Info,
            "stateset" if self.strict => MetricType::StateSet,
            other => return Err((start, ExpositionErrorKind::InvalidType(short(other)))),
        };
        self.declare(name.clone()).metric_type = kind;
        self.family = name;
        self.kind = kind;
        Ok(())
    }

    fn unit(&mut self, name: Cow<'a, str>) -> Result<(), Failure> {
        if self.at_end_of_line() {
            return Ok(());
        }
        self.separator("a unit")?;
        let start = self.cursor.at;
        let unit = self.cursor.word();
        let is_suffix = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
        if !unit.is_empty() && !is_suffix {
            let (unit, metric) = (short(unit), short(&name));
            return Err((start, ExpositionErrorKind::UnitNotSuffix { unit, metric }));
        }
        self.declare(name).unit = unit.to_owned();
        Ok(())
    }

    fn declare(&mut self, name: Cow<'a, str>) -> &mut Metadata {
        let metadata = &mut self.scrape.batch.metadata;
        let at = *self.declared.entry(name).or_insert_with_key(|name| {
            metadata.push(Metadata { metric: name.to_string(), ..Metadata::default() });
            metadata.len() - 1
        });
        &mut metadata[at]
    }

    fn sample(&mut self, pairs: &mut Pairs<'a>) -> Result<(), Failure> {
        let start = self.cursor.at;
        pairs.clear();
        let name = self.cursor.identifier(true);
        let mut metric = Cow::Borrowed(name);
        if !self.strict {
            self.cursor.blanks();
        }
        if self.cursor.peek() == Some(b'{') {
            let quoted = braces(&mut self.cursor, pairs, !self.strict)?;
            match quoted {
                Some(quoted) if name.is_empty() => metric = quoted,
                Some(_) => return Err((start, ExpositionErrorKind::InvalidMetricName)),
                None => {}
            }
        }
        if metric.is_empty() {
            self.cursor.at = start;
            return self.cursor.expected("a metric name");
        }
        if self.strict {
            self.separator("a space and a value")?;
        } else {
            self.cursor.blanks();
        }
        let value = self.number()?;
        let timestamp_ms = self.timestamp()?;
        let mut exemplars = Vec::new();
        if self.strict && self.cursor.rest().starts_with(" # ") {
            self.cursor.at += 3;
            exemplars.push(self.exemplar(timestamp_ms)?);
        }
        self.end_of_line()?;

        if matches!(
            self.kind,
            MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary
        ) {
            normalise(pairs, &metric, &self.family, self.kind);
        }
        let labels = freeze(pairs, metric, self.options).map_err(|kind| (start, kind))?;
        let series = &mut self.scrape.batch.series;
        if let Some(max) = self.options.sample_limit.filter(|max| series.len() >= *max) {
            let (limit, found) = ("sample_limit", max + 1);
            return Err((start, ExpositionErrorKind::Limit { limit, max, found }));
        }
        let own_time = timestamp_ms.filter(|_| self.options.honor_timestamps);
        if own_time.is_some() {
            self.scrape.explicitly_timed.push(series.len());
        }
        let timestamp_ms = own_time.unwrap_or(self.options.default_timestamp_ms);
        series.push(SeriesSamples {
            labels,
            samples: vec![Sample::float(timestamp_ms, value)],
            temporality: Temporality::Cumulative,
            start_timestamp_ms: None,
            exemplars,
        });
        Ok(())
    }

    /// `{labels} value [timestamp]` after ` # `.
    fn exemplar(&mut self, sample_ms: Option<i64>) -> Result<Exemplar, Failure> {
        let start = self.cursor.at;
        let mut pairs = Pairs::new();
        if braces(&mut self.cursor, &mut pairs, false)?.is_some() {
            return Err((start, ExpositionErrorKind::InvalidMetricName));
        }
        self.separator("a space and a value")?;
        let value = self.number()?;
        let timestamp_ms = self.timestamp()?;
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = pair[0].0.to_string();
            return Err((start, ExpositionErrorKind::DuplicateLabel(name)));
        }
        let present = pairs.iter().filter(|(_, value)| !value.is_empty());
        let labels = Labels::from_sorted_pairs(present.map(|(name, value)| (&**name, &**value)));
        let own_time = timestamp_ms.or(sample_ms).filter(|_| self.options.honor_timestamps);
        let timestamp_ms = own_time.unwrap_or(self.options.default_timestamp_ms);
        Ok(Exemplar { labels, timestamp_ms, value })
    }

    fn number(&mut self) -> Result<f64, Failure> {
        let start = self.cursor.at;
        let word = self.cursor.word();
        if word.is_empty() {
            return self.cursor.expected("a value");
        }
        match word.parse::<f64>() {
            Ok(value) if value.is_nan() => Ok(NORMAL_NAN),
            // Too large for a double is an error, unless infinity was meant.
            Ok(value) if value.is_finite() || word.contains(['n', 'N']) => Ok(value),
            _ => Err((start, ExpositionErrorKind::InvalidValue(short(word)))),
        }
    }

    /// A timestamp, if one follows: whole milliseconds, in OpenMetrics seconds with a fraction.
    fn timestamp(&mut self) -> Result<Option<i64>, Failure> {
        if self.strict {
            let rest = self.cursor.rest();
            if !rest.starts_with(' ') || rest.starts_with(" #") {
                return Ok(None);
            }
            self.cursor.at += 1;
        } else {
            self.cursor.blanks();
            if self.at_end_of_line() {
                return Ok(None);
            }
        }
        let start = self.cursor.at;
        let word = self.cursor.word();
        let millis = match self.strict {
            false => word.parse().ok(),
            true => word.parse::<f64>().ok().map(|seconds| seconds * 1_000.0).and_then(|millis| {
                // Beyond this a double no longer tells milliseconds apart.
                let sane = millis.abs() <= 9_007_199_254_740_992.0;
                sane.then_some(millis.round() as i64)
            }),
        };
        match millis {
            Some(millis) => Ok(Some(millis)),
            None => Err((start, ExpositionErrorKind::InvalidTimestamp(short(word)))),
        }
    }

    fn at_end_of_line(&self) -> bool {
        matches!(self.cursor.peek(), None | Some(b'\n'))
    }

    fn end_of_line(&mut self) -> Result<(), Failure> {
        if !self.strict {
            self.cursor.blanks();
        }
        match self.cursor.peek() {
            Some(b'\n') => self.cursor.at += 1,
            None => {}
            Some(_) => return self.cursor.expected("the end of the line"),
        }
        Ok(())
    }

    fn separator_is_there(&mut self) -> bool {
        if self.strict { self.cursor.eat(b' ') } else { self.cursor.blanks() > 0 }
    }

    fn separator(&mut self, before: &'static str) -> Result<(), Failure> {
        if self.separator_is_there() { Ok(()) } else { self.cursor.expected(before) }
    }
}

fn unescape_help(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.clone().next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            _ => {
                out.push('\\');
                continue;
            }
        }
        chars.next();
    }
    out
}

/// The beginning of a text for a message.
fn short(text: &str) -> String {
    text[..text.floor_char_boundary(60)].to_owned()
}
