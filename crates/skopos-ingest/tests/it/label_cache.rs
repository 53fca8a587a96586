//! Decoding with known label sets yields what decoding without them does, whatever senders do with
//! the bytes that spell the labels.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use skopos_ingest::Limits;
use skopos_ingest::remote_write::{
    LabelCache, decode, decode_v2, decode_v2_with, decode_with, decompress, encode,
};
use skopos_model::{Labels, MetricBatch, SeriesSamples};

/// Names and values that meet often: empty, not UTF-8, the metric's name, the sender's, too long.
const TEXTS: [&[u8]; 10] =
    [b"__name__", b"job", b"a", b"b", b"up", b"shop", b"", b"\xff", b"x/y", &[b'v'; 140]];

/// A label's texts, and whether it stands behind the samples, has a field that nobody knows, or
/// lengths that are longer than need be.
type Label = (usize, usize, bool, bool, bool);

#[derive(Clone, Debug)]
struct Series {
    /// A sound label set, so that most series are.
    sound: usize,
    labels: Vec<Label>,
    samples: Vec<i64>,
    exemplar: bool,
}

fn any_series() -> impl Strategy<Value = Series> {
    let text = 0..TEXTS.len();
    let rare = || proptest::bool::weighted(0.1);
    let label = (text.clone(), text, rare(), rare(), rare());
    let labels = prop_oneof![3 => Just(Vec::new()), 2 => vec(label, 1..4)];
    (0..6_usize, labels, vec(prop_oneof![0..9_i64, Just(i64::MAX)], 0..3), rare())
        .prop_map(|(sound, labels, samples, exemplar)| Series { sound, labels, samples, exemplar })
}

fn limits() -> Limits {
    Limits { label_value_bytes: 130, labels_per_series: 4, ..Limits::default() }
}

/// A field with a length, which may be spelled with a byte more than needed.
fn field(number: u8, content: &[u8], long: bool) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![number << 3 | 2];
    match long {
        true => out.extend([len as u8 & 0x7f | 0x80, (len >> 7) as u8 | 0x80, 0]),
        false if len < 0x80 => out.push(len as u8),
        false => out.extend([len as u8 & 0x7f | 0x80, (len >> 7) as u8]),
    }
    out.extend(content);
    out
}

fn label(name: &[u8], value: &[u8], unknown: bool, long: bool) -> Vec<u8> {
    let mut pair = [field(1, name, false), field(2, value, long)].concat();
    if unknown {
        pair.extend(field(9, b"?", false));
    }
    field(1, &pair, long)
}

