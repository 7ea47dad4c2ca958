//! The door of WorkspaceService: workspaces and their files.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use async_stream::try_stream;
use devstudio_kit::{Fault, Reason};
use devstudio_proto::sandbox::v1::{
    self as proto, CopyPathRequest, CopyPathResponse, CreateWorkspaceRequest, CreateWorkspaceResponse,
    DeletePathRequest, DeletePathResponse, DeleteWorkspaceRequest, DeleteWorkspaceResponse, EditFileRequest,
    EditFileResponse, ListFilesRequest, ListFilesResponse, ListWorkspacesRequest, ListWorkspacesResponse,
    MakeFolderRequest, MakeFolderResponse, MergeFileRequest, MergeFileResponse, MovePathRequest,
    MovePathResponse, ReadFileRequest, ReadFileResponse, RenameWorkspaceRequest, RenameWorkspaceResponse,
    SearchFilesRequest, SearchFilesResponse, TreeEvent, TreeEventKind, WatchTreeRequest, WatchTreeResponse,
    WriteFileRequest, WriteFileResponse, workspace_service_server::WorkspaceService,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Workspaces, person, status, writer};
use crate::{fs::JailPath, lock::Lock, pack};

/// Events of a watch in one message.
const EVENTS_AT_ONCE: usize = 500;
/// How often a watch looks by itself, should no news come.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

