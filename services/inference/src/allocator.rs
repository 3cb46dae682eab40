//! jemalloc, told to keep what is freed: libtorch frees its activations after every pass, and to get their memory back
//! from the kernel each time made it 2 to 3 times slower.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// SAFETY: jemalloc declares `const char *malloc_conf`, a weak symbol for programs to define, and no library of ours
// defines it. A reference to an array is one pointer, and the text ends with a zero.
#[unsafe(export_name = "malloc_conf")]
#[used]
static OPTIONS: &[u8; 36] = b"dirty_decay_ms:-1,muzzy_decay_ms:-1\0";
