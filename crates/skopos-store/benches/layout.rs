//! Layouts of event blocks, measured: where attributes stand, and how a trace is found. The figures
//! of ADR 0005 and ADR 0006.
//!
//! `cargo bench -p skopos-store --bench layout`; `SKOPOS_LAYOUT_ROWS` sets how many rows (default
//! 1,000,000). Files are made as event blocks are (zstd 3, groups of 32,768 rows, pages of 4,096) and
//! read from memory, so that figures are work and not disk. Rows come from a fixed seed.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray,
    UInt16Array,
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use skopos_testkit::generate::Random;

const GROUP_ROWS: usize = 32 << 10;
const PAGE_ROWS: usize = 4096;
/// What the scans look for: about one row in 250.
const ROUTE: &str = "/orders/{id}";
const STATUS: u16 = 503;
const SPANS_PER_TRACE: usize = 8;
const LOOK_UPS: usize = 400;

fn main() {
    let rows = std::env::var("SKOPOS_LAYOUT_ROWS").ok().and_then(|n| n.parse().ok());
    let rows: usize = rows.unwrap_or(1_000_000);
    attributes(rows);
    traces(rows);
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
}

/// Writes columns as a file.
fn file(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Bytes {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties));
    let writer = writer.as_mut().expect("a writer");
    for start in (0..batch.num_rows()).step_by(GROUP_ROWS / 4) {
        let len = (batch.num_rows() - start).min(GROUP_ROWS / 4);
        writer.write(&batch.slice(start, len)).expect("rows are written");
    }
    writer.finish().expect("a footer");
    std::mem::take(writer.inner_mut()).into()
}

/// Reads columns of some row groups, batch by batch.
fn read(
    file: &Bytes,
    metadata: &ArrowReaderMetadata,
    columns: &[&str],
    groups: Option<Vec<usize>>,
    mut each: impl FnMut(&RecordBatch),
) {
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
    let mask = ProjectionMask::columns(metadata.parquet_schema(), columns.iter().copied());
    let mut builder = builder.with_projection(mask).with_batch_size(8192);
    if let Some(groups) = groups {
        builder = builder.with_row_groups(groups);
    }
    for batch in builder.build().expect("a reader") {
        each(&batch.expect("rows are read"));
    }
}

fn metadata(file: &Bytes) -> ArrowReaderMetadata {
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).expect("a footer")
}

