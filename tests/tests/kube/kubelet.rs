//! What a kubelet does: a process for each pod, on the pod's own address. The pod is Ready when its process says so; a
//! deleted pod waits as long as its preStop says, its process gets SIGTERM and time to drain, and then the pod is removed.
//! Only pods with the annotation of [`RUN`] are run so; kwok gives them their addresses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ovomesh_testkit::{Process, get};
use ovomesh_tests::programs;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::world::{Namespace, World};

/// The annotation that has kwok leave a pod's readiness and its end to a [`Kubelet`].
pub const RUN: (&str, &str) = ("sim/kubelet", "process");

/// How long a watch that has ended is left alone: the apiserver may be away.
const AGAIN: Duration = Duration::from_secs(2);

/// What runs in the pods of one name.
pub struct Program {
    /// The pods' `app.kubernetes.io/name`.
    pub name: &'static str,
    /// Its file. It gets `--listen` and `--instance`.
    pub file: &'static str,
    /// Where it listens.
    pub port: u16,
    /// What else it gets.
    pub flags: Vec<String>,
    /// The account as which it asks the apiserver.
    pub account: Option<&'static str>,
}

/// What became of a pod.
#[derive(Clone, Debug)]
pub struct Life {
    /// Where its process listens.
    pub address: SocketAddr,
    /// When the apiserver was told that it is Ready.
    pub ready: Option<Instant>,
    /// It is being deleted.
    pub deleted: bool,
    /// How its process ended after SIGTERM.
    pub ended: Option<ExitStatus>,
}

impl Life {
    /// A counter of its process: the sum of those whose line begins with `name` and has `label` in it.
    pub fn counter(&self, name: &str, label: &str) -> f64 {
        let Ok((_, metrics)) = get(self.address, "/metrics") else { return 0.0 };
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Calls of its stage that it has answered.
    pub fn answered(&self) -> f64 {
        self.counter("ovomesh_mesh_served_total", "answered")
    }
}

type Lives = Arc<Mutex<HashMap<String, Life>>>;

/// Runs a program for each pod of a name, until it is dropped.
pub struct Kubelet {
    name: &'static str,
    namespace: &'static str,
    lives: Lives,
    watch: Arc<Mutex<Watch>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The program that tells what becomes of the pods. It ends with the apiserver, and is started again.
#[derive(Default)]
struct Watch {
    running: Option<Child>,
    over: bool,
}

impl Kubelet {
    /// Runs `program` for the pods of `here`.
    pub fn start(here: Namespace<'_>, program: Program) -> Self {
        let (lives, watch) = (Lives::default(), Arc::<Mutex<Watch>>::default());
        let (name, namespace) = (program.name, here.name);
        let (pods, watches) = (Pods::new(here, program, &lives), watch.clone());
        let thread = Some(std::thread::spawn(move || pods.follow(&watches)));
        Self { name, namespace, lives, watch, thread }
    }

    /// The pods that have ever run, by name.
    pub fn lives(&self) -> HashMap<String, Life> {
        self.lives.lock().clone()
    }

    /// Those that are ready and are not being deleted.
    pub fn ready(&self) -> HashMap<String, Life> {
        self.lives().into_iter().filter(|(_, life)| life.ready.is_some() && !life.deleted).collect()
    }

    /// Waits until at least so many are ready.
    pub fn until_ready(&self, world: &World, count: usize) -> HashMap<String, Life> {
        let enough = || Some(self.ready()).filter(|ready| ready.len() >= count);
        let found = world.wait(&format!("{count} pods of {} are ready", self.name), enough);
        found.unwrap_or_else(|error| panic!("{error}; {}", self.state(world)))
    }

