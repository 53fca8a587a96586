//! Where the parser takes its memory from: a piece for each thread, given back whole when a file is done.
//!
//! A file of 3 KB is some 1,500 allocations that all end together, and that no other thread sees. While [`within`] runs, the
//! parser's memory on this thread is cut from large chunks, what it frees is used again by the next of that size, and at the
//! end everything is free at once: nobody walks the tree to free it node by node. Elsewhere it is the system's as before.
//!
//! This is the one place of the crate with `unsafe`: the parser is C and takes functions of C. What they rely on:
//! - a block comes from the arena of the thread only while [`within`] runs on it ([`ACTIVE`]), and what is freed is asked for
//!   where it lies, so that blocks from before go back to where they came from;
//! - a block does not outlive [`within`], which is the contract of its callers. The one that is no test is [`parsed`]: its
//!   node borrows the tree, and what it gives back is [`Apart`], so that neither a tree nor a parser gets out that way;
//! - chunks are freed only when no [`within`] runs on their thread;
//! - the functions are set once ([`set`]), before this program asks anything of the parser, and nobody else sets others:
//!   a host that has its own for `tree_sitter` would free blocks of the one with the other.

#![expect(unsafe_code, reason = "memory for a parser written in C")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::{self, null_mut};
use std::sync::Once;

/// What every block is aligned to, as the system's `malloc` does; also the room before a block, that holds its class.
const ALIGN: usize = 16;

/// Up to here classes are multiples of [`ALIGN`]; beyond, powers of two.
const FINE: usize = 512;

/// Classes up to blocks of `FINE << 32` bytes; files of code are limited to far less.
const CLASSES: usize = FINE / ALIGN + 32;

/// The first chunk; each further one is twice the last.
const CHUNK: usize = 1 << 20;

/// A larger chunk does not wait for the next file.
const KEPT: usize = 8 << 20;

/// The class of a size, from 0, and how many bytes blocks of it have.
fn class_of(size: usize) -> (usize, usize) {
    let size = size.max(ALIGN);
    if size <= FINE {
        let class = size.div_ceil(ALIGN);
        return (class - 1, class * ALIGN);
    }
    let rounded = size.checked_next_power_of_two().unwrap_or(0);
    let above = (rounded.trailing_zeros() - FINE.trailing_zeros()) as usize;
    (FINE / ALIGN + above - 1, rounded)
}

struct Chunk {
    start: *mut u8,
    layout: Layout,
}

