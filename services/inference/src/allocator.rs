//! jemalloc, told to keep what is freed for some seconds: libtorch frees its activations after every pass, and to get
//! their memory back from the kernel each time made it 2 to 3 times slower.
//!
//! Kept for ever, it grew with each new mix of batch sizes until a pod was killed (183 to 1,319 MiB in 41 minutes).
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// SAFETY: jemalloc declares `const char *malloc_conf`, a weak symbol for programs to define, and no library of ours
// defines it. A reference to an array is one pointer, and the text ends with a zero.
#[unsafe(export_name = "malloc_conf")]
#[used]
static OPTIONS: &[u8; 38] = b"dirty_decay_ms:10000,muzzy_decay_ms:0\0";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ovomesh_testkit::wait_until;

    /// Memory of this process in MiB.
    fn resident_mib() -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
        (pages * 4_096) >> 20
    }

    /// Blocks as large as activations, and all of them written to.
    fn activations(mib: usize) -> Vec<Vec<u8>> {
        (0..2 * mib).map(|n| vec![n as u8 | 1; 512 << 10]).collect()
    }

    #[test]
    fn memory_of_a_peak_goes_back_to_the_system_under_a_light_load() {
        let before = resident_mib();
        let peak = activations(256);
        assert!(resident_mib() >= before + 200, "the peak is there");
        drop(peak);
        wait_until("memory is given back", Duration::from_secs(120), || {
            drop(activations(4));
            (resident_mib() < before + 64).then_some(())
        })
        .unwrap();
    }
}
