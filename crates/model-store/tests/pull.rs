//! A model is pulled whole and right, or not at all.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use ovomesh_model_store::pull;
use sha2::{Digest as _, Sha256};

const MODEL: &str = "egg/1";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A store of models with one model in it; gives the hash of its manifest.
fn model(folder: &Path, weights: &[u8]) -> String {
    let text = format!(
        "name = 'egg'\n[fp32]\nfile = 'model.pt'\nsha256 = '{}'\n[training]\nseed = 1\n",
        sha256(weights)
    );
    let at = folder.join(MODEL);
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("model.pt"), weights).unwrap();
    fs::write(at.join("model.toml"), &text).unwrap();
    sha256(text.as_bytes())
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Everything in a folder, by name.
fn listed(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_is_there_is_not_pulled_again_and_what_is_damaged_is() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hash = model(from.path(), b"weights");
    pull(&url(from.path()), &hash, MODEL, to.path()).await.unwrap();
    let weights = to.path().join(MODEL).join("model.pt");
    assert_eq!(fs::read(&weights).unwrap(), b"weights");
    // The store is away: what is there is enough.
    pull("file:///nowhere", &hash, MODEL, to.path()).await.unwrap();
    fs::write(&weights, "rotten").unwrap();
    pull(&url(from.path()), &hash, MODEL, to.path()).await.unwrap();
    assert_eq!(fs::read(&weights).unwrap(), b"weights");
    assert_eq!(listed(to.path()), ["egg"], "nothing is left lying about");
}

#[tokio::test]
async fn what_is_not_as_asked_for_is_not_kept() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hash = model(from.path(), b"weights");
    let refused =
        async |url: &str, hash: &str| pull(url, hash, MODEL, to.path()).await.unwrap_err().to_string();
    let other = refused(&url(from.path()), &"0".repeat(64)).await;
    assert!(other.contains("egg/1/model.toml has SHA-256") && other.contains(&hash), "{other}");
    fs::write(from.path().join(MODEL).join("model.pt"), "other weights").unwrap();
    let damaged = refused(&url(from.path()), &hash).await;
    assert!(damaged.contains("egg/1/model.pt has SHA-256"), "{damaged}");
    let away = refused("file:///nowhere", &hash).await;
    assert!(away.contains("pulling file:///nowhere/egg/1/model.toml"), "{away}");
    let wrong = refused("ftp://host/models", &hash).await;
    assert!(wrong.contains("s3://BUCKET/PATH"), "{wrong}");
    let text = "[fp32]\nfile = '../../etc/passwd'\nsha256 = '00'\n";
    fs::write(from.path().join(MODEL).join("model.toml"), text).unwrap();
    let outside = refused(&url(from.path()), &sha256(text.as_bytes())).await;
    assert!(outside.contains("not a plain file name"), "{outside}");
    assert!(listed(to.path()).is_empty(), "{:?}", listed(to.path()));
}

#[tokio::test]
async fn a_model_comes_over_http() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hash = model(from.path(), &vec![7; 3 << 20]);
    let root = from.path().to_owned();
    let serve = move |axum::extract::Path(path): axum::extract::Path<String>| {
        let file = root.join(path);
        async move { fs::read(file).map_err(|_| axum::http::StatusCode::NOT_FOUND) }
    };
    let router = axum::Router::new().route("/models/{*path}", axum::routing::get(serve));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/models", listener.local_addr().unwrap());
    let pulling = async { pull(&url, &hash, MODEL, to.path()).await.unwrap() };
    tokio::select! {
        () = pulling => {}
        _ = async { axum::serve(listener, router).await } => panic!("the server ended"),
    }
    assert_eq!(fs::read(to.path().join(MODEL).join("model.pt")).unwrap().len(), 3 << 20);
}
