//! What this machine must have, checked in the first second, each with what to do when it is missing.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// Space for libtorch, the build and the demo's data.
const DISK_GB: u64 = 8;

/// Checks tools, architecture and disk; lists everything that is missing at once.
pub fn check(ports: &[u16]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !(cfg!(target_arch = "x86_64") && cfg!(target_os = "linux")) {
        missing.push("this needs Linux on x86-64: libtorch is fetched for nothing else".to_owned());
    }
    let tools = [
        ("cc", "--version", "a C compiler: apt install gcc"),
        ("c++", "--version", "a C++ compiler: apt install g++"),
        ("python3", "--version", "Python 3: apt install python3"),
    ];
    for (tool, flag, package) in tools {
        if !works(Command::new(tool).arg(flag)) {
            missing.push(format!("{tool} does not run; install {package}"));
        }
    }
    if !works(Command::new("python3").args(["-m", "pip", "--version"])) {
        missing.push("pip does not run; install it: apt install python3-pip".to_owned());
    }
    match free_gb(&ovomesh_testkit::repository()) {
        Some(free) if free < DISK_GB => {
            missing.push(format!("{free} GB of disk are free here, {DISK_GB} GB are needed; make room"));
        }
        _ => {}
    }
    for port in ports {
        if let Err(error) = TcpListener::bind(("127.0.0.1", *port)) {
            missing.push(format!(
                "port {port} cannot be used ({error}); stop what uses it, or leave out --keep"
            ));
        }
    }
    anyhow::ensure!(missing.is_empty(), "this machine is not ready:\n  - {}", missing.join("\n  - "));
    Ok(())
}

/// Checks a tool that only the tests need.
pub fn check_tool(tool: &str, package: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        works(Command::new(tool).arg("--version")),
        "{tool} does not run; install it: apt install {package}"
    );
    Ok(())
}

fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Free space of the disk that holds `path`.
fn free_gb(path: &Path) -> Option<u64> {
    let output = Command::new("df").args(["--output=avail", "-BG"]).arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().nth(1)?.trim().trim_end_matches('G').parse().ok()
}
