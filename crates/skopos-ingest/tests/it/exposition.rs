use skopos_ingest::Limits;
use skopos_ingest::exposition::{
    Exposition, ExpositionError, ExpositionErrorKind, ExpositionFormat, ExpositionOptions, parse,
};
use skopos_model::{Labels, Metadata, MetricType};

use crate::support::render;

const TEXT: ExpositionFormat = ExpositionFormat::Text;
const OPEN: ExpositionFormat = ExpositionFormat::OpenMetrics;

fn scrape(format: ExpositionFormat, body: &str) -> Result<Exposition, ExpositionError> {
    let limits = Limits::default();
    parse(body.as_bytes(), &ExpositionOptions::new(format, 99, &limits))
}

fn check(format: ExpositionFormat, body: &str, want: &[&str]) {
    let scrape = scrape(format, body).unwrap_or_else(|error| panic!("{error} in\n{body}"));
    assert_eq!(render(&scrape.batch), want, "{body}");
}

fn check_error(format: ExpositionFormat, body: &str, want: &str) {
    match scrape(format, body) {
        Ok(scrape) => panic!("{body:?} parsed: {:?}", render(&scrape.batch)),
        Err(error) => assert_eq!(error.to_string(), want, "{body:?}"),
    }
}

#[test]
fn text_samples() {
    for (body, want) in [
        ("up 1\n", "up 1 @99"),
        ("up 1", "up 1 @99"),
        ("up 1 1234\n", "up 1 @1234"),
        ("up 1 -5\n", "up 1 @-5"),
        ("  up\t{ a = \"1\" , b=\"2\", } \t 1  \n", r#"up{a="1", b="2"} 1 @99"#),
        ("up{} 1\n", "up 1 @99"),
        ("up{b=\"2\",a=\"1\"}1\n", r#"up{a="1", b="2"} 1 @99"#),
        ("up{empty=\"\"} 1\n", "up 1 @99"),
        ("up{a=\"\\\\ \\\" \\n \\x é\"} 1\n", "up{a=\"\\\\ \\\" \\n \\\\x é\"} 1 @99"),
        ("a:b 1\n", "a:b 1 @99"),
        ("x +Inf\n", "x inf @99"),
        ("x -Inf\n", "x -inf @99"),
        ("x NaN\n", "x NaN @99"),
        ("x 1e3\n", "x 1000 @99"),
        ("x -0.5E-1\n", "x -0.05 @99"),
        ("x .5\n", "x 0.5 @99"),
        ("{\"http.requests\"} 1\n", r#"{"http.requests"} 1 @99"#),
        (
            "{\"http.requests\", \"k.v\"=\"1\", b=\"2\"} 1\n",
            r#"{"http.requests", b="2", "k.v"="1"} 1 @99"#,
        ),
        ("{a=\"1\",\"m\"} 1\n", r#"m{a="1"} 1 @99"#),
        ("# just a note\n#\n\n   \nup 1\n#HELP no 1\n", "up 1 @99"),
        ("# UNIT up seconds\nup 1\n", "up 1 @99"),
    ] {
        check(TEXT, body, &[want]);
    }
}

#[test]
fn text_errors_say_where() {
    for (body, want) in [
        ("up 1\nup{a=1} 1\n", "line 2, column 6: expected '\"', found '1'"),
        ("up\n", "line 1, column 3: expected a value, found the end of the line"),
        ("up", "line 1, column 3: expected a value, found the end of the body"),
        ("1up 1\n", "line 1, column 1: expected a metric name, found '1'"),
        ("up one\n", "line 1, column 4: \"one\" is not a number"),
        ("up 1_0\n", "line 1, column 4: \"1_0\" is not a number"),
        ("up 0x1p-2\n", "line 1, column 4: \"0x1p-2\" is not a number"),
        ("up 1e999\n", "line 1, column 4: \"1e999\" is not a number"),
        ("up 1 1.5\n", "line 1, column 6: \"1.5\" is not a timestamp"),
        ("up 1 2 3\n", "line 1, column 8: expected the end of the line, found '3'"),
        ("up 1\r\n", "line 1, column 4: \"1\\r\" is not a number"),
        ("up{a=\"1\" b=\"2\"} 1\n", "line 1, column 10: expected ',' or '}', found 'b'"),
        ("up{a=\"1\n\"} 1\n", "line 1, column 6: quoted text is not closed"),
        ("up{a=\"1", "line 1, column 6: quoted text is not closed"),
        ("up{a=\"1\\", "line 1, column 6: quoted text is not closed"),
        ("up{,} 1\n", "line 1, column 4: expected a label name or '}', found ','"),
        ("up{a} 1\n", "line 1, column 5: expected '=', found '}'"),
        ("up{a=\"1\",a=\"2\"} 1\n", "line 1, column 1: label \"a\" occurs twice"),
        ("up{__name__=\"x\"} 1\n", "line 1, column 1: label \"__name__\" occurs twice"),
        ("up{\"down\"} 1\n", "line 1, column 1: the metric's name is empty or given twice"),
        ("{\"a\",\"b\"} 1\n", "line 1, column 6: the metric's name is empty or given twice"),
        ("{a=\"1\"} 1\n", "line 1, column 1: expected a metric name, found '{'"),
        ("{\"\"=\"1\",\"m\"} 1\n", "line 1, column 2: expected a label name, found '\"'"),
        ("# TYPE up sort\nup 1\n", "line 1, column 11: \"sort\" is not a metric type"),
        (
            "# TYPE up\nup 1\n",
            "line 1, column 10: expected a metric type, found the end of the line",
        ),
        ("# TYPE up gauge x\n", "line 1, column 17: expected the end of the line, found 'x'"),
        ("# HELP\n", "line 1, column 7: expected a metric name, found the end of the line"),
        ("# TYPE up info\n", "line 1, column 11: \"info\" is not a metric type"),
        ("é 1\n", "line 1, column 1: expected a metric name, found 'é'"),
    ] {
        check_error(TEXT, body, want);
    }
    let error =
        parse(b"up 1\nup{a=\"\xff\"} 1\n", &ExpositionOptions::new(TEXT, 0, &Limits::default()));
    assert_eq!(error.unwrap_err().to_string(), "line 2, column 7: text is not UTF-8");
}

#[test]
fn metadata_of_text() {
    let body = "# HELP http_requests_total All \\\\ requests\\nso \\\"far\\\"\n\
                # TYPE http_requests_total counter\nhttp_requests_total 1\n\
                # TYPE \"my.gauge\" gauge\n{\"my.gauge\"} 2\n# HELP bare\n# TYPE u untyped\n";
    let metadata = scrape(TEXT, body).unwrap().batch.metadata;
    let shape: Vec<_> =
        metadata.iter().map(|m| (m.metric.as_str(), m.metric_type, m.help.as_str())).collect();
    assert_eq!(
        shape,
        [
            ("http_requests_total", MetricType::Counter, "All \\ requests\nso \\\"far\\\""),
            ("my.gauge", MetricType::Gauge, ""),
            ("bare", MetricType::Unknown, ""),
            ("u", MetricType::Unknown, ""),
        ]
    );
}

#[test]
fn bounds_take_their_canonical_form() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"0.2\"} 1\n\
                h_bucket{le=\"1000000\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_bucket{le=\"odd\"} 0\nh_sum{le=\"1\"} 1\n\
                # TYPE s summary\ns{quantile=\"1\"} 3\ns{quantile=\"0.50\"} 3\nother{le=\"1\",quantile=\"1\"} 1\n";
    check(
        TEXT,
        body,
        &[
            r#"h_bucket{le="1.0"} 1 @99"#,
            r#"h_bucket{le="0.2"} 1 @99"#,
            r#"h_bucket{le="1e+06"} 2 @99"#,
            r#"h_bucket{le="+Inf"} 2 @99"#,
            r#"h_bucket{le="odd"} 0 @99"#,
            r#"h_sum{le="1"} 1 @99"#,
            r#"s{quantile="1.0"} 3 @99"#,
            r#"s{quantile="0.5"} 3 @99"#,
            r#"other{le="1", quantile="1"} 1 @99"#,
        ],
    );
}

#[test]
fn nan_is_the_one_that_prometheus_stores() {
    let scrape = scrape(TEXT, "x nan\n").unwrap();
    let skopos_model::SampleValue::Float(value) = scrape.batch.series[0].samples[0].value else {
        panic!("a float")
    };
    assert_eq!(value.to_bits(), 0x7ff8_0000_0000_0001);
}

#[test]
fn openmetrics() {
    let body = "# HELP http_requests All \\\"requests\\\"\n\
        # TYPE http_requests counter\n\
        http_requests_total{code=\"200\"} 5 1.5 # {trace_id=\"ab\"} 0.5 1.25\n\
        http_requests_total{code=\"500\"} 1 # {} 2\n\
        http_requests_created{code=\"200\"} 1000.0\n\
        # TYPE h_seconds histogram\n# UNIT h_seconds seconds\n\
        h_seconds_bucket{le=\"1\"} 3 # {span_id=\"s\",trace_id=\"t\"} 0.7\n\
        # TYPE build info\nbuild_info{version=\"1\"} 1\n\
        # TYPE q gaugehistogram\n# TYPE st stateset\nst{st=\"a\"} 1\n# EOF\n";
    check(
        OPEN,
        body,
        &[
            r#"http_requests_total{code="200"} 5 @1500 # {trace_id="ab"} 0.5 @1250"#,
            r#"http_requests_total{code="500"} 1 @99 # {} 2 @99"#,
            r#"http_requests_created{code="200"} 1000 @99"#,
            r#"h_seconds_bucket{le="1.0"} 3 @99 # {span_id="s", trace_id="t"} 0.7 @99"#,
            r#"build_info{version="1"} 1 @99"#,
            r#"st{st="a"} 1 @99"#,
        ],
    );
    let metadata = scrape(OPEN, body).unwrap().batch.metadata;
    let names: Vec<_> = metadata.iter().map(|m| (m.metric.as_str(), m.metric_type)).collect();
    assert_eq!(
        names,
        [
            ("http_requests_total", MetricType::Counter),
            ("h_seconds", MetricType::Histogram),
            ("build_info", MetricType::Info),
            ("q", MetricType::GaugeHistogram),
            ("st", MetricType::StateSet),
        ]
    );
    assert_eq!(metadata[0].help, "All \"requests\"");
    let unit = Metadata { unit: "seconds".to_owned(), ..metadata[1].clone() };
    assert_eq!(metadata[1], unit);
    check(OPEN, "# EOF", &[]);
    check(OPEN, "{\"my.metric\",a=\"1\"} 1\n# EOF\n", &[r#"{"my.metric", a="1"} 1 @99"#]);
}

#[test]
fn openmetrics_is_strict() {
    for (body, want) in [
        ("up 1\n", "line 2, column 1: the body does not end with # EOF: it was cut off"),
        ("", "line 1, column 1: the body does not end with # EOF: it was cut off"),
        ("# EOF\nup 1\n", "line 2, column 1: data after # EOF"),
        ("# EOF \n", "line 1, column 6: data after # EOF"),
        ("\n# EOF\n", "line 1, column 1: expected a metric name, found the end of the line"),
        (
            "# note\n# EOF\n",
            "line 1, column 1: expected # HELP, # TYPE, # UNIT or # EOF, found '#'",
        ),
        ("up  1\n# EOF\n", "line 1, column 4: expected a value, found ' '"),
        ("up 1 \n# EOF\n", "line 1, column 6: \"\" is not a timestamp"),
        (
            "up{a=\"1\", b=\"2\"} 1\n# EOF\n",
            "line 1, column 10: expected a label name or '}', found ' '",
        ),
        ("up{a=\"1\"}1\n# EOF\n", "line 1, column 10: expected a space and a value, found '1'"),
        ("up 1 NaN\n# EOF\n", "line 1, column 6: \"NaN\" is not a timestamp"),
        (
            "up 1 # {a=\"1\"}\n# EOF\n",
            "line 1, column 15: expected a space and a value, found the end of the line",
        ),
        ("up 1 # {a=\"1\",a=\"2\"} 1\n# EOF\n", "line 1, column 8: label \"a\" occurs twice"),
        (
            "# UNIT up seconds\n# EOF\n",
            "line 1, column 11: unit \"seconds\" is not the suffix of metric \"up\"",
        ),
        ("# TYPE up untyped\n# EOF\n", "line 1, column 11: \"untyped\" is not a metric type"),
    ] {
        check_error(OPEN, body, want);
    }
}

#[test]
fn a_cut_off_scrape_is_refused_wherever_it_ends() {
    let body = "# TYPE a counter\na_total{x=\"1\"} 5 1.5 # {t=\"u\"} 0.5 1.2\n# EOF\n";
    for end in 0..body.len() - 1 {
        let whole = body[..end].ends_with("# EOF");
        assert_eq!(scrape(OPEN, &body[..end]).is_ok(), whole, "{:?}", &body[..end]);
    }
}

#[test]
fn timestamps_are_honoured_or_not() {
    let limits = Limits::default();
    let body = b"a 1 5\nb 2\nc 3 6\n";
    let mut options = ExpositionOptions::new(TEXT, 99, &limits);
    let honoured = parse(body, &options).unwrap();
    assert_eq!(render(&honoured.batch), ["a 1 @5", "b 2 @99", "c 3 @6"]);
    assert_eq!(honoured.explicitly_timed, [0, 2]);
    options.honor_timestamps = false;
    let ignored = parse(body, &options).unwrap();
    assert_eq!(render(&ignored.batch), ["a 1 @99", "b 2 @99", "c 3 @99"]);
    assert!(ignored.explicitly_timed.is_empty());
}

#[test]
fn target_labels_win_or_give_way() {
    let limits = Limits::default();
    let body = b"up{job=\"own\",exported_job=\"older\",zone=\"\"} 1\n";
    let target = Labels::from_pairs([("job", "shop"), ("instance", "i"), ("zone", "z")]);
    let mut options = ExpositionOptions::new(TEXT, 1, &limits);
    options.target_labels = target;
    let line = |options: &ExpositionOptions<'_>| render(&parse(body, options).unwrap().batch);
    assert_eq!(
        line(&options),
        [
            r#"up{exported_exported_job="own", exported_job="older", instance="i", job="shop", zone="z"} 1 @1"#
        ]
    );
    options.honor_labels = true;
    assert_eq!(
        line(&options),
        [r#"up{exported_job="older", instance="i", job="own", zone="z"} 1 @1"#]
    );
}

#[test]
fn limits_refuse_the_scrape() {
    let limits = Limits {
        labels_per_series: 2,
        label_name_bytes: 4,
        label_value_bytes: 5,
        ..Limits::default()
    };
    let mut options = ExpositionOptions::new(TEXT, 1, &limits);
    options.sample_limit = Some(2);
    for (body, line, limit, max, found) in [
        ("up 1\nup{a=\"1\",b=\"1\",c=\"1\"} 1\n", 2, "labels_per_series", 2, 3),
        ("up{abcde=\"1\"} 1\n", 1, "label_name_bytes", 4, 5),
        ("abcde 1\n", 1, "label_name_bytes", 4, 5),
        ("up{a=\"123456\"} 1\n", 1, "label_value_bytes", 5, 6),
        ("a 1\nb 2\n\nc 3\n", 4, "sample_limit", 2, 3),
    ] {
        let error = parse(body.as_bytes(), &options).unwrap_err();
        let kind = ExpositionErrorKind::Limit { limit, max, found };
        assert_eq!((error.line, error.column, error.kind), (line, 1, kind), "{body}");
    }
    assert!(parse(b"abcd{a=\"12345\",b=\"1\"} 1\nb 1\n", &options).is_ok());
}

#[test]
fn formats_by_content_type() {
    for (value, want) in [
        ("text/plain; version=0.0.4; charset=utf-8", Some(TEXT)),
        ("", Some(TEXT)),
        ("application/openmetrics-text; version=1.0.0", Some(OPEN)),
        ("Application/OpenMetrics-Text", Some(OPEN)),
        ("text/html", None),
        ("application/vnd.google.protobuf", None),
    ] {
        assert_eq!(ExpositionFormat::from_content_type(value), want, "{value}");
    }
}
