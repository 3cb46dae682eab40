//! Who is let in through a TLS port, and what the others are told.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::PathBuf;

use clap::Parser as _;
use common::{LIMIT, Running, serve};
use ovomesh_bootstrap::status::pb::GetStatusRequest;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_bootstrap::{ClientTlsArgs, PortConfig, ServerArgs};
use ovomesh_mesh::explain;
use ovomesh_testkit::get;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tokio::time::timeout;

/// An authority and the files of whom it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The authority's own certificate.
    fn ca(&self) -> PathBuf {
        self.file("ca.pem", &self.issuer.pem())
    }

    /// Certificate and key of `name`, valid from 2020 to the end of `until`.
    fn sign(&self, name: &str, until: i32) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".into()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 12, 31));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            self.file(&format!("{name}-{until}.pem"), &certificate.pem()),
            self.file(&format!("{name}-{until}.key"), &key.serialize_pem()),
        )
    }

    /// A server that only lets in whom this authority has signed.
    fn server(&self) -> ServerArgs {
        let (cert, key) = self.sign("localhost", 2099);
        ServerArgs { tls_cert: Some(cert), tls_key: Some(key), tls_client_ca: Some(self.ca()), ..plain() }
    }

    /// A caller that trusts this authority, with a certificate of its own.
    fn caller(&self, (cert, key): (PathBuf, PathBuf)) -> ClientTlsArgs {
        ClientTlsArgs {
            ca: Some(self.ca()),
            client_cert: Some(cert),
            client_key: Some(key),
            server_name: None,
        }
    }
}

/// The flags of a server, none of them given.
fn plain() -> ServerArgs {
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        server: ServerArgs,
    }
    Flags::parse_from(["tested"]).server
}

fn port(args: &ServerArgs) -> PortConfig {
    PortConfig::try_from(args).unwrap()
}

/// Calls once; the whole chain of the error as text.
async fn call(running: &Running, caller: &ClientTlsArgs) -> Result<(), String> {
    let connector = caller.connector().map_err(|error| format!("{error:#}"))?;
    let uri = format!("http://{}", running.address).parse().unwrap();
    let called = async {
        let channel = connector.connect(&uri).await.map_err(|error| explain(&error))?;
        let answer = StatusServiceClient::new(channel).get_status(GetStatusRequest {}).await;
        answer.map(drop).map_err(|status| explain(&status))
    };
    timeout(LIMIT, called).await.expect("a caller is let in or refused in time")
}

#[tokio::test]
async fn a_caller_with_a_certificate_of_the_authority_is_let_in() {
    let authority = Authority::new();
    let running = serve(port(&authority.server())).await;
    call(&running, &authority.caller(authority.sign("scanner-a", 2099))).await.unwrap();
}

#[tokio::test]
async fn a_caller_with_a_wrong_an_expired_or_no_certificate_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let running = serve(port(&authority.server())).await;
    let wrong = call(&running, &authority.caller(other.sign("scanner-a", 2099))).await.unwrap_err();
    assert!(wrong.contains("UnknownCA") || wrong.contains("DecryptError"), "{wrong}");
    let expired = call(&running, &authority.caller(authority.sign("scanner-a", 2021))).await.unwrap_err();
    assert!(expired.contains("CertificateExpired"), "{expired}");
    let none = ClientTlsArgs { ca: Some(authority.ca()), ..ClientTlsArgs::default() };
    let none = call(&running, &none).await.unwrap_err();
    assert!(none.contains("CertificateRequired"), "{none}");
    // None of them has harmed the port.
    call(&running, &authority.caller(authority.sign("scanner-a", 2099))).await.unwrap();
}

#[tokio::test]
async fn a_server_that_the_caller_does_not_trust_is_not_called() {
    let (authority, other) = (Authority::new(), Authority::new());
    let running = serve(port(&authority.server())).await;
    let stranger = call(&running, &other.caller(authority.sign("scanner-a", 2099))).await.unwrap_err();
    assert!(stranger.contains("UnknownIssuer") || stranger.contains("BadSignature"), "{stranger}");
    let (cert, key) = authority.sign("localhost", 2021);
    let old = ServerArgs { tls_cert: Some(cert), tls_key: Some(key), ..authority.server() };
    let running = serve(port(&old)).await;
    let expired = call(&running, &authority.caller(authority.sign("scanner-a", 2099))).await.unwrap_err();
    assert!(expired.contains("expired"), "{expired}");
}

#[tokio::test]
async fn a_plain_text_caller_of_a_tls_port_is_told_to_use_tls() {
    let authority = Authority::new();
    let running = serve(port(&authority.server())).await;
    let told = call(&running, &ClientTlsArgs::default()).await.unwrap_err();
    assert!(told.contains("this port speaks TLS"), "{told}");
    let address = running.address;
    let page = tokio::task::spawn_blocking(move || get(address, "/healthz").unwrap()).await.unwrap();
    assert_eq!(page.0, 400);
    assert!(page.1.contains("https://"), "{}", page.1);
}

#[tokio::test]
async fn a_tls_caller_of_a_plain_text_port_is_refused() {
    let authority = Authority::new();
    let running = serve(PortConfig::default()).await;
    call(&running, &authority.caller(authority.sign("scanner-a", 2099))).await.unwrap_err();
    call(&running, &ClientTlsArgs::default()).await.unwrap();
}

#[test]
fn a_file_that_is_wrong_is_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (cert, key) = authority.sign("localhost", 2099);
    let (_, other_key) = other.sign("localhost", 2099);
    let garbage = authority.file("garbage.pem", "no PEM at all");
    let missing = authority.folder.path().join("missing.pem");
    let good = authority.server();
    let table = [
        (ServerArgs { tls_cert: Some(missing.clone()), ..good.clone() }, "missing.pem"),
        (ServerArgs { tls_cert: Some(garbage.clone()), ..good.clone() }, "garbage.pem holds no certificate"),
        (
            ServerArgs { tls_key: Some(cert.clone()), ..good.clone() },
            "localhost-2099.pem holds no private key",
        ),
        (ServerArgs { tls_key: Some(other_key), ..good.clone() }, "for "),
        (ServerArgs { tls_client_ca: Some(key), ..good }, "localhost-2099.key holds no certificate"),
    ];
    for (args, text) in table {
        let error = format!("{:#}", PortConfig::try_from(&args).unwrap_err());
        assert!(error.contains(text), "{error}");
    }
    for file in [missing, garbage] {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let error = ClientTlsArgs { ca: Some(file), ..ClientTlsArgs::default() }.connector().unwrap_err();
        assert!(format!("{error:#}").contains(&name), "{error:#}");
    }
}
