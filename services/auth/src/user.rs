//! People: who the caller is, adding, listing, changing, the own password.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use devstudio_kit::identity::{Identity, role_name};
use devstudio_proto::auth::v1::Role;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Auth, Error, FIRST_ADMIN_EMAIL,
    audit::Origin,
    password::{Verdict, is_allowed},
    secret,
    store::{Change, NewUser, UserRow},
};

/// A person to add.
pub(crate) struct Add<'a> {
    pub email: &'a str,
    pub password: &'a str,
    pub role: Role,
    pub display_name: &'a str,
}

/// What to change of a person.
pub(crate) struct Update<'a> {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub display_name: Option<String>,
    pub password: Option<&'a str>,
}

/// A page of people.
pub(crate) struct Page {
    pub users: Vec<UserRow>,
    pub next: String,
    pub total: i64,
}

impl Auth {
    /// A person by id.
    pub async fn user(&self, id: Uuid) -> Result<UserRow, Error> {
        self.store.user(id).await?.ok_or(Error::NoSuchUser)
    }

    /// Adds a person.
    pub async fn add_user(&self, add: Add<'_>, origin: &Origin) -> Result<UserRow, Error> {
        let now = self.clock.now();
        let user = NewUser {
            id: Uuid::now_v7(),
            email: add.email.to_owned(),
            display_name: add.display_name.to_owned(),
            password_hash: self.passwords.hash(add.password).await?,
            role: add.role,
            at: now,
        };
        let details = json!({ "email": add.email, "role": role_name(add.role) });
        let entry = origin.entry(now, "user.add", Some(user.id), details);
        self.store.add_user(user, entry).await
    }

    /// A page of people by address.
    pub async fn users(&self, query: &str, size: i32, token: &str) -> Result<Page, Error> {
        let size = i64::from(if size == 0 { 50 } else { size });
        let after = read_token(token)?;
        let (mut users, total) = self.store.users(query, &after, size + 1).await?;
        let more = users.len() as i64 > size;
        users.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let last = users.last().filter(|_| more);
        let next = last.map(|last| URL_SAFE_NO_PAD.encode(last.email.to_ascii_lowercase()));
        Ok(Page { users, next: next.unwrap_or_default(), total })
    }

    /// Changes a person.
    pub async fn update_user(&self, id: Uuid, update: Update<'_>, origin: &Origin) -> Result<UserRow, Error> {
        let password_hash = match update.password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let change = Change {
            role: update.role,
            disabled: update.disabled,
            display_name: update.display_name,
            password_hash,
        };
        let changed = self.store.change_user(id, change, self.clock.now(), origin).await?;
        if update.password.is_some() {
            self.forget_first_password(&changed.email);
        }
        Ok(changed)
    }

    /// Changes the caller's password. Every session ends, but the one whose refresh token came with the call.
    pub async fn change_password(
        &self,
        caller: &Identity,
        current: &str,
        new: &str,
        refresh_token: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let account = format!("password of {}", caller.user_id);
        let attempt = self.throttle.begin(&account, &origin.address, now)?;
        if !is_allowed(new) {
            attempt.succeeded(); // nothing was guessed
            return Err(Error::PasswordLength);
        }
        let user = self.user(caller.user_id).await?;
        let right = is_allowed(current)
            && self.passwords.check(current, Some(&user.password_hash)).await? != Verdict::Wrong;
        if !right {
            let entry = origin.entry(now, "user.change_password.failed", Some(user.id), json!({}));
            self.store.keep(entry).await?;
            return Err(Error::CredentialsInvalid);
        }
        attempt.succeeded();
        let hash = self.passwords.hash(new).await?;
        let keeps = (!refresh_token.is_empty()).then(|| secret::hash(refresh_token));
        let entry = origin.entry(now, "user.change_password", Some(user.id), json!({}));
        self.store.change_password(user.id, &user.password_hash, &hash, keeps, entry).await?;
        self.forget_first_password(&user.email);
        Ok(())
    }

    /// The first admin's first password no longer stands: nobody is to find it in its file.
    fn forget_first_password(&self, email: &str) {
        let Some(file) = &self.config.first_password_file else { return };
        if !email.eq_ignore_ascii_case(FIRST_ADMIN_EMAIL) {
            return;
        }
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the file with the first password could not be removed");
            }
            _ => {}
        }
    }
}

fn read_token(token: &str) -> Result<String, Error> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.filter(|text| !text.contains('\0')).ok_or(Error::Invalid {
        pointer: "/pageToken",
        message: "must be the nextPageToken of an answer before",
    })
}
