//! Pulling.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as Key};
use sha2::{Digest as _, Sha256};
use url::Url;

/// Largest `model.toml`: one that is measured thoroughly has 100 KB.
const MANIFEST_BYTES: u64 = 4 << 20;
/// Largest file of a model: far above what fits a GPU's share of a pod.
const FILE_BYTES: u64 = 8 << 30;
/// Most files of a model.
const MOST_FILES: usize = 16;

/// Why there is no model; the text names the URL.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The URL is malformed, or of no known store.
    #[error(
        "models cannot be pulled from {url}: {why}; write s3://BUCKET/PATH, https://HOST/PATH or file:///PATH"
    )]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store does not give it.
    #[error("pulling {url}: {source}")]
    Store {
        /// URL of the file.
        url: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// It is not what was asked for.
    #[error(
        "{url} has SHA-256 {found}, expected {expected}: it is another version, or damaged; nothing was kept"
    )]
    Sha256 {
        /// URL of the file.
        url: String,
        /// Expected SHA-256 in hexadecimal.
        expected: String,
        /// SHA-256 of the file, in hexadecimal.
        found: String,
    },
    /// It is too large.
    #[error("{url} has more than {limit} bytes; nothing was kept")]
    Size {
        /// URL of the file.
        url: String,
        /// Most bytes of such a file.
        limit: u64,
    },
    /// Its `model.toml` is not one.
    #[error("{url} is no manifest of a model: {why}")]
    Manifest {
        /// URL of the file.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder of this machine cannot be written.
    #[error("keeping a model in {folder}: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Sees that `folder/NAME/VERSION` holds the model `NAME/VERSION` whose `model.toml` has this SHA-256 (64 hexadecimal digits):
/// from what is there, or from `url/NAME/VERSION`. S3 is asked as the environment says (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
/// `AWS_ENDPOINT` and so on).
///
/// # Errors
/// See [`PullError`]. Then the folder is as it was.
pub async fn pull(url: &str, sha256: &str, model: &str, folder: &Path) -> Result<(), PullError> {
    let at = |source| PullError::Folder { folder: folder.to_owned(), source };
    let target = folder.join(model);
    if is_there(&target, sha256) {
        tracing::info!(model, "the model is there already");
        return Ok(());
    }
    let source = ModelSource::parse(url, model)?;
    // Beside its target: the same file system, so that it can be moved there in one step.
    let making = folder.join(format!(".pulling-{}", std::process::id()));
    let _ = fs::remove_dir_all(&making);
    fs::create_dir_all(&making).map_err(at)?;
    let pulled = source.pull_into(&making, sha256).await;
    let kept = pulled.and_then(|bytes| {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(at)?;
        }
        // What is there is wrong, or it would have been enough.
        let _ = fs::remove_dir_all(&target);
        fs::rename(&making, &target).map_err(at)?;
        tracing::info!(model, url, bytes, "pulled the model");
        Ok(())
    });
    if kept.is_err() {
        let _ = fs::remove_dir_all(&making);
    }
    kept
}

/// The URL that a model is pulled from.
struct ModelSource {
    store: Box<dyn ObjectStore>,
    folder: Key,
    shown: String,
}

impl ModelSource {
    fn parse(url: &str, model: &str) -> Result<Self, PullError> {
        let wrong = |why: String| PullError::Url { url: url.to_owned(), why };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
        let options = environment.map(|(name, value)| (name.to_ascii_lowercase(), value));
        // Plain HTTP is as good as HTTPS here: what comes is checked by its hash.
        let options = options.chain([("allow_http".to_owned(), "true".to_owned())]);
        let (store, folder) =
            object_store::parse_url_opts(&parsed, options).map_err(|error| wrong(error.to_string()))?;
        let folder = model.split('/').fold(folder, Key::join);
        Ok(Self { store, folder, shown: format!("{}/{model}", url.trim_end_matches('/')) })
    }

    /// Pulls all files; gives their bytes.
    async fn pull_into(&self, making: &Path, sha256: &str) -> Result<u64, PullError> {
        let mut bytes = self.file("model.toml", sha256, MANIFEST_BYTES, making).await?;
        let shown = format!("{}/model.toml", self.shown);
        let wrong = |why: String| PullError::Manifest { url: shown.clone(), why };
        let text = fs::read_to_string(making.join("model.toml")).map_err(|error| wrong(error.to_string()))?;
        for (name, sha256) in files(&text).map_err(wrong)? {
            bytes += self.file(&name, &sha256, FILE_BYTES, making).await?;
        }
        Ok(bytes)
    }

    /// One file, hashed as it comes.
    async fn file(&self, name: &str, sha256: &str, limit: u64, making: &Path) -> Result<u64, PullError> {
        let url = format!("{}/{name}", self.shown);
        let failed = |source| PullError::Store { url: url.clone(), source };
        let at = |source| PullError::Folder { folder: making.to_owned(), source };
        let mut chunks = self.store.get(&self.folder.clone().join(name)).await.map_err(failed)?.into_stream();
        let mut file = fs::File::create(making.join(name)).map_err(at)?;
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(PullError::Size { url, limit });
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(at)?;
        }
        file.sync_all().map_err(at)?;
        let found = hex(hash);
        if found == sha256.to_ascii_lowercase() {
            Ok(bytes)
        } else {
            Err(PullError::Sha256 { url, expected: sha256.to_owned(), found })
        }
    }
}

/// The files that a `model.toml` names: every table of it with `file` and `sha256`.
fn files(text: &str) -> Result<Vec<(String, String)>, String> {
    let manifest: toml::Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let text_of = |table: &toml::Table, key: &str| Some(table.get(key)?.as_str()?.to_owned());
    let tables = manifest.values().filter_map(toml::Value::as_table);
    let named = tables.filter_map(|table| Some((text_of(table, "file")?, text_of(table, "sha256")?)));
    let files: Vec<_> = named.collect();
    if files.is_empty() || files.len() > MOST_FILES {
        return Err(format!("it names {} files, 1 to {MOST_FILES} are allowed", files.len()));
    }
    for (name, _) in &files {
        if Path::new(name).file_name().is_none_or(|own| own != name.as_str()) {
            return Err(format!("`{name}` is not a plain file name"));
        }
    }
    Ok(files)
}

/// Whether the folder holds the whole model and nothing in it is damaged.
fn is_there(target: &Path, sha256: &str) -> bool {
    let matches = |name: &str, sha256: &str| {
        hash_of(&target.join(name)).is_ok_and(|found| found == sha256.to_ascii_lowercase())
    };
    let files = || files(&fs::read_to_string(target.join("model.toml")).ok()?).ok();
    matches("model.toml", sha256)
        && files().is_some_and(|files| files.iter().all(|(name, sha256)| matches(name, sha256)))
}

fn hash_of(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut buffer) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash)),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