impl Chunk {
    fn holds(&self, block: *mut c_void) -> bool {
        let start = self.start.addr();
        (start..start + self.layout.size()).contains(&block.addr())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and whoever drops a chunk has seen to it that no block is in use.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// Memory of one thread.
struct Arena {
    chunks: Vec<Chunk>,
    /// What is left of the last chunk.
    top: *mut u8,
    left: usize,
    /// Freed blocks by class: each holds the address of the next.
    free: [*mut c_void; CLASSES],
}

impl Arena {
    const fn new() -> Self {
        Self { chunks: Vec::new(), top: null_mut(), left: 0, free: [null_mut(); CLASSES] }
    }

    fn take(&mut self, size: usize) -> *mut c_void {
        let (class, bytes) = class_of(size);
        let Some(head) = self.free.get_mut(class).filter(|_| bytes > 0) else { too_large(size) };
        let block = *head;
        if !block.is_null() {
            // SAFETY: a freed block of this arena, at least a pointer large, in which `give` wrote the next one.
            *head = unsafe { block.cast::<*mut c_void>().read() };
            return block;
        }
        let needed = bytes + ALIGN;
        if self.left < needed {
            self.grow(needed);
        }
        // SAFETY: `left` bytes from `top` are the chunk's and nobody's yet; both are multiples of `ALIGN`.
        unsafe {
            self.top.cast::<usize>().write(class);
            let block = self.top.add(ALIGN);
            self.top = self.top.add(needed);
            self.left -= needed;
            block.cast()
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let last = self.chunks.last().map_or(CHUNK / 2, |chunk| chunk.layout.size());
        let size = needed.max(last.saturating_mul(2));
        let Ok(layout) = Layout::from_size_align(size, ALIGN) else { too_large(size) };
        // SAFETY: its size is not zero.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        self.chunks.push(Chunk { start, layout });
        (self.top, self.left) = (start, size);
    }

    /// The class of a block of this arena.
    ///
    /// # Safety
    /// It was taken from this arena since it was last cleared.
    unsafe fn class(block: *mut c_void) -> usize {
        // SAFETY: `take` wrote it before the block.
        unsafe { block.cast::<u8>().sub(ALIGN).cast::<usize>().read() }
    }

    /// # Safety
    /// The block was taken from this arena since it was last cleared, and is not used any more.
    unsafe fn give(&mut self, block: *mut c_void) {
        // SAFETY: by the contract; the class was in bounds when it was written.
        unsafe {
            let head = &mut self.free[Self::class(block)];
            block.cast::<*mut c_void>().write(*head);
            *head = block;
        }
    }

    fn holds(&self, block: *mut c_void) -> bool {
        self.chunks.iter().rev().any(|chunk| chunk.holds(block))
    }

    /// Frees every block. The largest chunk waits for the next file, unless it is very large.
    fn clear(&mut self) {
        if self.chunks.len() > 1 {
            self.chunks.drain(..self.chunks.len() - 1);
        }
        self.chunks.retain(|chunk| chunk.layout.size() <= KEPT);
        let last = self.chunks.last().map(|chunk| (chunk.start, chunk.layout.size()));
        (self.top, self.left) = last.unwrap_or((null_mut(), 0));
        self.free = [null_mut(); CLASSES];
    }
}

#[cold]
fn too_large(size: usize) -> ! {
    // As the parser does itself when there is no memory. It has no way to be told.
    handle_alloc_error(Layout::from_size_align(size, 1).unwrap_or(Layout::new::<u8>()))
}

thread_local! {
    static ARENA: UnsafeCell<Arena> = const { UnsafeCell::new(Arena::new()) };
    /// The arena, while [`within`] runs on this thread.
    static ACTIVE: Cell<*mut Arena> = const { Cell::new(null_mut()) };
}

unsafe extern "C" {
    #[link_name = "malloc"]
    fn system_malloc(size: usize) -> *mut c_void;
    #[link_name = "calloc"]
    fn system_calloc(count: usize, size: usize) -> *mut c_void;
    #[link_name = "realloc"]
    fn system_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    #[link_name = "free"]
    fn system_free(block: *mut c_void);
}

/// The system's answer; null is one only for no bytes.
fn there(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() && size > 0 {
        too_large(size);
    }
    block
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: what is active is this thread's arena, and nobody holds a reference to it between calls.
    match unsafe { ACTIVE.get().as_mut() } {
        Some(arena) => arena.take(size),
        None => there(unsafe { system_malloc(size) }, size),
    }
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { too_large(usize::MAX) };
    // SAFETY: as in `malloc`; the block has at least so many bytes.
    unsafe {
        match ACTIVE.get().as_mut() {
            Some(arena) => {
                let block = arena.take(bytes);
                ptr::write_bytes(block.cast::<u8>(), 0, bytes);
                block
            }
            None => there(system_calloc(count, size), bytes),
        }
    }
}

unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as in `malloc`; a block that the arena holds was taken from it, any other is the system's.
    unsafe {
        let Some(arena) = ACTIVE.get().as_mut() else {
            return there(system_realloc(block, size), size);
        };
        if block.is_null() {
            return arena.take(size);
        }
        if !arena.holds(block) {
            return there(system_realloc(block, size), size);
        }
        let class = Arena::class(block);
        let (wanted, _) = class_of(size);
        if wanted <= class {
            return block;
        }
        let larger = arena.take(size);
        ptr::copy_nonoverlapping(block.cast::<u8>(), larger.cast::<u8>(), bytes_of(class));
        arena.give(block);
        larger
    }
}

/// How many bytes blocks of a class have.
fn bytes_of(class: usize) -> usize {
    let fine = FINE / ALIGN;
    if class < fine { (class + 1) * ALIGN } else { FINE << (class + 1 - fine) }
}

unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: as in `realloc`.
    unsafe {
        match ACTIVE.get().as_mut() {
            Some(arena) if arena.holds(block) => arena.give(block),
            _ => system_free(block),
        }
    }
}

/// What holds nothing of the parser's.
///
/// # Safety
/// No value of it has, or has behind a reference, a tree, a parser, a cursor, or anything else that they allocate.
pub(crate) unsafe trait Apart {}

// SAFETY: facts, comments and a place: text and numbers.
unsafe impl Apart for super::Extracted {}

#[cfg(test)]
// SAFETY: a number.
unsafe impl Apart for usize {}

#[cfg(test)]
// SAFETY: what code says, in words of its own.
unsafe impl Apart for super::ir::Module {}

/// Parses, and gives the root to `make`, which makes no parser of its own that it keeps elsewhere. None when the parser gave up, which it does only for a grammar of a foreign version.
pub(super) fn parsed<R: Apart>(
    text: &str,
    grammar: &tree_sitter::Language,
    make: impl FnOnce(tree_sitter::Node<'_>) -> R,
) -> Option<R> {
    let run = || {
        // One for each file: what it keeps for the next is memory, and that is the arena's to keep.
        let mut parser = tree_sitter::Parser::new();
        parser.set_language(grammar).ok()?;
        // It owns memory only, which goes with the arena's.
        let tree = ManuallyDrop::new(parser.parse(text, None)?);
        Some(make(tree.root_node()))
    };
    // SAFETY: the parser is dropped in there, the tree is forgotten, `make` has a node that lives no longer, and its result
    // holds nothing of theirs.
    unsafe { within(run) }
}

/// Sets the parser's functions, once. Whoever is about to use the parser calls it before.
pub(super) fn set() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        // SAFETY: they answer for blocks of the system too, so that what was allocated before is freed as it was
        // allocated. No thread is in the parser meanwhile: its grammars are made behind this call, and nothing parses
        // without one.
        unsafe {
            tree_sitter::set_allocator(Some(tree_sitter::Allocator {
                malloc,
                calloc,
                realloc,
                free,
            }));
        }
    });
}

