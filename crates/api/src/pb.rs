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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    /// Go has no default for its package and does not generate without one; the others would put all packages into names
    /// that collide: `Scan` is a file and a message, `Connect` and `Hello` are in three packages.
    #[test]
    fn every_file_says_what_it_is_called_in_other_languages() {
        let files = FileDescriptorSet::decode(super::DESCRIPTORS).unwrap().file;
        let ours: Vec<_> = files.iter().filter(|file| file.package().starts_with("ovomesh.")).collect();
        assert!(ours.len() >= 11, "{}", ours.len());
        for file in ours {
            let package = file.package().strip_prefix("ovomesh.").and_then(|name| name.strip_suffix(".v1"));
            let name = package.expect("a package is ovomesh.NAME.v1");
            let options = file.options.clone().unwrap_or_default();
            let capital = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
            assert_eq!(options.go_package(), format!("ovomesh.dev/proto/{name}/v1;{name}v1"));
            assert_eq!(options.java_package(), format!("dev.ovomesh.{name}.v1"));
            assert_eq!(options.java_outer_classname(), format!("{capital}Proto"));
            assert!(options.java_multiple_files(), "{name}");
            assert_eq!(options.csharp_namespace(), format!("Ovomesh.{capital}.V1"));
        }
    }
}