#[tonic::async_trait]
impl WorkspaceService for Workspaces {
    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        let (user_id, _) = person(request)?;
        let workspaces = self.trees.list_workspaces(user_id).await.map_err(status)?;
        let quota = self.trees.quota();
        let workspaces = workspaces.into_iter().map(|workspace| pack::workspace(workspace, quota)).collect();
        Ok(Response::new(ListWorkspacesResponse { workspaces }))
    }

    async fn write_file(
        &self,
        request: Request<WriteFileRequest>,
    ) -> Result<Response<WriteFileResponse>, Status> {
        use proto::write_file_request::Content;
        let (user_id, message) = person(request)?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let content = match message.content {
            Some(Content::Text(text)) => text.into_bytes(),
            Some(Content::Data(data)) => data,
            None => Vec::new(),
        };
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let file = self
            .trees
            .write(writer(user_id, message.fencing_token), workspace_id, &path, &content, message.if_version)
            .await
            .map_err(status)?;
        Ok(Response::new(WriteFileResponse {
            path: file.path,
            version: file.version,
            sha256: hex::encode(file.sha256),
            size_bytes: file.size_bytes as i32,
        }))
    }

    async fn read_file(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<ReadFileResponse>, Status> {
        use proto::read_file_response::Content;
        let (user_id, message) = person(request)?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let snapshot_id = pack::optional_id(&message.snapshot_id, "/snapshotId")?;
        let (version, sha256, content) = match snapshot_id {
            None => {
                let (file, content) = self.trees.read(user_id, workspace_id, &path).await.map_err(status)?;
                (file.version, file.sha256, content)
            }
            Some(snapshot_id) => {
                let kept = self.trees.read_kept(user_id, workspace_id, snapshot_id, &path).await;
                let (sha256, content) = kept.map_err(status)?;
                (0, sha256, content)
            }
        };
        let size_bytes = content.len() as i32;
        let content = match String::from_utf8(content) {
            Ok(text) => Content::Text(text),
            Err(error) => Content::Data(error.into_bytes()),
        };
        Ok(Response::new(ReadFileResponse {
            path: path.to_string(),
            content: Some(content),
            version,
            sha256: hex::encode(sha256),
            size_bytes,
        }))
    }

    async fn list_files(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesResponse>, Status> {
        let (user_id, message) = person(request)?;
        let path = JailPath::folder(&message.path).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let files = self.trees.list(user_id, workspace_id, &path).await.map_err(status)?;
        let entries = pack::entries(files, path.as_str());
        Ok(Response::new(ListFilesResponse { entries, workspace_id: workspace_id.to_string() }))
    }

    async fn delete_path(
        &self,
        request: Request<DeletePathRequest>,
    ) -> Result<Response<DeletePathResponse>, Status> {
        let (user_id, message) = person(request)?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let by = writer(user_id, message.fencing_token);
        let gone = self.trees.delete(by, workspace_id, &path, message.if_version).await.map_err(status)?;
        Ok(Response::new(DeletePathResponse { deleted_files: gone as i32 }))
    }

    async fn move_path(
        &self,
        request: Request<MovePathRequest>,
    ) -> Result<Response<MovePathResponse>, Status> {
        let (user_id, message) = person(request)?;
        let from = JailPath::file(&message.from).map_err(status)?;
        let to = JailPath::file(&message.to).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let by = writer(user_id, message.fencing_token);
        let moved = self.trees.rename(by, workspace_id, &from, &to).await.map_err(status)?;
        Ok(Response::new(MovePathResponse { moved_files: moved as i32 }))
    }

    async fn create_workspace(
        &self,
        request: Request<CreateWorkspaceRequest>,
    ) -> Result<Response<CreateWorkspaceResponse>, Status> {
        let (user_id, message) = person(request)?;
        let made = self.trees.make_workspace(user_id, &message.name).await.map_err(status)?;
        Ok(Response::new(CreateWorkspaceResponse { workspace_id: made.to_string() }))
    }

    async fn rename_workspace(
        &self,
        request: Request<RenameWorkspaceRequest>,
    ) -> Result<Response<RenameWorkspaceResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = pack::id(&message.workspace_id, "/workspaceId")?;
        self.trees.rename_workspace(user_id, workspace_id, &message.name).await.map_err(status)?;
        Ok(Response::new(RenameWorkspaceResponse {}))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = pack::id(&message.workspace_id, "/workspaceId")?;
        self.trees.delete_workspace(user_id, workspace_id).await.map_err(status)?;
        Ok(Response::new(DeleteWorkspaceResponse {}))
    }

    async fn copy_path(
        &self,
        request: Request<CopyPathRequest>,
    ) -> Result<Response<CopyPathResponse>, Status> {
        let (user_id, message) = person(request)?;
        let from = JailPath::file(&message.from).map_err(status)?;
        let to = JailPath::file(&message.to).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let by = writer(user_id, message.fencing_token);
        let copied = self.trees.copy(by, workspace_id, &from, &to).await.map_err(status)?;
        Ok(Response::new(CopyPathResponse { copied_files: copied as i32 }))
    }

    async fn make_folder(
        &self,
        request: Request<MakeFolderRequest>,
    ) -> Result<Response<MakeFolderResponse>, Status> {
        let (user_id, message) = person(request)?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let by = writer(user_id, message.fencing_token);
        self.trees.make_folder(by, workspace_id, &path).await.map_err(status)?;
        Ok(Response::new(MakeFolderResponse { path: path.to_string() }))
    }

    async fn edit_file(
        &self,
        request: Request<EditFileRequest>,
    ) -> Result<Response<EditFileResponse>, Status> {
        let (user_id, message) = person(request)?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let base = pack::optional_hash(&message.base_sha256, "/baseSha256")?;
        let by = writer(user_id, message.fencing_token);
        let if_version = message.if_version;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let edit = pack::edit(message)?;
        let edited =
            self.trees.edit(by, workspace_id, &path, base, if_version, &edit).await.map_err(status)?;
        Ok(Response::new(EditFileResponse {
            path: edited.path,
            version: edited.version,
            sha256: hex::encode(edited.sha256),
            size_bytes: edited.size_bytes as i32,
            lines_added: edited.trace.lines_added,
            lines_removed: edited.trace.lines_removed,
        }))
    }

    async fn merge_file(
        &self,
        request: Request<MergeFileRequest>,
    ) -> Result<Response<MergeFileResponse>, Status> {
        let (user_id, message) = person(request)?;
        let path = JailPath::file(&message.path).map_err(status)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let merged = self.trees.merge(user_id, workspace_id, &path, &message.base_text, &message.text);
        let merged = merged.await.map_err(status)?;
        Ok(Response::new(MergeFileResponse {
            text: merged.text,
            conflicts: merged.conflicts,
            current_text: merged.current,
            current_version: merged.version,
        }))
    }

    async fn search_files(
        &self,
        request: Request<SearchFilesRequest>,
    ) -> Result<Response<SearchFilesResponse>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let query = pack::query(message);
        let found = self.trees.search(user_id, workspace_id, &query).await.map_err(status)?;
        Ok(Response::new(pack::found(found)))
    }

    type WatchTreeStream = Pin<Box<dyn Stream<Item = Result<WatchTreeResponse, Status>> + Send>>;

    async fn watch_tree(
        &self,
        request: Request<WatchTreeRequest>,
    ) -> Result<Response<Self::WatchTreeStream>, Status> {
        let (user_id, message) = person(request)?;
        let workspace_id = self.resolve(user_id, &message.workspace_id).await?;
        let mut seq = match message.resume_token.as_str() {
            "" => 0,
            token => token.parse::<i64>().ok().filter(|seq| *seq >= 0).ok_or_else(|| {
                Fault::new(Reason::SchemaViolation, "is no token of ours").with("pointer", "/resumeToken")
            })?,
        };
        let trees = self.trees.clone();
        let mut ear = trees.watch(workspace_id);
        let mut locks = BTreeMap::<Uuid, Lock>::new();
        let mut synced = false;
        let messages = try_stream! {
            loop {
                let (seen, last) = trees.changes(user_id, workspace_id, seq).await.map_err(status)?;
                let (held, now) = trees.locks(user_id, workspace_id).await.map_err(status)?;
                seq = last;
                let held: BTreeMap<Uuid, Lock> = held.into_iter().map(|lock| (lock.lock_id, lock)).collect();
                let mut events: Vec<_> = seen.into_iter().map(pack::tree_event).collect();
                events.extend(pack::lock_events(&locks, &held));
                locks = held;
                if !synced {
                    synced = true;
                    events.push(TreeEvent { kind: TreeEventKind::Synced.into(), ..Default::default() });
                }
                let mut events = events.into_iter().peekable();
                while events.peek().is_some() {
                    let part = events.by_ref().take(EVENTS_AT_ONCE).collect();
                    // only the last part is known to be all
                    let resume_token = if events.peek().is_none() { seq.to_string() } else { String::new() };
                    yield WatchTreeResponse { events: part, resume_token };
                }
                let end = locks.values().filter_map(|lock| lock.expires_at).min();
                let wait = end.and_then(|end| Duration::try_from(end - now).ok());
                tokio::select! {
                    () = ear.news() => {}
                    () = trees.stopped() => break,
                    () = tokio::time::sleep(wait.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)) => {}
                }
            }
        };
        Ok(Response::new(Box::pin(messages)))
    }
}
