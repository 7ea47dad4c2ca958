//! The doors of the sandbox: unpack each call, have it done, pack the answer.

use std::pin::Pin;

use async_stream::try_stream;
use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::sandbox::v1::{
    self as proto, CancelRunRequest, CancelRunResponse, DeletePathRequest, DeletePathResponse, GetRunRequest,
    GetRunResponse, ListEnginesRequest, ListEnginesResponse, ListFilesRequest, ListFilesResponse,
    ListRunsRequest, ListRunsResponse, ListWorkspacesRequest, ListWorkspacesResponse, MovePathRequest,
    MovePathResponse, ReadFileRequest, ReadFileResponse, RunExecRequest, RunExecResponse, StreamExecRequest,
    StreamExecResponse, WriteFileRequest, WriteFileResponse, sandbox_service_server::SandboxService,
    stream_exec_response::Event, workspace_service_server::WorkspaceService,
};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{error::SandboxError, fs::JailPath, pack, run::Dispatcher, tree::Trees};

const PAGE_SIZE: i32 = 50;

fn status(error: SandboxError) -> Status {
    Fault::from(error).into()
}

/// Who calls, and what.
fn person<T>(request: Request<T>) -> Result<(Uuid, T), Status> {
    let user_id = Caller::of(&request)?.person()?.user_id;
    Ok((user_id, request.into_inner()))
}

/// Answers SandboxService.
pub(crate) struct Sandbox {
    pub dispatcher: Dispatcher,
}

#[tonic::async_trait]
impl SandboxService for Sandbox {
    async fn run_exec(&self, request: Request<RunExecRequest>) -> Result<Response<RunExecResponse>, Status> {
        let (user_id, message) = person(request)?;
        let ongoing = self.dispatcher.start(user_id, pack::request(message)?, None).await.map_err(status)?;
        let finished = ongoing.finished().await.map_err(status)?;
        match finished.timed_out() {
            Some(error) => Err(status(error)),
            None => Ok(Response::new(pack::finished(finished))),
        }
    }

    type StreamExecStream = Pin<Box<dyn Stream<Item = Result<StreamExecResponse, Status>> + Send>>;

    async fn stream_exec(
        &self,
        request: Request<StreamExecRequest>,
    ) -> Result<Response<Self::StreamExecStream>, Status> {
        let (user_id, message) = person(request)?;
        let exec = message.exec.ok_or_else(|| {
            Fault::new(Reason::SchemaViolation, "exec is required").with("pointer", "/exec")
        })?;
        let (tell, mut watch) = mpsc::channel(16);
        let ongoing =
            self.dispatcher.start(user_id, pack::request(exec)?, Some(tell)).await.map_err(status)?;
        let messages = try_stream! {
            let mut seq = 0;
            let mut next = |event| {
                seq += 1;
                StreamExecResponse { seq, event: Some(event) }
            };
            while let Some(progress) = watch.recv().await {
                yield next(pack::progress(progress));
            }
            let finished = ongoing.finished().await.map_err(status)?;
            yield next(Event::Result(pack::finished(finished)));
        };
        Ok(Response::new(Box::pin(messages)))
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let (user_id, message) = person(request)?;
        self.dispatcher.cancel(user_id, pack::id(&message.exec_id, "/execId")?).map_err(status)?;
        Ok(Response::new(CancelRunResponse {}))
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        let (user_id, message) = person(request)?;
        let exec_id = pack::id(&message.exec_id, "/execId")?;
        let (run, result) =
            pack::stored(self.dispatcher.store().run(user_id, exec_id).await.map_err(status)?);
        Ok(Response::new(GetRunResponse { run: Some(run), result }))
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let (user_id, message) = person(request)?;
        let page_size = if message.page_size == 0 { PAGE_SIZE } else { message.page_size };
        let after = page_after(&message.page_token)?;
        let mut runs =
            self.dispatcher.store().runs(user_id, after, i64::from(page_size) + 1).await.map_err(status)?;
        let more = runs.len() > page_size as usize;
        runs.truncate(page_size as usize);
        let next_page_token = match runs.last() {
            Some(last) if more => format!("{}.{}", last.started_at.unix_timestamp_nanos(), last.exec_id),
            _ => String::new(),
        };
        let runs = runs.into_iter().map(|run| pack::stored(run).0).collect();
        Ok(Response::new(ListRunsResponse { runs, next_page_token }))
    }

    async fn list_engines(
        &self,
        request: Request<ListEnginesRequest>,
    ) -> Result<Response<ListEnginesResponse>, Status> {
        person(request)?;
        let engines = self.dispatcher.registry().iter().map(|engine| pack::engine(engine.info())).collect();
        Ok(Response::new(ListEnginesResponse { engines }))
    }
}

/// Where a page begins: after the run of this time and id.
fn page_after(token: &str) -> Result<Option<(OffsetDateTime, Uuid)>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (nanos, id) = token.split_once('.')?;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos.parse().ok()?).ok()?;
        Some((at, Uuid::parse_str(id).ok()?))
    };
    let wrong = || Fault::new(Reason::SchemaViolation, "is no token of ours").with("pointer", "/pageToken");
    read().ok_or_else(wrong).map(Some)
}

/// Answers WorkspaceService.
pub(crate) struct Workspaces {
    pub trees: Trees,
}

impl Workspaces {
    async fn resolve(&self, user_id: Uuid, workspace_id: &str) -> Result<Uuid, Status> {
        let workspace_id = pack::optional_id(workspace_id, "/workspaceId")?;
        self.trees.resolve(user_id, workspace_id).await.map_err(status)
    }
}

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
            .write(user_id, workspace_id, &path, &content, message.if_version)
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
        let (file, content) = self.trees.read(user_id, workspace_id, &path).await.map_err(status)?;
        let content = match String::from_utf8(content) {
            Ok(text) => Content::Text(text),
            Err(error) => Content::Data(error.into_bytes()),
        };
        Ok(Response::new(ReadFileResponse {
            path: file.path,
            content: Some(content),
            version: file.version,
            sha256: hex::encode(file.sha256),
            size_bytes: file.size_bytes as i32,
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
        let gone =
            self.trees.delete(user_id, workspace_id, &path, message.if_version).await.map_err(status)?;
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
        let moved = self.trees.rename(user_id, workspace_id, &from, &to).await.map_err(status)?;
        Ok(Response::new(MovePathResponse { moved_files: moved as i32 }))
    }
}
