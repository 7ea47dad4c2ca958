//! SQL of sessions and their refresh tokens.

use serde_json::json;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Store, UserRow, audit::keep, notices::tell};
use crate::{
    Error,
    audit::{Entry, Origin},
};

/// Tabs that refresh at the same moment race; whoever loses by no more than this is no thief.
const RACE: Duration = Duration::seconds(10);

/// A session that begins with a sign-in.
pub(crate) struct NewSession<'a> {
    pub user_id: Uuid,
    /// The hash whose password was checked; the sign-in fails where it is another by now.
    pub checked_hash: &'a str,
    /// A hash to keep in its place.
    pub renewed_hash: Option<String>,
    /// Of the refresh token.
    pub token_hash: [u8; 32],
    pub at: OffsetDateTime,
    pub ends: OffsetDateTime,
}

/// What came of changing a refresh token.
pub(crate) enum Rotation {
    /// The new one is in its place.
    Done(Box<UserRow>),
    /// It is not; the reason is for the caller.
    Refused(Error),
}

#[derive(sqlx::FromRow)]
struct Known {
    session_id: Uuid,
    user_id: Uuid,
    expires_at: OffsetDateTime,
    rotated_at: Option<OffsetDateTime>,
    revoked: bool,
    disabled: bool,
}

impl Store {
    /// Begins a session. `None` where the person was blocked or changed the password since it was checked.
    pub async fn sign_in(&self, new: NewSession<'_>, entry: Entry<'_>) -> Result<Option<UserRow>, Error> {
        let mut tx = self.pool.begin().await?;
        let user: Option<UserRow> = sqlx::query_as(
            "update users set last_login_at = $3, password_hash = coalesce($4, password_hash)
             where id = $1 and password_hash = $2 and disabled_at is null returning *",
        )
        .bind(new.user_id)
        .bind(new.checked_hash)
        .bind(new.at)
        .bind(&new.renewed_hash)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(user) = user else { return Ok(None) };
        let session = Uuid::now_v7();
        sqlx::query(
            "insert into sessions (id, user_id, created_at, last_used_at, expires_at) values ($1, $2, $3, $3, $4)",
        )
        .bind(session)
        .bind(user.id)
        .bind(new.at)
        .bind(new.ends)
        .execute(&mut *tx)
        .await?;
        add_token(&mut tx, session, new.token_hash, new.at, new.ends).await?;
        keep(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(Some(user))
    }

    /// Changes a refresh token into a new one. Of parallel changes exactly one is done. A token that was changed a
    /// while ago was stolen, from or by whoever shows it: the whole session ends.
    pub async fn rotate(
        &self,
        old: [u8; 32],
        new: [u8; 32],
        at: OffsetDateTime,
        ends: OffsetDateTime,
        origin: &Origin,
    ) -> Result<Rotation, Error> {
        let mut tx = self.pool.begin().await?;
        let session: Option<Uuid> = sqlx::query_scalar(
            "update refresh_tokens t set rotated_at = $2
             from sessions s join users u on u.id = s.user_id
             where t.hash = $1 and t.rotated_at is null and t.expires_at > $2
               and s.id = t.session_id and s.revoked_at is null and u.disabled_at is null
             returning s.id",
        )
        .bind(old.as_slice())
        .bind(at)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(session) = session else {
            let refused = refuse(&mut tx, old, at, origin).await?;
            tx.commit().await?;
            return Ok(Rotation::Refused(refused));
        };
        add_token(&mut tx, session, new, at, ends).await?;
        // holds the session: a block at this moment comes before, or ends what this makes
        let user: Option<UserRow> = sqlx::query_as(
            "update sessions s set last_used_at = $2, expires_at = $3 from users u
             where s.id = $1 and s.revoked_at is null and u.id = s.user_id and u.disabled_at is null returning u.*",
        )
        .bind(session)
        .bind(at)
        .bind(ends)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(user) = user else { return Ok(Rotation::Refused(Error::TokenInvalid)) };
        tx.commit().await?;
        Ok(Rotation::Done(Box::new(user)))
    }

    /// Ends the session of a refresh token, if there is one.
    pub async fn sign_out(&self, token: [u8; 32], at: OffsetDateTime, origin: &Origin) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let user: Option<Uuid> = sqlx::query_scalar(
            "update sessions s set revoked_at = $2, revoked_why = 'logout' from refresh_tokens t
             where t.hash = $1 and s.id = t.session_id and s.revoked_at is null returning s.user_id",
        )
        .bind(token.as_slice())
        .bind(at)
        .fetch_optional(&mut *tx)
        .await?;
        if user.is_some() {
            keep(&mut tx, origin.entry(at, "user.logout", user, json!({}))).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets sessions that ended more than a day ago; their tokens go with them.
    pub async fn forget_sessions(&self, at: OffsetDateTime) -> Result<(), Error> {
        sqlx::query("delete from sessions where expires_at < $1")
            .bind(at - Duration::days(1))
            .execute(&self.pool)
            .await?;
        sqlx::query("delete from refresh_tokens where expires_at < $1")
            .bind(at - Duration::days(1))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

async fn add_token(
    connection: &mut PgConnection,
    session: Uuid,
    hash: [u8; 32],
    at: OffsetDateTime,
    ends: OffsetDateTime,
) -> Result<(), Error> {
    sqlx::query(
        "insert into refresh_tokens (hash, session_id, created_at, expires_at) values ($1, $2, $3, $4)",
    )
    .bind(hash.as_slice())
    .bind(session)
    .bind(at)
    .bind(ends)
    .execute(connection)
    .await?;
    Ok(())
}

/// Why a refresh token does not serve; ends its session where it was used a second time.
async fn refuse(
    connection: &mut PgConnection,
    token: [u8; 32],
    at: OffsetDateTime,
    origin: &Origin,
) -> Result<Error, Error> {
    let known: Option<Known> = sqlx::query_as(
        "select s.id as session_id, s.user_id, t.expires_at, t.rotated_at, s.revoked_at is not null as revoked,
           u.disabled_at is not null as disabled
         from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
         where t.hash = $1",
    )
    .bind(token.as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(known) = known else { return Ok(Error::TokenInvalid) };
    let reused = known.rotated_at.is_some_and(|rotated| at - rotated > RACE);
    if reused && !known.revoked {
        end_family(connection, &known, at, origin).await?;
    }
    Ok(match &known {
        Known { disabled: true, .. } => Error::UserDisabled,
        Known { revoked: false, rotated_at: None, expires_at, .. } if *expires_at <= at => {
            Error::TokenExpired
        }
        _ => Error::TokenInvalid,
    })
}

/// Ends a session, its access tokens too: the thief may have one.
async fn end_family(
    connection: &mut PgConnection,
    known: &Known,
    at: OffsetDateTime,
    origin: &Origin,
) -> Result<(), Error> {
    // the person first, as in a block, so that the two never wait for each other
    sqlx::query("select 1 from users where id = $1 for update")
        .bind(known.user_id)
        .execute(&mut *connection)
        .await?;
    let ended = sqlx::query(
        "update sessions set revoked_at = $2, revoked_why = 'reuse' where id = $1 and revoked_at is null",
    )
    .bind(known.session_id)
    .bind(at)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(()); // another call was first
    }
    let user: UserRow =
        sqlx::query_as("update users set token_version = token_version + 1 where id = $1 returning *")
            .bind(known.user_id)
            .fetch_one(&mut *connection)
            .await?;
    tell(connection, user.notice()).await?;
    let details = json!({ "session": known.session_id });
    keep(connection, origin.entry(at, "session.reuse", Some(known.user_id), details)).await
}
