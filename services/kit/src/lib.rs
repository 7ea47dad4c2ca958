//! What every Rust service of DevStudio needs, one word a file: addresses and settings, telemetry, links between
//! services, the server's layers, identity, the index of methods, faults, the database, the log, the clock.

pub mod clock;
pub mod config;
pub mod db;
pub mod fault;
pub mod identity;
pub mod link;
pub mod logs;
pub mod metrics;
pub mod rpc;
pub mod server;

pub mod telemetry;

pub use fault::{Fault, Reason};
pub use identity::Caller;
pub use link::{Mesh, Service};
