//! The engine `wasm` against good modules, programs of WASI preview 1, and hostile ones (TX11).

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod modules;
mod wasi;

use common::{job, settings};
use devstudio_sandbox::{
    engine::{Job, Program},
    process::Factory,
    wasm::{Settings, Wasm},
};

/// An engine of a test's own, and the folder of its cache; nothing and a word about it where it does not work.
async fn engine_with(test: &str, fuel: u64, warm: bool) -> Option<(Wasm, tempfile::TempDir)> {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let factory = match Factory::probe(settings("wasm")).await {
        Ok(factory) => factory,
        Err(remedy) => {
            eprintln!("SKIPPED {test}: {remedy}");
            return None;
        }
    };
    let settings = Settings { cache: cache.path().join("wasm"), fuel, warm };
    Some((Wasm::new(Ok(factory), settings).expect("an engine"), cache))
}

async fn engine(test: &str) -> Option<(Wasm, tempfile::TempDir)> {
    engine_with(test, 1 << 40, false).await
}

fn module(bytes: impl AsRef<[u8]>) -> Job {
    let mut job = job(Program::Module(bytes.as_ref().to_vec().into()), "");
    job.memory_bytes = 64 << 20;
    job
}

fn text(wat: &str) -> Job {
    module(wat::parse_str(wat).expect("good text"))
}
