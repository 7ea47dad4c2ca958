//! Every way in which the sandbox can fail; each variant names its Reason.

use std::{collections::HashMap, time::Duration};

use devstudio_proto::Reason;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// When it is worth asking a full queue again.
const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The path leads outside the workspace, or what stands there is not an ordinary file.
    #[error("{path:?}: {why}")]
    PathForbidden {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The path leads over a symbolic link.
    #[error("{path:?} leads over a symbolic link")]
    SymlinkForbidden {
        /// The path as it was given.
        path: String,
    },
    /// The content is longer than a file may be.
    #[error("the file has {size_bytes} bytes; at most {limit_bytes} are allowed")]
    FileTooLarge {
        /// The most bytes of a file.
        limit_bytes: u64,
        /// The bytes it has.
        size_bytes: u64,
    },
    /// The workspace is full.
    #[error("the workspace's quota of {limit} {unit} is used up")]
    QuotaExceeded {
        /// Bytes or files.
        unit: &'static str,
        /// How many there may be.
        limit: u64,
        /// How many there are.
        used: u64,
    },
    /// Somebody changed the file meanwhile.
    #[error("the file changed meanwhile; it has version {current_version} now")]
    VersionConflict {
        /// The version it has; 0 where there is no such file.
        current_version: i64,
        /// The hash it has; empty where there is no such file.
        current_sha256: String,
    },
    /// Another's lock is in the way.
    #[error("{path:?} is locked by {}", owner(lock))]
    LockHeld {
        /// The path that was to be written or locked.
        path: String,
        /// The lock.
        lock: Box<crate::lock::Lock>,
    },
    /// The lock to write with does not hold any more, or covers another path.
    #[error("the lock to write {path:?} with does not hold")]
    StaleFence {
        /// The path that was to be written.
        path: String,
    },
    /// A hunk's text is not there, or not exactly once.
    #[error("hunk {hunk}: its text occurs {found} times")]
    HunkMismatch {
        /// Which hunk, from 1.
        hunk: usize,
        /// How often its text occurs.
        found: usize,
    },
    /// The thing is not in a state in which this can be done.
    #[error("{why}")]
    State {
        /// Why not.
        why: &'static str,
    },
    /// There is no such thing, or it is somebody else's.
    #[error("no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// The thing exists already.
    #[error("{what} exists already")]
    AlreadyExists {
        /// What stands in the way.
        what: String,
    },
    /// A field breaks its rule.
    #[error("{pointer}: {why}")]
    Invalid {
        /// JSON pointer to the field.
        pointer: &'static str,
        /// The rule it breaks.
        keyword: &'static str,
        /// In words.
        why: String,
    },
    /// An upload is longer than one may be.
    #[error("an upload has at most {limit_bytes} bytes")]
    BodyTooLarge {
        /// The most bytes of one.
        limit_bytes: u64,
    },
    /// The sender of a stream is too slow, or gone.
    #[error("{why}")]
    Late {
        /// What did not come in time.
        why: &'static str,
    },
    /// An archive is damaged, or has something in it that is not unpacked.
    #[error("{}{why}", of(entry))]
    ArchiveInvalid {
        /// The entry; empty where all of it is meant.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// An entry of an archive breaks a rule of files.
    #[error("entry {entry:?}: {error}")]
    Entry {
        /// The entry's name, as the archive has it.
        entry: String,
        /// The rule it breaks.
        error: Box<SandboxError>,
    },
    /// The disk is full.
    #[error("the disk is full; nothing was stored")]
    DiskFull,
    /// The program ran longer than it may.
    #[error("the program ran longer than {timeout_ms} ms")]
    ExecTimeout {
        /// The run.
        exec_id: Uuid,
        /// The limit it reached.
        timeout_ms: u64,
        /// The last of its output.
        stdout_tail: String,
        /// The last of its error output.
        stderr_tail: String,
    },
    /// No engine offers the isolation that was asked for.
    #[error("this machine offers isolation {offered}, not {wanted}: {remedy}")]
    IsolationUnavailable {
        /// What was asked for.
        wanted: String,
        /// What there is.
        offered: String,
        /// What to do.
        remedy: String,
    },
    /// The engine is off or does not work here.
    #[error("the engine does not work here: {remedy}")]
    EngineDisabled {
        /// What to do.
        remedy: String,
    },
    /// The engine needs hardware virtualisation.
    #[error("hardware virtualisation is not available: {remedy}")]
    KvmUnavailable {
        /// What to do.
        remedy: String,
    },
    /// Too many runs wait.
    #[error("too many of your runs wait already")]
    QueueFull,
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The system refused something it should not refuse.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody accepts connections on a port.
    #[error("no program accepts connections on port {port}")]
    PortRefused {
        /// The port.
        port: u16,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A fault of our own.
    #[error("{0}")]
    Internal(String),
}

impl SandboxError {
    /// Names the entry of an archive with which a rule was broken. Faults of our own stay what they are.
    pub(crate) fn of_entry(self, entry: &str) -> Self {
        match self {
            Self::Database(_) | Self::Internal(_) | Self::Io { .. } | Self::Cancelled => self,
            Self::ArchiveInvalid { .. } | Self::Entry { .. } => self,
            error => Self::Entry { entry: entry.to_owned(), error: Box::new(error) },
        }
    }

    /// The reason that a client sees.
    pub fn reason(&self) -> Reason {
        match self {
            Self::PathForbidden { .. } => Reason::PathForbidden,
            Self::SymlinkForbidden { .. } => Reason::SymlinkForbidden,
            Self::FileTooLarge { .. } => Reason::FileTooLarge,
            Self::QuotaExceeded { .. } => Reason::QuotaExceeded,
            Self::VersionConflict { .. } => Reason::VersionConflict,
            Self::LockHeld { .. } => Reason::LockHeld,
            Self::StaleFence { .. } => Reason::StaleFence,
            Self::HunkMismatch { .. } => Reason::HunkMismatch,
            Self::State { .. } => Reason::StateConflict,
            Self::NotFound { .. } => Reason::NotFound,
            Self::AlreadyExists { .. } => Reason::AlreadyExists,
            Self::Invalid { .. } => Reason::SchemaViolation,
            Self::BodyTooLarge { .. } => Reason::BodyTooLarge,
            Self::Late { .. } => Reason::Deadline,
            Self::ArchiveInvalid { .. } => Reason::ArchiveInvalid,
            Self::Entry { error, .. } => error.reason(),
            Self::DiskFull => Reason::DiskFull,
            Self::ExecTimeout { .. } => Reason::ExecTimeout,
            Self::IsolationUnavailable { .. } => Reason::IsolationUnavailable,
            Self::EngineDisabled { .. } => Reason::EngineDisabled,
            Self::KvmUnavailable { .. } => Reason::KvmUnavailable,
            Self::QueueFull => Reason::QueueFull,
            Self::Cancelled => Reason::Cancelled,
            Self::PortRefused { .. } => Reason::UpstreamUnavailable,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Reason::DiskFull,
            Self::Io { .. } | Self::Database(_) | Self::Internal(_) => Reason::Internal,
        }
    }

    /// The facts that a client may act on.
    pub fn details(&self) -> HashMap<String, String> {
        let pairs: Vec<(&str, String)> = match self {
            Self::FileTooLarge { limit_bytes, size_bytes } => {
                vec![("limit", limit_bytes.to_string()), ("size", size_bytes.to_string())]
            }
            Self::QuotaExceeded { limit, used, unit } => {
                vec![("limit", limit.to_string()), ("used", used.to_string()), ("unit", (*unit).to_owned())]
            }
            Self::VersionConflict { current_version, current_sha256 } => vec![
                ("current_version", current_version.to_string()),
                ("current_sha256", current_sha256.clone()),
            ],
            Self::LockHeld { path, lock } => vec![
                ("lock_id", lock.lock_id.to_string()),
                ("owner_user_id", lock.holder.user_id.to_string()),
                ("owner_agent_id", lock.holder.agent.clone()),
                ("owner_task_id", lock.holder.task_id.map(|id| id.to_string()).unwrap_or_default()),
                ("expires_at", lock.expires_at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()),
                ("path", path.clone()),
                ("locked_by_path", lock.path.to_string()),
            ],
            Self::HunkMismatch { hunk, found } => {
                vec![("hunk", hunk.to_string()), ("found", found.to_string())]
            }
            Self::Invalid { pointer, keyword, .. } => {
                vec![("pointer", (*pointer).to_owned()), ("keyword", (*keyword).to_owned())]
            }
            Self::ExecTimeout { exec_id, stdout_tail, stderr_tail, .. } => vec![
                ("exec_id", exec_id.to_string()),
                ("stdout", stdout_tail.clone()),
                ("stderr", stderr_tail.clone()),
            ],
            Self::BodyTooLarge { limit_bytes } => vec![("limit", limit_bytes.to_string())],
            Self::ArchiveInvalid { entry, .. } => vec![("entry", entry.clone())],
            Self::Entry { entry, error } => {
                let mut details = error.details();
                details.insert("entry".to_owned(), entry.clone());
                return details;
            }
            Self::IsolationUnavailable { wanted, offered, remedy } => {
                vec![("wanted", wanted.clone()), ("offered", offered.clone()), ("remedy", remedy.clone())]
            }
            Self::PortRefused { port } => vec![("service", format!("the program on port {port}"))],
            Self::EngineDisabled { remedy } | Self::KvmUnavailable { remedy } => {
                vec![("remedy", remedy.clone())]
            }
            _ => Vec::new(),
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn of(entry: &str) -> String {
    if entry.is_empty() { "the archive ".to_owned() } else { format!("entry {entry:?} ") }
}

fn owner(lock: &crate::lock::Lock) -> &str {
    if lock.holder.agent.is_empty() { "a person" } else { &lock.holder.agent }
}

/// Says what was being done when the system refused.
pub(crate) trait Doing<T> {
    /// Turns a refusal of the system into an error that says what was being done.
    fn doing(self, doing: &'static str) -> Result<T, SandboxError>;
}

impl<T, E: Into<std::io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::Io { doing, source: error.into() })
    }
}

impl From<SandboxError> for devstudio_kit::Fault {
    fn from(error: SandboxError) -> Self {
        let (reason, message, details) = (error.reason(), error.to_string(), error.details());
        match error {
            SandboxError::Database(error) => error.into(),
            SandboxError::Io { .. } | SandboxError::Internal(_) if reason == Reason::Internal => {
                Self::internal(message)
            }
            SandboxError::Io { .. } if reason == Reason::DiskFull => {
                tracing::warn!(message, "the disk is full");
                Self::new(reason, "the disk is full")
            }
            SandboxError::QueueFull => Self::new(reason, message).retry_after(QUEUE_RETRY_AFTER),
            _ => details
                .into_iter()
                .fold(Self::new(reason, message), |fault, (key, value)| fault.with(&key, value)),
        }
    }
}
