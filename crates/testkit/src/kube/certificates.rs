//! Two authorities and a few certificates, made by openssl in some milliseconds each.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// Makes everything that the processes of a cluster prove themselves with, in `folder`.
pub(super) fn make(folder: &Path, address: Ipv4Addr) -> anyhow::Result<()> {
    for authority in ["ca", "front-proxy-ca"] {
        let key = format!("{authority}.key");
        let mut args = vec!["req", "-x509", "-days", "3650", "-keyout", &key];
        let (subject, out) = (format!("/CN={authority}"), format!("{authority}.crt"));
        args.extend(NEW_KEY);
        args.extend(["-subj", &subject, "-out", &out]);
        openssl(folder, &args)?;
    }
    let names = format!(
        "extendedKeyUsage=serverAuth\nsubjectAltName=IP:{address},IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,\
         DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    );
    let client = "extendedKeyUsage=clientAuth";
    for (name, subject, authority, extension) in [
        ("apiserver", "/CN=kube-apiserver", "ca", names.as_str()),
        ("admin", "/O=system:masters/CN=admin", "ca", client),
        ("controller-manager", "/CN=system:kube-controller-manager", "ca", client),
        ("scheduler", "/CN=system:kube-scheduler", "ca", client),
        ("front-proxy-client", "/CN=front-proxy-client", "front-proxy-ca", client),
    ] {
        sign(folder, name, subject, authority, extension)
            .with_context(|| format!("certificate of {name}"))?;
    }
    openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sa.ec"])?;
    openssl(folder, &["pkcs8", "-topk8", "-nocrypt", "-in", "sa.ec", "-out", "sa.key"])?;
    openssl(folder, &["pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"])
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn sign(folder: &Path, name: &str, subject: &str, authority: &str, extension: &str) -> anyhow::Result<()> {
    let file = |suffix: &str| format!("{name}.{suffix}");
    let (key, csr, crt, ext) = (file("key"), file("csr"), file("crt"), file("ext"));
    let text =
        format!("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n{extension}\n");
    std::fs::write(folder.join(&ext), text)?;
    let mut request = vec!["req", "-subj", subject, "-keyout", &key, "-out", &csr];
    request.extend(NEW_KEY);
    openssl(folder, &request)?;
    let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
    let signing = ["x509", "-req", "-days", "3650", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key];
    openssl(folder, &[&signing[..], &["-CAcreateserial", "-out", &crt, "-extfile", &ext]].concat())
}

fn openssl(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new("openssl").args(args).current_dir(folder).output().context("running openssl")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "openssl {args:?} failed: {errors}");
    Ok(())
}
