//! `cargo xtask cluster`: a control plane to play with.

use ovomesh_testkit::kube::{self, Cluster};

#[derive(clap::Args)]
pub struct Args {
    /// Install no custom resources
    #[arg(long)]
    bare: bool,
}

/// Starts it and waits for Enter.
pub fn run(args: &Args) -> anyhow::Result<()> {
    kube::build()?;
    let root = ovomesh_testkit::repository();
    let cluster = Cluster::start(&root.join("target/cluster"))?;
    if !args.bare {
        let crds = root.join("charts/ovomesh/crds");
        cluster.kubectl(&["apply", "--server-side", "-f", &crds.display().to_string()])?;
    }
    let kubectl = kube::tool("kubectl");
    let bin = kubectl.parent().unwrap_or(&root);
    println!("a control plane of Kubernetes with three simulated nodes runs. In another terminal:\n");
    println!("  export KUBECONFIG={} PATH={}:$PATH", cluster.kubeconfig().display(), bin.display());
    println!("  kubectl get nodes");
    println!("  kubectl explain inferencepool.spec");
    println!("  helm install mesh charts/ovomesh --create-namespace --namespace ovomesh");
    println!("  kubectl -n ovomesh get inferencepools,deployments\n");
    println!("Pods are simulated: they get Ready, but no container runs. Press Enter to end it.");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
