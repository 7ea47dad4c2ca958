//! The door of LockService.

use devstudio_kit::{Caller, clock};
use devstudio_proto::{
    auth::v1::Role,
    sandbox::v1::{
        AcquireLockRequest, AcquireLockResponse, ListLocksRequest, ListLocksResponse, ReleaseLockRequest,
        ReleaseLockResponse, RequestUnlockRequest, RequestUnlockResponse, lock_service_server::LockService,
    },
};
use tonic::{Request, Response, Status};

use super::{Workspaces, person, status};
use crate::pack;

#[tonic::async_trait]
impl LockService for Workspaces {
    async fn acquire_lock(
        &self,
        request: Request<AcquireLockRequest>,
    ) -> Result<Response<AcquireLockResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let wish = pack::wish(user_id, message)?;
        let lock = self.trees.lock(workspace_id, &wish).await.map_err(status)?;
        Ok(Response::new(AcquireLockResponse {
            lock_id: lock.lock_id.to_string(),
            fencing_token: lock.fencing_token,
            expires_at: lock.expires_at.map(clock::timestamp),
        }))
    }

    async fn release_lock(
        &self,
        request: Request<ReleaseLockRequest>,
    ) -> Result<Response<ReleaseLockResponse>, Status> {
        let admin = Caller::of(&request)?.person()?.role == Role::Admin;
        let (user_id, message) = person(request)?;
        let lock_id = pack::id(&message.lock_id, "/lockId")?;
        self.trees.unlock(user_id, admin, lock_id).await.map_err(status)?;
        Ok(Response::new(ReleaseLockResponse {}))
    }

    async fn list_locks(
        &self,
        request: Request<ListLocksRequest>,
    ) -> Result<Response<ListLocksResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let (locks, _) = self.trees.locks(user_id, workspace_id).await.map_err(status)?;
        Ok(Response::new(ListLocksResponse { locks: locks.into_iter().map(pack::lock).collect() }))
    }

    async fn request_unlock(
        &self,
        request: Request<RequestUnlockRequest>,
    ) -> Result<Response<RequestUnlockResponse>, Status> {
        let (user_id, message) = person(request)?;
        let lock_id = pack::id(&message.lock_id, "/lockId")?;
        let wish = if message.message.is_empty() { "please release it" } else { &message.message };
        self.trees.want_unlock(user_id, lock_id, wish).await.map_err(status)?;
        Ok(Response::new(RequestUnlockResponse {}))
    }
}
