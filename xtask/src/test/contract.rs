//! The proto files: buf's rules, and nothing that breaks a client of the last release.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::python;
use crate::run::run as execute;

/// Checks style, and compatibility with the contract of the last release.
pub fn check() -> anyhow::Result<()> {
    execute(buf()?.arg("lint"))?;
    execute(buf()?.arg("breaking").arg("--against").arg(last_release()?))
}

/// Writes the contract as it stands, to be compared with from now on: part of a release.
pub fn release(version: &str) -> anyhow::Result<()> {
    check()?;
    let image = folder().join(format!("released/{version}.binpb"));
    execute(buf()?.args(["build", "--exclude-source-info", "--output"]).arg(&image))?;
    println!("{} holds the contract of {version}: commit it, then tag", image.display());
    Ok(())
}

/// The newest of `proto/released/MAJOR.MINOR.PATCH.binpb`. A file and not a tag, for a shallow clone has no tags.
fn last_release() -> anyhow::Result<PathBuf> {
    let released = folder().join("released");
    let files = std::fs::read_dir(&released).with_context(|| format!("reading {}", released.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let images = paths.into_iter().filter(|path| path.extension().is_some_and(|name| name == "binpb"));
    images.max_by_key(version).context("no released contract to compare with")
}

/// Compared by number: 0.10.0 is newer than 0.9.0.
#[allow(clippy::ptr_arg, reason = "the key of a PathBuf")]
fn version(image: &PathBuf) -> Vec<u32> {
    let name = image.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').filter_map(|number| number.parse().ok()).collect()
}

fn folder() -> PathBuf {
    ovomesh_testkit::repository().join("proto")
}

fn buf() -> anyhow::Result<Command> {
    let mut buf = Command::new(python::environment()?.join("buf"));
    buf.current_dir(folder());
    Ok(buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert!(version(&"r/0.10.0.binpb".into()) > version(&"r/0.9.12.binpb".into()));
    }
}
