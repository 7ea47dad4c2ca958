//! The engine `run` against real programs and real attacks (TX2 to TX10, TX13, TX14).

mod armed;
mod attacks;
mod bombs;
#[path = "../common/mod.rs"]
mod common;
mod leaks;
mod lives;
mod programs;

use devstudio_sandbox::{engine::Engine as _, process::Process};

/// Memory is bounded by a control group here, not merely watched.
fn cgroup(engine: &Process) -> bool {
    engine.info().facts.limits.get("memory").is_some_and(|how| how == "cgroup")
}
