//! A test double of the Llm service that speaks the real contract: it answers by a script, and has every call reserved
//! and settled by the real Billing.

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use devstudio_kit::{
    Caller, Mesh, Service,
    config::Address,
    identity::Keyring,
    link::Link,
    server::{self, Listener},
};
use devstudio_proto::{
    billing::v1::{
        Kind, ReserveRequest, SettleRequest, UsageStatus, billing_service_client::BillingServiceClient,
    },
    llm::v1::{
        llm_service_server::{LlmService, LlmServiceServer},
        *,
    },
};
use futures::Stream;
use serde_json::Value;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// What the service is asked.
pub struct Ask {
    /// The agent that asks.
    pub agent: String,
    /// What it wants to know: the last message.
    pub prompt: String,
    /// How many steps the prompt tells of.
    pub steps: usize,
}

/// What it answers.
pub enum Line {
    /// This, at once.
    Say(Value),
    /// This, a character at a time, each after so long.
    Slowly(Value, Duration),
    /// Nothing: it fails.
    Fail,
}

/// Answers what is asked.
pub type Script = Arc<dyn Fn(&Ask) -> Line + Send + Sync>;

/// The double.
#[derive(Clone)]
pub struct Scripted {
    script: Script,
    billing: BillingServiceClient<Link>,
    /// Answers that are being written now.
    pub writing: Arc<AtomicUsize>,
    /// Answers that were begun.
    pub begun: Arc<AtomicUsize>,
}

impl Scripted {
    /// Serves a script at a socket, as the Llm service of a house whose keys and core are there.
    pub async fn serve(keys: &Path, core: &Path, socket: &Path, script: Script) -> Self {
        let keys = Arc::new(Keyring::load(keys, &[Service::Llm]).unwrap());
        let (core, socket) = (Address::Unix(core.to_owned()), Address::Unix(socket.to_owned()));
        let (ready, bound) = tokio::sync::oneshot::channel();
        // On a thread of its own, connections too: it outlives the runtime of the test that made it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let mesh = Mesh::new(Service::Llm, keys.clone());
                mesh.set_remote(Service::Billing, &core).unwrap();
                let billing = BillingServiceClient::new(mesh.link(Service::Billing));
                let double = Self { script, billing, writing: Arc::default(), begun: Arc::default() };
                let listener = Listener::bind(&socket).await.unwrap();
                let service = LlmServiceServer::new(double.clone());
                let router = server::guarded(tonic::service::Routes::new(service), keys);
                ready.send(double).ok().unwrap();
                server::serve(listener, router, std::future::pending(), Duration::from_secs(1)).await;
            });
        });
        bound.await.unwrap()
    }
}

