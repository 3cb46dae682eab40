//! Compiles `ovomesh.mesh.v1`, the header that all stages share.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto/ovomesh/mesh");
    let files = protox::compile(["ovomesh/mesh/v1/mesh.proto"], ["../../proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("mesh.bin"), prost::Message::encode_to_vec(&files))?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
