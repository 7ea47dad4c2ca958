//! SQL of tickets.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::Error;

/// A ticket to add.
pub(crate) struct NewTicket<'a> {
    pub hash: [u8; 32],
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub path: &'a str,
    pub origin: &'a str,
    pub at: OffsetDateTime,
    pub ends: OffsetDateTime,
}

/// A ticket that was just used.
#[derive(sqlx::FromRow)]
pub(crate) struct TicketRow {
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub path: String,
    pub origin: String,
    pub expires_at: OffsetDateTime,
}

impl Store {
    /// Adds a ticket.
    pub async fn add_ticket(&self, ticket: NewTicket<'_>) -> Result<(), Error> {
        sqlx::query(
            "insert into tickets (hash, user_id, api_key_id, path, origin, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(ticket.hash.as_slice())
        .bind(ticket.user_id)
        .bind(ticket.api_key_id)
        .bind(ticket.path)
        .bind(ticket.origin)
        .bind(ticket.at)
        .bind(ticket.ends)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Uses a ticket up, whatever comes of it: one that leaked to another page serves nobody.
    pub async fn use_ticket(&self, hash: [u8; 32], at: OffsetDateTime) -> Result<Option<TicketRow>, Error> {
        let row = sqlx::query_as(
            "update tickets set used_at = $2 where hash = $1 and used_at is null
             returning user_id, api_key_id, path, origin, expires_at",
        );
        Ok(row.bind(hash.as_slice()).bind(at).fetch_optional(&self.pool).await?)
    }

    /// Forgets tickets that have ended.
    pub async fn forget_tickets(&self, at: OffsetDateTime) -> Result<(), Error> {
        sqlx::query("delete from tickets where expires_at < $1").bind(at).execute(&self.pool).await?;
        Ok(())
    }
}
