//! The sandbox as its callers see it: through the generated clients, on a fresh database each.

mod files;
mod harness;
mod locks;
mod runs;
mod snapshots;
mod terminals;
mod text;
mod watch;
