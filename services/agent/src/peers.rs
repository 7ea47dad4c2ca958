//! The other services, as the agents call them: each act of a task in its person's name, by a token that Auth makes for
//! it as long as that person may act.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use devstudio_kit::{
    Caller, Fault, Mesh, Reason, Service,
    identity::{IDENTITY_HEADER, Identity, REQUEST_ID_HEADER},
    link::Link,
};
use devstudio_proto::{
    agent::v1::ExecStage,
    auth::v1::{ActForTaskRequest, auth_service_client::AuthServiceClient},
    llm::v1::{
        ChatMessage, ChatRequest, ChatResponse, CountTokensRequest, EmbedRequest,
        llm_service_client::LlmServiceClient,
    },
    sandbox::v1::{
        AcquireLockRequest, AcquireLockResponse, CancelRunRequest, CreateSnapshotRequest, DeletePathRequest,
        EditFileRequest, Entry, Hunk, ListEnginesRequest, ListFilesRequest, ListLocksRequest,
        ListWorkspacesRequest, MovePathRequest, ReadFileRequest, ReleaseLockRequest, RestoreSnapshotRequest,
        RunExecRequest, RunExecResponse, RunStatus, SearchFilesRequest, SearchFilesResponse, Snapshot,
        WriteFileRequest, lock_service_client::LockServiceClient, read_file_response,
        sandbox_service_client::SandboxServiceClient, snapshot_service_client::SnapshotServiceClient,
        workspace_service_client::WorkspaceServiceClient, write_file_request,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// How long a token serves for calls of the sandbox; it is valid for twice as long.
const TOKEN_SERVES: Duration = Duration::from_secs(30);
/// How long a call may take that does no long work.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a run may take beyond its own limit.
const RUN_PATIENCE: Duration = Duration::from_secs(660);
/// How long a lock of a task lasts that is not renewed.
const LOCK_MS: i32 = 120_000;

/// In whose name, and for what, a call is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The person.
    pub user_id: Uuid,
    /// The API key that the task was given by.
    pub key_id: Option<Uuid>,
    /// The task.
    pub task_id: Uuid,
    /// The agent.
    pub agent_id: String,
    /// Where it works.
    pub workspace_id: Uuid,
}

impl Actor {
    /// Somebody's agent for one thing that is no task: it has an id of its own on the bill.
    pub fn once(person: &Identity, agent_id: &str, workspace_id: Uuid) -> Self {
        Self {
            user_id: person.user_id,
            key_id: person.key_id,
            task_id: Uuid::now_v7(),
            agent_id: agent_id.to_owned(),
            workspace_id,
        }
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its text; nothing where it is not text.
    pub text: Option<String>,
    /// Its version.
    pub version: i64,
    /// Its hash.
    pub sha256: String,
}

/// The other services. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    auth: AuthServiceClient<Link>,
    llm: LlmServiceClient<Link>,
    files: WorkspaceServiceClient<Link>,
    locks: LockServiceClient<Link>,
    snapshots: SnapshotServiceClient<Link>,
    runs: SandboxServiceClient<Link>,
    tokens: Arc<Mutex<HashMap<Actor, (String, Instant)>>>,
}

fn answer<T>(answered: Result<Response<T>, Status>) -> Result<T, Fault> {
    answered.map(Response::into_inner).map_err(|status| Fault::from_status(&status))
}

impl Peers {
    /// The services that a mesh leads to.
    pub fn new(mesh: &Mesh) -> Self {
        let sandbox = mesh.link(Service::Sandbox);
        Self {
            auth: AuthServiceClient::new(mesh.link(Service::Auth)),
            llm: LlmServiceClient::new(mesh.link(Service::Llm)),
            files: WorkspaceServiceClient::new(sandbox.clone())
                .max_decoding_message_size(devstudio_kit::server::MAX_MESSAGE_BYTES),
            locks: LockServiceClient::new(sandbox.clone()),
            snapshots: SnapshotServiceClient::new(sandbox.clone()),
            runs: SandboxServiceClient::new(sandbox)
                .max_decoding_message_size(devstudio_kit::server::MAX_MESSAGE_BYTES),
            tokens: Arc::default(),
        }
    }

    /// The workspace that a caller means; it must be theirs.
    pub async fn workspace(&self, caller: &Caller, workspace_id: &str) -> Result<Uuid, Fault> {
        let read = |id: &str| Uuid::parse_str(id).map_err(Fault::internal);
        if workspace_id.is_empty() {
            let asked = caller.request(ListFilesRequest::default());
            return read(&answer(self.files.clone().list_files(asked).await)?.workspace_id);
        }
        let asked = caller.request(ListWorkspacesRequest {});
        let workspaces = answer(self.files.clone().list_workspaces(asked).await)?.workspaces;
        match workspaces.iter().any(|workspace| workspace.workspace_id == workspace_id) {
            true => read(workspace_id),
            false => Err(Fault::new(Reason::NotFound, "there is no such workspace")),
        }
    }

    async fn token(&self, actor: &Actor, request_id: Uuid) -> Result<String, Fault> {
        let asked = ActForTaskRequest {
            user_id: actor.user_id.to_string(),
            key_id: actor.key_id.map(|id| id.to_string()),
            task_id: actor.task_id.to_string(),
            agent_id: actor.agent_id.clone(),
            request_id: request_id.to_string(),
        };
        let mut asked = Request::new(asked);
        asked.set_timeout(PATIENCE);
        Ok(answer(self.auth.clone().act_for_task(asked).await)?.identity_token)
    }

    /// A request in an actor's name.
    async fn request<T>(&self, actor: &Actor, message: T) -> Result<Request<T>, Fault> {
        let known = {
            let tokens = self.tokens.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            tokens.get(actor).filter(|(_, at)| at.elapsed() < TOKEN_SERVES).map(|(token, _)| token.clone())
        };
        let request_id = Uuid::now_v7();
        let token = match known {
            Some(token) => token,
            None => {
                let token = self.token(actor, request_id).await?;
                let mut tokens = self.tokens.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                tokens.retain(|_, (_, at)| at.elapsed() < TOKEN_SERVES);
                tokens.insert(actor.clone(), (token.clone(), Instant::now()));
                token
            }
        };
        with_token(message, &token, request_id, PATIENCE)
    }

    /// The files and folders of the workspace.
    pub async fn entries(&self, actor: &Actor) -> Result<Vec<Entry>, Fault> {
        let asked = ListFilesRequest { workspace_id: actor.workspace_id.to_string(), path: String::new() };
        Ok(answer(self.files.clone().list_files(self.request(actor, asked).await?).await)?.entries)
    }

    /// A file; nothing where there is none.
    pub async fn file(&self, actor: &Actor, path: &str) -> Result<Option<File>, Fault> {
        let asked = ReadFileRequest {
            workspace_id: actor.workspace_id.to_string(),
            path: path.to_owned(),
            snapshot_id: String::new(),
        };
        match answer(self.files.clone().read_file(self.request(actor, asked).await?).await) {
            Ok(read) => {
                let text = match read.content {
                    Some(read_file_response::Content::Text(text)) => Some(text),
                    Some(read_file_response::Content::Data(_)) => None,
                    None => Some(String::new()),
                };
                Ok(Some(File { text, version: read.version, sha256: read.sha256 }))
            }
            Err(fault) if fault.reason == Reason::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Writes a file that has a version, 0 where there is none; tells its new version.
    pub async fn write(
        &self,
        actor: &Actor,
        fence: i64,
        path: &str,
        text: &str,
        version: i64,
    ) -> Result<i64, Fault> {
        let asked = WriteFileRequest {
            workspace_id: actor.workspace_id.to_string(),
            path: path.to_owned(),
            content: Some(write_file_request::Content::Text(text.to_owned())),
            if_version: Some(version),
            fencing_token: fence,
        };
        Ok(answer(self.files.clone().write_file(self.request(actor, asked).await?).await)?.version)
    }

    /// Changes parts of a file that has a version.
    pub async fn edit(
        &self,
        actor: &Actor,
        fence: i64,
        path: &str,
        hunks: Vec<Hunk>,
        file: &File,
    ) -> Result<i64, Fault> {
        let asked = EditFileRequest {
            workspace_id: actor.workspace_id.to_string(),
            path: path.to_owned(),
            base_sha256: file.sha256.clone(),
            if_version: Some(file.version),
            hunks,
            unified_diff: String::new(),
            fencing_token: fence,
        };
        Ok(answer(self.files.clone().edit_file(self.request(actor, asked).await?).await)?.version)
    }

    /// Deletes a file or folder; tells how many files went.
    pub async fn delete(&self, actor: &Actor, fence: i64, path: &str) -> Result<i32, Fault> {
        let asked = DeletePathRequest {
            workspace_id: actor.workspace_id.to_string(),
            path: path.to_owned(),
            if_version: None,
            fencing_token: fence,
        };
        Ok(answer(self.files.clone().delete_path(self.request(actor, asked).await?).await)?.deleted_files)
    }

    /// Moves a file or folder; tells how many files moved.
    pub async fn rename(&self, actor: &Actor, fence: i64, from: &str, to: &str) -> Result<i32, Fault> {
        let asked = MovePathRequest {
            workspace_id: actor.workspace_id.to_string(),
            from: from.to_owned(),
            to: to.to_owned(),
            fencing_token: fence,
        };
        Ok(answer(self.files.clone().move_path(self.request(actor, asked).await?).await)?.moved_files)
    }

    /// Searches the workspace for a text.
    pub async fn search(&self, actor: &Actor, query: &str) -> Result<SearchFilesResponse, Fault> {
        let asked = SearchFilesRequest {
            workspace_id: actor.workspace_id.to_string(),
            query: query.to_owned(),
            max_matches: 40,
            ..Default::default()
        };
        answer(self.files.clone().search_files(self.request(actor, asked).await?).await)
    }

    /// Writes a file whole, whatever was in it, under a lock of its own that is released again; others of the task stay.
    pub async fn put(&self, actor: &Actor, path: &str, text: &str) -> Result<(), Fault> {
        let held = self.acquire(actor, path, false).await?;
        let written = async {
            let version = self.file(actor, path).await?.map_or(0, |before| before.version);
            self.write(actor, held.fencing_token, path, text, version).await
        };
        let written = written.await;
        let release = self.request(actor, ReleaseLockRequest { lock_id: held.lock_id }).await?;
        let released = answer(self.locks.clone().release_lock(release).await);
        written?;
        released.map(drop)
    }

    /// Locks a path, or renews the lock of it; tells the fencing token.
    pub async fn lock(&self, actor: &Actor, path: &str, subtree: bool) -> Result<i64, Fault> {
        Ok(self.acquire(actor, path, subtree).await?.fencing_token)
    }

    async fn acquire(&self, actor: &Actor, path: &str, subtree: bool) -> Result<AcquireLockResponse, Fault> {
        let asked = AcquireLockRequest {
            workspace_id: actor.workspace_id.to_string(),
            path: path.to_owned(),
            scope: if subtree { 2 } else { 1 },
            mode: 1,
            ttl_ms: LOCK_MS,
            pinned: false,
            agent_id: actor.agent_id.clone(),
            task_id: actor.task_id.to_string(),
        };
        answer(self.locks.clone().acquire_lock(self.request(actor, asked).await?).await)
    }

    /// Releases all locks of a task.
    pub async fn unlock_all(&self, actor: &Actor) -> Result<(), Fault> {
        let asked = ListLocksRequest { workspace_id: actor.workspace_id.to_string() };
        let locks = answer(self.locks.clone().list_locks(self.request(actor, asked).await?).await)?.locks;
        let task_id = actor.task_id.to_string();
        for lock in
            locks.into_iter().filter(|lock| lock.holder.as_ref().is_some_and(|h| h.task_id == task_id))
        {
            let asked = self.request(actor, ReleaseLockRequest { lock_id: lock.lock_id }).await?;
            match answer(self.locks.clone().release_lock(asked).await) {
                Err(fault) if fault.reason != Reason::NotFound => return Err(fault),
                _ => {}
            }
        }
        Ok(())
    }

    /// The same where nothing else can be done about a failure: a lock that is not released ends by itself.
    pub async fn let_go(&self, actor: &Actor) {
        if let Err(fault) = self.unlock_all(actor).await {
            tracing::warn!(%fault, task_id = %actor.task_id, "locks could not be released");
        }
    }

    /// Keeps the workspace as it is.
    pub async fn snapshot(&self, actor: &Actor, reason: &str) -> Result<Snapshot, Fault> {
        let asked =
            CreateSnapshotRequest { workspace_id: actor.workspace_id.to_string(), reason: reason.to_owned() };
        let made = answer(self.snapshots.clone().create_snapshot(self.request(actor, asked).await?).await)?;
        made.snapshot.ok_or_else(|| Fault::internal("the sandbox answered without a snapshot"))
    }

    /// Makes the workspace as a snapshot has it.
    pub async fn restore(&self, actor: &Actor, snapshot_id: Uuid) -> Result<(), Fault> {
        let asked = RestoreSnapshotRequest {
            workspace_id: actor.workspace_id.to_string(),
            snapshot_id: snapshot_id.to_string(),
            ..Default::default()
        };
        answer(self.snapshots.clone().restore_snapshot(self.request(actor, asked).await?).await).map(drop)
    }

    /// The runtimes of the engine `run`; none where it does not work.
    pub async fn runtimes(&self, actor: &Actor) -> Result<BTreeMap<String, String>, Fault> {
        let asked = self.request(actor, ListEnginesRequest {}).await?;
        let engines = answer(self.runs.clone().list_engines(asked).await)?.engines;
        let run = engines.into_iter().find(|engine| engine.engine == "run" && engine.available);
        Ok(run.map(|run| run.runtimes).unwrap_or_default())
    }

    /// Runs a program in the engine `run`, in the actor's workspace. Under an id it goes on when this is dropped, and
    /// asking again does not run it again.
    pub async fn run(&self, actor: &Actor, asked: RunExecRequest) -> Result<RunExecResponse, Fault> {
        let message = RunExecRequest {
            engine: "run".to_owned(),
            timeout_ms: 60_000,
            workspace_id: actor.workspace_id.to_string(),
            ..asked
        };
        let mut asked = self.request(actor, message).await?;
        asked.set_timeout(RUN_PATIENCE);
        answer(self.runs.clone().run_exec(asked).await)
    }

    /// Runs a program that reads a text; what it writes, where it ends well. It ends when this is dropped.
    pub async fn program(&self, actor: &Actor, stage: &ExecStage, input: String) -> Result<String, Fault> {
        let message = RunExecRequest {
            engine: if stage.engine.is_empty() { "run".to_owned() } else { stage.engine.clone() },
            runtime: stage.runtime.clone(),
            code: stage.code.clone(),
            stdin: input,
            timeout_ms: stage.timeout_ms,
            workspace_id: actor.workspace_id.to_string(),
            ..Default::default()
        };
        let mut asked = self.request(actor, message).await?;
        asked.set_timeout(RUN_PATIENCE);
        let result = answer(self.runs.clone().run_exec(asked).await)?;
        match result.status() {
            RunStatus::Succeeded => Ok(result.stdout),
            _ => {
                let said = if result.stderr.is_empty() { &result.message } else { &result.stderr };
                let said: String = said.chars().take(2_000).collect();
                Err(Fault::new(
                    Reason::StateConflict,
                    format!("the program ended with {}: {said}", result.exit_code),
                ))
            }
        }
    }

    /// Ends a run, if it goes on.
    pub async fn cancel_run(&self, actor: &Actor, exec_id: Uuid) -> Result<(), Fault> {
        let asked = self.request(actor, CancelRunRequest { exec_id: exec_id.to_string() }).await?;
        match answer(self.runs.clone().cancel_run(asked).await) {
            Err(fault) if fault.reason != Reason::NotFound => Err(fault),
            _ => Ok(()),
        }
    }

    /// Has a model answer; `piece` sees what it has written so far, and how many tokens. Dropped, the model stops.
    pub async fn chat(
        &self,
        actor: &Actor,
        request_id: Uuid,
        ask: ChatRequest,
        mut piece: impl FnMut(&str, i32),
    ) -> Result<ChatResponse, Fault> {
        let token = self.token(actor, request_id).await?;
        let asked = with_token(ask, &token, request_id, Duration::from_secs(3600))?;
        let mut stream = answer(self.llm.clone().chat(asked).await)?;
        let mut text = String::new();
        while let Some(next) = stream.message().await.map_err(|status| Fault::from_status(&status))? {
            if !next.finish_reason.is_empty() {
                return Ok(next);
            }
            text += &next.delta;
            piece(&text, next.usage.as_ref().map_or(0, |usage| usage.completion_tokens));
        }
        Err(Fault::new(Reason::UpstreamUnavailable, "the model's answer broke off").with("service", "llm"))
    }

    /// The vectors of texts, at most 64, and the tokens that they cost.
    pub async fn embed(&self, actor: &Actor, input: Vec<String>) -> Result<(Vec<Vec<f32>>, i32), Fault> {
        let asked = EmbedRequest { input, ..EmbedRequest::default() };
        let (wanted, request) = (asked.input.len(), self.request(actor, asked).await?);
        let answered = answer(self.llm.clone().embed(request).await)?;
        if answered.embeddings.len() != wanted {
            return Err(Fault::internal("the llm service answered with another number of vectors"));
        }
        let tokens = answered.usage.map_or(0, |usage| usage.prompt_tokens + usage.completion_tokens);
        Ok((answered.embeddings.into_iter().map(|embedding| embedding.vector).collect(), tokens))
    }

    /// How many tokens a conversation has, and how many the model's context takes.
    pub async fn count(
        &self,
        actor: &Actor,
        model: &str,
        messages: Vec<ChatMessage>,
    ) -> Result<(i32, i32), Fault> {
        let asked = CountTokensRequest { messages, model: model.to_owned(), ..Default::default() };
        let counted = answer(self.llm.clone().count_tokens(self.request(actor, asked).await?).await)?;
        Ok((counted.tokens, counted.context_size))
    }
}

fn with_token<T>(message: T, token: &str, request_id: Uuid, patience: Duration) -> Result<Request<T>, Fault> {
    let mut request = Request::new(message);
    request.set_timeout(patience);
    let wrong = |_| Fault::internal("a token is no metadata");
    request.metadata_mut().insert(IDENTITY_HEADER, token.parse().map_err(wrong)?);
    request.metadata_mut().insert(REQUEST_ID_HEADER, request_id.to_string().parse().map_err(wrong)?);
    Ok(request)
}
