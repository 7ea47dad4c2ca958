//! Locks of a workspace: taken, renewed, released, wanted.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Trees;
use crate::{
    error::SandboxError,
    lock::{Lock, Verdict, Wish, Writer, judge},
};

impl Trees {
    /// Takes or renews a lock.
    pub async fn lock(&self, workspace_id: Uuid, wish: &Wish) -> Result<Lock, SandboxError> {
        let mut change = self.change(Writer::person(wish.holder.user_id), workspace_id).await?;
        let held = std::mem::take(&mut change.locks);
        let lock = match judge(&held, wish)? {
            Verdict::Renew(lock) => change.renew(lock, wish).await?,
            Verdict::Take(gone) => change.take(wish, &gone).await?,
        };
        change.commit_locks().await?;
        Ok(lock)
    }

    /// Releases a lock of the person's; anybody's where `any`.
    pub async fn unlock(&self, user_id: Uuid, any: bool, lock_id: Uuid) -> Result<(), SandboxError> {
        let lock = self.0.store.lock(user_id, any, lock_id, self.0.clock.now()).await?;
        self.0.store.drop_lock(&lock).await
    }

    /// Notes that somebody wants a lock of the person's workspace released.
    pub async fn want_unlock(&self, user_id: Uuid, lock_id: Uuid, message: &str) -> Result<(), SandboxError> {
        let lock = self.0.store.lock(user_id, false, lock_id, self.0.clock.now()).await?;
        self.0.store.want_lock(&lock, message).await
    }

    /// The locks of a workspace that hold now, by path; and when they were looked at.
    pub async fn locks(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
    ) -> Result<(Vec<Lock>, OffsetDateTime), SandboxError> {
        let now = self.0.clock.now();
        Ok((self.0.store.locks(user_id, workspace_id, now).await?, now))
    }
}
