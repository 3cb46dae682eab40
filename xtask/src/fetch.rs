//! libtorch from PyPI's torch wheel, through pip: checked by hash, reduced to what is linked, kept in `.cache/`.
//!
//! The wheel is a CUDA build of 527 MB; only its CPU half is kept (about 400 MB). To run on a GPU, put the CUDA
//! libraries of the same wheel beside it: inference opens `libtorch_cuda.so` by itself when it is there.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::python;
use crate::run::run;

/// tch 0.26 is made for this version.
const VERSION: &str = "2.13.0";

const REQUIREMENTS: &str = "\
torch==2.13.0 --hash=sha256:60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
";

/// Takes out of the wheels (argument 1) what is linked, into argument 2.
const UNPACK: &str = r#"
import glob, os, shutil, sys, zipfile
wheels, out = sys.argv[1:]
keep = ("torch/lib/libc10.so", "torch/lib/libtorch_cpu.so", "torch/lib/libgomp.so.1")
for wheel in glob.glob(wheels + "/*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("torch/include/"):
                target = os.path.join(out, name.removeprefix("torch/"))
            elif name in keep or name.endswith(("/libcudart.so.13", "/libcupti.so.13")):
                target = os.path.join(out, "lib", os.path.basename(name))
            else:
                continue
            if not name.endswith("/"):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(name) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
"#;

/// Makes `.cache/libtorch`, unless it is there in the right version.
pub fn libtorch() -> anyhow::Result<()> {
    let cache = ovomesh_testkit::repository().join(".cache");
    let target = cache.join("libtorch");
    if fs::read_to_string(target.join("build-version")).is_ok_and(|version| version.trim() == VERSION) {
        return Ok(());
    }
    println!("fetching libtorch {VERSION} (540 MB, about a minute on a fast line)");
    // Made beside its place and moved there whole: an interrupted run leaves nothing half done.
    let making = cache.join("libtorch.partial");
    if making.exists() {
        fs::remove_dir_all(&making)?;
    }
    let wheels = making.join("wheels");
    fs::create_dir_all(&wheels)?;
    download(&wheels)?;
    let library = making.join("libtorch");
    run(Command::new("python3").args(["-c", UNPACK]).arg(&wheels).arg(&library))
        .context("unpacking the wheels")?;
    empty_library(&library.join("lib"))?;
    fs::write(library.join("build-version"), VERSION)?;
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::rename(&library, &target)?;
    fs::remove_dir_all(&making)?;
    Ok(())
}

fn download(wheels: &Path) -> anyhow::Result<()> {
    let requirements = wheels.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let mut pip = python::pip();
    pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]).args([
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
        "--abi",
        "none",
    ]);
    for platform in ["manylinux_2_28", "manylinux_2_25", "manylinux2014", "manylinux_2_17"] {
        pip.args(["--platform", &format!("{platform}_x86_64")]);
    }
    run(pip.arg("-r").arg(requirements).arg("-d").arg(wheels)).context("fetching libtorch through pip")
}

/// torch-sys links `-ltorch`, but the wheel's own needs CUDA and holds no code: an empty one does.
fn empty_library(folder: &Path) -> anyhow::Result<()> {
    let source = folder.join("empty.c");
    fs::write(&source, "")?;
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,-soname,libtorch.so", "-o"])
        .arg(folder.join("libtorch.so"))
        .arg(&source))?;
    Ok(fs::remove_file(source)?)
}