struct Writing(Arc<AtomicUsize>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A text as it is, anything else as JSON.
fn plain(answer: Value) -> String {
    match answer {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn tokens(text: &str) -> i32 {
    (text.len() / 4 + 1) as i32
}

#[tonic::async_trait]
impl LlmService for Scripted {
    type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatResponse, Status>> + Send>>;

    async fn chat(&self, request: Request<ChatRequest>) -> Answer<Self::ChatStream> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let prompt = request.messages.last().map(|message| message.content.clone()).unwrap_or_default();
        let agent = caller.person()?.task.clone().map(|task| task.agent_id).unwrap_or_default();
        let numbered = |line: &&str| {
            let (number, rest) = line.split_once(". ").unwrap_or_default();
            number.parse::<usize>().is_ok() && rest.contains(": ")
        };
        let told = prompt.split("# What was done so far").nth(1).unwrap_or_default();
        let steps = told.lines().filter(numbered).count();
        let whole: String = request.messages.iter().map(|message| message.content.as_str()).collect();
        let prompt_tokens = tokens(&whole);
        let request_id = caller.request_id.to_string();
        let mut billing = self.billing.clone();
        let reserve = ReserveRequest {
            request_id: request_id.clone(),
            model_id: "scripted".into(),
            kind: Kind::Chat.into(),
            prompt_tokens,
            completion_tokens: request.max_tokens,
            settings_json: String::new(),
        };
        let (line, writing, begun) =
            ((self.script)(&Ask { agent, prompt, steps }), self.writing.clone(), self.begun.clone());
        let (send, receive) = tokio::sync::mpsc::channel(4);
        let (tell, reserved) = tokio::sync::oneshot::channel();
        // In a task of its own: what was reserved is settled, also where the caller goes at that very moment.
        tokio::spawn(async move {
            match billing.reserve(caller.request(reserve)).await {
                Ok(_) => drop(tell.send(Ok(()))),
                Err(status) => return drop(tell.send(Err(status))),
            }
            begun.fetch_add(1, Ordering::SeqCst);
            writing.fetch_add(1, Ordering::SeqCst);
            let _writing = Writing(writing);
            let (text, pause) = match line {
                Line::Fail => {
                    let status = UsageStatus::Failed.into();
                    let settle = SettleRequest { request_id, status, ..SettleRequest::default() };
                    let _ = billing.settle(settle).await;
                    return drop(send.send(Err(Status::internal("the script fails here"))).await);
                }
                Line::Say(answer) => (plain(answer), None),
                Line::Slowly(answer, pause) => (plain(answer), Some(pause)),
            };
            let mut written = String::new();
            let mut seq = 0;
            if let Some(pause) = pause {
                for character in text.chars() {
                    written.push(character);
                    seq += 1;
                    let delta = character.to_string();
                    let piece = ChatResponse { seq, delta, ..ChatResponse::default() };
                    tokio::time::sleep(pause).await;
                    if send.send(Ok(piece)).await.is_err() {
                        break;
                    }
                }
            } else {
                written = text.clone();
                seq = 1;
                let piece = ChatResponse { seq, delta: text.clone(), ..ChatResponse::default() };
                let _ = send.send(Ok(piece)).await;
            }
            let whole = written == text;
            let usage = Usage { prompt_tokens, completion_tokens: tokens(&written), cached_tokens: 0 };
            let settle = SettleRequest {
                request_id: request_id.clone(),
                prompt_tokens,
                completion_tokens: usage.completion_tokens,
                status: if whole { UsageStatus::Ok } else { UsageStatus::Cancelled }.into(),
                ..SettleRequest::default()
            };
            let settled = billing.settle(settle).await;
            let last = ChatResponse {
                seq: seq + 1,
                text,
                finish_reason: "stop".into(),
                usage: Some(usage),
                request_id,
                model: "scripted".into(),
                ..ChatResponse::default()
            };
            let _ = send.send(settled.map(|_| last)).await;
        });
        reserved.await.map_err(|_| Status::internal("the script failed"))??;
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receive))))
    }

    async fn count_tokens(&self, request: Request<CountTokensRequest>) -> Answer<CountTokensResponse> {
        let whole: String = request.get_ref().messages.iter().map(|m| m.content.as_str()).collect();
        Ok(Response::new(CountTokensResponse { tokens: tokens(&whole), context_size: 32_768 }))
    }

    async fn complete(&self, _: Request<CompleteRequest>) -> Answer<CompleteResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn decide(&self, _: Request<DecideRequest>) -> Answer<DecideResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn embed(&self, _: Request<EmbedRequest>) -> Answer<EmbedResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn list_models(&self, _: Request<ListModelsRequest>) -> Answer<ListModelsResponse> {
        let model = Model {
            model_id: "scripted".into(),
            name: "Scripted".into(),
            state: ModelState::Loaded.into(),
            context_size: 32_768,
            is_default: true,
            ..Model::default()
        };
        Ok(Response::new(ListModelsResponse { models: vec![model] }))
    }
    async fn download_model(&self, _: Request<DownloadModelRequest>) -> Answer<DownloadModelResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn load_model(&self, _: Request<LoadModelRequest>) -> Answer<LoadModelResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn unload_model(&self, _: Request<UnloadModelRequest>) -> Answer<UnloadModelResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;
    async fn watch_job(&self, _: Request<WatchJobRequest>) -> Answer<Self::WatchJobStream> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn list_jobs(&self, _: Request<ListJobsRequest>) -> Answer<ListJobsResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    async fn cancel_job(&self, _: Request<CancelJobRequest>) -> Answer<CancelJobResponse> {
        Err(Status::unimplemented("not in the script"))
    }
    type WatchStatsStream = Pin<Box<dyn Stream<Item = Result<WatchStatsResponse, Status>> + Send>>;
    async fn watch_stats(&self, _: Request<WatchStatsRequest>) -> Answer<Self::WatchStatsStream> {
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}
