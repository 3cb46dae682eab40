//! A Cassandra that wants TLS and a password: who is let in, and what the others are told.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::{Path, PathBuf};

use ovomesh_mesh::Lifecycle;
use ovomesh_results_store::{Args, Config, Cql};
use ovomesh_testkit::{Cassandra, Cluster};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::cassandra::{config, cql, flags, trouble};
use support::{all, append, row};

/// An authority that signs in `folder`.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn only_who_has_the_password_and_trusts_the_certificate_gets_in_and_the_others_are_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let network = Cassandra::reserve().unwrap();
    let (ours, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![network.node(1).to_string()]).unwrap().signed_by(&key, &ours).unwrap();
    let server = file(folder.path(), "server.pem", &(key.serialize_pem() + &certificate.pem() + &ours.pem()));
    let cluster = Cluster { password: true, tls: Some(server.into()), ..Cluster::default() };
    let cassandra = Cassandra::start_with(cluster, network).unwrap();

    let [ca, wrong_ca] =
        [("ca.pem", &ours), ("other.pem", &other)].map(|(name, ca)| file(folder.path(), name, &ca.pem()));
    let [right, wrong] =
        [("right", "cassandra\n"), ("wrong", "guess")].map(|(name, text)| file(folder.path(), name, text));
    let with = |more: &[(&str, &str)]| {
        let more = more.iter().flat_map(|(flag, value)| [format!("--cql-{flag}"), (*value).to_owned()]);
        flags(&cassandra.contact_points(), "secured").into_iter().chain(more).collect::<Vec<_>>()
    };
    let login = |file| [("user", "cassandra"), ("password-file", file)];
    let life = Lifecycle::new();
    let refused = [
        (
            with(&[("ca", &ca), login(&wrong)[0], login(&wrong)[1]]),
            "check --cql-user and --cql-password-file",
        ),
        (with(&[("ca", &ca)]), "set --cql-user and --cql-password-file"),
        (with(&[("ca", &wrong_ca), login(&right)[0], login(&right)[1]]), "check --cql-ca"),
        (with(&login(&right)), "does it require TLS (--cql-ca)?"),
    ];
    for (flags, words) in refused {
        let store = Cql::start(config(&flags), "test".into(), &life);
        let told = trouble(&store, words).await;
        assert!(told.contains(&cassandra.contact_points()), "{told}");
        assert!(!told.contains("guess"), "a password is not told: {told}");
    }
    let store = cql(&with(&[("ca", &ca), login(&right)[0], login(&right)[1]]), &life).await;
    append(&store, [row("secret", "egg", 1)]).await;
    assert_eq!(all(&store).await, ["secret"]);
}

#[test]
fn a_file_that_is_wrong_ends_the_start_and_is_named() {
    use clap::Parser as _;
    let folder = tempfile::tempdir().unwrap();
    let empty = file(folder.path(), "empty", "");
    for more in [["--cql-user", "u", "--cql-password-file", &empty].as_slice(), &["--cql-ca", &empty]] {
        let flags = ["results-store", "--cql", "127.0.0.1:1"].iter().chain(more);
        let args = Args::try_parse_from(flags).unwrap();
        let error = Config::try_from(args).unwrap_err();
        assert!(format!("{error:#}").contains(&empty), "{error:#}");
    }
    for wrong in
        [["--cql", "a:1", "--data", "d"].as_slice(), &[], &["--cql", "a:1", "--cql-keyspace", "x; drop"]]
    {
        assert!(Args::try_parse_from(["results-store"].iter().chain(wrong)).is_err(), "{wrong:?}");
    }
}
