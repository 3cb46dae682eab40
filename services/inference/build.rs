//! Lets the binaries and tests of this package find libtorch in the cache, wherever this checkout is by then.
fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        let libtorch = std::fs::canonicalize(&libtorch).unwrap_or(libtorch.into());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", libtorch.display());
    }
}
