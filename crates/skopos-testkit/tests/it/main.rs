//! The oracle passes its own suites.

use skopos_testkit::{MemStore, conformance};

#[tokio::test]
async fn mem_store_appends() {
    conformance::append_suite(async |clock| MemStore::new(clock)).await;
}

#[tokio::test]
async fn mem_store_selects() {
    conformance::select_suite(async |clock| MemStore::new(clock)).await;
}

#[tokio::test]
async fn mem_store_scans() {
    conformance::scan_suite(async |clock| MemStore::new(clock)).await;
}

#[tokio::test]
async fn mem_store_keeps_state() {
    conformance::state_suite(async |clock| MemStore::new(clock)).await;
}
