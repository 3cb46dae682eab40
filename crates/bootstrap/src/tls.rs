//! TLS by flags, with errors that name the file.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ovomesh_mesh::Connector;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{ClientTlsArgs, ServerArgs};

impl ServerArgs {
    /// How this server proves its identity, and which callers must do the same. `None`: plain text.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        install_provider();
        let builder = ServerConfig::builder();
        let builder = match &self.tls_client_ca {
            Some(ca) => {
                let roots = Arc::new(roots(ca)?);
                let verifier = WebPkiClientVerifier::builder(roots).build();
                builder.with_client_cert_verifier(verifier.with_context(|| ca.display().to_string())?)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(certificates(cert)?, private_key(key)?)
            .with_context(|| format!("the key in {} for {}", key.display(), cert.display()))?;
        // The second for probes, and for readers of /metrics.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }
}

impl ClientTlsArgs {
    /// How calls are secured. `None`: plain text.
    pub fn tls(&self) -> anyhow::Result<Option<ClientTlsConfig>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        install_provider();
        roots(ca)?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            certificates(cert)?;
            private_key(key)?;
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
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

/// How a client of some other kind secures its connections: the authority of the servers' certificates, and its own
/// certificate chain and key for servers that ask for them.
pub fn client_config(ca: &Path, own: Option<(&Path, &Path)>) -> anyhow::Result<ClientConfig> {
    install_provider();
    let builder = ClientConfig::builder().with_root_certificates(roots(ca)?);
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .with_context(|| format!("the key in {} for {}", key.display(), cert.display())),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.with_context(|| format!("{} is no valid PEM", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate in PEM form", file.display());
    Ok(found)
}

fn private_key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(file)?)
        .with_context(|| format!("{} holds no private key in PEM form", file.display()))
}

fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .with_context(|| format!("{} holds a certificate that cannot be an authority", file.display()))?;
    }
    Ok(roots)
}

/// One crypto provider for the whole process; a second call changes nothing.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
