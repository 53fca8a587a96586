//! One `TimeSeries`: labels, samples, exemplars; histograms have a file of their own.
//!
//! Fields may come in any order, so labels and plain samples are gathered first and the rest is
//! remembered by its place; only then is it known who sent it and whether the labels are sound.

use skopos_model::{Exemplar, Labels, METRIC_NAME, Sample, SeriesSamples, Temporality, Timestamp};

use super::label_cache::{Key, Session};
use super::wire::{Message, Value};
use super::{Decoder, GROUP, WRONG_TYPE, WriteError, utf8};
use crate::report::Refusal;

/// OpenMetrics' bound on the names and values of an exemplar's labels, in characters.
const MAX_EXEMPLAR_CHARS: usize = 128;

/// How a label of a series begins: field 1, with a length.
const LABEL_KEY: u8 = 1 << 3 | 2;

/// The labels in front of a series, and what follows them.
struct Front<'a> {
    key: Key,
    rest: Message<'a>,
}

/// Buffers that one series after another uses.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    pub(super) labels: Vec<(&'a str, &'a str)>,
    pub(super) exemplar_labels: Vec<(&'a str, &'a str)>,
    pub(super) exemplars: Vec<Message<'a>>,
    pub(super) histograms: Vec<Message<'a>>,
}

impl Scratch<'_> {
    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.exemplars.clear();
        self.histograms.clear();
    }
}

/// The float samples of a series message.
#[derive(Default)]
pub(super) struct Floats {
    samples: Vec<Sample>,
    /// Since when each has been counted; empty in the first version of the protocol.
    starts: Vec<i64>,
    /// Samples whose time is out of range.
    untimely: u64,
}

impl Floats {
    pub(super) fn push(&mut self, timestamp_ms: i64, value: f64) {
        match is_representable(timestamp_ms) {
            true => self.samples.push(Sample::float(timestamp_ms, value)),
            false => self.untimely += 1,
        }
    }

    pub(super) fn push_started(&mut self, timestamp_ms: i64, start_ms: i64, value: f64) {
        self.push(timestamp_ms, value);
        self.starts.resize(self.samples.len(), start_ms);
    }
}

/// How the protocol's version reads an exemplar: its labels, time and value. The inner error says
/// why the exemplar is worth nothing.
type ReadExemplar<'r, 'a> = &'r dyn Fn(
    Message<'a>,
    &mut Vec<(&'a str, &'a str)>,
) -> Result<Result<(i64, f64), &'static str>, WriteError>;

