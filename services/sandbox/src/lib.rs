//! The sandbox: workspaces of files behind a jail, and engines that run strangers' programs in isolation.

pub mod error;
pub mod fs;

pub use error::SandboxError;