    /// What the apiserver and this kubelet know of the pods: why none is ready, when none is.
    fn state(&self, world: &World) -> String {
        let cluster = world.cluster();
        let ask = |what: &[&str]| {
            let args = [&["-n", self.namespace], what].concat();
            cluster.kubectl(&args).unwrap_or_else(|error| format!("{error:#}"))
        };
        format!(
            "pods:\n{}events:\n{}processes: {:#?}\nnodes:\n{}",
            ask(&["get", "pods", "-o", "wide"]),
            ask(&["get", "events", "--sort-by=.lastTimestamp"]),
            self.lives(),
            ask(&["get", "nodes"]),
        )
    }
}

impl Drop for Kubelet {
    /// Processes are killed: nobody needs their answers any more.
    fn drop(&mut self) {
        let mut watch = self.watch.lock();
        watch.over = true;
        if let Some(running) = &mut watch.running {
            let _ = running.kill();
        }
        drop(watch);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The pods of one name.
struct Pods {
    program: Arc<Program>,
    /// A namespace that outlives the test's borrow of it.
    here: Namespace<'static>,
    kubeconfig: Option<PathBuf>,
    lives: Lives,
    /// Whom to tell that a pod is deleted.
    running: HashMap<String, mpsc::Sender<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Pods {
    fn new(here: Namespace<'_>, program: Program, lives: &Lives) -> Self {
        let account = |name| here.world.cluster().kubeconfig_of(here.name, name).unwrap();
        Self {
            kubeconfig: program.account.map(account),
            program: Arc::new(program),
            here: Namespace { world: World::get(), name: here.name },
            lives: lives.clone(),
            running: HashMap::new(),
            threads: Vec::new(),
        }
    }

    /// Obeys each event, until it is over. Pods that go while the apiserver is away are not missed: none does.
    fn follow(mut self, watch: &Mutex<Watch>) {
        while let Some(events) = self.watch(watch) {
            let events = std::io::BufReader::new(events);
            let events = serde_json::Deserializer::from_reader(events).into_iter::<Value>();
            events.map_while(Result::ok).for_each(|event| self.obey(&event));
            self.here.world.pause(AGAIN);
        }
        self.running.clear();
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    /// What a watch tells from now on.
    fn watch(&self, watch: &Mutex<Watch>) -> Option<ChildStdout> {
        let mut watch = watch.lock();
        if let Some(mut before) = watch.running.take() {
            let _ = before.wait();
        }
        if watch.over {
            return None;
        }
        let mut command = self.here.world.cluster().kubectl_command();
        let label = format!("app.kubernetes.io/name={}", self.program.name);
        command.args(["-n", self.here.name, "get", "pods", "-l", &label, "--watch", "--output-watch-events"]);
        command.args(["-o", "json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let running = watch.running.insert(command.spawn().unwrap());
        running.stdout.take()
    }

    fn obey(&mut self, event: &Value) {
        let pod = &event["object"];
        let (Some(name), Some(address)) = (pod["metadata"]["name"].as_str(), pod["status"]["podIP"].as_str())
        else {
            return;
        };
        if !pod["metadata"]["deletionTimestamp"].is_null() || event["type"] == "DELETED" {
            // A second event about it finds nobody.
            self.running.remove(name).map(|deleted| deleted.send(()));
            return;
        }
        let address = format!("{address}:{}", self.program.port).parse().unwrap();
        let mut lives = self.lives.lock();
        if lives.contains_key(name) {
            return;
        }
        lives.insert(name.to_owned(), Life { address, ready: None, deleted: false, ended: None });
        drop(lives);
        let (tell, deleted) = mpsc::channel();
        self.running.insert(name.to_owned(), tell);
        let pod = Pod {
            name: name.to_owned(),
            address,
            pre_stop: pre_stop(pod),
            program: self.program.clone(),
            here: self.here,
            lives: self.lives.clone(),
        };
        let kubeconfig = self.kubeconfig.clone();
        self.threads.push(std::thread::spawn(move || pod.live(kubeconfig, &deleted)));
    }
}

/// How long the container wants to be left alone before it is told to end.
fn pre_stop(pod: &Value) -> Duration {
    let seconds = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    Duration::from_secs(seconds.unwrap_or(0))
}

/// One of them.
struct Pod {
    name: String,
    address: SocketAddr,
    pre_stop: Duration,
    program: Arc<Program>,
    here: Namespace<'static>,
    lives: Lives,
}

impl Pod {
    /// From its start to its end. When nobody is left to tell that it is deleted, the process is killed.
    fn live(self, kubeconfig: Option<PathBuf>, deleted: &mpsc::Receiver<()>) {
        let mut command = programs().command(self.program.file).unwrap();
        command.args(["--listen", &self.address.to_string(), "--instance", &self.name]);
        command.args(&self.program.flags).envs(kubeconfig.map(|file| ("KUBECONFIG", file)));
        let mut process = Process::start(&self.name, command, &self.here.folder()).unwrap();
        process.ready().unwrap();
        self.say_ready();
        if deleted.recv().is_err() {
            return;
        }
        self.note(|life| life.deleted = true);
        self.here.world.pause(self.pre_stop);
        let status = process.terminate().unwrap();
        self.note(|life| life.ended = Some(status));
        let _ =
            self.here.kubectl(&["delete", "pod", &self.name, "--force", "--grace-period=0", "--wait=false"]);
    }

    fn say_ready(&self) {
        let conditions =
            ["ContainersReady", "Ready"].map(|condition| json!({"type": condition, "status": "True"}));
        let patch = json!({"status": {"conditions": conditions}}).to_string();
        let args = ["-n", self.here.name, "patch", "pod", &self.name, "--subresource=status", "-p", &patch];
        let cluster = self.here.world.cluster();
        // Nobody else's question is in the way from here on.
        let at = Instant::now();
        // A pod that is gone already cannot be told.
        let _ = cluster.kubectl(&args);
        drop(cluster);
        self.note(|life| life.ready = Some(at));
    }

    fn note(&self, note: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lives.lock().get_mut(&self.name) {
            note(life);
        }
    }
}