impl Decoder<'_> {
    /// Reads some series in their order; leaves none.
    pub(super) fn group<'a>(
        &mut self,
        group: &mut Vec<Message<'a>>,
        scratch: &mut Scratch<'a>,
    ) -> Result<(), WriteError> {
        let front = |message: &Message<'a>, known: &Session<'_>| {
            let mut rest = *message;
            let key = known.section(rest.take_front(LABEL_KEY));
            Front { key, rest }
        };
        let mut fronts = [const { None }; GROUP];
        if let Some(known) = &self.known {
            for (message, place) in group.iter().zip(&mut fronts) {
                *place = Some(front(message, known));
            }
            known.touch(fronts.iter().flatten().map(|front| front.key));
        }
        for (message, front) in group.drain(..).zip(fronts) {
            self.series(message, front, scratch)?;
        }
        Ok(())
    }

    fn series<'a>(
        &mut self,
        message: Message<'a>,
        front: Option<Front<'a>>,
        scratch: &mut Scratch<'a>,
    ) -> Result<(), WriteError> {
        let (Some(Front { key, rest }), Some(known)) = (front, &mut self.known) else {
            return self.read_series(message, scratch, None, 0).map(drop);
        };
        let front = rest.position();
        if let Some(labels) = known.find(key) {
            let left_bytes = self.left_bytes;
            if self.read_series(rest, scratch, Some(labels), front)? {
                return Ok(());
            }
            // There are more labels behind something else: they are all read anew.
            self.left_bytes = left_bytes;
            return self.read_series(message, scratch, None, front).map(drop);
        }
        let before = self.batch.series.len();
        let in_front = self.read_series(message, scratch, None, front)?;
        if let (true, Some(kept), Some(known)) =
            (in_front, self.batch.series.get(before), &mut self.known)
        {
            known.add(key, &kept.labels);
        }
        Ok(())
    }

    /// Reads a series, of which the labels before `front` may be known. Whether all its labels stand
    /// there; when they are known and do not, nothing is kept.
    fn read_series<'a>(
        &mut self,
        mut message: Message<'a>,
        scratch: &mut Scratch<'a>,
        known: Option<Labels>,
        front: usize,
    ) -> Result<bool, WriteError> {
        scratch.clear();
        let mut floats = Floats::default();
        let mut in_front = true;
        loop {
            let at = message.position();
            let Some((number, value)) = message.next_field()? else { break };
            match (number, value) {
                (1, Value::Bytes(_)) if known.is_some() => return Ok(false),
                (1, Value::Bytes(pair)) => {
                    in_front &= at < front;
                    scratch.labels.push(label(pair)?);
                }
                (2, Value::Bytes(pair)) => {
                    self.spend(size_of::<Sample>())?;
                    let (timestamp_ms, value) = sample(pair)?;
                    floats.push(timestamp_ms, value);
                }
                (3, Value::Bytes(exemplar)) => scratch.exemplars.push(exemplar),
                (4, Value::Bytes(histogram)) => scratch.histograms.push(histogram),
                (1..=4, _) => return Err(message.malformed(WRONG_TYPE)),
                _ => {}
            }
        }
        self.keep(scratch, known, floats, &|message, pairs| exemplar(message, pairs).map(Ok))?;
        Ok(in_front)
    }

    /// Keeps what was read of a series, whose labels are frozen unless they are known; whether any
    /// of it was kept.
    pub(super) fn keep<'a>(
        &mut self,
        scratch: &mut Scratch<'a>,
        known: Option<Labels>,
        floats: Floats,
        read_exemplar: ReadExemplar<'_, 'a>,
    ) -> Result<bool, WriteError> {
        let Scratch { labels, exemplar_labels, exemplars, histograms } = scratch;
        let Floats { mut samples, mut starts, untimely } = floats;
        let items = samples.len() + histograms.len();
        let frozen = match known.map_or_else(|| freeze(labels, self.limits), Ok) {
            Ok(frozen) => frozen,
            Err(refusal) => {
                let job = labels.iter().find(|(name, _)| *name == "job");
                self.name_sender(job.map_or("", |(_, job)| job));
                self.tally.reject(refusal, (items as u64 + untimely).max(1));
                return Ok(false);
            }
        };
        self.spend(size_of::<SeriesSamples>() + frozen.size_bytes())?;
        if untimely > 0 {
            self.name_sender(frozen.value("job"));
            self.tally.reject(invalid_time(&frozen), untimely);
        }
        for proto in histograms.iter() {
            match self.histogram(*proto)? {
                Ok((sample, start_ms)) => {
                    samples.push(sample);
                    if start_ms != 0 || !starts.is_empty() {
                        starts.resize(samples.len() - 1, 0);
                        starts.push(start_ms);
                    }
                }
                Err(Refusal { reason, message }) => {
                    self.name_sender(frozen.value("job"));
                    let refusal = Refusal::new(reason, format!("{frozen}: {message}"));
                    self.tally.reject(refusal, 1);
                }
            }
        }
        let mut exemplars = self.exemplars(exemplars, exemplar_labels, &frozen, read_exemplar)?;
        if samples.is_empty() && exemplars.is_empty() {
            return Ok(false);
        }
        // One entry per stretch of samples with the same start.
        loop {
            let start = starts.first().copied().unwrap_or(0);
            let same = starts.iter().take_while(|s| **s == start).count();
            let rest = match starts.len() > same {
                true => samples.split_off(same.min(samples.len())),
                false => Vec::new(),
            };
            let is_last = rest.is_empty();
            self.batch.series.push(SeriesSamples {
                labels: frozen.clone(),
                samples,
                temporality: Temporality::Cumulative,
                start_timestamp_ms: Some(start).filter(|s| *s != 0 && is_representable(*s)),
                exemplars: std::mem::take(&mut exemplars),
            });
            if is_last {
                return Ok(true);
            }
            self.spend(size_of::<SeriesSamples>())?;
            samples = rest;
            starts.drain(..same);
        }
    }

    /// An exemplar that cannot be kept never costs its series.
    fn exemplars<'a>(
        &mut self,
        messages: &[Message<'a>],
        pairs: &mut Vec<(&'a str, &'a str)>,
        series: &Labels,
        read: ReadExemplar<'_, 'a>,
    ) -> Result<Vec<Exemplar>, WriteError> {
        let max = self.limits.exemplars_per_point;
        // The last ones are the newest.
        let surplus = messages.len().saturating_sub(max);
        if surplus > 0 {
            self.name_sender(series.value("job"));
            self.tally.adjust("exemplars_per_point", surplus as u64, || {
                format!("exemplars dropped: limit `exemplars_per_point` is {max}")
            });
        }
        let mut exemplars = Vec::new();
        for message in messages.iter().skip(surplus) {
            pairs.clear();
            let found = read(*message, pairs)?;
            let chars = |(n, v): &(&str, &str)| n.chars().count() + v.chars().count();
            let length: usize = pairs.iter().map(chars).sum();
            let sound = found.and_then(|(timestamp_ms, value)| {
                if length > MAX_EXEMPLAR_CHARS {
                    Err("its labels exceed 128 characters")
                } else if !is_representable(timestamp_ms) {
                    Err("its time is out of range")
                } else {
                    let labels = sorted(pairs).map_err(|_| "it names a label twice, or not at all");
                    labels.map(|labels| (labels, timestamp_ms, value))
                }
            });
            match sound {
                Ok((labels, timestamp_ms, value)) => {
                    self.spend(size_of::<Exemplar>() + labels.size_bytes())?;
                    exemplars.push(Exemplar { labels, timestamp_ms, value });
                }
                Err(why) => {
                    self.name_sender(series.value("job"));
                    self.tally.adjust("invalid_exemplar", 1, || format!("exemplar dropped: {why}"));
                }
            }
        }
        Ok(exemplars)
    }

    pub(super) fn name_sender(&mut self, job: &str) {
        // OTLP's `service.namespace/service.name` is accounted to the service.
        self.tally.set_sender(job.rsplit('/').next().unwrap_or(job));
    }
}

