//! Nothing but benchmarks, in `benches/`: `cargo bench -p ovomesh-benches`. They print and assert nothing: times are
//! the machine's as much as the code's. The mesh as a whole is measured by `cargo xtask bench e2e`.