fn sample(at: i64) -> Vec<u8> {
    let mut out = vec![1 << 3 | 1];
    out.extend((at as f64).to_le_bytes());
    out.push(2 << 3);
    let mut rest = at as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn sound_labels(which: usize) -> [(&'static [u8], String); 3] {
    [(b"__name__", format!("up_{}", which % 3)), (b"job", "shop".into()), (b"n", which.to_string())]
}

fn v1(series: &[Series]) -> Vec<u8> {
    let mut body = Vec::new();
    for one in series {
        let (mut front, mut behind) = (Vec::new(), Vec::new());
        for (name, value) in sound_labels(one.sound) {
            front.extend(label(name, value.as_bytes(), false, false));
        }
        for &(name, value, late, unknown, long) in &one.labels {
            let to = if late { &mut behind } else { &mut front };
            to.extend(label(TEXTS[name], TEXTS[value], unknown, long));
        }
        one.samples.iter().for_each(|at| front.extend(field(2, &sample(*at), false)));
        if one.exemplar {
            let exemplar = [label(b"trace_id", b"7", false, false), sample(3)].concat();
            front.extend(field(3, &exemplar, false));
        }
        front.extend(behind);
        body.extend(field(1, &front, false));
    }
    body
}

/// The same in version 2: labels by the numbers of symbols, which begin at another one each time.
fn v2(series: &[Series], shift: usize) -> Vec<u8> {
    let mut symbols: Vec<Vec<u8>> = vec![Vec::new()];
    symbols.extend((0..shift).map(|i| format!("unused {i}").into_bytes()));
    let mut number = |text: &[u8]| {
        let at = symbols.iter().position(|known| known == text).unwrap_or_else(|| {
            symbols.push(text.to_vec());
            symbols.len() - 1
        });
        at as u8
    };
    let mut messages = Vec::new();
    for one in series {
        let mut refs = Vec::new();
        for (name, value) in sound_labels(one.sound) {
            refs.extend([number(name), number(value.as_bytes())]);
        }
        for &(name, value, missing, odd, _) in &one.labels {
            // Texts that are not UTF-8 would cost the request.
            let text = |at: usize| if TEXTS[at] == b"\xff" { &b"c"[..] } else { TEXTS[at] };
            refs.push(number(text(name)));
            if !odd {
                refs.push(if missing { 120 } else { number(text(value)) });
            }
        }
        let mut message = field(1, &refs, false);
        one.samples.iter().for_each(|at| message.extend(field(2, &sample(*at), false)));
        message.extend(field(5, &[1 << 3, one.sound as u8], false));
        messages.extend(field(5, &message, false));
    }
    let symbols = symbols.iter().flat_map(|text| field(4, text, false)).collect();
    [symbols, messages].concat()
}

fn same<T: Debug>(what: &str, plain: T, cached: T) {
    assert_eq!(format!("{cached:?}"), format!("{plain:?}"), "{what}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn known_label_sets_change_nothing(
        requests in vec(vec(any_series(), 0..5), 1..8),
        max_bytes in prop_oneof![Just(0_usize), Just(900), Just(1 << 20)],
        broken in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let limits = limits();
        let cache = LabelCache::new(&limits, max_bytes);
        for (shift, series) in requests.iter().enumerate() {
            let mut body = v1(series);
            same("version 1", decode(&body, &limits), decode_with(&body, &limits, Some(&cache)));
            if !body.is_empty() {
                let at = broken.0.index(body.len());
                body[at] ^= broken.1;
                let cached = decode_with(&body, &limits, Some(&cache));
                same("version 1, broken", decode(&body, &limits), cached);
            }
            let mut body = v2(series, shift);
            let cached = decode_v2_with(&body, &limits, Some(&cache));
            same("version 2", decode_v2(&body, &limits), cached);
            let at = broken.0.index(body.len());
            body[at] ^= broken.1;
            let cached = decode_v2_with(&body, &limits, Some(&cache));
            same("version 2, broken", decode_v2(&body, &limits), cached);
            prop_assert!(cache.size_bytes() <= max_bytes);
        }
    }
}

fn body(series: usize) -> Vec<u8> {
    let series = (0..series).map(|i| {
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", &format!("pod-{i}"))]);
        SeriesSamples::single(labels, 1_700_000_000_000, i as f64)
    });
    let batch = MetricBatch { series: series.collect(), metadata: Vec::new() };
    decompress(&encode(&batch), 1 << 24).unwrap()
}

#[test]
fn label_sets_are_read_once_and_shared_afterwards() {
    let limits = Limits::default();
    let cache = LabelCache::new(&limits, 1 << 20);
    let body = body(100);
    let read = || decode_with(&body, &limits, Some(&cache)).unwrap().decoded.value;
    let (first, second) = (read(), read());
    assert_eq!((cache.len(), cache.hits_and_misses()), (100, (100, 100)));
    for (first, second) in first.series.iter().zip(&second.series) {
        assert!(first.labels.is_same(&second.labels));
    }
    // Other limits would judge otherwise: they do without.
    let strict = Limits { label_value_bytes: 2, ..Limits::default() };
    let refused = decode_with(&body, &strict, Some(&cache)).unwrap();
    assert_eq!(refused.decoded.rejected_count(), 100);
}

#[test]
fn what_decoding_may_allocate_is_the_same() {
    let body = body(100);
    let generous = Limits::default();
    // The least that is enough, found by halving.
    let enough = |bytes: usize, cache: Option<&LabelCache>| {
        let limits = Limits { decoded_bytes: bytes, ..generous.clone() };
        decode_with(&body, &limits, cache).is_ok()
    };
    let cache = LabelCache::new(&generous, 1 << 20);
    assert!(enough(1 << 20, Some(&cache)));
    let least = |cache: Option<&LabelCache>| {
        let (mut low, mut high) = (0, 1 << 20);
        while low + 1 < high {
            let middle = (low + high) / 2;
            if enough(middle, cache) { high = middle } else { low = middle }
        }
        high
    };
    assert_eq!(least(Some(&cache)), least(None));
}
