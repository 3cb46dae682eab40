//! Generated from `proto/`. Nothing outside this crate should keep these types for longer than a door is wide.

/// Encoded descriptors of all packages, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.bin"));

macro_rules! package {
    ($($name:ident = $package:literal),* $(,)?) => {$(
        #[allow(missing_docs)]
        pub mod $name {
            #[allow(clippy::all)]
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    )*};
}
package!(
    scan = "ovomesh.scan.v1",
    scanner = "ovomesh.scanner.v1",
    sorter = "ovomesh.sorter.v1",
    spool = "ovomesh.spool.v1",
    gateway = "ovomesh.gateway.v1",
    load = "ovomesh.load.v1",
    preprocess = "ovomesh.preprocess.v1",
    inference = "ovomesh.inference.v1",
    store = "ovomesh.store.v1",
    query = "ovomesh.query.v1",
);
