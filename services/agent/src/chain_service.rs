//! The door of ChainService: unpack, call, pack.

use std::pin::Pin;

use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::agent::v1::{chain_service_server::ChainService, *};
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::chain::{
    run::{Chains, Told},
    spec,
};

type Answer<T> = Result<Response<T>, Status>;

/// Answers ChainService.
pub(crate) struct ChainsGrpc {
    pub chains: Chains,
}

#[tonic::async_trait]
impl ChainService for ChainsGrpc {
    type RunChainStream = Pin<Box<dyn Stream<Item = Result<RunChainResponse, Status>> + Send>>;

    async fn run_chain(&self, request: Request<RunChainRequest>) -> Answer<Self::RunChainStream> {
        let caller = Caller::of(&request)?;
        let RunChainRequest { chain, input, workspace_id } = request.into_inner();
        let chain = chain.ok_or_else(missing)?;
        let (run_id, told) = self.chains.begin(&caller, chain, input, &workspace_id).await?;
        let run_id = run_id.to_string();
        let messages = told.map(move |told| {
            let (frame, result) = split(told?);
            Ok(RunChainResponse { run_id: run_id.clone(), frame, result })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    type ResumeChainStream = Pin<Box<dyn Stream<Item = Result<ResumeChainResponse, Status>> + Send>>;

    async fn resume_chain(&self, request: Request<ResumeChainRequest>) -> Answer<Self::ResumeChainStream> {
        let caller = Caller::of(&request)?;
        let run_id = request.into_inner().run_id;
        let told = self.chains.resume(caller.person()?.user_id, id(&run_id)?).await?;
        let messages = told.map(move |told| {
            let (frame, result) = split(told?);
            Ok(ResumeChainResponse { run_id: run_id.clone(), frame, result })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn check_chain(&self, request: Request<CheckChainRequest>) -> Answer<CheckChainResponse> {
        Caller::of(&request)?.person()?;
        let made = spec::make(&request.into_inner().chain.ok_or_else(missing)?)?;
        Ok(Response::new(CheckChainResponse { takes: made.takes.into(), gives: made.gives.into() }))
    }

    async fn get_chain_run(&self, request: Request<GetChainRunRequest>) -> Answer<GetChainRunResponse> {
        let caller = Caller::of(&request)?;
        let run = self.chains.get(caller.person()?.user_id, id(&request.get_ref().run_id)?).await?;
        Ok(Response::new(GetChainRunResponse { run: Some(run) }))
    }
}

fn split(told: Told) -> (Option<ChainFrame>, Option<ChainResult>) {
    match told {
        Told::Frame(frame) => (Some(frame), None),
        Told::Result(result) => (None, Some(result)),
    }
}

fn missing() -> Fault {
    Fault::new(Reason::SchemaViolation, "/chain must be set").with("pointer", "/chain")
}

fn id(text: &str) -> Result<Uuid, Fault> {
    let wrong = || Fault::new(Reason::SchemaViolation, "/runId must be a UUID").with("pointer", "/runId");
    Uuid::parse_str(text).map_err(|_| wrong())
}
