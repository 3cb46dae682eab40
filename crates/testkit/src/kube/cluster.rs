//! A cluster: started in seconds, on a loopback address of its own, gone with its owner.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::part::Part;
use super::{build, certificates};
use crate::wait_until;

/// Where kwok gives pods their addresses from.
pub const POD_CIDR: &str = "10.244.0.0/16";

/// Far more than a start takes on a busy machine (6 to 12 s).
const START_LIMIT: Duration = Duration::from_secs(120);

/// A node that kwok keeps alive, with GPUs for the scheduler to count.
const NODE: &str = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "NAME", "labels": {"type": "kwok",
"kubernetes.io/hostname": "NAME", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
"topology.kubernetes.io/zone": "zone-ZONE"}}, "status": {
"allocatable": {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8"},
"capacity": {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8"}}}"#;

/// A running control plane with three nodes. Everything ends when it is dropped, and when this program ends in any way.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    address: Ipv4Addr,
    // In the order in which they are dropped: etcd last.
    kwok: Option<Part>,
    others: Vec<Part>,
    apiserver: Option<Part>,
    etcd: Option<Part>,
}

impl Cluster {
    /// Starts one in `folder`, which is made.
    ///
    /// # Errors
    /// The programs are not built ([`build`]), or one of them ended; the text has the end of its log.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(build::is_built(), "the control plane is not built: `cargo xtask fetch` builds it");
        std::fs::create_dir_all(folder.join("etcd"))?;
        let folder = folder.canonicalize()?;
        // Each its own address of 127.0.0.0/8: clusters live side by side on the same ports.
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let [_, top, high, low] = std::process::id().to_be_bytes();
        let second = 20 + top % 100 + COUNT.fetch_add(100, Ordering::Relaxed) % 200;
        let address = Ipv4Addr::new(127, second, high, low.max(1));
        certificates::make(&folder, address)?;
        let mut cluster =
            Self { folder, address, kwok: None, others: Vec::new(), apiserver: None, etcd: None };
        for user in ["admin", "controller-manager", "scheduler"] {
            cluster.write_kubeconfig(user)?;
        }
        cluster.etcd = Some(cluster.part("etcd", "etcd", cluster.etcd_flags())?);
        cluster.start_apiserver()?;
        let manager = cluster.manager_flags();
        cluster.others.push(cluster.part("controller-manager", "kube-controller-manager", manager)?);
        let scheduler = cluster.common_flags("scheduler", 10259);
        cluster.others.push(cluster.part("scheduler", "kube-scheduler", scheduler)?);
        cluster.start_kwok()?;
        Ok(cluster)
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Its folder: logs and kubeconfigs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `kubectl` as the administrator.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(build::tool("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// `helm` as the administrator.
    pub fn helm_command(&self) -> Command {
        let mut command = Command::new(build::tool("helm"));
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder);
        command
    }

    /// Runs `kubectl` and gives what it prints.
    ///
    /// # Errors
    /// What it complains about.
    pub fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        finished(&self.kubectl_command().args(args).output()?, args)
    }

    /// Runs `helm` and gives what it prints.
    ///
    /// # Errors
    /// What it complains about.
    pub fn helm(&self, args: &[&str]) -> anyhow::Result<String> {
        finished(&self.helm_command().args(args).output()?, args)
    }

    /// `kubectl ARGS -f -` with `input`.
    ///
    /// # Errors
    /// What it complains about.
    pub fn feed(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        let mut command = self.kubectl_command();
        command.args(args).args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("its input is piped")?;
        std::io::Write::write_all(&mut stdin, input.as_bytes())?;
        drop(stdin);
        finished(&child.wait_with_output()?, args)
    }

    /// A kubeconfig for the account `name` of `namespace`, with a token of its own.
    ///
    /// # Errors
    /// There is no such account.
    pub fn kubeconfig_of(&self, namespace: &str, name: &str) -> anyhow::Result<PathBuf> {
        let token = self.kubectl(&["-n", namespace, "create", "token", name])?;
        let file = self.folder.join(format!("{namespace}-{name}.kubeconfig"));
        let text = self.kubeconfig_text(&format!("token: {}", token.trim()))?;
        std::fs::write(&file, text.replace("namespace: default", &format!("namespace: {namespace}")))?;
        Ok(file)
    }

    /// Kills the apiserver.
    ///
    /// # Errors
    /// It is not running.
    pub fn kill_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver.as_mut().context("no apiserver")?.kill()
    }

    /// Starts the apiserver again, and waits until it is ready.
    ///
    /// # Errors
    /// It ended, or is not ready in time.
    pub fn restart_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver.as_mut().context("no apiserver")?.restart()?;
        self.wait_for_apiserver()
    }

    fn start_apiserver(&mut self) -> anyhow::Result<()> {
        self.apiserver = Some(self.part("apiserver", "kube-apiserver", self.apiserver_flags())?);
        self.wait_for_apiserver()
    }

    fn wait_for_apiserver(&mut self) -> anyhow::Result<()> {
        let mut apiserver = self.apiserver.take().context("no apiserver")?;
        let ready = wait_until("the apiserver ready", START_LIMIT, || {
            if let Err(error) = apiserver.alive() {
                return Some(Err(error));
            }
            self.kubectl(&["get", "--raw", "/readyz"]).is_ok().then_some(Ok(()))
        });
        self.apiserver = Some(apiserver);
        ready?
    }

    fn start_kwok(&mut self) -> anyhow::Result<()> {
        let stages = self.folder.join("stages.yaml");
        std::fs::write(&stages, include_str!("stages.yaml"))?;
        let flags = owned(&[
            "--kubeconfig=admin.kubeconfig",
            "--config=stages.yaml",
            "--manage-all-nodes=true",
            "--cidr=10.244.0.1/16",
            "--node-ip=10.0.0.1",
            "--node-lease-duration-seconds=40",
            "--enable-crds=",
        ]);
        self.kwok = Some(self.part("kwok", "kwok", flags)?);
        for (node, zone) in [("node-1", "a"), ("node-2", "b"), ("node-3", "c")] {
            self.feed(&["create"], &NODE.replace("NAME", node).replace("ZONE", zone))?;
        }
        // Pods need the account that the controllers make in each namespace.
        wait_until("a default account", START_LIMIT, || {
            self.kubectl(&["get", "serviceaccount", "default"]).ok()
        })?;
        self.kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"])?;
        Ok(())
    }

    fn part(&self, name: &'static str, program: &str, flags: Vec<String>) -> anyhow::Result<Part> {
        Part::start(name, build::program(program), flags, &self.folder)
    }

    fn etcd_flags(&self) -> Vec<String> {
        let (client, peer) =
            (format!("http://{}:2379", self.address), format!("http://{}:2380", self.address));
        // No fsync on each write: it is test data.
        let mut flags = owned(&["--name=e", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn"]);
        flags.extend([
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=e={peer}"),
        ]);
        flags
    }

    fn apiserver_flags(&self) -> Vec<String> {
        let address = self.address;
        let mut flags = owned(&[
            // The endpoints of `kubernetes` may not be loopback addresses.
            "--endpoint-reconciler-type=none",
            "--secure-port=6443",
            "--tls-cert-file=apiserver.crt",
            "--tls-private-key-file=apiserver.key",
            "--client-ca-file=ca.crt",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=sa.pub",
            "--service-account-signing-key-file=sa.key",
            "--requestheader-client-ca-file=front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file=front-proxy-client.crt",
            "--proxy-client-key-file=front-proxy-client.key",
            "--profiling=false",
        ]);
        flags.extend([
            format!("--etcd-servers=http://{address}:2379"),
            format!("--bind-address={address}"),
            format!("--advertise-address={address}"),
            format!("--cert-dir={}", self.folder.display()),
        ]);
        flags
    }

    /// Leader election off: nobody shares with them, and a killed one starts again at once.
    fn common_flags(&self, user: &str, port: u16) -> Vec<String> {
        let mut flags = owned(&["--leader-elect=false", "--profiling=false"]);
        flags.extend(["--kube-api-qps=200".into(), "--kube-api-burst=400".into()]);
        flags.extend([format!("--bind-address={}", self.address), format!("--secure-port={port}")]);
        flags.push(format!("--cert-dir={}", self.folder.display()));
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            flags.push(format!("--{flag}={user}.kubeconfig"));
        }
        flags
    }

    fn manager_flags(&self) -> Vec<String> {
        let mut flags = self.common_flags("controller-manager", 10257);
        flags.extend(owned(&[
            "--service-account-private-key-file=sa.key",
            "--root-ca-file=ca.crt",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
        ]));
        flags
    }

    fn write_kubeconfig(&self, user: &str) -> anyhow::Result<()> {
        let folder = self.folder.display();
        let credentials = format!("client-certificate: {folder}/{user}.crt, client-key: {folder}/{user}.key");
        let text = self.kubeconfig_text(&credentials)?;
        Ok(std::fs::write(self.folder.join(format!("{user}.kubeconfig")), text)?)
    }

    fn kubeconfig_text(&self, credentials: &str) -> anyhow::Result<String> {
        let (server, folder) = (self.address, self.folder.display());
        Ok(format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"https://{server}:6443\", certificate-authority: {folder}/ca.crt}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u, namespace: default}}}}]\n\
             users: [{{name: u, user: {{{credentials}}}}}]\n"
        ))
    }
}

fn owned(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

fn finished(output: &Output, args: &[&str]) -> anyhow::Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{args:?}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
