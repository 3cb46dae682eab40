//! What all tests share: the control plane, and ways to ask and to wait.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ovomesh_testkit::kube::Cluster;
use ovomesh_testkit::{Process, repository, wait_until};
use ovomesh_tests::programs;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

/// Nothing in these tests takes longer, however busy the machine is.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A test, by its name.
pub type Test = (&'static str, fn(&World));

/// The control plane with the custom resources, and the runtime of the tests.
pub struct World {
    cluster: Mutex<Option<Cluster>>,
    folder: PathBuf,
    /// The namespaces of the test that runs.
    namespaces: Mutex<Vec<&'static str>>,
    /// For what is asynchronous in a test.
    pub runtime: tokio::runtime::Runtime,
}

static WORLD: OnceLock<World> = OnceLock::new();

impl World {
    /// Started by whoever comes first.
    pub fn get() -> &'static Self {
        WORLD.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("ovomesh-kube-{}", std::process::id()));
            let cluster = Cluster::start(&folder.join("cluster")).expect("the control plane starts");
            let crds = repository().join("charts/ovomesh/crds").display().to_string();
            cluster
                .kubectl(&["apply", "--server-side", "--validate=strict", "-f", &crds])
                .expect("they are accepted");
            for name in ["inferencepools.ovomesh.dev", "scannerlines.ovomesh.dev"] {
                cluster
                    .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", name])
                    .unwrap();
            }
            // The description of a definition follows it a moment later.
            wait_until("the resources are explained", LIMIT, || {
                cluster.kubectl(&["explain", "inferencepool", "--recursive"]).ok()?;
                cluster.kubectl(&["explain", "scannerline", "--recursive"]).ok()
            })
            .unwrap();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            Self { cluster: Mutex::new(Some(cluster)), folder, namespaces: Mutex::default(), runtime }
        })
    }

    /// Ends the control plane; what it wrote goes too.
    pub fn end() {
        if let Some(world) = WORLD.get() {
            world.cluster.lock().take();
            let _ = std::fs::remove_dir_all(&world.folder);
        }
    }

    /// The control plane.
    pub fn cluster(&self) -> Held<'_> {
        Held(self.cluster.lock())
    }

    /// Waits until `done` gives something. It is asked a few times a second: each question may be a process of kubectl.
    pub fn wait<T>(&self, what: &str, mut done: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(value) = done() {
                return Ok(value);
            }
            anyhow::ensure!(begun.elapsed() < LIMIT, "{what}: not within {} s", LIMIT.as_secs());
            self.pause(Duration::from_millis(200));
        }
    }

    /// Does nothing for so long.
    pub fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits for a task that is about to end, and gives what it gives.
    pub fn finish<T>(&self, task: tokio::task::JoinHandle<T>) -> T {
        let ended = self.runtime.block_on(async { tokio::time::timeout(LIMIT, task).await });
        ended.expect("a task ends in time").expect("it does not panic")
    }

    /// Makes a namespace.
    pub fn namespace(&self, name: &'static str) -> Namespace<'_> {
        self.cluster().kubectl(&["create", "namespace", name]).unwrap();
        self.namespaces.lock().push(name);
        Namespace { world: self, name }
    }

    /// Removes what a test has left, so that the nodes have room for the next one: they hold 330 pods.
    pub fn clear(&self) {
        let cluster = self.cluster();
        for namespace in self.namespaces.lock().drain(..) {
            cluster.kubectl(&["delete", "namespace", namespace, "--wait=false"]).unwrap();
            // Pods that were processes have nobody left to end them.
            let now =
                ["-n", namespace, "delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false"];
            cluster.kubectl(&now).unwrap();
        }
    }
}

/// The control plane, held by one test.
pub struct Held<'a>(MutexGuard<'a, Option<Cluster>>);

impl std::ops::Deref for Held<'_> {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("it runs until the end")
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Cluster {
        self.0.as_mut().expect("it runs until the end")
    }
}

/// A kubectl that watches, until it is dropped.
pub struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The namespace of one test.
#[derive(Clone, Copy)]
pub struct Namespace<'a> {
    pub world: &'a World,
    pub name: &'static str,
}

impl Namespace<'_> {
    /// `kubectl` here.
    pub fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.world.cluster().kubectl(&[&["-n", self.name], args].concat())
    }

    /// Applies YAML or JSON here, strictly.
    pub fn apply(&self, text: &str) -> anyhow::Result<String> {
        self.world.cluster().feed(&["-n", self.name, "apply", "--server-side", "--validate=strict"], text)
    }

    /// An object.
    pub fn read(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.kubectl(&["get", kind, name, "-o", "json"]).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits until an object is as wanted, and gives it.
    pub fn until(&self, what: &str, kind: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = self.world.wait(what, || {
            last = self.read(kind, name)?;
            wanted(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|error| panic!("{error}; it is {last:#}"))
    }

    /// Tells an object, or those with a label (`-l`, its value), as they are and each time that they change.
    pub fn watch(&self, what: &[&str], mut tell: impl FnMut(Value) + Send + 'static) -> Watch {
        let mut command = self.world.cluster().kubectl_command();
        command.args(["-n", self.name, "get"]).args(what).args(["--watch", "-o", "json"]);
        let mut kubectl = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let objects = BufReader::new(kubectl.stdout.take().unwrap());
        std::thread::spawn(move || {
            let objects = serde_json::Deserializer::from_reader(objects).into_iter::<Value>();
            objects.map_while(Result::ok).for_each(&mut tell);
        });
        Watch(kubectl)
    }

    /// Parts of the chart, as installed here.
    pub fn install(&self, templates: &[&str]) {
        self.install_with(templates, &[]);
    }

    /// The same with values: `path=JSON`.
    pub fn install_with(&self, templates: &[&str], values: &[String]) {
        let chart = repository().join("charts/ovomesh").display().to_string();
        let mut args = vec!["template", "mesh", &chart, "--namespace", self.name];
        for template in templates {
            args.extend(["-s", template]);
        }
        for value in values {
            args.extend(["--set-json", value]);
        }
        let text = self.world.cluster().helm(&args).unwrap();
        self.apply(&text).unwrap();
    }

    /// A program of ovomesh that acts as an account of this namespace.
    pub fn program(&self, name: &str, account: &str, flags: &[&str]) -> anyhow::Result<Process> {
        let kubeconfig = self.world.cluster().kubeconfig_of(self.name, account)?;
        let mut command: Command = programs().command(&format!("ovomesh-{name}"))?;
        command.env("KUBECONFIG", kubeconfig).args(flags);
        let instance = flags.windows(2).find(|pair| pair[0] == "--instance").map_or(name, |pair| pair[1]);
        Process::start(instance, command, &self.folder())
    }

    /// For what its processes write: it goes with the control plane.
    pub fn folder(&self) -> PathBuf {
        let folder = self.world.folder.join(self.name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}
