//! The engines `micro:*` on what this machine has (V1 to V5), attacks on them, and hardware virtualisation (TX12).

mod attacks;
#[path = "../common/mod.rs"]
mod common;
mod engines;
mod hardware;

use std::{path::Path, sync::Arc};

use common::{job, settings};
use devstudio_sandbox::{
    engine::{Engine as _, Job, Program},
    micro::{Micro, Settings, engines as find_engines},
    process,
};
use tokio::sync::OnceCell;

static ENGINES: OnceCell<Vec<Arc<Micro>>> = OnceCell::const_new();

async fn made(folder: &Path) -> Vec<Micro> {
    made_by(folder, settings("micro")).await
}

/// The engines of a service with these settings.
async fn made_by(folder: &Path, process: process::Settings) -> Vec<Micro> {
    find_engines(Settings { folder: folder.to_owned(), process })
        .await
        .expect("engines that say what they lack")
}

/// One of the engines of this machine; nothing and a word about it where it does not work.
async fn engine(test: &str, name: &str) -> Option<Arc<Micro>> {
    let engines = ENGINES
        .get_or_init(|| async {
            let folder = tempfile::tempdir().expect("a temporary folder").keep();
            made(&folder).await.into_iter().map(Arc::new).collect()
        })
        .await;
    let engine = engines.iter().find(|engine| engine.info().engine == name).expect("it is always listed");
    if !engine.info().available {
        eprintln!("SKIPPED {test}: {}", engine.info().remedy);
        return None;
    }
    Some(engine.clone())
}

fn code(runtime: &str, text: &str) -> Job {
    job(Program::Code(text.to_owned()), runtime)
}
