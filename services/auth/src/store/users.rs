//! SQL of people.

use devstudio_kit::identity::{role_name, role_of};
use devstudio_proto::auth::v1::Role;
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Store,
    audit::keep,
    notices::{Notice, tell},
    on_constraint,
};
use crate::{
    Error,
    audit::{Entry, Origin},
};

/// A person.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct UserRow {
    pub id: Uuid,
    pub email: String,
    pub display_name: String,
    pub password_hash: String,
    role: String,
    pub token_version: i32,
    pub disabled_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub last_login_at: Option<OffsetDateTime>,
}

/// A person to add.
pub(crate) struct NewUser {
    pub id: Uuid,
    pub email: String,
    pub display_name: String,
    pub password_hash: String,
    pub role: Role,
    pub at: OffsetDateTime,
}

/// What to change of a person.
#[derive(Default)]
pub(crate) struct Change {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub display_name: Option<String>,
    pub password_hash: Option<String>,
}

impl UserRow {
    /// What the person may do.
    pub fn role(&self) -> Role {
        role_of(&self.role).unwrap_or(Role::Dev)
    }

    /// Fails for whoever is blocked.
    pub fn must_be_active(&self) -> Result<(), Error> {
        if self.disabled_at.is_some() { Err(Error::UserDisabled) } else { Ok(()) }
    }

    fn is_active_admin(&self) -> bool {
        self.role() == Role::Admin && self.disabled_at.is_none()
    }

    /// What tells other processes that the person's older tokens are invalid.
    pub fn notice(&self) -> Notice {
        Notice::User { id: self.id, version: self.token_version, disabled: self.disabled_at.is_some() }
    }
}

