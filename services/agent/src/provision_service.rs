//! The door of ProvisionService: unpack, call, pack.

use std::pin::Pin;

use devstudio_kit::{Caller, Fault, Reason, clock::timestamp};
use devstudio_proto::agent::v1::{provision_service_server::ProvisionService, *};
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::provision::{
    plan,
    run::{Making, Provision, Verifying},
};

type Answer<T> = Result<Response<T>, Status>;

/// Answers ProvisionService.
pub(crate) struct ProvisionGrpc {
    pub provision: Provision,
}

#[tonic::async_trait]
impl ProvisionService for ProvisionGrpc {
    async fn analyze_workspace(
        &self,
        request: Request<AnalyzeWorkspaceRequest>,
    ) -> Answer<AnalyzeWorkspaceResponse> {
        let caller = Caller::of(&request)?;
        let facts = self.provision.analyze(&caller, &request.get_ref().workspace_id).await?;
        Ok(Response::new(AnalyzeWorkspaceResponse { facts: Some(facts) }))
    }

    type MakePlanStream = Pin<Box<dyn Stream<Item = Result<MakePlanResponse, Status>> + Send>>;

    async fn make_plan(&self, request: Request<MakePlanRequest>) -> Answer<Self::MakePlanStream> {
        let caller = Caller::of(&request)?;
        let MakePlanRequest { workspace_id, wish, model } = request.into_inner();
        let making = self.provision.make(&caller, &workspace_id, wish, model).await?;
        let messages = making.map(|told| {
            Ok(match told? {
                Making::Progress(progress, tokens) => {
                    MakePlanResponse { progress, tokens, ..Default::default() }
                }
                Making::Made(id, made) => {
                    let (plan, facts) = *made;
                    let plan_id = id.to_string();
                    MakePlanResponse { plan_id, plan: Some(plan), facts: Some(facts), ..Default::default() }
                }
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn preview_plan(&self, request: Request<PreviewPlanRequest>) -> Answer<PreviewPlanResponse> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let (row, plan, changes) = self.provision.preview(user_id, id(&request.get_ref().plan_id)?).await?;
        Ok(Response::new(PreviewPlanResponse {
            changes,
            commands: plan.commands.iter().map(|command| plan::typed(&command.argv)).collect(),
            state: PlanState::from_str_name(&format!("PLAN_STATE_{}", row.state))
                .unwrap_or(PlanState::Planned)
                .into(),
            created_at: Some(timestamp(row.created_at)),
        }))
    }

    async fn apply_plan(&self, request: Request<ApplyPlanRequest>) -> Answer<ApplyPlanResponse> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let ApplyPlanRequest { plan_id, accepted_paths } = request.into_inner();
        let (snapshot, written_paths) = self.provision.apply(user_id, id(&plan_id)?, accepted_paths).await?;
        Ok(Response::new(ApplyPlanResponse { snapshot_id: snapshot.to_string(), written_paths }))
    }

    type VerifyPlanStream = Pin<Box<dyn Stream<Item = Result<VerifyPlanResponse, Status>> + Send>>;

    async fn verify_plan(&self, request: Request<VerifyPlanRequest>) -> Answer<Self::VerifyPlanStream> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let verifying = self.provision.verify(user_id, id(&request.get_ref().plan_id)?).await?;
        let messages = verifying.map(|told| {
            Ok(match told? {
                Verifying::Ran(command, repairs) => {
                    VerifyPlanResponse { command: Some(command), repairs, ..Default::default() }
                }
                Verifying::Over(state, repairs) => {
                    VerifyPlanResponse { state: state.into(), repairs, ..Default::default() }
                }
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

fn id(text: &str) -> Result<Uuid, Fault> {
    let wrong = || Fault::new(Reason::SchemaViolation, "/planId must be a UUID").with("pointer", "/planId");
    Uuid::parse_str(text).map_err(|_| wrong())
}
