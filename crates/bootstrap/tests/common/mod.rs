//! A server in this process, and the example in a process of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ovomesh_bootstrap::{Lifecycle, Load, PortConfig, Server, Status};
use ovomesh_testkit::Process;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a test waits for at most.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Ready when the test says so.
#[derive(Clone, Default)]
pub struct Switch(pub Arc<AtomicBool>);

impl Status for Switch {
    fn ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    fn load(&self) -> Load {
        Load { outstanding: 3, oldest: Some(Duration::from_millis(1_500)), streams: 1 }
    }
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub lifecycle: Lifecycle,
    pub ready: Switch,
    pub served: JoinHandle<anyhow::Result<()>>,
}

/// Starts a server on a free port.
pub async fn serve(config: PortConfig) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, lifecycle, ready) = (listener.local_addr().unwrap(), Lifecycle::new(), Switch::default());
    ready.0.store(true, Ordering::Relaxed);
    let (status, life) = (ready.clone(), lifecycle.clone());
    let serving = async move { Server::new("tested", &config).status(status).serve(listener, &life).await };
    Running { address, served: lifecycle.tasks.spawn(serving), lifecycle, ready }
}

/// The example `minimal`, which cargo builds before the tests.
pub fn minimal(name: &str, flags: &[&str], folder: &Path) -> Process {
    let beside = std::env::current_exe().unwrap();
    let program = beside.parent().unwrap().parent().unwrap().join("examples/minimal");
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--name", name]).args(flags);
    Process::start(name, command, folder).unwrap()
}
