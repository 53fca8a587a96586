//! Encodes the native histograms of a chunk beside their sums (which lie with the values).
//!
//! Layouts (schema, spans, zero threshold, custom bounds) seldom change within a series, so a
//! layout is written when it differs from the one before. Counts are written as differences to the
//! counts before when both are whole numbers, else as bits.
//!
//! ```text
//! count (varint) { index delta (varint) | flags: hint (2 bits), same layout (1 bit)
//!   | layout unless same | zero count, count, positive and negative buckets: counts } …
//! layout:  schema (zigzag varint) | zero threshold (8 bytes) | spans, positive and negative:
//!          count (varint) { offset (zigzag varint), length (varint) } | custom values: count
//!          (varint) { 8 bytes }
//! count:   whole numbers: (zigzag(difference) << 1) as varint; else 1 and 8 bytes
//! ```

use std::sync::Arc;

use skopos_model::{BucketSpan, CounterResetHint, Histogram};

use super::Damaged;
use super::bytes::{Reader, put_varint, unzigzag, zigzag};

/// Whole numbers below this are written as differences; a difference keeps room for two flag bits.
const EXACT: f64 = 9_007_199_254_740_992.0;
const SAME_LAYOUT: u8 = 0b100;

pub(crate) fn encode(histograms: &[(usize, Arc<Histogram>)], base: usize, out: &mut Vec<u8>) {
    put_varint(out, histograms.len() as u64);
    let mut last_index = base;
    let mut before: Option<&Histogram> = None;
    for (index, histogram) in histograms {
        put_varint(out, (index - last_index) as u64);
        last_index = *index;
        let same = before.filter(|b| same_layout(b, histogram));
        out.push(hint_number(histogram.counter_reset_hint) | same.map_or(0, |_| SAME_LAYOUT));
        if same.is_none() {
            put_layout(out, histogram);
        }
        let mut counts_before = same.map(counts).into_iter().flatten();
        for count in counts(histogram) {
            put_count(out, count, counts_before.next().unwrap_or(0.0));
        }
        before = Some(histogram);
    }
}

pub(crate) fn decode(
    reader: &mut Reader<'_>,
    base: usize,
    sums: &[f64],
    out: &mut Vec<(usize, Arc<Histogram>)>,
) -> Result<(), Damaged> {
    let n = reader.count(sums.len())?;
    let mut index = 0_usize;
    let mut before: Option<Arc<Histogram>> = None;
    for i in 0..n {
        let step = reader.count(sums.len())?;
        index += step;
        if i > 0 && step == 0 {
            return Err(Damaged);
        }
        let flags = reader.byte()?;
        let same = flags & SAME_LAYOUT != 0;
        let mut histogram = match &before {
            Some(before) if same => Histogram::clone(before),
            None if same => return Err(Damaged),
            _ => read_layout(reader)?,
        };
        histogram.counter_reset_hint = hint_of(flags & 0b11);
        for count in counts_mut(&mut histogram) {
            *count = read_count(reader, if same { *count } else { 0.0 })?;
        }
        histogram.sum = *sums.get(index).ok_or(Damaged)?;
        let histogram = Arc::new(histogram);
        before = Some(Arc::clone(&histogram));
        out.push((base + index, histogram));
    }
    Ok(())
}

/// Whether two histograms have the same buckets; thresholds and bounds compare by bits.
fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive_buckets.len() == b.positive_buckets.len()
        && a.negative_buckets.len() == b.negative_buckets.len()
        && (a.custom_values.is_empty() && b.custom_values.is_empty()
            || bits(&a.custom_values) == bits(&b.custom_values))
}

fn counts(h: &Histogram) -> impl Iterator<Item = f64> {
    [h.zero_count, h.count]
        .into_iter()
        .chain(h.positive_buckets.iter().copied())
        .chain(h.negative_buckets.iter().copied())
}

fn counts_mut(h: &mut Histogram) -> impl Iterator<Item = &mut f64> {
    [&mut h.zero_count, &mut h.count]
        .into_iter()
        .chain(&mut h.positive_buckets)
        .chain(&mut h.negative_buckets)
}

fn whole(value: f64) -> Option<i64> {
    let is_whole = value.abs() < EXACT && value == value.trunc();
    // −0 is whole but would come back as 0.
    (is_whole && (value != 0.0 || value.is_sign_positive())).then_some(value as i64)
}

fn put_count(out: &mut Vec<u8>, count: f64, before: f64) {
    match (whole(count), whole(before)) {
        (Some(count), before) => {
            let difference = count - before.unwrap_or(0);
            put_varint(out, zigzag(difference) << 1);
        }
        (None, _) => {
            put_varint(out, 1);
            out.extend_from_slice(&count.to_bits().to_le_bytes());
        }
    }
}

fn read_count(reader: &mut Reader<'_>, before: f64) -> Result<f64, Damaged> {
    let n = reader.varint()?;
    if n & 1 == 1 {
        return reader.f64();
    }
    Ok(whole(before).unwrap_or(0).wrapping_add(unzigzag(n >> 1)) as f64)
}

fn put_layout(out: &mut Vec<u8>, h: &Histogram) {
    put_varint(out, zigzag(h.schema.into()));
    out.extend_from_slice(&h.zero_threshold.to_bits().to_le_bytes());
    for (spans, buckets) in
        [(&h.positive_spans, &h.positive_buckets), (&h.negative_spans, &h.negative_buckets)]
    {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, zigzag(span.offset.into()));
            put_varint(out, span.length.into());
        }
        put_varint(out, buckets.len() as u64);
    }
    put_varint(out, h.custom_values.len() as u64);
    for value in &h.custom_values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn read_layout(reader: &mut Reader<'_>) -> Result<Histogram, Damaged> {
    let mut histogram = Histogram {
        schema: i32::try_from(unzigzag(reader.varint()?)).map_err(|_| Damaged)?,
        zero_threshold: reader.f64()?,
        ..Histogram::default()
    };
    let Histogram { positive_spans, positive_buckets, negative_spans, negative_buckets, .. } =
        &mut histogram;
    for (spans, buckets) in [(positive_spans, positive_buckets), (negative_spans, negative_buckets)]
    {
        for _ in 0..bounded_count(reader)? {
            let offset = i32::try_from(unzigzag(reader.varint()?)).map_err(|_| Damaged)?;
            let length = u32::try_from(reader.varint()?).map_err(|_| Damaged)?;
            spans.push(BucketSpan { offset, length });
        }
        buckets.resize(bounded_count(reader)?, 0.0);
    }
    for _ in 0..bounded_count(reader)? {
        histogram.custom_values.push(reader.f64()?);
    }
    Ok(histogram)
}

/// A count of things of at least one byte each.
fn bounded_count(reader: &mut Reader<'_>) -> Result<usize, Damaged> {
    reader.count(reader.remaining())
}

fn hint_number(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::CounterReset => 1,
        CounterResetHint::NotCounterReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

fn hint_of(number: u8) -> CounterResetHint {
    match number {
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}
