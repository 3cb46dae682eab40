//! Benchmarks of the mesh beside its limits.
