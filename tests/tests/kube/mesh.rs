//! The mesh of the chart in one namespace, with a process for each of its pods.

use ovomesh_testkit::Process;
use ovomesh_tests::programs;
use serde_json::{Value, json};

use crate::kubelet::{Kubelet, Program, RUN};
use crate::world::Namespace;

/// What a test wants of it.
pub struct Setup {
    pub gateways: u32,
    /// What gateways get beside the stages and the store.
    pub gateway_flags: Vec<String>,
    pub preprocess: u32,
    /// The program of inference and its flags.
    pub inference: (&'static str, Vec<String>),
    /// What the pool's spec says beside the chart's defaults.
    pub pool: Value,
}

/// It ends when it is dropped.
pub struct Mesh {
    _operator: Process,
    pub gateways: Kubelet,
    pub inference: Kubelet,
    pub preprocess: Kubelet,
    /// Without a pod: it stays.
    pub store: Process,
}

impl Mesh {
    /// Starts it, and waits until each part has a pod that is ready.
    pub fn start(here: Namespace<'_>, setup: Setup) -> Self {
        let data = here.folder().join("store").display().to_string();
        let store = process(here, "results-store", "results-store", &["--data", &data]);
        let annotations = json!({RUN.0: RUN.1});
        let mut pool = setup.pool;
        pool["podAnnotations"] = annotations.clone();
        let values = [
            format!("podAnnotations={annotations}"),
            format!("gateway.replicas={}", setup.gateways),
            format!("preprocess.replicas={}", setup.preprocess),
            format!("inference.pool={pool}"),
        ];
        here.install_with(
            &[
                "templates/gateway.yaml",
                "templates/preprocess.yaml",
                "templates/operator.yaml",
                "templates/inference.yaml",
            ],
            &values,
        );
        let flags = ["--namespace", here.name, "--listen", "127.0.0.1:0", "--lease-seconds", "3"];
        let operator = here.program("operator", "operator", &flags).unwrap();
        let kubelet = |name, file, port, flags| {
            Kubelet::start(here, Program { name, file, port, flags, account: None })
        };
        let threads = ["--threads", "1"].map(str::to_owned).to_vec();
        let preprocess = kubelet("preprocess", "ovomesh-preprocess", 7710, threads);
        let (file, flags) = setup.inference;
        let inference = kubelet("inference", file, 7720, flags);
        let stages = ["--preprocess", "kubernetes:///preprocess:grpc", "--inference"].map(str::to_owned);
        let url = store.url();
        let lines = ["kubernetes:///inference:grpc", "--store", &url, "--scanner-lines", here.name]
            .map(str::to_owned);
        let program = Program {
            name: "scanner-gateway",
            file: "ovomesh-scanner-gateway",
            port: 7700,
            flags: stages.into_iter().chain(lines).chain(setup.gateway_flags).collect(),
            account: Some("scanner-gateway"),
        };
        let mesh = Self {
            _operator: operator,
            store,
            gateways: Kubelet::start(here, program),
            inference,
            preprocess,
        };
        mesh.gateways.until_ready(here.world, setup.gateways as usize);
        mesh.preprocess.until_ready(here.world, setup.preprocess as usize);
        mesh.inference.until_ready(here.world, 1);
        mesh
    }

    /// URLs of the gateways that are ready.
    pub fn gateway_urls(&self) -> Vec<String> {
        self.gateways.ready().values().map(|life| format!("http://{}", life.address)).collect()
    }
}

/// A program without a pod, on a free port of the loopback.
pub fn process(here: Namespace<'_>, name: &str, instance: &str, flags: &[&str]) -> Process {
    let mut command = programs().command(&format!("ovomesh-{name}")).unwrap();
    command.args(["--listen", "127.0.0.1:0", "--instance", instance]).args(flags);
    let mut process = Process::start(instance, command, &here.folder()).unwrap();
    process.ready().unwrap();
    process
}