/// Runs with the parser's memory taken from this thread's arena, which is cleared behind it.
///
/// # Safety
/// What the parser allocates within is not used afterwards, nor by another thread: its owners are forgotten or dropped in
/// there. That holds when `run` panics, too.
unsafe fn within<R>(run: impl FnOnce() -> R) -> R {
    /// Clears the arena, also when `run` panics.
    struct Inside<'a>(&'a UnsafeCell<Arena>);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            ACTIVE.set(null_mut());
            // SAFETY: this thread's, not active any more, and nothing that was taken from it is used any more.
            unsafe { (*self.0.get()).clear() };
        }
    }
    set();
    if !ACTIVE.get().is_null() {
        // One within another: the outer one clears.
        return run();
    }
    ARENA.with(|arena| {
        ACTIVE.set(arena.get());
        let _inside = Inside(arena);
        run()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_is_asked_for() {
        let mut last = 0;
        for size in (0..3000).chain([(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 1 << 30]) {
            let (class, bytes) = class_of(size);
            assert!(bytes >= size && bytes % ALIGN == 0 && bytes_of(class) == bytes, "{size}");
            assert!(class >= last && class < CLASSES, "{size}");
            last = class;
        }
        assert_eq!(class_of(usize::MAX).1, 0, "refused");
    }

    #[test]
    fn blocks_keep_their_bytes_and_never_overlap() {
        let mut seed = 0x5eed_u64;
        let mut below = |limit: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % limit as u64) as usize
        };
        let mut of_before = unsafe { malloc(64) };
        for _ in 0..3 {
            // SAFETY: every block is forgotten in there but the one from before.
            let run = || unsafe {
                of_before = realloc(of_before, 64);
                let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
                for step in 0..20_000 {
                    let mark = step as u8;
                    let size = if below(50) == 0 { below(300_000) } else { below(700) };
                    match below(4) {
                        0 if !blocks.is_empty() => {
                            let (block, size, mark) = blocks.swap_remove(below(blocks.len()));
                            assert!((0..size).all(|at| *block.add(at) == mark));
                            free(block.cast());
                        }
                        1 if !blocks.is_empty() => {
                            let (block, old, mark) = blocks.swap_remove(below(blocks.len()));
                            let block = realloc(block.cast(), size).cast::<u8>();
                            assert!((0..old.min(size)).all(|at| *block.add(at) == mark));
                            ptr::write_bytes(block, mark, size);
                            blocks.push((block, size, mark));
                        }
                        2 => {
                            let block = calloc(1, size).cast::<u8>();
                            assert!((0..size).all(|at| *block.add(at) == 0));
                            ptr::write_bytes(block, mark, size);
                            blocks.push((block, size, mark));
                        }
                        _ => {
                            let block = malloc(size).cast::<u8>();
                            assert_eq!(block.addr() % ALIGN, 0);
                            ptr::write_bytes(block, mark, size);
                            blocks.push((block, size, mark));
                        }
                    }
                    if blocks.len() > 300 {
                        let (block, ..) = blocks.swap_remove(0);
                        free(block.cast());
                    }
                }
                let arena = &*ACTIVE.get();
                assert!(!arena.holds(of_before) && !arena.chunks.is_empty());
            };
            unsafe { within(run) };
            ARENA.with(|arena| {
                let arena = unsafe { &*arena.get() };
                assert!(arena.chunks.len() <= 1, "what is kept is bounded");
                assert!(arena.chunks.iter().all(|chunk| chunk.layout.size() <= KEPT));
            });
        }
        unsafe { free(of_before) };
    }

    #[test]
    fn a_panic_leaves_the_arena_clear() {
        let run = || {
            let mut parser = tree_sitter::Parser::new();
            parser.set_language(&tree_sitter_go::LANGUAGE.into()).unwrap();
            let _tree = parser.parse("package main\n", None);
            panic!("on the way");
        };
        // SAFETY: parser and tree are dropped in there.
        let torn = std::panic::catch_unwind(|| unsafe { within(run) });
        assert!(torn.is_err() && ACTIVE.get().is_null());
        // Outside of it the parser has the system's memory, also for what it frees later.
        let mut parser = tree_sitter::Parser::new();
        parser.set_language(&tree_sitter_go::LANGUAGE.into()).unwrap();
        let tree = parser.parse("package main\n", None).unwrap();
        // SAFETY: nothing is made in there.
        unsafe { within(|| drop((parser, tree))) };
    }
}
