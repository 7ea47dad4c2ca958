//! SQL of the audit trail.

use sqlx::PgConnection;

use super::Store;
use crate::{Error, audit::Entry};

impl Store {
    /// Keeps an entry that belongs to no other change.
    pub async fn keep(&self, entry: Entry<'_>) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        keep(&mut connection, entry).await
    }
}

/// Keeps an entry, within the transaction of what it tells about.
pub(super) async fn keep(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), Error> {
    sqlx::query(
        "insert into audit_log (at, action, actor_id, service, subject_id, request_id, client_address, details)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(entry.at)
    .bind(entry.action)
    .bind(entry.origin.actor)
    .bind(entry.origin.service.name())
    .bind(entry.subject)
    .bind(entry.origin.request_id)
    .bind(&entry.origin.address)
    .bind(entry.details)
    .execute(connection)
    .await?;
    Ok(())
}
