//! All SQL of billing; here the words that the database has for the contract's enums.

mod account;
mod budget;
mod idempotency;
mod usage;

use devstudio_proto::billing::v1::{Kind, Scope, UsageStatus};
use sqlx::PgPool;

/// Billing's tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

impl Store {
    /// The tables behind a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

/// The word of a scope, which is also its label in metrics and details.
pub(crate) fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Key => "key",
        Scope::User | Scope::Unspecified => "user",
    }
}

fn scope_of(word: &str) -> Scope {
    if word == "key" { Scope::Key } else { Scope::User }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Completion => "completion",
        Kind::Embedding => "embedding",
        Kind::Decide => "decide",
        Kind::Chat | Kind::Unspecified => "chat",
    }
}

fn kind_of(word: &str) -> Kind {
    match word {
        "completion" => Kind::Completion,
        "embedding" => Kind::Embedding,
        "decide" => Kind::Decide,
        _ => Kind::Chat,
    }
}

fn status_word(status: UsageStatus) -> &'static str {
    match status {
        UsageStatus::Ok => "OK",
        UsageStatus::Cancelled => "CANCELLED",
        UsageStatus::Budget => "BUDGET",
        UsageStatus::Swept => "SWEPT",
        UsageStatus::Failed | UsageStatus::Unspecified => "FAILED",
    }
}

fn status_of(word: &str) -> UsageStatus {
    match word {
        "OK" => UsageStatus::Ok,
        "CANCELLED" => UsageStatus::Cancelled,
        "BUDGET" => UsageStatus::Budget,
        "SWEPT" => UsageStatus::Swept,
        _ => UsageStatus::Failed,
    }
}

/// A count of one request, which the contract has as int32.
fn small(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
