//! What cannot be run here and why; what stands for a reader's own names; and what commands promise to print.

/// Commands that begin so are not run, for this reason. Everything else is.
pub const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo xtask",
        "it builds in release mode, for minutes, what this test is given in debug mode; it has tests",
    ),
    ("cargo run -p ovomesh-client", "tests/client.rs runs both examples"),
    ("cargo doc", "it opens a browser"),
    ("helm install", "it needs a cluster; tests/kube renders the chart and applies it"),
    ("kubectl", "it needs a cluster; tests/kube asks the same of a control plane"),
    ("grpcurl", "not installed everywhere; its call is made by this test's own client (calls.rs)"),
    ("CREATE KEYSPACE", "CQL for the administrator of a database"),
    ("GRANT ALL PERMISSIONS", "CQL for the administrator of a database"),
    ("install -m", "it installs a system service"),
    ("mkdir -p /etc/ovomesh", "it installs a system service"),
    ("cat > /etc/ovomesh/agent.env", "it installs a system service"),
    ("systemctl enable", "it installs a system service"),
];

/// What a reader puts in the place of a name in capitals.
pub const NAMES: &[(&str, &str)] = &[
    ("--data DIR", "--data data"),
    ("--spool DIR", "--spool spool"),
    ("--gateways URL", "--gateways http://127.0.0.1:7700"),
    ("HOST 11112 DIR", "127.0.0.1 11112 slices/scans/00001"),
    ("HOST 11112", "127.0.0.1 11112"),
    ("send FILES", "send eggs/scans"),
];

/// Folders of the examples, and what stands for them in the reader's own folder.
pub const FOLDERS: &[(&str, &str)] = &[("/srv/drop", "drop"), ("/etc/ovomesh", "etc")];

/// Names in capitals: one that is left after [`NAMES`] would be run as it stands.
pub const CAPITALS: &[&str] = &["DIR", "URL", "HOST", "SCAN", "FILE", "FILES", "NAME"];

/// What a command that begins so prints, besides that it succeeds.
pub const PRINTS: &[(&str, &[&str])] = &[
    (
        "target/release/ovomesh status",
        &[
            "READY",
            "BACKLOG",
            "OLDEST",
            "LAST ERROR",
            "scanner-gateway",
            "query",
            "results-store",
            "inference",
        ],
    ),
    ("target/release/ovomesh list --site sim", &["ACQUIRED", "CALL", " sim/line-1 #", " sim-"]),
    ("target/release/ovomesh show", &["scan sim-", " at sim/line-1 #", "P(female)", "time     ["]),
    ("target/release/ovomesh watch", &[" sim/line-1 #", " sim/line-8 #"]),
    ("target/release/ovomesh phantom", &["20 eggs in eggs/scans", "eggs/truth.csv"]),
    ("target/release/ovomesh send", &["phantom-1-1 ", "20 eggs: ", " 0 not sent"]),
    ("echoscu", &[]),
    ("storescu", &[]),
];

/// Commands that go on until they are stopped.
pub const ENDLESS: &[&str] = &["target/release/ovomesh watch"];

/// Lines of a shown report that `cargo xtask demo` prints and not `ovomesh simulate`.
pub const OF_THE_DEMO: &[&str] = &["8 scanners send", "  -- killed inference-1", "killed     inference-1"];
