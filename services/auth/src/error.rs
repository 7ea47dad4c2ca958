//! What can go wrong in Auth; each variant names its Reason.

use std::time::Duration;

use devstudio_kit::{Fault, Reason};
use devstudio_proto::{check::Violation, codec::violation_status};
use tonic::Status;

/// A failure of Auth.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Sign-in with a wrong address or password; which of them is not told.
    #[error("e-mail or password is wrong")]
    CredentialsInvalid,
    /// The person is blocked.
    #[error("this account is blocked; an admin can unblock it")]
    UserDisabled,
    /// Too many guesses.
    #[error("too many attempts to sign in; wait a moment")]
    RateLimited {
        /// How long to wait.
        after: Duration,
    },
    /// No refresh token came with the call.
    #[error("there is no session; sign in")]
    TokenMissing,
    /// A token or key that Auth did not make, or that was revoked.
    #[error("the token is not valid; sign in again")]
    TokenInvalid,
    /// A token or key past its end.
    #[error("the token has expired")]
    TokenExpired,
    /// A revoked API key.
    #[error("this API key was revoked")]
    KeyRevoked,
    /// A ticket that is unknown, used, expired, or for another place.
    #[error("the ticket is not valid")]
    TicketInvalid,
    /// A new password that bcrypt cannot take whole, or a short one.
    #[error("a password has 8 to 72 bytes, none of them NUL")]
    PasswordLength,
    /// Another person has this address.
    #[error("a person with this e-mail address exists")]
    EmailTaken,
    /// The person has a live key of this name.
    #[error("a key with this name exists")]
    KeyNameTaken,
    /// No such person, or not for this caller.
    #[error("there is no such person")]
    NoSuchUser,
    /// No such key, or not for this caller.
    #[error("there is no such key")]
    NoSuchKey,
    /// The last admin stays one.
    #[error("the last admin cannot be blocked or made a dev")]
    LastAdmin,
    /// A key could otherwise make one with more budget or a longer life than its own.
    #[error("API keys cannot make keys; sign in with e-mail and password")]
    KeyMakesKey,
    /// A field that the contract's rules cannot describe.
    #[error("{pointer} {message}")]
    Invalid {
        /// JSON pointer of the field.
        pointer: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
    /// The database does not tell of changes for the moment.
    #[error("the database does not answer")]
    Blind,
    /// A fault of the kit or of another service.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] bcrypt::BcryptError),
    /// A bug or a broken system.
    #[error("{0}")]
    Internal(&'static str),
}

impl Error {
    /// The reason that the caller learns.
    pub fn reason(&self) -> Reason {
        match self {
            Self::CredentialsInvalid => Reason::CredentialsInvalid,
            Self::UserDisabled => Reason::UserDisabled,
            Self::RateLimited { .. } => Reason::RateLimited,
            Self::TokenMissing => Reason::TokenMissing,
            Self::TokenInvalid => Reason::TokenInvalid,
            Self::TokenExpired => Reason::TokenExpired,
            Self::KeyRevoked => Reason::KeyRevoked,
            Self::TicketInvalid => Reason::TicketInvalid,
            Self::PasswordLength => Reason::PasswordLength,
            Self::EmailTaken | Self::KeyNameTaken => Reason::AlreadyExists,
            Self::NoSuchUser | Self::NoSuchKey => Reason::NotFound,
            Self::LastAdmin => Reason::StateConflict,
            Self::KeyMakesKey => Reason::RoleRequired,
            Self::Invalid { .. } => Reason::SchemaViolation,
            Self::Blind => Reason::UpstreamUnavailable,
            Self::Fault(fault) => fault.reason,
            Self::Database(_) | Self::Hashing(_) | Self::Internal(_) => Reason::Internal,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Fault(fault) => fault,
            Error::Database(error) => error.into(),
            Error::Hashing(_) | Error::Internal(_) => Fault::internal(error),
            Error::RateLimited { after } => Fault::new(error.reason(), error.to_string()).retry_after(after),
            Error::Blind => Fault::new(error.reason(), error.to_string()).with("service", "postgres"),
            Error::PasswordLength => {
                Fault::new(error.reason(), error.to_string()).with("min_bytes", 8).with("max_bytes", 72)
            }
            _ => Fault::new(error.reason(), error.to_string()),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { pointer, message } => violation_status(&[Violation {
                pointer: pointer.to_owned(),
                keyword: "format",
                message: message.to_owned(),
            }]),
            error => Fault::from(error).into(),
        }
    }
}
