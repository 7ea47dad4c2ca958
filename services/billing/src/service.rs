//! The door of billing: unpacks each call, has it done, packs the answer.

use devstudio_kit::{
    Caller, Fault, Service,
    clock::{self, Clock},
};
use devstudio_proto::billing::v1::{
    BeginIdempotentRequest, BeginIdempotentResponse, EndIdempotentRequest, EndIdempotentResponse,
    ExtendRequest, ExtendResponse, GetBudgetRequest, GetBudgetResponse, GetUsageRequest, GetUsageResponse,
    GrantTokensRequest, GrantTokensResponse, ListUsageRequest, ListUsageResponse, ReserveRequest,
    ReserveResponse, Scope, SetKeyBudgetRequest, SetKeyBudgetResponse, SetLimitRequest, SetLimitResponse,
    SettleRequest, SettleResponse, billing_service_server::BillingService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    Deps,
    budget::Budgets,
    error::Error,
    extend::{Block, Extend},
    idempotency,
    lane::Lane,
    reserve::{Order, Reserve},
    settle::{Actual, Settle},
    store::Store,
    usage::{self, Query, whose},
};

/// Answers BillingService.
pub(crate) struct Billing {
    reserve: Lane<Reserve>,
    extend: Lane<Extend>,
    settle: Lane<Settle>,
    budgets: Budgets,
    store: Store,
    clock: Clock,
}

impl Billing {
    /// Starts the lanes.
    pub fn start(deps: Deps) -> Self {
        let store = Store::new(deps.pool);
        let (clock, config) = (deps.clock, deps.config);
        Self {
            budgets: Budgets {
                store: store.clone(),
                clock: clock.clone(),
                log: deps.log,
                default_limit: config.default_monthly_tokens,
            },
            reserve: Lane::start(Reserve {
                store: store.clone(),
                clock: clock.clone(),
                config: config.clone(),
            }),
            extend: Lane::start(Extend { store: store.clone(), clock: clock.clone(), config }),
            settle: Lane::start(Settle { store: store.clone(), clock: clock.clone() }),
            store,
            clock,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

#[tonic::async_trait]
impl BillingService for Billing {
    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let caller = of_service(&request)?;
        let order = Order::new(caller.person()?, request.into_inner())?;
        let lease_until = self.reserve.ask(order).await?;
        Ok(Response::new(ReserveResponse { lease_until: Some(clock::timestamp(lease_until)) }))
    }

    async fn extend(&self, request: Request<ExtendRequest>) -> Result<Response<ExtendResponse>, Status> {
        of_service(&request)?;
        let extended = self.extend.ask(Block::new(request.get_ref())?).await?;
        let lease_until = Some(clock::timestamp(extended.lease_until));
        Ok(Response::new(ExtendResponse { lease_until, reserved: extended.reserved }))
    }

    async fn settle(&self, request: Request<SettleRequest>) -> Result<Response<SettleResponse>, Status> {
        of_service(&request)?;
        let settled = self.settle.ask(Actual::new(request.into_inner())?).await?;
        Ok(Response::new(SettleResponse { row: Some(settled.row), already_settled: !settled.won }))
    }

    async fn set_key_budget(
        &self,
        request: Request<SetKeyBudgetRequest>,
    ) -> Result<Response<SetKeyBudgetResponse>, Status> {
        of_service(&request)?;
        let request = request.into_inner();
        self.budgets.set_key_limit(uuid("/keyId", &request.key_id)?, request.monthly_limit).await?;
        Ok(Response::new(SetKeyBudgetResponse {}))
    }

    async fn begin_idempotent(
        &self,
        request: Request<BeginIdempotentRequest>,
    ) -> Result<Response<BeginIdempotentResponse>, Status> {
        let user = Caller::of(&request)?.person()?.user_id;
        let request = request.into_inner();
        let answer_json =
            idempotency::begin(&self.store, &self.clock, user, &request.key, &request.request_sha256).await?;
        Ok(Response::new(BeginIdempotentResponse { answer_json }))
    }

    async fn end_idempotent(
        &self,
        request: Request<EndIdempotentRequest>,
    ) -> Result<Response<EndIdempotentResponse>, Status> {
        let user = Caller::of(&request)?.person()?.user_id;
        let request = request.into_inner();
        let ended = self.store.end_idempotency_key(user, &request.key, request.answer_json.as_deref()).await;
        ended.map_err(Error::from)?;
        Ok(Response::new(EndIdempotentResponse {}))
    }

    async fn get_budget(
        &self,
        request: Request<GetBudgetRequest>,
    ) -> Result<Response<GetBudgetResponse>, Status> {
        let caller = Caller::of(&request)?;
        let person = caller.person()?;
        let subject = person.subject(&request.get_ref().user_id)?;
        let budgets = self.budgets.of_person(person, subject).await?;
        Ok(Response::new(GetBudgetResponse { budgets }))
    }

    async fn set_limit(
        &self,
        request: Request<SetLimitRequest>,
    ) -> Result<Response<SetLimitResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let subject = uuid("/subjectId", &request.subject_id)?;
        let limit = request.monthly_limit;
        let budget = self.budgets.set_limit(caller.person()?, request.scope(), subject, limit).await?;
        Ok(Response::new(SetLimitResponse { budget: Some(budget) }))
    }

    async fn grant_tokens(
        &self,
        request: Request<GrantTokensRequest>,
    ) -> Result<Response<GrantTokensResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let user = uuid("/userId", &request.user_id)?;
        let budget = self.budgets.grant(caller.person()?, user, request.tokens).await?;
        Ok(Response::new(GrantTokensResponse { budget: Some(budget) }))
    }

    async fn get_usage(
        &self,
        request: Request<GetUsageRequest>,
    ) -> Result<Response<GetUsageResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let user = whose(caller.person()?, &request.user_id, request.everyone)?;
        let query = Query::new(user, &request, self.clock.now())?;
        let (total, groups) = usage::sums(&self.store, &query).await?;
        let budget = match user {
            Some(user) => Some(self.budgets.of(Scope::User, user).await?),
            None => None,
        };
        Ok(Response::new(GetUsageResponse { total: Some(total), groups, budget }))
    }

    async fn list_usage(
        &self,
        request: Request<ListUsageRequest>,
    ) -> Result<Response<ListUsageResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let user = whose(caller.person()?, &request.user_id, request.everyone)?;
        let (rows, next_page_token) =
            usage::list(&self.store, user, request.page_size, &request.page_token).await?;
        Ok(Response::new(ListUsageResponse { rows, next_page_token }))
    }
}

/// The caller of a method for services only: never the edge, which would forward a person's call.
fn of_service<T>(request: &Request<T>) -> Result<Caller, Fault> {
    let caller = Caller::of(request)?;
    match caller.service {
        Service::Edge => Err(Error::Forwarded.into()),
        _ => Ok(caller),
    }
}

fn uuid(pointer: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Invalid { pointer, message: "must be a UUID" })
}
