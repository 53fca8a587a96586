use super::*;
use crate::block::{BlockKind, FileMeta};
use crate::fs::StdFs;

fn open(dir: &Path) -> Result<Catalog, StoreError> {
    let fs: Arc<dyn Fs> = Arc::new(StdFs);
    for name in ["catalog", "blocks"] {
        fs.create_dir(&dir.join(name)).unwrap();
    }
    let files = Arc::new(BlockFiles::new(Arc::clone(&fs), dir.join("blocks"), 1 << 20));
    Catalog::open(fs, dir.join("catalog"), files)
}

/// A Parquet file as far as the folder of blocks looks: a footer of no length.
const FILE: &[u8] = b"\0\0\0\0PAR1";

fn block(catalog: &Catalog) -> BlockMeta {
    let number = catalog.take_block_number();
    let file = catalog.files().put(format!("{number:010}-logs.parquet"), FILE).unwrap();
    BlockMeta {
        number,
        kind: BlockKind::Logs,
        level: 0,
        first_ns: -5,
        last_ns: i64::MAX,
        rows: 1,
        files: vec![file],
    }
}

fn add(catalog: &Catalog) -> u64 {
    let meta = block(catalog);
    let number = meta.number;
    let base = catalog.snapshot().number;
    catalog.commit(base, Edit { added: vec![meta], ..Edit::default() }).unwrap();
    number
}

fn numbers(catalog: &Catalog) -> Vec<u64> {
    catalog.snapshot().blocks.iter().map(|block| block.meta.number).collect()
}

#[test]
fn edits_are_there_after_reopening_and_lost_races_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path()).unwrap();
    let (a, b, c) = (add(&catalog), add(&catalog), add(&catalog));
    let base = catalog.snapshot().number;
    let merged = block(&catalog);
    let edit = || Edit {
        removed: vec![a, b],
        added: vec![merged.clone()],
        wal_from: Some(7),
        next_sequence: Some(9),
    };
    catalog.commit(base, edit()).unwrap();
    let error = catalog.commit(base, edit()).err().unwrap();
    assert!(matches!(error, CommitError::Conflict { base: 3, current: 4 }), "{error}");
    // A merged block stands where the merged ones stood.
    assert_eq!(numbers(&catalog), [merged.number, c]);
    drop(catalog);
    let again = open(dir.path()).unwrap();
    let version = again.snapshot();
    assert_eq!((version.number, version.wal_from, version.next_sequence), (4, 7, 9));
    assert_eq!(numbers(&again), [merged.number, c]);
    assert_eq!(version.blocks[0].meta, merged);
    assert!(again.take_block_number() > merged.number);
}

#[test]
fn files_of_removed_blocks_go_when_nobody_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path()).unwrap();
    let a = add(&catalog);
    let reader = catalog.snapshot();
    let base = reader.number;
    catalog.commit(base, Edit { removed: vec![a], ..Edit::default() }).unwrap();
    assert_eq!(catalog.sweep(), 1);
    assert_eq!(catalog.files().list().unwrap().len(), 1);
    drop(reader);
    assert_eq!(catalog.sweep(), 0);
    assert!(catalog.files().list().unwrap().is_empty());
}

#[test]
fn a_start_removes_what_is_not_needed_and_misses_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path()).unwrap();
    let a = add(&catalog);
    let uncommitted = block(&catalog);
    drop(catalog);
    let catalog = open(dir.path()).unwrap();
    assert_eq!(numbers(&catalog), [a]);
    assert_eq!(catalog.files().list().unwrap().len(), 1);
    assert!(catalog.take_block_number() > uncommitted.number, "numbers are not given twice");
    let name = catalog.snapshot().blocks[0].meta.files[0].name.clone();
    drop(catalog);
    std::fs::write(dir.path().join("blocks").join(&name), b"longer").unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Corrupt { .. })));
    std::fs::remove_file(dir.path().join("blocks").join(&name)).unwrap();
    assert!(open(dir.path()).err().unwrap().to_string().contains("missing"));
}

#[test]
fn damage_and_newer_versions_are_named() {
    let dir = tempfile::tempdir().unwrap();
    add(&open(dir.path()).unwrap());
    let path = dir.path().join("catalog/0000000001.catalog");
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        assert!(open(dir.path()).is_err(), "byte {at}");
        std::fs::write(&path, &good[..at]).unwrap();
        assert!(open(dir.path()).is_err(), "cut at {at}");
    }
    let mut newer = good.clone();
    newer[8] = 2;
    std::fs::write(&path, &newer).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::UnsupportedVersion { found: 2, .. }), "{error}");
    std::fs::write(&path, &good).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn names_cannot_lead_out_of_the_folder() {
    let files = vec![FileMeta { name: "../secret".into(), len: 1, checksum: 2 }];
    let meta = BlockMeta {
        number: 1,
        kind: BlockKind::Spans,
        level: 0,
        first_ns: 0,
        last_ns: 0,
        rows: 0,
        files,
    };
    let files = Arc::new(BlockFiles::new(Arc::new(StdFs), "x".into(), 0));
    let block = Arc::new(Block::new(files, meta));
    let version = Version { number: 1, wal_from: 0, next_sequence: 0, blocks: vec![block] };
    assert!(record::decode(&record::encode(&version, 2)).is_err());
}
