//! Sign-in with e-mail and password, and the tokens that come of it.

use devstudio_kit::identity::{ACCESS_TOKEN_SECONDS, AccessClaims};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::{
    Auth, Error,
    audit::Origin,
    password::{Verdict, is_allowed},
    secret,
    store::{NewSession, UserRow},
};

/// What a person holds after a sign-in or a refresh.
pub(crate) struct SignedIn {
    pub user: UserRow,
    pub access_token: String,
    pub expires_at: OffsetDateTime,
    pub refresh_token: String,
}

impl Auth {
    /// Signs a person in. Who does not exist, is mistyped, or has another password gets the same answer in the same
    /// time.
    pub async fn login(&self, email: &str, password: &str, origin: &Origin) -> Result<SignedIn, Error> {
        let now = self.clock.now();
        let attempt = self.throttle.begin(&email.to_ascii_lowercase(), &origin.address, now)?;
        if !is_allowed(password) || email.contains('\0') {
            return Err(Error::CredentialsInvalid); // nobody's, whoever it is
        }
        let user = self.store.user_by_email(email).await?;
        let hash = user.as_ref().map(|user| user.password_hash.as_str());
        let verdict = self.passwords.check(password, hash).await?;
        let user = match user {
            Some(user) if verdict != Verdict::Wrong => user,
            user => {
                // the address that was typed is not kept: it may be a password
                let subject = user.map(|user| user.id);
                let entry = origin.entry(now, "user.login.failed", subject, json!({}));
                self.store.keep(entry).await?;
                return Err(Error::CredentialsInvalid);
            }
        };
        attempt.succeeded();
        if user.disabled_at.is_some() {
            let entry = origin.entry(now, "user.login.blocked", Some(user.id), json!({}));
            self.store.keep(entry).await?;
            return Err(Error::UserDisabled);
        }
        let renewed_hash = match verdict {
            Verdict::RightWithOldHash => Some(self.passwords.hash(password).await?),
            _ => None,
        };
        let refresh_token = secret::text()?;
        let session = NewSession {
            user_id: user.id,
            checked_hash: &user.password_hash,
            renewed_hash,
            token_hash: secret::hash(&refresh_token),
            at: now,
            ends: now + self.config.session_life(),
        };
        let entry = origin.entry(now, "user.login", Some(user.id), json!({}));
        let user = self.store.sign_in(session, entry).await?.ok_or(Error::CredentialsInvalid)?;
        self.signed_in(user, refresh_token, now)
    }

    /// Signs the access token of a person.
    pub fn signed_in(
        &self,
        user: UserRow,
        refresh_token: String,
        now: OffsetDateTime,
    ) -> Result<SignedIn, Error> {
        let claims = AccessClaims::new(
            user.id,
            user.email.clone(),
            user.role(),
            user.token_version,
            now.unix_timestamp(),
        );
        let access_token = self.mesh.keys().mint_access(&claims)?;
        let begun = now.replace_nanosecond(0).unwrap_or(now);
        let expires_at = begun + Duration::seconds(ACCESS_TOKEN_SECONDS);
        Ok(SignedIn { user, access_token, expires_at, refresh_token })
    }
}
