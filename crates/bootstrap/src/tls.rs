//! TLS by flags, with errors that name the file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ovomesh_mesh::Connector;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::{ClientTlsArgs, ServerArgs};

impl ServerArgs {
    /// How this server proves who it is, and whom it asks to do the same. `None`: plain text.
    pub fn tls(&self) -> anyhow::Result<Option<ServerTlsConfig>> {
        let Some(identity) = identity(self.tls_cert.as_ref(), self.tls_key.as_ref())? else {
            return Ok(None);
        };
        let tls = ServerTlsConfig::new().identity(identity);
        Ok(Some(match &self.tls_client_ca {
            Some(ca) => tls.client_ca_root(Certificate::from_pem(pem(ca, "CERTIFICATE")?)),
            None => tls,
        }))
    }
}

impl ClientTlsArgs {
    /// How calls are secured. `None`: plain text.
    pub fn tls(&self) -> anyhow::Result<Option<ClientTlsConfig>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem(ca, "CERTIFICATE")?));
        if let Some(identity) = identity(self.client_cert.as_ref(), self.client_key.as_ref())? {
            tls = tls.identity(identity);
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        Ok(Some(tls))
    }

    /// A connector for pools.
    pub fn connector(&self) -> anyhow::Result<Connector> {
        Ok(Connector { tls: self.tls()?, ..Connector::default() })
    }
}

fn identity(cert: Option<&PathBuf>, key: Option<&PathBuf>) -> anyhow::Result<Option<Identity>> {
    match (cert, key) {
        (Some(cert), Some(key)) => {
            Ok(Some(Identity::from_pem(pem(cert, "CERTIFICATE")?, pem(key, "PRIVATE KEY")?)))
        }
        _ => Ok(None),
    }
}

/// Reads a PEM file and looks whether it holds what it should: the library's own errors name neither.
fn pem(file: &Path, what: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let has = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(what));
    anyhow::ensure!(has, "{} holds no {what} in PEM form", file.display());
    Ok(text)
}

/// One crypto provider for the whole process; a second call changes nothing.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
