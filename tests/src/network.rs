//! A network of its own for a test: every port is free there, and nothing outside sees what listens.

use std::process::Command;

/// The command line that starts `program` in a new network with a working loopback. `routes` are local there too.
///
/// It needs `unshare` and `ip`, and root or user namespaces.
pub fn in_own_network(program: &std::path::Path, routes: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    // Who is not root may be it in a name space of users.
    if !is_root() {
        unshare.arg("--map-root-user");
    }
    let routes: String =
        routes.iter().map(|route| format!("ip route add local {route} dev lo && ")).collect();
    let script = format!("ip link set lo up && {routes}exec \"$@\"");
    unshare.args(["--", "sh", "-c", &script, "sh"]).arg(program);
    unshare
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