/// One record's attributes: three that nearly every record has, four that differ.
struct Attributes {
    method: &'static str,
    route: &'static str,
    status: u16,
    rest: [(&'static str, String); 4],
}

fn record(random: &mut Random) -> Attributes {
    let routes = [ROUTE, "/orders", "/cart/{id}", "/products", "/login", "/search", "/pay", "/"];
    let statuses =
        [200, 200, 200, 200, 200, 201, 204, 301, 302, 400, 401, 403, 404, 429, 500, STATUS];
    // Half of the time any, half of the time those that are not good.
    let likely = if random.one_in(2) { 0 } else { 8 };
    let two = |random: &mut Random| random.below(u64::from(u16::MAX));
    Attributes {
        method: random.pick::<&str>(&["GET", "GET", "GET", "POST", "PUT"]),
        route: random.pick::<&str>(&routes),
        status: *random.pick(&statuses[likely..]),
        rest: [
            ("user.id", format!("u-{}", random.below(50_000))),
            ("request.id", format!("{:08x}-{:04x}", random.below(1 << 32), two(random))),
            (
                "client.address",
                format!("10.{}.{}.{}", two(random) % 4, two(random) % 256, two(random) % 256),
            ),
            ("thread.name", format!("worker-{}", random.below(16))),
        ],
    }
}

fn attributes(rows: usize) {
    let mut random = Random::new(5);
    let records: Vec<Attributes> = (0..rows).map(|_| record(&mut random)).collect();
    let json = |pairs: &[(&str, &str)], status: Option<u16>| {
        let mut text = String::from("{");
        for (key, value) in pairs {
            text.push_str(&format!("\"{key}\":\"{value}\","));
        }
        match status {
            Some(status) => text.push_str(&format!("\"http.response.status_code\":{status}")),
            None => drop(text.pop()),
        }
        text.push('}');
        text
    };
    let rest = |r: &Attributes| r.rest.iter().map(|(k, v)| (*k, v.clone())).collect::<Vec<_>>();
    let whole: StringArray = records
        .iter()
        .map(|r| {
            let rest = rest(r);
            let mut pairs = vec![("http.request.method", r.method), ("http.route", r.route)];
            pairs.extend(rest.iter().map(|(k, v)| (*k, v.as_str())));
            Some(json(&pairs, Some(r.status)))
        })
        .collect();
    let others: StringArray = records
        .iter()
        .map(|r| {
            let rest = rest(r);
            Some(json(&rest.iter().map(|(k, v)| (*k, v.as_str())).collect::<Vec<_>>(), None))
        })
        .collect();
    let text = |of: fn(&Attributes) -> &'static str| -> ArrayRef {
        let values: DictionaryArray<Int32Type> = records.iter().map(of).collect();
        Arc::new(values)
    };
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for r in &records {
        let status = r.status.to_string();
        let known = [
            ("http.request.method", r.method),
            ("http.route", r.route),
            ("http.response.status_code", status.as_str()),
        ];
        for (key, value) in known.into_iter().chain(r.rest.iter().map(|(k, v)| (*k, v.as_str()))) {
            map.keys().append_value(key);
            map.values().append_value(value);
        }
        map.append(true).expect("keys and values agree");
    }
    let raw: usize = whole.value_data().len();
    let statuses: UInt16Array = records.iter().map(|r| r.status).collect();
    let want = records.iter().filter(|r| r.route == ROUTE && r.status == STATUS).count();
    println!("attributes of {rows} records, {} MB of JSON; {want} match", raw / 1_000_000);

    let as_json = file(vec![("attributes", Arc::new(whole))], properties().build());
    let promoted = file(
        vec![
            ("method", text(|r| r.method)),
            ("route", text(|r| r.route)),
            ("status", Arc::new(statuses)),
            ("attributes", Arc::new(others)),
        ],
        properties().build(),
    );
    let as_map = file(vec![("attributes", Arc::new(map.finish()))], properties().build());

    let in_json = |read_row: fn(&str) -> bool| {
        let (file, metadata) = (as_json.clone(), metadata(&as_json));
        move || {
            let mut found = 0;
            read(&file, &metadata, &["attributes"], None, |batch| {
                let column = batch.column(0).as_string::<i32>();
                found += column.iter().flatten().filter(|text| read_row(text)).count();
            });
            found
        }
    };
    // Words first, as a filter does that knows what the text must contain; then the key itself.
    let searched = in_json(|text| {
        text.contains(ROUTE) && text.contains("503") && {
            let field = |key: &str| text.split_once(&format!("\"{key}\":")).map(|(_, rest)| rest);
            field("http.route").is_some_and(|rest| rest.starts_with(&format!("\"{ROUTE}\"")))
                && field("http.response.status_code").is_some_and(|rest| rest.starts_with("503"))
        }
    });
    let parsed = in_json(|text| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        value["http.route"] == ROUTE && value["http.response.status_code"] == STATUS
    });
    let of_columns = || {
        let metadata = metadata(&promoted);
        let mut found = 0;
        read(&promoted, &metadata, &["route", "status"], None, |batch| {
            let route = batch.column(0).as_dictionary::<Int32Type>();
            let values = route.values().as_string::<i32>();
            let status = batch.column(1).as_primitive::<UInt16Type>();
            let wanted = values.iter().position(|value| value == Some(ROUTE));
            let rows = route.keys().values().iter().zip(status.values());
            found += rows.filter(|(k, s)| Some(**k as usize) == wanted && **s == STATUS).count();
        });
        found
    };
    let of_map = || {
        let metadata = metadata(&as_map);
        let mut found = 0;
        read(&as_map, &metadata, &["attributes"], None, |batch| {
            let map = batch.column(0).as_map();
            let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
            for bounds in map.value_offsets().windows(2) {
                let [from, to] = [bounds[0] as usize, bounds[1] as usize];
                let has = |key: &str, value: &str| {
                    (from..to).any(|i| keys.value(i) == key && values.value(i) == value)
                };
                let both = has("http.route", ROUTE) && has("http.response.status_code", "503");
                found += usize::from(both);
            }
        });
        found
    };
    let per_row = |bytes: usize| bytes as f64 / rows as f64;
    let report = |what: &str, bytes: usize, scan: &dyn Fn() -> usize| {
        assert_eq!(scan(), want, "{what}");
        let ms = median((0..3).map(|_| timed(scan).1).collect());
        println!(
            "  {what:<28} {:>6.1} MB  {:>5.1} B/record  scan {ms:>7.1} ms, {:>5.1} M records/s",
            bytes as f64 / 1e6,
            per_row(bytes),
            rows as f64 / ms / 1e3,
        );
    };
    report("JSON text, words first", as_json.len(), &searched);
    report("JSON text, every row parsed", as_json.len(), &parsed);
    report("three columns + JSON text", promoted.len(), &of_columns);
    report("map of text", as_map.len(), &of_map);
}

