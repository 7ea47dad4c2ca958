//! What can fail in billing, each with its reason.

use std::time::Duration;

use devstudio_kit::{Fault, Reason};
use devstudio_proto::billing::v1::Scope;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{period::Period, store::scope_word};

/// A failure of billing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// `TOKEN_BUDGET_EXCEEDED`
    #[error("the token budget of this {} is used up for the month", noun(.0))]
    Refused(Refusal),
    /// `ALREADY_EXISTS`
    #[error("this request id was used already")]
    Exists,
    /// `NOT_FOUND`
    #[error("there is no such reservation")]
    Missing,
    /// `STATE_CONFLICT`
    #[error("the reservation is settled already")]
    Settled,
    /// `STATE_CONFLICT`
    #[error("more would be taken back than was granted this month")]
    NotGranted,
    /// `IDEMPOTENCY_CONFLICT`
    #[error("a call with this Idempotency-Key is in progress")]
    InProgress,
    /// `IDEMPOTENCY_CONFLICT`
    #[error("this Idempotency-Key was used with another call")]
    OtherBody,
    /// `SCHEMA_VIOLATION`
    #[error("{pointer} {message}")]
    Invalid {
        /// JSON pointer of the field.
        pointer: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
    /// `ROLE_REQUIRED`
    #[error("only services may call this")]
    Forwarded,
    /// `UPSTREAM_UNAVAILABLE`
    #[error("the ledger does not answer")]
    Unavailable,
    /// The reason of the database's error.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Which budget had too little left, and what stood in it at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub scope: Scope,
    pub monthly_limit: i64,
    pub granted: i64,
    pub used: i64,
    pub reserved: i64,
    pub asked: i64,
    pub period: Period,
    pub at: OffsetDateTime,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Refused(refusal) => refused(&refusal, message),
            Error::Exists => Fault::new(Reason::AlreadyExists, message),
            Error::Missing => Fault::new(Reason::NotFound, message),
            Error::Settled | Error::NotGranted => Fault::new(Reason::StateConflict, message),
            Error::InProgress => {
                Fault::new(Reason::IdempotencyConflict, message).retry_after(Duration::from_secs(1))
            }
            Error::OtherBody => Fault::new(Reason::IdempotencyConflict, message),
            Error::Invalid { pointer, .. } => {
                Fault::new(Reason::SchemaViolation, message).with("pointer", pointer)
            }
            Error::Forwarded => Fault::new(Reason::RoleRequired, message).with("role", "service"),
            Error::Unavailable => Fault::new(Reason::UpstreamUnavailable, message)
                .with("service", "postgres")
                .retry_after(Duration::from_secs(1)),
            Error::Database(error) => error.into(),
        }
    }
}

fn refused(refusal: &Refusal, message: String) -> Fault {
    let resets_at = refusal.period.end();
    let wait = (resets_at - refusal.at).max(time::Duration::SECOND);
    Fault::new(Reason::TokenBudgetExceeded, message)
        .with("scope", scope_word(refusal.scope))
        .with("limit", refusal.monthly_limit + refusal.granted)
        .with("used", refusal.used)
        .with("reserved", refusal.reserved)
        .with("asked", refusal.asked)
        .with("resets_at", resets_at.format(&Rfc3339).unwrap_or_default())
        .retry_after(wait.unsigned_abs())
}

fn noun(refusal: &Refusal) -> &'static str {
    match refusal.scope {
        Scope::Key => "API key",
        Scope::User | Scope::Unspecified => "person",
    }
}