impl Store {
    /// A person by id.
    pub async fn user(&self, id: Uuid) -> Result<Option<UserRow>, Error> {
        let row = sqlx::query_as("select * from users where id = $1").bind(id);
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// A person by address, in any case.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<UserRow>, Error> {
        let row = sqlx::query_as("select * from users where email_key = lower($1 collate \"C\")").bind(email);
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Adds a person.
    pub async fn add_user(&self, user: NewUser, entry: Entry<'_>) -> Result<UserRow, Error> {
        let mut tx = self.pool.begin().await?;
        let row = insert(&mut tx, &user).await?;
        keep(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Is there nobody yet?
    pub async fn nobody_there(&self) -> Result<bool, Error> {
        let there: Option<i32> =
            sqlx::query_scalar("select 1 from users limit 1").fetch_optional(&self.pool).await?;
        Ok(there.is_none())
    }

    /// Adds the first person; says no where there is one. One process at a time looks and adds.
    pub async fn add_first_user(&self, user: NewUser, entry: Entry<'_>) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        lock_admins(&mut tx).await?;
        let there: Option<i32> =
            sqlx::query_scalar("select 1 from users limit 1").fetch_optional(&mut *tx).await?;
        if there.is_some() {
            return Ok(false);
        }
        insert(&mut tx, &user).await?;
        keep(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A page of people by address, and how many there are in all.
    pub async fn users(&self, query: &str, after: &str, limit: i64) -> Result<(Vec<UserRow>, i64), Error> {
        let rows = sqlx::query_as(
            "select * from users
             where ($1 = '' or position(lower($1) in lower(email)) > 0 or position(lower($1) in lower(display_name)) > 0)
               and email_key > $2
             order by email_key limit $3",
        )
        .bind(query)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let total = sqlx::query_scalar(
            "select count(*) from users
             where $1 = '' or position(lower($1) in lower(email)) > 0 or position(lower($1) in lower(display_name)) > 0",
        )
        .bind(query)
        .fetch_one(&self.pool)
        .await?;
        Ok((rows, total))
    }

    /// Changes a person. What takes rights away counts the token version up and is told to every process; the last
    /// admin stays one, also when two admins block each other at the same moment.
    pub async fn change_user(
        &self,
        id: Uuid,
        change: Change,
        at: OffsetDateTime,
        origin: &Origin,
    ) -> Result<UserRow, Error> {
        let mut tx = self.pool.begin().await?;
        if change.role.is_some() || change.disabled.is_some() {
            lock_admins(&mut tx).await?;
        }
        let before: Option<UserRow> = sqlx::query_as("select * from users where id = $1 for update")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let before = before.ok_or(Error::NoSuchUser)?;
        let role = change.role.unwrap_or(before.role());
        let disabled_at = match change.disabled {
            Some(true) => before.disabled_at.or(Some(at)),
            Some(false) => None,
            None => before.disabled_at,
        };
        let blocked_or_not = disabled_at.is_some() != before.disabled_at.is_some();
        let revokes = role != before.role() || blocked_or_not || change.password_hash.is_some();
        let after: UserRow = sqlx::query_as(
            "update users set role = $2, disabled_at = $3, display_name = coalesce($4, display_name),
               password_hash = coalesce($5, password_hash), token_version = token_version + $6
             where id = $1 returning *",
        )
        .bind(id)
        .bind(role_name(role))
        .bind(disabled_at)
        .bind(&change.display_name)
        .bind(&change.password_hash)
        .bind(i32::from(revokes))
        .fetch_one(&mut *tx)
        .await?;
        if before.is_active_admin() && !after.is_active_admin() {
            let left: i64 =
                sqlx::query_scalar("select count(*) from users where role = 'admin' and disabled_at is null")
                    .fetch_one(&mut *tx)
                    .await?;
            if left == 0 {
                return Err(Error::LastAdmin);
            }
        }
        if change.password_hash.is_some() {
            end_sessions(&mut tx, id, None, "password", at).await?;
        }
        if after.disabled_at.is_some() && blocked_or_not {
            end_sessions(&mut tx, id, None, "disabled", at).await?;
        }
        if revokes {
            tell(&mut tx, after.notice()).await?;
        }
        keep(&mut tx, origin.entry(at, "user.update", Some(id), difference(&before, &after))).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Changes a person's own password, if it still is the one that was checked, and ends the sessions but the one
    /// whose live refresh token is `keeps`.
    pub async fn change_password(
        &self,
        id: Uuid,
        checked_hash: &str,
        new_hash: &str,
        keeps: Option<[u8; 32]>,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let after: Option<UserRow> = sqlx::query_as(
            "update users set password_hash = $3, token_version = token_version + 1
             where id = $1 and password_hash = $2 returning *",
        )
        .bind(id)
        .bind(checked_hash)
        .bind(new_hash)
        .fetch_optional(&mut *tx)
        .await?;
        let after = after.ok_or(Error::CredentialsInvalid)?;
        end_sessions(&mut tx, id, keeps, "password", entry.at).await?;
        tell(&mut tx, after.notice()).await?;
        keep(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn insert(connection: &mut PgConnection, user: &NewUser) -> Result<UserRow, Error> {
    sqlx::query_as(
        "insert into users (id, email, display_name, password_hash, role, created_at)
         values ($1, $2, $3, $4, $5, $6) returning *",
    )
    .bind(user.id)
    .bind(&user.email)
    .bind(&user.display_name)
    .bind(&user.password_hash)
    .bind(role_name(user.role))
    .bind(user.at)
    .fetch_one(connection)
    .await
    .map_err(|error| on_constraint(error, "users_email_key", Error::EmailTaken))
}

/// Whoever changes who is an admin does so alone, until the end of the transaction.
async fn lock_admins(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('devstudio.auth.admins', 0))")
        .execute(connection)
        .await?;
    Ok(())
}

async fn end_sessions(
    connection: &mut PgConnection,
    user: Uuid,
    keeps: Option<[u8; 32]>,
    why: &str,
    at: OffsetDateTime,
) -> Result<(), Error> {
    sqlx::query(
        "update sessions set revoked_at = $3, revoked_why = $4
         where user_id = $1 and revoked_at is null
           and id not in (select session_id from refresh_tokens where hash = $2 and rotated_at is null)",
    )
    .bind(user)
    .bind(keeps.map(Vec::from).unwrap_or_default())
    .bind(at)
    .bind(why)
    .execute(connection)
    .await?;
    Ok(())
}

/// Which fields changed, from what to what; of the password only that it did.
fn difference(before: &UserRow, after: &UserRow) -> serde_json::Value {
    let mut changed = serde_json::Map::new();
    if before.role != after.role {
        changed.insert("role".into(), json!([before.role, after.role]));
    }
    if before.disabled_at.is_some() != after.disabled_at.is_some() {
        changed.insert("disabled".into(), json!([before.disabled_at.is_some(), after.disabled_at.is_some()]));
    }
    if before.display_name != after.display_name {
        changed.insert("display_name".into(), json!([before.display_name, after.display_name]));
    }
    if before.password_hash != after.password_hash {
        changed.insert("password".into(), json!("changed"));
    }
    changed.into()
}