fn traces(rows: usize) {
    let mut random = Random::new(6);
    // A trace's spans come from several services, and blocks are sorted by service: they lie apart.
    let mut spans: Vec<(u8, i64, [u8; 16])> = Vec::with_capacity(rows);
    let mut ids = Vec::new();
    for trace in 0..rows / SPANS_PER_TRACE {
        let id = (u128::from(random.below(u64::MAX)) << 64 | u128::from(random.below(u64::MAX)))
            .to_be_bytes();
        ids.push(id);
        for span in 0..SPANS_PER_TRACE {
            spans.push((random.below(10) as u8, (trace * 100 + span) as i64, id));
        }
    }
    spans.sort_unstable();
    let ids_of = |spans: &[(u8, i64, [u8; 16])]| -> ArrayRef {
        let values = spans.iter().map(|(_, _, id)| id);
        Arc::new(FixedSizeBinaryArray::try_from_iter(values).expect("ids of one length"))
    };
    let times: Int64Array = spans.iter().map(|(_, time, _)| *time).collect();
    let payload: StringArray = (0..rows)
        .map(|_| Some(format!("{{\"request.id\":\"{:016x}\"}}", random.below(u64::MAX))))
        .collect();
    let columns = || -> Vec<(&str, ArrayRef)> {
        vec![
            ("trace_id", ids_of(&spans)),
            ("time", Arc::new(times.slice(0, spans.len()))),
            ("attributes", Arc::new(payload.slice(0, spans.len()))),
        ]
    };
    let plain = file(columns(), properties().build());
    let trace_id = ColumnPath::from("trace_id");
    let bloom = file(
        columns(),
        properties()
            .set_column_bloom_filter_enabled(trace_id.clone(), true)
            .set_column_bloom_filter_fpp(trace_id.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(trace_id, GROUP_ROWS as u64)
            .build(),
    );
    // Trace id → row groups, sorted: 18 bytes an entry, searched where it stands.
    let mut entries: Vec<([u8; 16], u16)> = spans
        .iter()
        .enumerate()
        .map(|(row, (_, _, id))| (*id, (row / GROUP_ROWS) as u16))
        .collect();
    entries.sort_unstable();
    entries.dedup();
    let index_bytes = entries.len() * 18;
    let groups = spans.len().div_ceil(GROUP_ROWS);
    println!("{} spans of {} traces in {groups} row groups", spans.len(), ids.len());

    let rows_of = |file: &Bytes, metadata: &ArrowReaderMetadata, groups: Vec<usize>, id: &[u8]| {
        let mut found = 0;
        read(file, metadata, &["trace_id", "time"], Some(groups), |batch| {
            let ids = batch.column(0).as_fixed_size_binary();
            let times = batch.column(1).as_primitive::<Int64Type>();
            found +=
                (0..ids.len()).filter(|&row| ids.value(row) == id && times.value(row) >= 0).count();
        });
        found
    };
    let (plain_footer, bloom_footer) = (metadata(&plain), metadata(&bloom));
    let by_statistics = |id: &[u8]| {
        let all = plain_footer.metadata().row_groups().iter().enumerate();
        let may_hold = all.filter(|(_, group)| {
            let statistics = group.columns().first().and_then(|column| column.statistics());
            let bounds = statistics.and_then(|s| Some((s.min_bytes_opt()?, s.max_bytes_opt()?)));
            bounds.is_none_or(|(min, max)| min <= id && id <= max)
        });
        rows_of(&plain, &plain_footer, may_hold.map(|(at, _)| at).collect(), id)
    };
    let by_bloom = |id: &[u8]| {
        let may_hold = (0..groups).filter(|&group| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
                bloom.clone(),
                bloom_footer.clone(),
            );
            let filter = builder.get_row_group_column_bloom_filter(group, 0).expect("a filter");
            filter.is_none_or(|filter| filter.check(id))
        });
        rows_of(&bloom, &bloom_footer, may_hold.collect(), id)
    };
    let by_index = |id: &[u8]| {
        let from = entries.partition_point(|(entry, _)| entry.as_slice() < id);
        let of_id = entries.iter().skip(from).take_while(|(entry, _)| entry == id);
        rows_of(&plain, &plain_footer, of_id.map(|(_, group)| usize::from(*group)).collect(), id)
    };
    let look_ups: Vec<[u8; 16]> = (0..LOOK_UPS).map(|_| *random.pick(&ids)).collect();
    let absent: Vec<[u8; 16]> =
        (0..LOOK_UPS as u128).map(|i| (i << 64 | 0xabcd).to_be_bytes()).collect();
    let report = |what: &str,
                  extra: usize,
                  look_ups: &[[u8; 16]],
                  want: usize,
                  find: &dyn Fn(&[u8]) -> usize| {
        let mut times = Vec::new();
        for id in look_ups {
            let (found, ms) = timed(|| find(id));
            assert_eq!(found, want, "{what}");
            times.push(ms);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "  {what:<28} {:>6.1} MB more  {:>5.2} B/span  p50 {:>7.2} ms  p99 {:>7.2} ms",
            extra as f64 / 1e6,
            extra as f64 / spans.len() as f64,
            at(0.5),
            at(0.99),
        );
    };
    let of_bloom = bloom.len() - plain.len();
    let few = &look_ups[..LOOK_UPS / 20];
    report("statistics only", 0, few, SPANS_PER_TRACE, &by_statistics);
    report("Bloom filters", of_bloom, &look_ups, SPANS_PER_TRACE, &by_bloom);
    report("sorted index", index_bytes, &look_ups, SPANS_PER_TRACE, &by_index);
    report("Bloom filters, absent id", of_bloom, &absent, 0, &by_bloom);
    report("sorted index, absent id", index_bytes, &absent, 0, &by_index);
}

/// What work yields, and milliseconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed().as_secs_f64() * 1e3)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
