//! A billing service on a fresh database with a clock that tests move, and callers for it.

use std::sync::Arc;

use devstudio_billing::{Config, Deps};
use devstudio_kit::{
    Fault, Mesh, Reason, Service,
    clock::Clock,
    db::testing::{Fresh, fresh},
    identity::{IDENTITY_HEADER, Identity, Keyring, Task},
    link::Link,
    logs::Log,
    server::guarded,
};
use devstudio_proto::{
    auth::v1::Role,
    billing::v1::{
        Budget, ExtendRequest, ExtendResponse, GetBudgetRequest, GrantTokensRequest, Kind, ReserveRequest,
        Scope, SetKeyBudgetRequest, SetLimitRequest, SettleRequest, SettleResponse, UsageStatus,
        billing_service_client::BillingServiceClient,
    },
};
use sqlx::{FromRow, PgPool};
use time::{OffsetDateTime, macros::datetime};
use tonic::Request;
use uuid::Uuid;

pub const NOON: OffsetDateTime = datetime!(2026-03-15 12:00 UTC);

pub type Client = BillingServiceClient<Link>;

/// Full counts are asked for.
pub fn proving() -> bool {
    std::env::var("DEVSTUDIO_PROVE").is_ok_and(|value| value == "1")
}

/// A person, maybe with a key, maybe an admin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Person {
    pub id: Uuid,
    pub key: Option<Uuid>,
    pub role: Role,
    /// The agent's task that acts for them.
    pub task: Option<Uuid>,
}

pub fn dev() -> Person {
    Person { id: Uuid::new_v4(), key: None, role: Role::Dev, task: None }
}

pub fn admin() -> Person {
    Person { role: Role::Admin, ..dev() }
}

impl Person {
    pub fn with_key(self) -> Self {
        Self { key: Some(Uuid::new_v4()), ..self }
    }
}

/// What stands in a row of token_balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Balance {
    pub granted: i64,
    pub used: i64,
    pub reserved: i64,
}

