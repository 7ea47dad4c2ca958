//! A house for one test: a database, keys, Auth, and a Billing that remembers what it was told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use devstudio_auth::{Config, Deps, routes};
use devstudio_kit::{
    Fault, Mesh, Reason, Service,
    clock::Clock,
    db::testing::{Fresh, fresh},
    identity::{CLIENT_IP_HEADER, IDENTITY_HEADER, Identity, Keyring},
    link::Link,
    server::guarded,
};
use devstudio_proto::{
    auth::v1::{auth_service_client::AuthServiceClient, log_service_client::LogServiceClient, *},
    billing::v1::{
        BeginIdempotentRequest, BeginIdempotentResponse, EndIdempotentRequest, EndIdempotentResponse,
        billing_service_server::{BillingService, BillingServiceServer},
        *,
    },
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub const PASSWORD: &str = "correct horse";

/// Ends a test that waits for what does not come.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it comes in time")
}

pub struct House {
    pub db: Arc<Fresh>,
    pub clock: Clock,
    pub keys: Arc<Keyring>,
    pub mesh: Mesh,
    pub billing: Ledger,
    _dir: Arc<tempfile::TempDir>,
}

impl House {
    pub async fn open() -> Self {
        Self::with(Config::testing()).await
    }

    pub async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Keyring::ensure(dir.path()).expect("keys are made");
        let keys = Arc::new(Keyring::load(dir.path(), &Service::ALL).expect("keys are read"));
        let clock = Clock::standing_at(OffsetDateTime::now_utc());
        Self::process(Arc::new(fresh().await), clock, keys, Arc::new(dir), config).await
    }

    /// Another process of Auth on the same database.
    pub async fn another(&self, config: Config) -> Self {
        let (db, clock, keys) = (self.db.clone(), self.clock.clone(), self.keys.clone());
        Self::process(db, clock, keys, self._dir.clone(), config).await
    }

    async fn process(
        db: Arc<Fresh>,
        clock: Clock,
        keys: Arc<Keyring>,
        dir: Arc<tempfile::TempDir>,
        config: Config,
    ) -> Self {
        let mesh = Mesh::new(Service::Edge, keys.clone());
        let pool = db.connect(Service::Auth).await;
        let deps = Deps { pool, mesh: mesh.seen_by(Service::Auth), clock: clock.clone(), config };
        mesh.set_local(Service::Auth, guarded(routes(deps), keys.clone()));
        let billing = Ledger::default();
        let service = tonic::service::Routes::new(BillingServiceServer::new(billing.clone()));
        mesh.set_local(Service::Billing, guarded(service, keys.clone()));
        Self { db, clock, keys, mesh, billing, _dir: dir }
    }

    pub fn auth(&self) -> AuthServiceClient<Link> {
        AuthServiceClient::new(self.mesh.link(Service::Auth))
    }

    pub fn logs(&self) -> LogServiceClient<Link> {
        LogServiceClient::new(self.mesh.link(Service::Auth))
    }

    /// A request in the name of a person.
    pub fn by<T>(&self, person: &Identity, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.keys.mint_identity(person).expect("minted");
        request.metadata_mut().insert(IDENTITY_HEADER, token.parse().expect("metadata"));
        request
    }

    /// A request of an admin whom the edge knows.
    pub fn admin<T>(&self, message: T) -> Request<T> {
        self.by(&identity(Uuid::nil(), Role::Admin), message)
    }

    /// Adds a person with the usual password.
    pub async fn add(&self, email: &str, role: Role) -> Identity {
        let request = CreateUserRequest {
            email: email.into(),
            password: PASSWORD.into(),
            role: role.into(),
            ..Default::default()
        };
        let answer = self.auth().create_user(self.admin(request)).await.expect("added").into_inner();
        let user = answer.user.expect("a user");
        identity(user.user_id.parse().expect("a UUID"), role)
    }

    /// Tries to sign in, from an address.
    pub async fn try_login(
        &self,
        email: &str,
        password: &str,
        address: &str,
    ) -> Result<Response<LoginResponse>, Status> {
        let mut request = Request::new(LoginRequest {
            email: email.into(),
            password: password.into(),
            include_refresh_token: true,
        });
        request.metadata_mut().insert(CLIENT_IP_HEADER, address.parse().expect("metadata"));
        self.auth().login(request).await
    }

    /// Signs in with the usual password.
    pub async fn login(&self, email: &str) -> LoginResponse {
        self.try_login(email, PASSWORD, "10.0.0.1").await.expect("signed in").into_inner()
    }

    pub async fn refresh(&self, token: &str) -> Result<RefreshResponse, Reason> {
        let request = RefreshRequest { refresh_token: token.into() };
        self.auth().refresh(request).await.map(Response::into_inner).map_err(reason)
    }

    pub async fn authenticate(&self, credential: &str) -> Result<Principal, Reason> {
        let request = AuthenticateRequest { credential: credential.into() };
        let answer = self.auth().authenticate(request).await.map_err(reason)?;
        Ok(answer.into_inner().principal.expect("a principal"))
    }

    pub async fn update(&self, request: UpdateUserRequest) -> Result<User, Reason> {
        let answer = self.auth().update_user(self.admin(request)).await.map_err(reason)?;
        Ok(answer.into_inner().user.expect("a user"))
    }

    pub async fn block(&self, person: &Identity) {
        let user_id = person.user_id.to_string();
        let request = UpdateUserRequest { user_id, disabled: Some(true), ..Default::default() };
        self.update(request).await.expect("blocked");
    }

    /// How often the audit trail has an action.
    pub async fn audited(&self, action: &str) -> i64 {
        sqlx::query_scalar("select count(*) from audit_log where action = $1")
            .bind(action)
            .fetch_one(&self.db.owner().await)
            .await
            .expect("counted")
    }

    /// Everything that Auth keeps, as text.
    pub async fn dump(&self) -> String {
        let owner = self.db.owner().await;
        let mut all = String::new();
        for sql in [
            "select coalesce(string_agg(t::text, e'\\n'), '') from users t",
            "select coalesce(string_agg(t::text, e'\\n'), '') from sessions t",
            "select coalesce(string_agg(t::text, e'\\n'), '') from refresh_tokens t",
            "select coalesce(string_agg(t::text, e'\\n'), '') from api_keys t",
            "select coalesce(string_agg(t::text, e'\\n'), '') from tickets t",
            "select coalesce(string_agg(t::text, e'\\n'), '') from audit_log t",
            "select coalesce(string_agg(t::text, e'\\n'), '') from logs t",
        ] {
            let text: String = sqlx::query_scalar(sql).fetch_one(&owner).await.expect("dumped");
            all.push_str(&text);
        }
        all
    }
}

