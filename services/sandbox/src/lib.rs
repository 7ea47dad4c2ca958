//! The sandbox: workspaces of files behind a jail, and engines that run strangers' programs in isolation.

pub mod engine;
pub mod error;
pub mod fs;
mod fs_engine;
mod metrics;
pub mod process;
pub mod run;
pub mod store;
pub mod tree;
pub mod wasm;

pub use error::SandboxError;

/// Becomes a sandbox where this process was started for that, and then never returns.
///
/// Must be the first thing in `main`, before any thread is started.
pub fn init_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::spec::INIT_ARGUMENT) {
        process::launcher::main();
    }
}
