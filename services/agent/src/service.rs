//! The door of AgentService: unpack, call, pack.

use std::pin::Pin;

use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::agent::v1::{agent_service_server::AgentService, *};
use futures::{Stream, StreamExt as _};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    Error,
    agent_dispatcher::{After, Dispatcher},
    context::Contexts,
    enhance::enhance,
};

type Answer<T> = Result<Response<T>, Status>;

/// Answers AgentService.
pub(crate) struct Agents {
    pub dispatcher: Dispatcher,
    pub contexts: Contexts,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

#[tonic::async_trait]
impl AgentService for Agents {
    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Answer<SubmitTaskResponse> {
        let caller = Caller::of(&request)?;
        let task_id = self.dispatcher.submit(&caller, request.into_inner()).await?;
        Ok(Response::new(SubmitTaskResponse { task_id: task_id.to_string() }))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Answer<GetTaskResponse> {
        let caller = Caller::of(&request)?;
        let task = self.dispatcher.get(caller.person()?, id(&request.get_ref().task_id)?).await?;
        Ok(Response::new(GetTaskResponse { task: Some(task.message()) }))
    }

    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Answer<ListTasksResponse> {
        let caller = Caller::of(&request)?;
        let ListTasksRequest { workspace_id, page_size, page_token } = request.into_inner();
        let workspace_id = (!workspace_id.is_empty()).then(|| id(&workspace_id)).transpose()?;
        let after = after(&page_token)?;
        let (tasks, next) = self.dispatcher.list(caller.person()?, workspace_id, page_size, after).await?;
        let next_page_token =
            next.map_or_else(String::new, |(at, id)| format!("{:x}-{id}", at.unix_timestamp_nanos() / 1000));
        Ok(Response::new(ListTasksResponse {
            tasks: tasks.iter().map(|task| task.message()).collect(),
            next_page_token,
        }))
    }

    type EnhancePromptStream = Pin<Box<dyn Stream<Item = Result<EnhancePromptResponse, Status>> + Send>>;

    async fn enhance_prompt(
        &self,
        request: Request<EnhancePromptRequest>,
    ) -> Answer<Self::EnhancePromptStream> {
        let caller = Caller::of(&request)?;
        let enhanced = enhance(&self.dispatcher, &caller, request.into_inner()).await?;
        Ok(Response::new(Box::pin(enhanced.map(|piece| piece.map_err(Status::from)))))
    }

    async fn build_context(&self, request: Request<BuildContextRequest>) -> Answer<BuildContextResponse> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.contexts.build(&caller, request.into_inner()).await?))
    }

    type WatchTaskStream = Pin<Box<dyn Stream<Item = Result<WatchTaskResponse, Status>> + Send>>;

    async fn watch_task(&self, request: Request<WatchTaskRequest>) -> Answer<Self::WatchTaskStream> {
        let caller = Caller::of(&request)?;
        let person = caller.person()?;
        let WatchTaskRequest { task_id, after_seq } = request.into_inner();
        let task_id = id(&task_id)?;
        // A task that is not there is an answer, not a stream.
        self.dispatcher.get(person, task_id).await?;
        let watch = self.dispatcher.watch(person.user_id, task_id, after_seq);
        Ok(Response::new(Box::pin(watch.map(|next| next.map_err(Status::from)))))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Answer<CancelTaskResponse> {
        let caller = Caller::of(&request)?;
        self.dispatcher.cancel(caller.person()?, id(&request.get_ref().task_id)?).await?;
        Ok(Response::new(CancelTaskResponse {}))
    }

    async fn approve_action(&self, request: Request<ApproveActionRequest>) -> Answer<ApproveActionResponse> {
        let caller = Caller::of(&request)?;
        let ApproveActionRequest { task_id, approval_id, reject, comment } = request.into_inner();
        let decided = Decided { approval_id, allowed: !reject, text: comment };
        self.dispatcher.decide(caller.person()?, id(&task_id)?, decided).await?;
        Ok(Response::new(ApproveActionResponse {}))
    }

    async fn answer_question(
        &self,
        request: Request<AnswerQuestionRequest>,
    ) -> Answer<AnswerQuestionResponse> {
        let caller = Caller::of(&request)?;
        let AnswerQuestionRequest { task_id, text } = request.into_inner();
        let decided = Decided { approval_id: String::new(), allowed: true, text };
        self.dispatcher.decide(caller.person()?, id(&task_id)?, decided).await?;
        Ok(Response::new(AnswerQuestionResponse {}))
    }

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Answer<ListAgentsResponse> {
        Caller::of(&request)?.person()?;
        Ok(Response::new(ListAgentsResponse { agents: self.dispatcher.agents().await? }))
    }

    async fn update_agent(&self, request: Request<UpdateAgentRequest>) -> Answer<UpdateAgentResponse> {
        let agent = request.into_inner().agent.ok_or_else(|| invalid("/agent", "must be set"))?;
        let agent = self.dispatcher.update(agent).await?;
        Ok(Response::new(UpdateAgentResponse { agent: Some(agent) }))
    }
}

fn invalid(pointer: &'static str, why: &str) -> Fault {
    Fault::new(Reason::SchemaViolation, format!("{pointer} {why}")).with("pointer", pointer)
}

fn id(text: &str) -> Result<Uuid, Fault> {
    Uuid::parse_str(text).map_err(|_| invalid("/taskId", "must be a UUID"))
}

fn after(token: &str) -> Result<After, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    let parts = token.split_once('-').and_then(|(at, id)| {
        let micros = i128::from_str_radix(at, 16).ok()?;
        Some((OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1000)?).ok()?, id.parse().ok()?))
    });
    parts.map(Some).ok_or_else(|| invalid("/pageToken", "is not one of ours"))
}