fn label<'a>(mut message: Message<'a>) -> Result<(&'a str, &'a str), WriteError> {
    let (mut name, mut text) = ("", "");
    while let Some((number, value)) = message.next_field()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = utf8(bytes)?,
            (2, Value::Bytes(bytes)) => text = utf8(bytes)?,
            (1 | 2, _) => return Err(message.malformed(WRONG_TYPE)),
            _ => {}
        }
    }
    Ok((name, text))
}

fn sample(mut message: Message<'_>) -> Result<(i64, f64), WriteError> {
    let (mut timestamp_ms, mut number) = (0, 0.0);
    while let Some(field) = message.next_field()? {
        match field {
            (1, Value::Fixed64(bits)) => number = f64::from_bits(bits),
            (2, Value::Varint(ms)) => timestamp_ms = ms.cast_signed(),
            (1 | 2, _) => return Err(message.malformed(WRONG_TYPE)),
            _ => {}
        }
    }
    Ok((timestamp_ms, number))
}

fn exemplar<'a>(
    mut message: Message<'a>,
    pairs: &mut Vec<(&'a str, &'a str)>,
) -> Result<(i64, f64), WriteError> {
    let (mut timestamp_ms, mut number) = (0, 0.0);
    while let Some(field) = message.next_field()? {
        match field {
            (1, Value::Bytes(pair)) => pairs.push(label(pair)?),
            (2, Value::Fixed64(bits)) => number = f64::from_bits(bits),
            (3, Value::Varint(ms)) => timestamp_ms = ms.cast_signed(),
            (1..=3, _) => return Err(message.malformed(WRONG_TYPE)),
            _ => {}
        }
    }
    Ok((timestamp_ms, number))
}

/// Whether nanoseconds can say it too.
pub(super) fn is_representable(timestamp_ms: i64) -> bool {
    Timestamp::from_millis(timestamp_ms).as_millis() == timestamp_ms
}

pub(super) fn invalid_time(what: &dyn std::fmt::Display) -> Refusal {
    Refusal::new("invalid_timestamp", format!("{what}: the time of a sample is out of range"))
}

fn freeze(pairs: &mut Vec<(&str, &str)>, limits: &crate::Limits) -> Result<Labels, Refusal> {
    // The metric's name is no label for this limit.
    if pairs.len() > limits.labels_per_series + 1 {
        let (max, found) = (limits.labels_per_series, pairs.len() - 1);
        return Err(Refusal::limit("labels_per_series", max, found, "series"));
    }
    let (mut named, max_name, max_value) =
        (false, limits.label_name_bytes, limits.label_value_bytes);
    for (name, value) in pairs.iter() {
        if name.len() > max_name {
            return Err(Refusal::limit("label_name_bytes", max_name, name.len(), "label name"));
        }
        if *name == METRIC_NAME {
            named = !value.is_empty();
            if value.len() > max_name {
                let found = value.len();
                return Err(Refusal::limit("label_name_bytes", max_name, found, "metric name"));
            }
        } else if value.len() > max_value {
            let what = format!("value of label `{name}`");
            return Err(Refusal::limit("label_value_bytes", max_value, value.len(), &what));
        }
    }
    if !named {
        return Err(Refusal::new("empty_name", "a series has no metric name"));
    }
    sorted(pairs)
}

/// Labels of pairs in any order; an empty value means "no such label".
fn sorted(pairs: &mut Vec<(&str, &str)>) -> Result<Labels, Refusal> {
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_unstable();
        if let Some([(name, _), _]) = pairs.array_windows().find(|[a, b]| a.0 == b.0) {
            let message = format!("label `{name}` occurs twice");
            return Err(Refusal::new("duplicate_label", message));
        }
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Err(Refusal::new("invalid_label_name", "a label has no name"));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    Ok(Labels::from_sorted_pairs(pairs.iter().copied()))
}
