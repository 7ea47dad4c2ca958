//! Errors that a client may act on: one table from Reason to gRPC code, HTTP status and JSON-RPC code.

use std::{collections::HashMap, fmt, time::Duration};

pub use devstudio_proto::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How a reason is told at each door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The gRPC code.
    pub code: Code,
    /// The HTTP status on /rpc and REST.
    pub http: u16,
    /// The code of a JSON-RPC error object.
    pub rpc: i32,
}

/// The error table (requirements.md, chapter 3).
pub fn row(reason: Reason) -> Row {
    use Code::*;
    let (code, http, rpc) = match reason {
        Reason::ParseError => (InvalidArgument, 400, -32700),
        Reason::SchemaViolation
        | Reason::ContextOverflow
        | Reason::QuantNotAllowed
        | Reason::PasswordLength
        | Reason::ArchiveInvalid
        | Reason::TypeMismatch => (InvalidArgument, 400, -32602),
        Reason::UnknownMethod => (Unimplemented, 404, -32601),
        Reason::TokenMissing
        | Reason::TokenInvalid
        | Reason::TokenExpired
        | Reason::KeyRevoked
        | Reason::CredentialsInvalid
        | Reason::TicketInvalid => (Unauthenticated, 401, -32001),
        Reason::UserDisabled
        | Reason::RoleRequired
        | Reason::PathForbidden
        | Reason::SymlinkForbidden
        | Reason::FileTooLarge
        | Reason::QuotaExceeded => (PermissionDenied, 403, -32003),
        Reason::BodyTooLarge => (ResourceExhausted, 413, -32013),
        Reason::VersionConflict | Reason::StaleFence => (Aborted, 409, -32010),
        Reason::ModelNotLoaded => (FailedPrecondition, 500, -32050),
        Reason::ModelUnknown | Reason::NotFound => (NotFound, 404, -32004),
        Reason::ModelTooLarge
        | Reason::IdempotencyConflict
        | Reason::StateConflict
        | Reason::LockHeld
        | Reason::HunkMismatch => (FailedPrecondition, 409, -32009),
        Reason::AlreadyExists => (AlreadyExists, 409, -32009),
        Reason::TokenBudgetExceeded | Reason::RateLimited | Reason::QueueFull => {
            (ResourceExhausted, 429, -32029)
        }
        Reason::ExecTimeout | Reason::Deadline => (DeadlineExceeded, 504, -32008),
        Reason::Cancelled => (Cancelled, 499, -32011),
        Reason::ModelLoading
        | Reason::KvmUnavailable
        | Reason::EngineDisabled
        | Reason::IsolationUnavailable
        | Reason::DiskFull
        | Reason::UpstreamUnavailable => (Unavailable, 503, -32053),
        Reason::NotSupported => (Unimplemented, 501, -32601),
        Reason::Unspecified | Reason::Internal => (Internal, 500, -32603),
    };
    Row { code, http, rpc }
}

/// The reason's stable name, such as `TOKEN_MISSING`.
pub fn name(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches("REASON_")
}

/// The reason of a stable name.
pub fn reason(name: &str) -> Option<Reason> {
    Reason::from_str_name(&format!("REASON_{name}"))
}

/// A failure with its reason, told to the caller; its cause is only for the log.
#[derive(Debug)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// In words, for people.
    pub message: String,
    /// Facts to act on.
    pub details: HashMap<String, String>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault with a message for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: HashMap::new(), retry_after: None, cause: None }
    }

    /// A fault of our own: the caller learns the request id only, the log the cause.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Reason::Internal, "DevStudio failed; the log has the cause")
        }
    }

    /// Adds a fact.
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.details.insert(key.to_owned(), value.to_string());
        self
    }

    /// Tells when to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self.with("retry_after_ms", after.as_millis())
    }

    /// Reads a fault out of a status of ours or of another's.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == devstudio_proto::ERROR_DOMAIN);
        let reason = info.and_then(|info| reason(&info.reason)).unwrap_or(match status.code() {
            Code::Cancelled => Reason::Cancelled,
            Code::DeadlineExceeded => Reason::Deadline,
            Code::Unavailable => Reason::UpstreamUnavailable,
            Code::Unimplemented => Reason::UnknownMethod,
            Code::InvalidArgument => Reason::SchemaViolation,
            Code::OutOfRange | Code::ResourceExhausted => Reason::BodyTooLarge,
            Code::Unauthenticated => Reason::TokenInvalid,
            Code::NotFound => Reason::NotFound,
            _ => Reason::Internal,
        });
        let message = match reason {
            Reason::Internal => "DevStudio failed; the log has the cause".to_owned(),
            Reason::UpstreamUnavailable if info.is_none() => {
                "a service that is needed does not answer".to_owned()
            }
            _ => status.message().to_owned(),
        };
        Self {
            reason,
            message,
            details: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            cause: None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", name(self.reason), self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Status {
    /// Logs the cause of an internal fault, here and nowhere else.
    fn from(fault: Fault) -> Self {
        if let Some(cause) = &fault.cause {
            let mut chain = cause.to_string();
            let mut next = cause.source();
            while let Some(error) = next {
                chain.push_str(": ");
                chain.push_str(&error.to_string());
                next = error.source();
            }
            tracing::error!(cause = chain, "internal fault");
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(name(fault.reason), devstudio_proto::ERROR_DOMAIN, fault.details);
        if let Some(after) = fault.retry_after {
            details.set_retry_info(Some(after));
        }
        Status::with_error_details(row(fault.reason).code, fault.message, details)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed => {
                tracing::warn!(%error, "the database does not answer");
                Self::new(Reason::UpstreamUnavailable, "the database does not answer")
                    .with("service", "postgres")
            }
            // 53100 disk_full
            sqlx::Error::Database(db) if db.code().as_deref() == Some("53100") => {
                Self::new(Reason::DiskFull, "the disk is full; nothing was stored")
            }
            // 57P01..57P03: the server is going down or coming up
            sqlx::Error::Database(db) if db.code().is_some_and(|c| c.starts_with("57P")) => {
                Self::new(Reason::UpstreamUnavailable, "the database is restarting")
                    .with("service", "postgres")
            }
            _ => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_the_way_through_a_status() {
        let fault =
            Fault::new(Reason::RateLimited, "slow down").with("limit", 3).retry_after(Duration::from_secs(2));
        let back = Fault::from_status(&Status::from(fault));
        assert_eq!((back.reason, back.message.as_str()), (Reason::RateLimited, "slow down"));
        assert_eq!(back.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(back.details["limit"], "3");
    }

    #[test]
    fn the_cause_of_an_internal_fault_never_reaches_the_caller() {
        let status = Status::from(Fault::internal("select * from secrets"));
        assert!(!format!("{status:?}").contains("secrets"));
    }

    #[test]
    fn every_reason_has_a_name_and_leads_back() {
        // numbers are without gaps
        let reasons: Vec<Reason> = (1..).map_while(|number| Reason::try_from(number).ok()).collect();
        assert_eq!(reasons.last(), Some(&Reason::TypeMismatch));
        for it in reasons {
            assert_eq!(reason(name(it)), Some(it));
        }
    }
}
