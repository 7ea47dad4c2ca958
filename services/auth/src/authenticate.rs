//! Whom a credential stands for: an access token or an API key, checked against the database for the edge.

use devstudio_kit::identity::{Identity, Task};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{
    Auth, Error,
    api_key::BEGINNING,
    secret,
    store::{KeyRow, UserRow},
};

/// Whom a credential stands for.
pub(crate) struct Principal {
    pub user: UserRow,
    pub key: Option<KeyRow>,
}

impl Auth {
    /// Checks a credential.
    pub async fn authenticate(&self, credential: &str) -> Result<Principal, Error> {
        if credential.starts_with(BEGINNING) {
            self.by_key(credential).await
        } else {
            self.by_token(credential).await
        }
    }

    async fn by_token(&self, token: &str) -> Result<Principal, Error> {
        let claims = self.mesh.keys().verify_access_at(token, self.clock.now().unix_timestamp())?;
        let user = self.store.user(claims.sub).await?.ok_or(Error::TokenInvalid)?;
        user.must_be_active()?;
        if claims.tv != user.token_version {
            return Err(Error::TokenInvalid);
        }
        Ok(Principal { user, key: None })
    }

    async fn by_key(&self, text: &str) -> Result<Principal, Error> {
        let rest = text.strip_prefix(BEGINNING).and_then(|rest| rest.split_once('_'));
        let digits =
            rest.map(|(id, _)| id).filter(|id| id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or(Error::TokenInvalid)?;
        let found = self.store.key_by_prefix(&format!("{BEGINNING}{digits}")).await?;
        let (key, user) = found.ok_or(Error::TokenInvalid)?;
        // the hash first: who does not hold the key learns nothing of its state
        if !bool::from(key.key_hash.as_slice().ct_eq(&secret::hash(text))) {
            return Err(Error::TokenInvalid);
        }
        user.must_be_active()?;
        self.must_be_live(&key)?;
        self.store.key_used(&key, self.clock.now()).await?;
        Ok(Principal { user, key: Some(key) })
    }

    /// Confirms that somebody who was let in before may stay: nobody has blocked them, signed them out, or revoked the
    /// key they came by.
    pub async fn confirm_access(
        &self,
        user_id: Uuid,
        key_id: Option<Uuid>,
        token_version: i32,
    ) -> Result<(), Error> {
        let now = self.standing(user_id, key_id).await?;
        if now.user.token_version == token_version { Ok(()) } else { Err(Error::TokenInvalid) }
    }

    /// Somebody as they stand now, by an API key where one is named.
    pub(crate) async fn standing(&self, user_id: Uuid, key_id: Option<Uuid>) -> Result<Principal, Error> {
        let user = self.store.user(user_id).await?.ok_or(Error::TokenInvalid)?;
        user.must_be_active()?;
        let Some(id) = key_id else { return Ok(Principal { user, key: None }) };
        let key = self.store.key(id, Some(user.id)).await?.ok_or(Error::KeyRevoked)?;
        self.must_be_live(&key)?;
        Ok(Principal { user, key: Some(key) })
    }

    /// The identity token of one step of an agent's task. A task outlives the sign-in that gave it, but not the
    /// person's right to be here, nor the key that it was given by.
    pub async fn act_for_task(
        &self,
        user_id: Uuid,
        key_id: Option<Uuid>,
        task: Task,
        request_id: Uuid,
    ) -> Result<String, Error> {
        let Principal { user, key } = self.standing(user_id, key_id).await?;
        let (role, key_id) = (user.role(), key.map(|key| key.id));
        let identity =
            Identity { user_id: user.id, email: user.email, role, key_id, request_id, task: Some(task) };
        Ok(self.mesh.keys().mint_identity(&identity)?)
    }

    /// Fails for a key that was revoked or has ended.
    pub fn must_be_live(&self, key: &KeyRow) -> Result<(), Error> {
        if key.revoked_at.is_some() {
            return Err(Error::KeyRevoked);
        }
        if key.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(Error::TokenExpired);
        }
        Ok(())
    }
}
