//! One node: a Java process and its folder.

use std::fmt;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context as _;

use super::{Cluster, config};
use crate::{linked, signal, spawner};

/// What Cassandra 5 needs of Java 17's modules, from its own `jvm17-server.options`.
const EXPORTS: [&str; 8] = [
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "java.base/java.lang.ref",
    "jdk.unsupported/sun.misc",
    "jdk.attach/sun.tools.attach",
];
/// The same.
const OPENS: [&str; 11] = [
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.util",
];
/// A node of a test has nobody to wait for: no settling of gossip, no delay before the ring or the first user is there.
const AT_ONCE: [&str; 4] = [
    "-Dcassandra.ring_delay_ms=1000",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.consistent.rangemovement=false",
];

const LOGGING: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"#;

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    number: usize,
    address: Ipv4Addr,
    folder: PathBuf,
    child: Option<Child>,
}

impl Node {
    pub fn new(number: usize, address: Ipv4Addr, cluster: &Path) -> Self {
        Self { number, address, folder: cluster.join(format!("node{number}")), child: None }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its process, unless it was killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How it ended, if it ended on its own.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// Starts it on what its folder holds.
    pub fn start(&mut self, cluster: &Cluster, addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
        let jars = linked("cassandra").join("lib");
        anyhow::ensure!(
            jars.is_dir(),
            "{} is not there: `cargo xtask fetch` brings Cassandra",
            jars.display()
        );
        for folder in ["tmp", "triggers"] {
            std::fs::create_dir_all(self.folder.join(folder))?;
        }
        let yaml = config::yaml(cluster, self.number, addresses, &self.folder);
        std::fs::write(self.folder.join("cassandra.yaml"), yaml)?;
        std::fs::write(self.folder.join("logback.xml"), LOGGING)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut java = self.java(cluster);
        java.arg("-cp").arg(jars.join("*")).arg("org.apache.cassandra.service.CassandraDaemon");
        java.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child =
            Some(spawner::spawn(java).context("starting Cassandra (apt install openjdk-17-jre-headless)")?);
        Ok(())
    }

    fn java(&self, cluster: &Cluster) -> Command {
        let folder = self.folder.display();
        let mut java = Command::new("java");
        java.current_dir(&self.folder);
        // Cassandra locks its first heap in memory when it may: a small one.
        java.arg("-Xms64m").arg(format!("-Xmx{}m", cluster.heap_mib)).args(["-Xss256k", "-XX:+UseSerialGC"]);
        if !cluster.fast {
            java.arg("-XX:TieredStopAtLevel=1");
        }
        java.args(["-XX:MaxDirectMemorySize=256m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"]);
        java.args([
            "-Djava.net.preferIPv4Stack=true",
            "-Djava.awt.headless=true",
            "-Djdk.attach.allowAttachSelf=true",
        ]);
        java.arg(format!("-Djava.io.tmpdir={folder}/tmp"));
        for module in EXPORTS {
            java.arg(format!("--add-exports={module}=ALL-UNNAMED"));
        }
        for module in OPENS {
            java.arg(format!("--add-opens={module}=ALL-UNNAMED"));
        }
        java.args(["-Dio.netty.tryReflectionSetAccessible=true", "-Dio.netty.allocator.maxOrder=11"]);
        java.arg(format!("-Dcassandra.config=file://{folder}/cassandra.yaml"));
        java.arg(format!("-Dcassandra.storagedir={folder}"));
        java.arg(format!("-Dcassandra.triggers_dir={folder}/triggers"));
        java.arg(format!("-Dlogback.configurationFile={folder}/logback.xml"));
        java.args(["-Dcassandra-foreground=yes", "-Dcassandra.available_processors=2"]).args(AT_ONCE);
        java
    }

    /// Kills it, when it runs, and waits until its address is free.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub fn signal(&self, number: i32) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("{self} does not run"))?;
        Ok(signal::send(pid, number)?)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        crate::process::tail(&self.log())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cassandra node {} at {}", self.number, self.address)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}
