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

    async fn list_templates(&self, request: Request<ListTemplatesRequest>) -> Answer<ListTemplatesResponse> {
        let caller = Caller::of(&request)?;
        let ListTemplatesRequest { workspace_id, wish } = request.get_ref();
        let templates = self.provision.templates(&caller, workspace_id, wish).await?;
        Ok(Response::new(ListTemplatesResponse { templates }))
    }

    async fn keep_template(&self, request: Request<KeepTemplateRequest>) -> Answer<KeepTemplateResponse> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let KeepTemplateRequest { plan_id, name, about } = request.get_ref();
        let (template_id, version) =
            self.provision.keep(user_id, id("/planId", plan_id)?, name, about).await?;
        Ok(Response::new(KeepTemplateResponse { template_id: template_id.to_string(), version }))
    }

    async fn delete_template(
        &self,
        request: Request<DeleteTemplateRequest>,
    ) -> Answer<DeleteTemplateResponse> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let template_id = id("/templateId", &request.get_ref().template_id)?;
        self.provision.store.delete_template(user_id, template_id).await.map_err(Fault::from)?;
        Ok(Response::new(DeleteTemplateResponse {}))
    }

    type MakePlanStream = Pin<Box<dyn Stream<Item = Result<MakePlanResponse, Status>> + Send>>;

    async fn make_plan(&self, request: Request<MakePlanRequest>) -> Answer<Self::MakePlanStream> {
        let caller = Caller::of(&request)?;
        let MakePlanRequest { workspace_id, wish, model, template_id } = request.into_inner();
        let template_id = match template_id.as_str() {
            "" => None,
            text => Some(id("/templateId", text)?),
        };
        let making = self.provision.make(&caller, &workspace_id, wish, model, template_id).await?;
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
        let (row, plan, changes) =
            self.provision.preview(user_id, id("/planId", &request.get_ref().plan_id)?).await?;
        Ok(Response::new(PreviewPlanResponse {
            changes,
            commands: plan.commands.iter().map(|command| plan::typed(&command.argv)).collect(),
            state: PlanState::from_str_name(&format!("PLAN_STATE_{}", row.state))
                .unwrap_or(PlanState::Planned)
                .into(),
            created_at: Some(timestamp(row.created_at)),
            workspace_id: row.workspace_id.to_string(),
            snapshot_id: row.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
            template_id: row.template_id.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }

    async fn apply_plan(&self, request: Request<ApplyPlanRequest>) -> Answer<ApplyPlanResponse> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let ApplyPlanRequest { plan_id, accepted_paths } = request.into_inner();
        let (snapshot, written_paths) =
            self.provision.apply(user_id, id("/planId", &plan_id)?, accepted_paths).await?;
        Ok(Response::new(ApplyPlanResponse { snapshot_id: snapshot.to_string(), written_paths }))
    }

    type VerifyPlanStream = Pin<Box<dyn Stream<Item = Result<VerifyPlanResponse, Status>> + Send>>;

    async fn verify_plan(&self, request: Request<VerifyPlanRequest>) -> Answer<Self::VerifyPlanStream> {
        let user_id = Caller::of(&request)?.person()?.user_id;
        let verifying = self.provision.verify(user_id, id("/planId", &request.get_ref().plan_id)?).await?;
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

fn id(pointer: &str, text: &str) -> Result<Uuid, Fault> {
    let wrong =
        || Fault::new(Reason::SchemaViolation, format!("{pointer} must be a UUID")).with("pointer", pointer);
    Uuid::parse_str(text).map_err(|_| wrong())
}