pub struct World {
    pub deps: Deps,
    pub clock: Clock,
    /// The whole database.
    pub owner: PgPool,
    pub keys: Arc<Keyring>,
    pub mesh: Mesh,
    pub fresh: Fresh,
    _keys: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Keyring::ensure(dir.path()).expect("keys are made");
        let keys = Arc::new(Keyring::load(dir.path(), &Service::ALL).expect("keys are read"));
        let mesh = Mesh::new(Service::Billing, keys.clone());
        let fresh = fresh().await;
        let clock = Clock::standing_at(NOON);
        let log = Log::start(Service::Billing, &mesh);
        let deps = Deps { pool: fresh.connect(Service::Billing).await, clock: clock.clone(), config, log };
        let router = guarded(devstudio_billing::routes(deps.clone()), keys.clone());
        mesh.set_local(Service::Billing, router);
        Self { owner: fresh.owner().await, deps, clock, keys, mesh, fresh, _keys: dir }
    }

    /// Billing as the Llm service calls it.
    pub fn client(&self) -> Client {
        self.client_of(Service::Llm)
    }

    pub fn client_of(&self, service: Service) -> Client {
        BillingServiceClient::new(self.mesh.seen_by(service).link(Service::Billing))
    }

    /// A second process of billing on the same database.
    pub async fn second(&self) -> Client {
        let deps = Deps { pool: self.fresh.connect(Service::Billing).await, ..self.deps.clone() };
        let mesh = Mesh::new(Service::Llm, self.keys.clone());
        mesh.set_local(Service::Billing, guarded(devstudio_billing::routes(deps), self.keys.clone()));
        BillingServiceClient::new(mesh.link(Service::Billing))
    }

    /// A request in a person's name.
    pub fn by<T>(&self, person: &Person, message: T) -> Request<T> {
        let identity = Identity {
            user_id: person.id,
            email: "someone@example.org".into(),
            role: person.role,
            key_id: person.key,
            request_id: Uuid::new_v4(),
            task: person.task.map(|id| Task { id, agent_id: "coder".into() }),
        };
        let token = self.keys.mint_identity(&identity).expect("the edge's key is here");
        let mut request = Request::new(message);
        request.metadata_mut().insert(IDENTITY_HEADER, token.parse().expect("a token is ASCII"));
        request
    }

    /// Reserves prompt + completion tokens under a new request id.
    pub async fn reserve(&self, person: &Person, prompt: i32, completion: i32) -> Result<Uuid, Fault> {
        let order = order(prompt, completion);
        let id = order.request_id.parse().expect("a UUID");
        told(self.client().reserve(self.by(person, order)).await).map(|_| id)
    }

    pub async fn extend(&self, id: Uuid, tokens: i32, produced: i32) -> Result<ExtendResponse, Fault> {
        let block = ExtendRequest { request_id: id.to_string(), tokens, produced_tokens: produced };
        told(self.client().extend(block).await)
    }

    pub async fn settle(&self, id: Uuid, prompt: i32, completion: i32) -> Result<SettleResponse, Fault> {
        told(self.client().settle(actual(id, prompt, completion)).await)
    }

    pub async fn set_limit(&self, scope: Scope, subject: Uuid, limit: Option<i64>) -> Result<Budget, Fault> {
        let request =
            SetLimitRequest { scope: scope.into(), subject_id: subject.to_string(), monthly_limit: limit };
        let answer = told(self.client().set_limit(self.by(&admin(), request)).await)?;
        Ok(answer.budget.expect("a budget"))
    }

    pub async fn set_key_budget(&self, key: Uuid, limit: i64) {
        let request = SetKeyBudgetRequest { key_id: key.to_string(), monthly_limit: Some(limit) };
        told(self.client_of(Service::Auth).set_key_budget(request).await).expect("Auth may set it");
    }

    pub async fn grant(&self, person: &Person, tokens: i64) -> Result<Budget, Fault> {
        let request = GrantTokensRequest { user_id: person.id.to_string(), tokens };
        let answer = told(self.client().grant_tokens(self.by(&admin(), request)).await)?;
        Ok(answer.budget.expect("a budget"))
    }

    pub async fn budgets(&self, person: &Person) -> Vec<Budget> {
        let request = self.by(person, GetBudgetRequest::default());
        told(self.client().get_budget(request).await).expect("everybody has budgets").budgets
    }

    /// The balance of a month, looked up behind the service's back; zeros where there is no row.
    pub async fn balance_in(&self, scope: &str, subject: Uuid, month: time::Date) -> Balance {
        sqlx::query_as(
            "select granted, used, reserved from token_balances
              where scope = $1 and subject_id = $2 and period_start = $3",
        )
        .bind(scope)
        .bind(subject)
        .bind(month)
        .fetch_optional(&self.owner)
        .await
        .expect("a look")
        .unwrap_or(Balance { granted: 0, used: 0, reserved: 0 })
    }

    pub async fn balance(&self, person: &Person) -> Balance {
        let month = self.clock.now().date().replace_day(1).expect("a first day");
        self.balance_in("user", person.id, month).await
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.owner).await.expect("a count")
    }

    /// What must hold at every moment at which nothing is under way.
    pub async fn check_books(&self) {
        for (what, sql) in [
            (
                "every request's entries sum to zero",
                "select count(*) from (select request_id from ledger_entries group by request_id
                  having sum(amount) <> 0 or count(*) <> 2) x",
            ),
            (
                "balances hold exactly what open reservations hold and what was used",
                "select count(*) from token_balances b where
                   b.reserved <> (select coalesce(sum(r.reserved), 0) from reservations r
                     where r.state = 'open' and r.period_start = b.period_start
                       and b.subject_id = case b.scope when 'user' then r.user_id else r.api_key_id end)
                   or b.used <> (select coalesce(sum(u.prompt_tokens + u.completion_tokens), 0) from token_usage u
                     where u.period_start = b.period_start
                       and b.subject_id = case b.scope when 'user' then u.user_id else u.api_key_id end)",
            ),
            (
                "the ledger knows what was granted and used",
                "select count(*) from token_balances b where b.scope = 'user' and b.granted - b.used <>
                   (select coalesce(sum(e.amount), 0) from ledger_entries e
                     where e.account = 'user' and e.subject = b.subject_id::text and e.period_start = b.period_start)",
            ),
            (
                "a request is settled with one row, one record and two entries",
                "select count(*) from reservations r where
                   (select count(*) from token_usage u where u.request_id = r.request_id)
                     <> (r.state = 'settled')::int
                   or (select count(*) from llm_requests q where q.request_id = r.request_id)
                     <> (r.state = 'settled')::int
                   or (select count(*) from ledger_entries e where e.request_id = r.request_id)
                     <> 2 * (r.state = 'settled')::int",
            ),
            (
                "the days of models sum up what was used",
                "select count(*) from (
                   select model_id, sum(prompt_tokens) p, sum(completion_tokens) c, count(*) n from token_usage group by 1
                 ) u full join (
                   select model_id, sum(prompt_tokens) p, sum(completion_tokens) c, sum(requests) n from model_usage group by 1
                 ) m using (model_id) where (u.p, u.c, u.n) is distinct from (m.p, m.c, m.n)",
            ),
        ] {
            assert_eq!(self.count(sql).await, 0, "broken: {what}");
        }
    }
}

pub fn order(prompt: i32, completion: i32) -> ReserveRequest {
    ReserveRequest {
        request_id: Uuid::new_v4().to_string(),
        model_id: "smol".into(),
        kind: Kind::Chat.into(),
        prompt_tokens: prompt,
        completion_tokens: completion,
        settings_json: String::new(),
    }
}

pub fn actual(id: Uuid, prompt: i32, completion: i32) -> SettleRequest {
    SettleRequest {
        request_id: id.to_string(),
        prompt_tokens: prompt,
        completion_tokens: completion,
        cached_tokens: 0,
        status: UsageStatus::Ok.into(),
        ttft_ms: 5,
        total_ms: 50,
        error_reason: String::new(),
    }
}

/// The answer, or the fault that the caller reads out of the status.
pub fn told<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Fault> {
    answer.map(tonic::Response::into_inner).map_err(|status| Fault::from_status(&status))
}

/// Fails unless it failed for this reason.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>, reason: Reason) -> Fault {
    let fault = answer.expect_err("it must be refused");
    assert_eq!(fault.reason, reason, "{fault:?}");
    fault
}
