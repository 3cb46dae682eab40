//! A real Kubernetes control plane without containers: etcd, kube-apiserver, kube-controller-manager and
//! kube-scheduler as processes, and kwok, which says of nodes and pods that they run.
//!
//! What is real: every rule of the API (schemas, CEL, RBAC, server-side apply, watches), Deployments, EndpointSlices,
//! disruption budgets, scheduling. What is not: containers, DNS, and Service addresses. A process can stand in for a
//! pod: in a network namespace where the pods' addresses are local it listens on the pod's own address.

mod build;
mod certificates;
mod cluster;
mod part;

pub use build::{build, build_tools, is_built, tool};
pub use cluster::{Cluster, POD_CIDR};
