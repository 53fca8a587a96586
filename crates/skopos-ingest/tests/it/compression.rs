use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use skopos_ingest::{ContentEncoding, DecompressError, decompress};

fn compress(encoding: ContentEncoding, data: &[u8]) -> Vec<u8> {
    match encoding {
        ContentEncoding::Identity => data.to_vec(),
        ContentEncoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Zstd => zstd::encode_all(data, 3).unwrap(),
    }
}

const ALL: [ContentEncoding; 4] = [
    ContentEncoding::Identity,
    ContentEncoding::Gzip,
    ContentEncoding::Deflate,
    ContentEncoding::Zstd,
];

#[test]
fn round_trips_and_exact_limits() {
    let data: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    for encoding in ALL {
        let packed = compress(encoding, &data);
        assert_eq!(decompress(encoding, &packed, data.len()).unwrap(), data, "{encoding:?}");
        let error = decompress(encoding, &packed, data.len() - 1).unwrap_err();
        assert_eq!(error, DecompressError::TooLarge { max_bytes: data.len() - 1 });
        assert_eq!(error.reason(), "request_bytes");
        let empty = compress(encoding, b"");
        assert_eq!(decompress(encoding, &empty, 0).unwrap(), b"".as_slice(), "{encoding:?}");
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 50_000_000];
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Zstd] {
        let bomb = compress(encoding, &zeros);
        assert!(bomb.len() < 100_000);
        let error = decompress(encoding, &bomb, 1 << 20).unwrap_err();
        assert_eq!(error, DecompressError::TooLarge { max_bytes: 1 << 20 }, "{encoding:?}");
    }
}

#[test]
fn parts_in_sequence_are_one_body() {
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
        let mut packed = compress(encoding, b"one ");
        packed.extend(compress(encoding, b"two"));
        assert_eq!(decompress(encoding, &packed, 100).unwrap(), b"one two".as_slice());
    }
}

#[test]
fn corrupt_bodies_are_named() {
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Zstd] {
        let packed = compress(encoding, b"some text, some text, some text");
        for bad in [&packed[..packed.len() - 3], b"plain text", b""] {
            match decompress(encoding, bad, 1_000) {
                Err(DecompressError::Corrupt { encoding: said, .. }) => assert_eq!(said, encoding),
                // Nothing at all is an empty sequence of zstd frames.
                Ok(out) if encoding == ContentEncoding::Zstd && bad.is_empty() => {
                    assert!(out.is_empty());
                }
                other => panic!("{encoding:?} of {bad:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn zstd_windows_beyond_the_http_bound_are_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"small").unwrap();
    let packed = encoder.finish().unwrap();
    let error = decompress(ContentEncoding::Zstd, &packed, 1_000).unwrap_err();
    assert_eq!(error.reason(), "corrupt_encoding");
}

#[test]
fn encodings_by_header() {
    for (value, want) in [
        ("gzip", Some(ContentEncoding::Gzip)),
        (" GZIP ", Some(ContentEncoding::Gzip)),
        ("zstd", Some(ContentEncoding::Zstd)),
        ("deflate", Some(ContentEncoding::Deflate)),
        ("identity", Some(ContentEncoding::Identity)),
        ("", Some(ContentEncoding::Identity)),
        ("br", None),
        ("gzip, gzip", None),
    ] {
        assert_eq!(ContentEncoding::from_header(value), want, "{value:?}");
    }
    for encoding in ALL {
        assert_eq!(ContentEncoding::from_header(encoding.as_str()), Some(encoding));
    }
}
