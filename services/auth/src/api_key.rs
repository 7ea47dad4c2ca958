//! API keys: `dsk_<8 hexadecimal digits>_<secret>`. The whole key is told once; its hash is kept.

use std::time::Duration;

use devstudio_kit::Fault;
use devstudio_kit::{Caller, Service};
use devstudio_proto::auth::v1::Role;
use devstudio_proto::billing::v1::{SetKeyBudgetRequest, billing_service_client::BillingServiceClient};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Auth, Error,
    audit::Origin,
    secret,
    store::{KeyRow, NewKey},
};

/// How every key begins.
pub(crate) const BEGINNING: &str = "dsk_";

const BILLING_PATIENCE: Duration = Duration::from_secs(5);

/// A key to make.
pub(crate) struct Make<'a> {
    pub name: &'a str,
    pub owner: Uuid,
    pub token_budget: Option<i64>,
    pub expires_at: Option<OffsetDateTime>,
}

impl Auth {
    /// Makes a key; the text is its only copy. Billing knows its budget before anybody can use it: without Billing a
    /// key with a budget is not made.
    pub async fn make_key(
        &self,
        make: Make<'_>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(String, KeyRow), Error> {
        if caller.person()?.key_id.is_some() {
            return Err(Error::KeyMakesKey);
        }
        let now = self.clock.now();
        if make.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Invalid { pointer: "/expiresAt", message: "must be a time to come" });
        }
        self.user(make.owner).await?.must_be_active()?;
        if self.store.has_key_named(make.owner, make.name).await? {
            return Err(Error::KeyNameTaken);
        }
        let id = Uuid::now_v7();
        let prefix = self.free_prefix().await?;
        let text = format!("{prefix}_{}", hex::encode(secret::random()?));
        if let Some(limit) = make.token_budget {
            self.set_budget(id, limit, caller).await?;
        }
        let key = NewKey {
            id,
            user_id: make.owner,
            name: make.name,
            prefix: &prefix,
            last_four: &text[text.len() - 4..],
            key_hash: secret::hash(&text),
            expires_at: make.expires_at,
            at: now,
        };
        let details = json!({ "name": make.name, "user_id": make.owner, "token_budget": make.token_budget });
        let row = self.store.add_key(key, origin.entry(now, "key.add", Some(id), details)).await?;
        Ok((text, row))
    }

    /// A person's keys, newest first.
    pub async fn keys(&self, owner: Uuid) -> Result<Vec<KeyRow>, Error> {
        self.store.keys(owner).await
    }

    /// Revokes a key of the caller's, or, for admins, anybody's. A second time changes nothing.
    pub async fn revoke_key(&self, id: Uuid, caller: &Caller, origin: &Origin) -> Result<KeyRow, Error> {
        let person = caller.person()?;
        let owner = (person.role != Role::Admin).then_some(person.user_id);
        self.store.key(id, owner).await?.ok_or(Error::NoSuchKey)?;
        self.store.revoke_key(id, self.clock.now(), origin).await?;
        self.store.key(id, owner).await?.ok_or(Error::NoSuchKey)
    }

    /// The beginning of a new key. 32 bits are few: another key may have drawn them.
    async fn free_prefix(&self) -> Result<String, Error> {
        for _ in 0..8 {
            let prefix = format!("{BEGINNING}{}", hex::encode(&secret::random()?[..4]));
            if !self.store.has_prefix(&prefix).await? {
                return Ok(prefix);
            }
        }
        Err(Error::Internal("no free prefix for a key was found"))
    }

    async fn set_budget(&self, key: Uuid, limit: i64, caller: &Caller) -> Result<(), Error> {
        let mut billing = BillingServiceClient::new(self.mesh.link(Service::Billing));
        let message = SetKeyBudgetRequest { key_id: key.to_string(), monthly_limit: Some(limit) };
        let mut request = caller.request(message);
        request.set_timeout(BILLING_PATIENCE);
        match tokio::time::timeout(BILLING_PATIENCE, billing.set_key_budget(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(Fault::from_status(&status).into()),
            Err(_) => {
                let fault = Fault::new(devstudio_kit::Reason::UpstreamUnavailable, "billing does not answer");
                Err(fault.with("service", Service::Billing).into())
            }
        }
    }
}
