//! What a kubelet would do: a process for each pod, on the pod's own address. kwok says that the pods run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use ovomesh_testkit::Process;
use ovomesh_tests::programs;
use serde_json::Value;

use crate::world::{Namespace, World};

/// Runs a program for each pod with a label, until it is dropped.
pub struct Kubelet {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    /// `program` for each pod of `here` that is named `name`; it gets `--listen` and `--instance`.
    pub fn start(
        here: Namespace<'_>,
        name: &'static str,
        program: &'static str,
        port: u16,
        flags: &[&str],
    ) -> Self {
        let (world, namespace): (&'static World, _) = (World::get(), here.name);
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let end = Arc::new(AtomicBool::new(false));
        let until = end.clone();
        let thread = std::thread::spawn(move || {
            let here = Namespace { world, name: namespace };
            let mut running: HashMap<String, Process> = HashMap::new();
            while !until.load(SeqCst) {
                let pods = addresses(here, name);
                running.retain(|pod, process| {
                    let stays = pods.contains_key(pod);
                    if !stays {
                        // As a kubelet does: SIGTERM, then time to drain.
                        process.terminate().unwrap();
                    }
                    stays
                });
                for (pod, address) in pods {
                    running.entry(pod).or_insert_with_key(|pod| {
                        let mut command = programs().command(program).unwrap();
                        command
                            .args(["--listen", &format!("{address}:{port}"), "--instance", pod])
                            .args(&flags);
                        let folder =
                            std::env::temp_dir().join(format!("ovomesh-kubelet-{}", std::process::id()));
                        std::fs::create_dir_all(&folder).unwrap();
                        Process::start(pod, command, &folder).unwrap()
                    });
                }
                world.pause(Duration::from_millis(300));
            }
        });
        Self { end, thread: Some(thread) }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Pods that run and are not being deleted, with their addresses.
pub fn addresses(here: Namespace<'_>, name: &str) -> HashMap<String, String> {
    let label = format!("app.kubernetes.io/name={name}");
    let text = here.kubectl(&["get", "pods", "-l", &label, "-o", "json"]).unwrap_or_default();
    let pods: Value = serde_json::from_str(&text).unwrap_or_default();
    let pods = pods["items"].as_array().into_iter().flatten();
    let alive = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    alive
        .filter_map(|pod| {
            let (name, address) = (pod["metadata"]["name"].as_str()?, pod["status"]["podIP"].as_str()?);
            Some((name.to_owned(), address.to_owned()))
        })
        .collect()
}
