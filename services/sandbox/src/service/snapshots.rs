//! The door of SnapshotService.

use devstudio_proto::sandbox::v1::{
    CreateSnapshotRequest, CreateSnapshotResponse, DiffSnapshotsRequest, DiffSnapshotsResponse,
    ForkWorkspaceRequest, ForkWorkspaceResponse, ListFileHistoryRequest, ListFileHistoryResponse,
    ListSnapshotsRequest, ListSnapshotsResponse, RestoreSnapshotRequest, RestoreSnapshotResponse,
    snapshot_service_server::SnapshotService,
};
use tonic::{Request, Response, Status};

use super::{PAGE_SIZE, Workspaces, page_after, page_token, person, status, writer};
use crate::{fs::JailPath, pack};

#[tonic::async_trait]
impl SnapshotService for Workspaces {
    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let kept = self.trees.snapshot(user_id, workspace_id, &message.reason).await.map_err(status)?;
        Ok(Response::new(CreateSnapshotResponse { snapshot: Some(pack::snapshot(kept)) }))
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let page_size = if message.page_size == 0 { PAGE_SIZE } else { message.page_size };
        let after = page_after(&message.page_token)?;
        let listed = self.trees.snapshots(user_id, workspace_id, after, i64::from(page_size) + 1).await;
        let mut listed = listed.map_err(status)?;
        let more = listed.len() > page_size as usize;
        listed.truncate(page_size as usize);
        let next_page_token = match listed.last() {
            Some(last) if more => page_token(last.created_at, last.snapshot_id),
            _ => String::new(),
        };
        let snapshots = listed.into_iter().map(pack::snapshot).collect();
        Ok(Response::new(ListSnapshotsResponse { snapshots, next_page_token }))
    }

    async fn diff_snapshots(
        &self,
        request: Request<DiffSnapshotsRequest>,
    ) -> Result<Response<DiffSnapshotsResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let from = pack::id(&message.from_snapshot_id, "/fromSnapshotId")?;
        let to = pack::optional_id(&message.to_snapshot_id, "/toSnapshotId")?;
        let below = JailPath::folder(&message.path).map_err(status)?;
        let compared = self.trees.compare(user_id, workspace_id, from, to, &below, message.with_text).await;
        Ok(Response::new(pack::differences(compared.map_err(status)?)))
    }

    async fn restore_snapshot(
        &self,
        request: Request<RestoreSnapshotRequest>,
    ) -> Result<Response<RestoreSnapshotResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let snapshot_id = pack::id(&message.snapshot_id, "/snapshotId")?;
        let paths = message.paths.iter().map(|path| JailPath::file(path)).collect::<Result<Vec<_>, _>>();
        let paths = paths.map_err(status)?;
        let by = writer(user_id, message.fencing_token);
        let (before, changed_paths) =
            self.trees.restore(by, workspace_id, snapshot_id, &paths).await.map_err(status)?;
        Ok(Response::new(RestoreSnapshotResponse { before: Some(pack::snapshot(before)), changed_paths }))
    }

    async fn fork_workspace(
        &self,
        request: Request<ForkWorkspaceRequest>,
    ) -> Result<Response<ForkWorkspaceResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let snapshot_id = pack::optional_id(&message.snapshot_id, "/snapshotId")?;
        let fork =
            self.trees.fork(user_id, workspace_id, snapshot_id, &message.name).await.map_err(status)?;
        Ok(Response::new(ForkWorkspaceResponse { workspace_id: fork.to_string() }))
    }

    async fn list_file_history(
        &self,
        request: Request<ListFileHistoryRequest>,
    ) -> Result<Response<ListFileHistoryResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let states = self.trees.history(user_id, workspace_id, &path).await.map_err(status)?;
        Ok(Response::new(ListFileHistoryResponse { states: states.into_iter().map(pack::state).collect() }))
    }
}
