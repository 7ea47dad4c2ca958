//! All SQL of Auth. A method is one transaction; what must hold under races is one guarded statement or holds a row.

mod api_keys;
mod audit;
mod logs;
mod notices;
mod sessions;
mod tickets;
mod users;

use sqlx::PgPool;

use crate::Error;

pub(crate) use api_keys::{KeyRow, NewKey};
pub(crate) use logs::LogRow;
pub(crate) use notices::{Listener, Notice};
pub(crate) use sessions::{NewSession, Rotation};
pub(crate) use tickets::NewTicket;
pub(crate) use users::{Change, NewUser, UserRow};

/// The tables of Auth. Cheap to clone.
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

/// The error that breaking a named constraint stands for; other errors stay what they are.
fn on_constraint(error: sqlx::Error, constraint: &str, means: Error) -> Error {
    match error.as_database_error() {
        Some(db) if db.constraint() == Some(constraint) => means,
        _ => error.into(),
    }
}
