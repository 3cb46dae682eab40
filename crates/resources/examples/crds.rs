//! Writes the definitions of the custom resources into a folder: `cargo xtask crd` calls it.

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: crds FOLDER"))?;
    for (name, text) in ovomesh_resources::yaml()? {
        std::fs::write(std::path::Path::new(&folder).join(name), text)?;
    }
    Ok(())
}
