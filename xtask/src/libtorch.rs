//! libtorch from PyPI's torch wheel, through pip: checked by hash, reduced to what is linked, kept in the cache.
//!
//! The wheel is a CUDA build of 527 MB; only its CPU half is kept (about 400 MB). To run on a GPU, put the CUDA
//! libraries of the same wheel beside it: inference opens `libtorch_cuda.so` when it is there.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use ovomesh_testkit::Cached;

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

/// Links `.cache/libtorch` to it, fetched when the cache does not have it.
pub fn provide() -> anyhow::Result<()> {
    let made_from = [REQUIREMENTS, UNPACK].concat();
    let libtorch = Cached { name: "libtorch", version: VERSION, made_from: &made_from };
    libtorch.provide(make).map(drop)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    println!("fetching libtorch {VERSION} (540 MB, about a minute on a fast line)");
    let wheels = folder.join("wheels");
    fs::create_dir_all(&wheels)?;
    download(&wheels)?;
    run(Command::new("python3").args(["-c", UNPACK]).arg(&wheels).arg(folder))
        .context("unpacking the wheels")?;
    fs::remove_dir_all(wheels)?;
    empty_library(&folder.join("lib"))?;
    // torch-sys reads it.
    Ok(fs::write(folder.join("build-version"), VERSION)?)
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
