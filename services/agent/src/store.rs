//! All SQL of the agents. What a worker writes names the worker: one that lost its task changes nothing.

mod agents;
mod chains;
mod events;
mod notices;
mod plans;
mod tasks;
mod templates;
mod upkeep;

use sqlx::PgPool;

pub use agents::AgentRow;
pub use chains::ChainRow;
pub use events::{Change, NewEvent};
pub use plans::PlanRow;
pub use tasks::NewTask;
pub use templates::TemplateRow;

/// The tables of the agents. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// The tables behind a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}
