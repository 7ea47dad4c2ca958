//! The first person of an empty house: an admin with a random password, made once, told once.

use devstudio_kit::{Service, clock::Clock};
use devstudio_proto::auth::v1::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Config, Error,
    audit::Origin,
    password::Passwords,
    secret,
    store::{NewUser, Store},
};

/// The address of the first admin where no other is wished.
pub const FIRST_ADMIN_EMAIL: &str = "admin@localhost";

/// The first admin, with the only copy of the password.
pub struct FirstAdmin {
    /// The address to sign in with.
    pub email: String,
    /// The password, 24 letters and digits.
    pub password: String,
}

/// Makes the first admin where there is nobody at all. Of processes that start at the same moment exactly one does.
pub async fn ensure_first_admin(
    pool: &PgPool,
    clock: &Clock,
    email: &str,
) -> Result<Option<FirstAdmin>, Error> {
    ensure(&Store::new(pool.clone()), clock, email, &Passwords::new(Config::default().bcrypt_cost)).await
}

async fn ensure(
    store: &Store,
    clock: &Clock,
    email: &str,
    passwords: &Passwords,
) -> Result<Option<FirstAdmin>, Error> {
    if !store.nobody_there().await? {
        return Ok(None); // without the work of a hash
    }
    let password = secret::password()?;
    let now = clock.now();
    let user = NewUser {
        id: Uuid::now_v7(),
        email: email.to_owned(),
        display_name: "Admin".to_owned(),
        password_hash: passwords.hash(&password).await?,
        role: Role::Admin,
        at: now,
    };
    let origin =
        Origin { service: Service::Auth, actor: None, request_id: Uuid::now_v7(), address: String::new() };
    let details = json!({ "email": email, "role": "admin", "first": true });
    let entry = origin.entry(now, "user.add", Some(user.id), details);
    let made = store.add_first_user(user, entry).await?;
    Ok(made.then(|| FirstAdmin { email: email.to_owned(), password }))
}
