//! jemalloc, made safe for a library that frees what it never allocated.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

use tikv_jemallocator::Jemalloc;

/// jemalloc: the simulator allocates a volume for every scan, and glibc gives such blocks back to the kernel each time.
///
/// jemalloc has large blocks zeroed by the kernel, which costs a page fault for each 4 KiB: half of what it takes to make
/// a scan. They are zeroed here instead.
///
/// openjp2 0.6.1, which unpacks JPEG 2000, gives null pointers to `dealloc`. That is against the contract, harmless
/// with glibc and undefined with jemalloc, so they are caught here.
pub struct Allocator;

// SAFETY: each method passes on to jemalloc what its caller promised, and what jemalloc returned. The differences are
// that a null pointer, which owns nothing, is freed by doing nothing, and who zeroes.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is jemalloc's.
        unsafe { Jemalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above; what was allocated is as large as was asked for.
        unsafe {
            let block = Jemalloc.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if !ptr.is_null() {
            // SAFETY: as above.
            unsafe { Jemalloc.dealloc(ptr, layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { Jemalloc.realloc(ptr, layout, size) }
    }
}
