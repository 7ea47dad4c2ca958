//! The sandbox as its callers see it: through the generated clients, on a fresh database each.

mod archives;
mod bundles;
mod files;
mod harness;
mod locks;
#[path = "../common/module.rs"]
mod module;
#[path = "../common/proof.rs"]
mod proof;
mod proofs;
mod runs;
mod screen;
mod snapshots;
mod terminals;
mod text;
mod uploads;
mod watch;
