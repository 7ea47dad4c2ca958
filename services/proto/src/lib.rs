//! The contract as Rust types: messages, clients, servers, field checks and the descriptors they come from.

pub mod check;
pub mod codec;

/// Options of methods and fields.
pub mod options {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::large_futures)]
    pub mod v1 {
        tonic::include_proto!("devstudio.options.v1");
    }
}
/// Reasons of errors.
pub mod errors {
    /// Version 1.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("devstudio.errors.v1");
    }
}
/// People, sign-in, keys and the log.
pub mod auth {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::large_futures)]
    pub mod v1 {
        tonic::include_proto!("devstudio.auth.v1");
    }
}
/// Budgets and the ledger.
pub mod billing {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::large_futures)]
    pub mod v1 {
        tonic::include_proto!("devstudio.billing.v1");
    }
}
/// Workspaces and engines.
pub mod sandbox {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::large_futures)]
    pub mod v1 {
        tonic::include_proto!("devstudio.sandbox.v1");
    }
}
/// Models and inference.
pub mod llm {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::large_futures)]
    pub mod v1 {
        tonic::include_proto!("devstudio.llm.v1");
    }
}

/// Agents and their tasks.
pub mod agent {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::large_futures)]
    pub mod v1 {
        tonic::include_proto!("devstudio.agent.v1");
    }
}

pub use errors::v1::Reason;

/// The encoded `FileDescriptorSet` of the whole contract, imports and comments included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/devstudio.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` of this house.
pub const ERROR_DOMAIN: &str = "devstudio";
