use std::sync::Arc;

use skopos_model::storage::SampleBuffer;
use skopos_model::{BucketSpan, CounterResetHint, Histogram, STALE_NAN, Sample, SampleValue};

use super::Chunk;

/// A small generator, so that cases are many and repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn floats(values: impl IntoIterator<Item = f64>) -> SampleBuffer {
    let mut buffer = SampleBuffer::default();
    for (i, value) in values.into_iter().enumerate() {
        buffer.push(1_700_000_000_000 + i as i64 * 15_000, &SampleValue::Float(value));
    }
    buffer
}

/// Compares bits, since NaN is not equal to itself.
fn assert_same(a: &SampleBuffer, b: &SampleBuffer, what: &str) {
    assert_eq!(a.timestamps, b.timestamps, "{what}");
    let bits = |b: &SampleBuffer| b.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(a), bits(b), "{what}");
    assert_eq!(format!("{:?}", a.histograms), format!("{:?}", b.histograms), "{what}");
}

#[test]
fn values_come_back_bit_for_bit_and_small() {
    let mut random = Random(7);
    let mut walk = 0.0;
    let nan_payload = f64::from_bits(0x7ff8_dead_beef_0001);
    let cases: Vec<(&str, Vec<f64>, usize)> = vec![
        ("constant", vec![42.0; 240], 40),
        ("steady counter", (0..240).map(|i| 1e6 + f64::from(i) * 15.0).collect(), 40),
        (
            "counter",
            (0..240)
                .map(|_| {
                    walk += random.below(100) as f64;
                    walk
                })
                .collect(),
            240,
        ),
        ("two decimals", (0..240).map(|_| random.below(10_000) as f64 / 100.0).collect(), 480),
        ("one gap in decimals", (0..240).map(|i| if i == 99 { 1e15 } else { 0.5 }).collect(), 60),
        ("noise", (0..240).map(|_| f64::from_bits(random.next() >> 2)).collect(), 2000),
        (
            "stale and NaN among integers",
            (0..240)
                .map(|i| match i {
                    0 => STALE_NAN,
                    50 => nan_payload,
                    51 => -0.0,
                    _ => 7.0,
                })
                .collect(),
            80,
        ),
        ("extremes", vec![f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324], 80),
        ("single", vec![STALE_NAN], 30),
        ("two", vec![0.1, 0.2], 40),
        ("big integers", vec![9.007199254740991e15, -9.007199254740991e15, 1e300], 60),
    ];
    for (name, values, most_bytes) in cases {
        let buffer = floats(values);
        let chunk = Chunk::encode(&buffer, 0..buffer.len());
        let mut out = SampleBuffer::default();
        chunk.decode(i64::MIN, i64::MAX, &mut out).unwrap();
        assert_same(&out, &buffer, name);
        assert!(chunk.bytes.len() <= most_bytes, "{name}: {} bytes", chunk.bytes.len());
    }
}

#[test]
fn times_of_any_spacing_come_back() {
    for times in [
        vec![i64::MIN, 0, i64::MAX],
        vec![0, 1, 3, 60_000, 60_001],
        vec![-5, -4, 1_700_000_000_000],
    ] {
        let mut buffer = SampleBuffer::default();
        for time in times {
            buffer.push(time, &SampleValue::Float(1.5));
        }
        let mut out = SampleBuffer::default();
        Chunk::encode(&buffer, 0..buffer.len()).decode(i64::MIN, i64::MAX, &mut out).unwrap();
        assert_same(&out, &buffer, "times");
    }
}

fn random_histogram(random: &mut Random) -> Histogram {
    let lengths = [random.below(3) as u32, 1 + random.below(3) as u32];
    let spans = |lengths: &[u32]| {
        lengths.iter().map(|&length| BucketSpan { offset: 2, length }).collect::<Vec<_>>()
    };
    let buckets = |lengths: &[u32], random: &mut Random| {
        (0..lengths.iter().sum::<u32>())
            .map(|_| match random.below(8) {
                0 => 0.5,
                1 => -0.0,
                n => n as f64 * 1000.0,
            })
            .collect::<Vec<_>>()
    };
    Histogram {
        counter_reset_hint: [
            CounterResetHint::Unknown,
            CounterResetHint::Gauge,
            CounterResetHint::CounterReset,
            CounterResetHint::NotCounterReset,
        ][random.below(4) as usize],
        schema: if random.below(5) == 0 { -53 } else { 3 },
        zero_threshold: 1e-128,
        zero_count: random.below(5) as f64,
        count: random.below(1000) as f64,
        sum: if random.below(6) == 0 { STALE_NAN } else { random.below(1000) as f64 / 7.0 },
        positive_spans: spans(&lengths),
        positive_buckets: buckets(&lengths, random),
        negative_spans: spans(&lengths[..1]),
        negative_buckets: buckets(&lengths[..1], random),
        custom_values: if random.below(5) == 0 { vec![0.1, 1.0] } else { Vec::new() },
    }
}

#[test]
fn histograms_and_ranges_come_back() {
    let mut random = Random(11);
    for round in 0..300 {
        let mut samples = Vec::new();
        for i in 0..1 + random.below(60) as i64 {
            let value = if random.below(3) == 0 {
                SampleValue::Float(random.below(100) as f64 / 8.0)
            } else {
                SampleValue::Histogram(Arc::new(random_histogram(&mut random)))
            };
            samples.push(Sample { timestamp_ms: i * 1000 + random.below(900) as i64, value });
        }
        let mut buffer = SampleBuffer::default();
        samples.iter().for_each(|s| buffer.push(s.timestamp_ms, &s.value));
        let chunk = Chunk::encode(&buffer, 0..buffer.len());
        let (a, b) = (random.below(70_000) as i64, random.below(70_000) as i64);
        for (start, end) in [(i64::MIN, i64::MAX), (a.min(b), a.max(b)), (a.max(b), a.min(b))] {
            let mut want = floats([1.0]);
            want.timestamps[0] = -1;
            let mut got = want.clone();
            for s in samples.iter().filter(|s| start <= s.timestamp_ms && s.timestamp_ms <= end) {
                want.push(s.timestamp_ms, &s.value);
            }
            chunk.decode(start, end, &mut got).unwrap();
            assert_same(&got, &want, &format!("round {round}, {start}..={end}"));
        }
    }
}

#[test]
fn damaged_bytes_are_an_error_not_a_panic() {
    let mut random = Random(13);
    let mut buffer = floats((0..50).map(|i| f64::from(i) * 1.1));
    for i in 0..20 {
        let histogram = Arc::new(random_histogram(&mut random));
        buffer.push(1_800_000_000_000 + i, &SampleValue::Histogram(histogram));
    }
    let chunk = Chunk::encode(&buffer, 0..buffer.len());
    for _ in 0..20_000 {
        let mut bytes = chunk.bytes.to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        bytes.truncate(random.below(bytes.len() as u64 * 2) as usize);
        let damaged = Chunk { bytes: bytes.into(), ..chunk };
        let mut out = SampleBuffer::default();
        let _ = damaged.decode(0, i64::MAX, &mut out);
    }
}
