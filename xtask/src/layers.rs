//! Who may depend on whom: services are the top layer, so no crate depends on one. `ovomeshd` is all of them, and the tests
//! of a service may run its neighbour.

use serde::Deserialize;

use crate::run::cargo;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; none for a normal one.
    kind: Option<String>,
}

/// May depend on services: it is all of them in one process.
const ALL_IN_ONE: &str = "ovomesh-all-in-one";

/// Each dependency that may not be, as `package -> service`.
fn forbidden(metadata: &Metadata) -> Vec<String> {
    let is_service = |package: &Package| package.manifest_path.contains("/services/");
    let services: Vec<_> = metadata.packages.iter().filter(|package| is_service(package)).collect();
    let mut found = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.name != ALL_IN_ONE) {
        let of_its_tests = |kind: &Option<String>| is_service(package) && kind.as_deref() == Some("dev");
        for dependency in package.dependencies.iter().filter(|dependency| !of_its_tests(&dependency.kind)) {
            if services.iter().any(|service| service.name == dependency.name) {
                found.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    found
}

#[test]
fn no_crate_depends_on_a_service() {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output().expect("cargo runs");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    assert!(metadata.packages.iter().any(|package| package.name == ALL_IN_ONE), "the workspace is found");
    assert_eq!(forbidden(&metadata), Vec::<String>::new(), "see ARCHITECTURE.md: who may depend on whom");
}

#[test]
fn vendors_compile_nothing_of_ours_but_the_contract_and_the_transport() {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output().expect("cargo runs");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let client = metadata.packages.iter().find(|package| package.name == "ovomesh-client");
    let needed = client.expect("there is a client").dependencies.iter().filter(|d| d.kind.is_none());
    let ours: Vec<_> = needed.map(|d| d.name.as_str()).filter(|name| name.starts_with("ovomesh-")).collect();
    assert_eq!(ours, ["ovomesh-api", "ovomesh-mesh"], "see ARCHITECTURE.md: who may depend on whom");
}

#[test]
fn a_dependency_on_a_service_is_found_whichever_way_it_is_written() {
    let package = |name: &str, folder: &str, dependencies: &[(&str, Option<&str>)]| Package {
        name: name.into(),
        manifest_path: format!("/repository/{folder}/{name}/Cargo.toml"),
        dependencies: dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).into(), kind: kind.map(str::to_owned) })
            .collect(),
    };
    let packages = vec![
        package("store", "services", &[("api", None)]),
        package("query", "services", &[("store", Some("dev"))]),
        package("gateway", "services", &[("store", None)]),
        package("api", "crates", &[("store", Some("dev"))]),
        package("tests", "", &[("query", Some("build"))]),
        package(ALL_IN_ONE, "services", &[("store", None), ("query", None)]),
    ];
    let expected = ["gateway -> store", "api -> store", "tests -> query"];
    assert_eq!(forbidden(&Metadata { packages }), expected);
}
