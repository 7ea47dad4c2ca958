//! Budgets: what is left, who sets them, and tokens granted on top.

use std::collections::BTreeMap;

use devstudio_kit::{
    clock::{self, Clock},
    identity::Identity,
    logs::{Level, Log},
};
use devstudio_proto::billing::v1::{Budget, Scope};
use uuid::Uuid;

use crate::{
    error::Error,
    period::Period,
    store::{Store, scope_word},
};

/// No limit and no sum of grants is larger, so that sums of them never overflow.
pub(crate) const MOST_TOKENS: i64 = 1_000_000_000_000_000;

/// Reads and changes budgets.
pub(crate) struct Budgets {
    pub store: Store,
    pub clock: Clock,
    pub log: Log,
    /// The limit of people without one of their own.
    pub default_limit: Option<i64>,
}

impl Budgets {
    /// A budget in the current month.
    pub async fn of(&self, scope: Scope, subject: Uuid) -> Result<Budget, Error> {
        let period = Period::of(self.clock.now());
        let mut budget = self.store.budget(scope, subject, period, self.default_limit).await?;
        budget.resets_at = Some(clock::timestamp(period.end()));
        Ok(budget)
    }

    /// A person's budget; and for the caller also that of the key the call came with.
    pub async fn of_person(&self, caller: &Identity, person: Uuid) -> Result<Vec<Budget>, Error> {
        let mut budgets = vec![self.of(Scope::User, person).await?];
        if let Some(key) = caller.key_id.filter(|_| caller.user_id == person) {
            budgets.push(self.of(Scope::Key, key).await?);
        }
        Ok(budgets)
    }

    /// Sets a monthly limit; what was used and is reserved stays.
    pub async fn set_limit(
        &self,
        admin: &Identity,
        scope: Scope,
        subject: Uuid,
        limit: Option<i64>,
    ) -> Result<Budget, Error> {
        if scope == Scope::Unspecified {
            return Err(Error::Invalid { pointer: "/scope", message: "must be user or key" });
        }
        self.store_limit(scope, subject, limit).await?;
        let told = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        self.tell(admin, "a token limit was set", scope, subject, ("monthly_limit", told));
        self.of(scope, subject).await
    }

    /// Sets the limit of a new key, for Auth.
    pub async fn set_key_limit(&self, key: Uuid, limit: Option<i64>) -> Result<(), Error> {
        self.store_limit(Scope::Key, key, limit).await
    }

    /// Grants tokens for the current month, or takes granted ones back.
    pub async fn grant(&self, admin: &Identity, person: Uuid, tokens: i64) -> Result<Budget, Error> {
        let now = self.clock.now();
        if !self.store.grant(Uuid::new_v4(), person, tokens, now, Period::of(now)).await? {
            return Err(if tokens < 0 {
                Error::NotGranted
            } else {
                Error::Invalid { pointer: "/tokens", message: "would grant more than can be counted" }
            });
        }
        self.tell(admin, "tokens were granted", Scope::User, person, ("tokens", tokens.to_string()));
        self.of(Scope::User, person).await
    }

    async fn store_limit(&self, scope: Scope, subject: Uuid, limit: Option<i64>) -> Result<(), Error> {
        if limit.is_some_and(|limit| !(0..=MOST_TOKENS).contains(&limit)) {
            return Err(Error::Invalid { pointer: "/monthlyLimit", message: "must be from 0 to 10^15" });
        }
        Ok(self.store.set_limit(scope, subject, limit).await?)
    }

    fn tell(&self, admin: &Identity, what: &str, scope: Scope, subject: Uuid, change: (&str, String)) {
        let fields = BTreeMap::from([
            ("scope".to_owned(), scope_word(scope).to_owned()),
            ("subject_id".to_owned(), subject.to_string()),
            (change.0.to_owned(), change.1),
        ]);
        self.log.line(Level::Info, Some(admin.user_id), what, fields);
    }
}
