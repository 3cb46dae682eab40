//! One running service.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;

use crate::{Usage, get, signal, spawner, wait_until};

/// Loading and warming a model is the longest start there is.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A service in a process of its own; killed when dropped, and when this program ends in any way.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts `command` and waits for its line `... listening on ADDRESS`. Its log goes to `folder/NAME.log`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = spawner::spawn(command).with_context(|| format!("starting {name}"))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        // Read on a thread of its own: the pipe must never fill, and a start must have a limit.
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let address = line.rsplit_once(" listening on ").and_then(|(_, a)| a.trim().parse().ok());
                if let Some(address) = address {
                    let _ = send.send(address);
                }
            }
        });
        let Ok(address) = receive.recv_timeout(START_LIMIT) else {
            let _ = child.kill();
            let _ = child.wait();
            anyhow::bail!("{name} did not start:\n{}", tail(&log));
        };
        Ok(Self { name: name.to_owned(), child, address, log })
    }

    /// Waits until it says that it is ready.
    pub fn ready(&mut self) -> anyhow::Result<()> {
        let (name, address) = (self.name.clone(), self.address);
        let ready = wait_until(&format!("{name} ready"), START_LIMIT, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(anyhow::anyhow!("{name} ended with {status}")));
            }
            matches!(get(address, "/readyz"), Ok((200, _))).then_some(Ok(()))
        });
        ready.and_then(|alive| alive).with_context(|| format!("its log:\n{}", tail(&self.log)))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU and memory that it has used.
    pub fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits until it has drained.
    pub fn terminate(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        signal::send(self.child.id(), libc::SIGTERM)?;
        let name = format!("{} ended", self.name);
        wait_until(&name, START_LIMIT, || self.child.try_wait().ok().flatten())
    }

    /// SIGSTOP: it is there, but does nothing.
    pub fn freeze(&self) -> anyhow::Result<()> {
        Ok(signal::send(self.child.id(), libc::SIGSTOP)?)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> anyhow::Result<()> {
        Ok(signal::send(self.child.id(), libc::SIGCONT)?)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
