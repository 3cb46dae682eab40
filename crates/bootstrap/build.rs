//! Compiles `ovomesh.status.v1`, which every service serves.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto/ovomesh/status");
    let files = protox::compile(["ovomesh/status/v1/status.proto"], ["../../proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("status.bin"), prost::Message::encode_to_vec(&files))?;
    tonic_prost_build::configure().build_transport(false).compile_fds(files)?;
    Ok(())
}
