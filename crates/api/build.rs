//! Compiles the whole contract, but for what `ovomesh-mesh` and `ovomesh-bootstrap` compile themselves.

const PACKAGES: [&str; 10] =
    ["scan", "scanner", "sorter", "spool", "gateway", "load", "preprocess", "inference", "store", "query"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto/ovomesh");
    let files = PACKAGES.map(|package| format!("ovomesh/{package}/v1/{package}.proto"));
    let descriptors = protox::compile(files, ["../../proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("api.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".")
        // Else the clients' own constructor `connect` would collide with the method of that name.
        .build_transport(false)
        .extern_path(".ovomesh.mesh.v1", "::ovomesh_mesh::proto")
        // Encoded once, however often it is sent.
        .extern_path(".ovomesh.query.v1.Row", "crate::EncodedRow")
        .extern_path(".ovomesh.gateway.v1.Settled", "crate::Settled")
        .compile_fds(descriptors)?;
    Ok(())
}
