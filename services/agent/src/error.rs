//! What can go wrong with agents; each variant names its Reason.

use devstudio_kit::{Fault, Reason};

/// A failure of the agents' service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such task, or somebody else's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The task is not in a state in which this can be done.
    #[error("{0}")]
    State(&'static str),
    /// Too many open tasks.
    #[error("{0} tasks of yours have not ended yet; wait for one, or cancel one")]
    QueueFull(i64),
    /// Too many runs of chains at once.
    #[error("{0} chains of yours go on; wait for one, or cancel one")]
    ChainsFull(i64),
    /// A plan is applied once.
    #[error("the plan was applied already, or is being applied")]
    Applied,
    /// Another changed the agent meanwhile.
    #[error("somebody changed the agent meanwhile")]
    VersionConflict(i32),
    /// Only a person may do this.
    #[error("an agent cannot decide for a person")]
    PersonOnly,
    /// A field breaks a rule that the contract cannot describe.
    #[error("{pointer} {why}")]
    Invalid {
        /// JSON pointer of the field.
        pointer: &'static str,
        /// The rule's keyword.
        keyword: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The task is another worker's by now.
    #[error("another worker has the task")]
    Lost,
    /// A fault of another service.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// What is stored cannot be read.
    #[error("a stored event cannot be read: {0}")]
    Stored(#[from] prost::DecodeError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::NotFound(_) => Reason::NotFound,
            Error::State(_) => Reason::StateConflict,
            Error::QueueFull(_) | Error::ChainsFull(_) => Reason::QueueFull,
            Error::Applied => Reason::AlreadyExists,
            Error::VersionConflict(_) => Reason::VersionConflict,
            Error::PersonOnly => Reason::RoleRequired,
            Error::Invalid { .. } => Reason::SchemaViolation,
            Error::Lost | Error::Stored(_) => return Fault::internal(error),
            Error::Fault(_) | Error::Database(_) => {
                return match error {
                    Error::Fault(fault) => fault,
                    Error::Database(error) => error.into(),
                    _ => Fault::internal(error),
                };
            }
        };
        let fault = Fault::new(reason, error.to_string());
        match error {
            Error::Invalid { pointer, keyword, .. } => {
                fault.with("pointer", pointer).with("keyword", keyword)
            }
            Error::VersionConflict(version) => fault.with("current_version", version),
            Error::QueueFull(_) | Error::ChainsFull(_) => {
                fault.retry_after(std::time::Duration::from_secs(30))
            }
            _ => fault,
        }
    }
}
