//! The door of SandboxService: runs and engines.

use std::pin::Pin;

use async_stream::try_stream;
use bytes::Bytes;
use devstudio_kit::{Fault, Reason};
use devstudio_proto::sandbox::v1::{
    CancelRunRequest, CancelRunResponse, GetRunRequest, GetRunResponse, ListEnginesRequest,
    ListEnginesResponse, ListRunsRequest, ListRunsResponse, RunExecRequest, RunExecResponse,
    StreamExecRequest, StreamExecResponse, WriteInputRequest, WriteInputResponse,
    sandbox_service_server::SandboxService, stream_exec_response::Event,
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{PAGE_SIZE, page_after, page_token, person, status};
use crate::{
    pack,
    run::{self, Dispatcher},
};

/// Answers SandboxService.
pub(crate) struct Sandbox {
    pub dispatcher: Dispatcher,
}

impl Sandbox {
    /// The result of a run under an id of the caller's that was asked for before.
    async fn asked_before(
        &self,
        user_id: Uuid,
        asked: &run::Request,
    ) -> Result<Option<RunExecResponse>, Status> {
        let Some(exec_id) = asked.exec_id else { return Ok(None) };
        let before = self.dispatcher.asked_before(user_id, exec_id).await.map_err(status)?;
        Ok(before.and_then(|run| pack::stored(run).1))
    }
}

#[tonic::async_trait]
impl SandboxService for Sandbox {
    async fn run_exec(&self, request: Request<RunExecRequest>) -> Result<Response<RunExecResponse>, Status> {
        let (user_id, message) = person(request)?;
        let asked = pack::request(message)?;
        if let Some(ended) = self.asked_before(user_id, &asked).await? {
            return Ok(Response::new(ended));
        }
        let ongoing = self.dispatcher.start(user_id, asked, None).await.map_err(status)?;
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
        let asked = pack::request(exec)?;
        if let Some(ended) = self.asked_before(user_id, &asked).await? {
            let only = StreamExecResponse { seq: 1, event: Some(Event::Result(ended)) };
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(only)))));
        }
        let (tell, mut watch) = mpsc::channel(16);
        let ongoing = self.dispatcher.start(user_id, asked, Some(tell)).await.map_err(status)?;
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

    async fn write_input(
        &self,
        request: Request<WriteInputRequest>,
    ) -> Result<Response<WriteInputResponse>, Status> {
        let (user_id, message) = person(request)?;
        let exec_id = pack::id(&message.exec_id, "/execId")?;
        let pieces = [Bytes::from(message.data), Bytes::from(message.text)];
        self.dispatcher.input(user_id, exec_id, pieces, message.close).await.map_err(status)?;
        Ok(Response::new(WriteInputResponse {}))
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
            Some(last) if more => page_token(last.started_at, last.exec_id),
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