pub fn identity(user_id: Uuid, role: Role) -> Identity {
    Identity {
        user_id,
        email: "p@house.test".into(),
        role,
        key_id: None,
        request_id: Uuid::new_v4(),
        task: None,
    }
}

pub fn reason(status: Status) -> Reason {
    Fault::from_status(&status).reason
}

/// Billing as Auth needs it: it keeps the limits of keys, or fails.
#[derive(Clone, Default)]
pub struct Ledger {
    pub limits: Arc<Mutex<HashMap<String, Option<i64>>>>,
    pub fails: Arc<AtomicBool>,
}

type Answer<T> = Result<Response<T>, Status>;

fn not_asked<T>() -> Answer<T> {
    Err(Status::unimplemented("Auth does not call this"))
}

#[tonic::async_trait]
impl BillingService for Ledger {
    async fn set_key_budget(&self, request: Request<SetKeyBudgetRequest>) -> Answer<SetKeyBudgetResponse> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Fault::new(Reason::UpstreamUnavailable, "the database does not answer").into());
        }
        let SetKeyBudgetRequest { key_id, monthly_limit } = request.into_inner();
        self.limits.lock().expect("not poisoned").insert(key_id, monthly_limit);
        Ok(Response::new(SetKeyBudgetResponse {}))
    }
    async fn reserve(&self, _: Request<ReserveRequest>) -> Answer<ReserveResponse> {
        not_asked()
    }
    async fn extend(&self, _: Request<ExtendRequest>) -> Answer<ExtendResponse> {
        not_asked()
    }
    async fn settle(&self, _: Request<SettleRequest>) -> Answer<SettleResponse> {
        not_asked()
    }
    async fn begin_idempotent(&self, _: Request<BeginIdempotentRequest>) -> Answer<BeginIdempotentResponse> {
        not_asked()
    }
    async fn end_idempotent(&self, _: Request<EndIdempotentRequest>) -> Answer<EndIdempotentResponse> {
        not_asked()
    }
    async fn get_budget(&self, _: Request<GetBudgetRequest>) -> Answer<GetBudgetResponse> {
        not_asked()
    }
    async fn set_limit(&self, _: Request<SetLimitRequest>) -> Answer<SetLimitResponse> {
        not_asked()
    }
    async fn grant_tokens(&self, _: Request<GrantTokensRequest>) -> Answer<GrantTokensResponse> {
        not_asked()
    }
    async fn get_usage(&self, _: Request<GetUsageRequest>) -> Answer<GetUsageResponse> {
        not_asked()
    }
    async fn list_usage(&self, _: Request<ListUsageRequest>) -> Answer<ListUsageResponse> {
        not_asked()
    }
}
