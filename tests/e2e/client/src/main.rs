//! Drives the published Polykit client library against a server.
//!
//! ```text
//! polykit-client key    SEED
//! polykit-client upload URL SEED [token=T] [NAME=FILE]...
//! polykit-client swarm  URL SEED COUNT [NAME=FILE]...     COUNT uploads at once, under SEED-0, SEED-1, ...
//! polykit-client has    URL SEED [token=T]
//! polykit-client fetch  URL SEED DIR [token=T]            checks the manifest, then extracts into DIR
//! ```
//!
//! SEED is the command of the cache key, so that a test names keys freely. Exit status: 0 done or hit,
//! 3 miss, 1 error, 2 usage.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use polykit_core::remote_cache::{
    Artifact, ArtifactVerifier, CacheKey, HttpBackend, RemoteCacheBackend, RemoteCacheConfig,
};

type Failure = Box<dyn Error + Send + Sync>;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const MISS: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let code = run(&arguments).await.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        FAILED
    });
    ExitCode::from(code)
}

async fn run(arguments: &[String]) -> Result<u8, Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["key", seed] => {
            println!("{}", cache_key(seed)?.as_string());
            Ok(DONE)
        }
        ["upload", url, seed, rest @ ..] => upload(url, seed, rest).await,
        ["swarm", url, seed, count, rest @ ..] => swarm(url, seed, count.parse()?, rest).await,
        ["has", url, seed, rest @ ..] => {
            let found = backend(url, rest)?.has_artifact(&cache_key(seed)?).await?;
            Ok(if found { DONE } else { MISS })
        }
        ["fetch", url, seed, directory, rest @ ..] => {
            fetch(url, seed, Path::new(directory), rest).await
        }
        _ => {
            eprintln!("usage: polykit-client key|upload|swarm|has|fetch ... (see main.rs)");
            Ok(USAGE)
        }
    }
}

fn cache_key(seed: &str) -> Result<CacheKey, Failure> {
    let key = CacheKey::builder()
        .package_id("test-package")
        .task_name("build")
        .command(seed)
        .dependency_graph_hash("abc")
        .toolchain_version("node-v20")
        .build()?;
    Ok(key)
}

fn backend(url: &str, options: &[&str]) -> Result<HttpBackend, Failure> {
    let mut config = RemoteCacheConfig::new(url);
    if let Some(token) = options
        .iter()
        .find_map(|option| option.strip_prefix("token="))
    {
        config = config.with_token(token);
    }
    Ok(HttpBackend::new(&config)?)
}

fn read_outputs(options: &[&str]) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut outputs = BTreeMap::new();
    for option in options {
        match option.split_once('=') {
            Some(("token", _)) => {}
            Some((name, file)) => {
                outputs.insert(PathBuf::from(name), std::fs::read(file)?);
            }
            None => return Err(format!("{option}: NAME=FILE expected").into()),
        }
    }
    Ok(outputs)
}

fn make_artifact(seed: &str, outputs: BTreeMap<PathBuf, Vec<u8>>) -> Result<Artifact, Failure> {
    let key = cache_key(seed)?.as_string();
    let artifact = Artifact::new(
        "test-package".into(),
        "build".into(),
        seed.into(),
        key,
        outputs,
    )?;
    Ok(artifact)
}

async fn upload(url: &str, seed: &str, options: &[&str]) -> Result<u8, Failure> {
    let artifact = make_artifact(seed, read_outputs(options)?)?;
    backend(url, options)?
        .upload_artifact(&cache_key(seed)?, &artifact)
        .await?;
    Ok(DONE)
}

async fn swarm(url: &str, seed: &str, count: usize, options: &[&str]) -> Result<u8, Failure> {
    let backend = Arc::new(backend(url, options)?);
    let mut uploads = Vec::with_capacity(count);
    for number in 0..count {
        let seed = format!("{seed}-{number}");
        let artifact = make_artifact(&seed, read_outputs(options)?)?;
        let key = cache_key(&seed)?;
        let backend = Arc::clone(&backend);
        uploads.push(tokio::spawn(async move {
            backend.upload_artifact(&key, &artifact).await
        }));
    }
    for upload in uploads {
        upload.await??;
    }
    Ok(DONE)
}

async fn fetch(url: &str, seed: &str, directory: &Path, options: &[&str]) -> Result<u8, Failure> {
    let Some(artifact) = backend(url, options)?
        .fetch_artifact(&cache_key(seed)?)
        .await?
    else {
        return Ok(MISS);
    };
    ArtifactVerifier::verify(&artifact, None)?;
    std::fs::create_dir_all(directory)?;
    artifact.extract_outputs(directory)?;
    Ok(DONE)
}
