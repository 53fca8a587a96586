//! Nothing on the path of a metric allocates, once its series is there: counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use skopos::metrics::{Bounded, Registry, buckets};

use crate::support::{Output, builder, scoped};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written without; this one passes everything on"
)]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

skopos::label_values! {
    enum Outcome { Approved => "approved", Declined => "declined" }
}

skopos::labels! {
    struct ClosedLabels { outcome: Outcome, express: bool }
}

skopos::labels! {
    struct OpenLabels { outcome: Outcome, region: Bounded<3> }
}

/// Runs twice, the first time to make the series, and returns the allocations of the second.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        work();
    }
    ALLOCATIONS.get() - before
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 100);
}

#[test]
fn no_instrument_and_no_look_up_allocates() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    let registry: &Registry = telemetry.registry();
    let counter = registry.counter("a_total", "A.");
    let gauge = registry.gauge("b", "B.");
    let histogram = registry.histogram("c", "C.", buckets::HTTP);
    let exponential = registry.exponential_histogram("d", "D.", &[1.0]);
    let closed = registry.counter_family::<ClosedLabels>("e_total", "E.");
    let open = registry.histogram_family::<OpenLabels>("f", "F.", buckets::HTTP);
    let regions = ["eu-central-1", "us-east-1", "a-region-with-a-name-of-38-characters-"];
    let all = || {
        counter.inc();
        drop(gauge.track());
        gauge.set(2.0);
        histogram.observe(0.07);
        exponential.observe(0.07);
        exponential.observe(-3.0);
        closed.inc(&ClosedLabels { outcome: Outcome::Declined, express: true });
        closed.get(&ClosedLabels { outcome: Outcome::Approved, express: true }).inc();
        for region in regions {
            open.observe(&OpenLabels { outcome: Outcome::Approved, region: region.into() }, 1.0);
        }
    };
    assert_eq!(allocations(all), 0, "outside any span");
    let span = tracing::info_span!("request");
    let inside = span.in_scope(|| allocations(all));
    assert_eq!(inside, 0, "with exemplars");
    assert_eq!(counter.get(), 2 * 101);
}
