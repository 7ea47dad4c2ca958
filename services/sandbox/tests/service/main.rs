//! The sandbox as its callers see it: through the generated clients, on a fresh database each.

mod archives;
mod bundles;
mod files;
mod harness;
mod locks;
mod runs;
mod snapshots;
mod text;
mod uploads;
mod watch;
