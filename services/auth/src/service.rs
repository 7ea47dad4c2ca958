//! AuthService: unpack, call, pack.

use std::{pin::Pin, sync::Arc};

use devstudio_kit::{
    Caller, Fault, Reason, Service,
    clock::timestamp,
    identity::{REFRESH_TOKEN_HEADER, Task},
};
use devstudio_proto::auth::v1::{auth_service_server::AuthService, *};
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::{Auth, Error, api_key, login::SignedIn, user, wire};

type Answer<T> = Result<Response<T>, Status>;

/// AuthService over the acts of Auth.
pub(crate) struct AuthGrpc(pub Arc<Auth>);

#[tonic::async_trait]
impl AuthService for AuthGrpc {
    async fn login(&self, request: Request<LoginRequest>) -> Answer<LoginResponse> {
        let origin = wire::origin(&request, &Caller::of(&request)?);
        let LoginRequest { email, password, include_refresh_token } = request.into_inner();
        let signed_in = self.0.login(&email, &password, &origin).await?;
        let refresh_token = signed_in.refresh_token.clone();
        with_cookie(
            &signed_in,
            LoginResponse {
                access_token: signed_in.access_token.clone(),
                expires_at: Some(timestamp(signed_in.expires_at)),
                user: Some(signed_in.user.clone().into()),
                refresh_token: include_refresh_token.then_some(refresh_token),
            },
        )
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Answer<RefreshResponse> {
        let origin = wire::origin(&request, &Caller::of(&request)?);
        let cookie = wire::refresh_cookie(&request);
        let token = request.into_inner().refresh_token;
        let in_body = !token.is_empty();
        let signed_in = self.0.refresh(if in_body { &token } else { &cookie }, &origin).await?;
        let refresh_token = signed_in.refresh_token.clone();
        with_cookie(
            &signed_in,
            RefreshResponse {
                access_token: signed_in.access_token.clone(),
                expires_at: Some(timestamp(signed_in.expires_at)),
                user: Some(signed_in.user.clone().into()),
                refresh_token: in_body.then_some(refresh_token),
            },
        )
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Answer<LogoutResponse> {
        let origin = wire::origin(&request, &Caller::of(&request)?);
        let cookie = wire::refresh_cookie(&request);
        let token = request.into_inner().refresh_token;
        self.0.logout(if token.is_empty() { &cookie } else { &token }, &origin).await?;
        Ok(Response::new(LogoutResponse {}))
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Answer<GetMeResponse> {
        let caller = Caller::of(&request)?;
        let person = caller.person()?;
        let user = self.0.user(person.user_id).await?;
        let key_id = person.key_id.map(|id| id.to_string());
        Ok(Response::new(GetMeResponse { user: Some(user.into()), key_id }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Answer<ChangePasswordResponse> {
        let caller = Caller::of(&request)?;
        let origin = wire::origin(&request, &caller);
        let cookie = wire::refresh_cookie(&request);
        let ChangePasswordRequest { current_password, new_password } = request.into_inner();
        let person = caller.person()?;
        self.0.change_password(person, &current_password, &new_password, &cookie, &origin).await?;
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn create_user(&self, request: Request<CreateUserRequest>) -> Answer<CreateUserResponse> {
        let origin = wire::origin(&request, &Caller::of(&request)?);
        let CreateUserRequest { email, password, role, display_name } = request.into_inner();
        let role = wire::role(role)?.unwrap_or(Role::Dev);
        let add = user::Add { email: &email, password: &password, role, display_name: &display_name };
        let user = self.0.add_user(add, &origin).await?;
        Ok(Response::new(CreateUserResponse { user: Some(user.into()) }))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        let ListUsersRequest { query, page_size, page_token } = request.into_inner();
        let page = self.0.users(&query, page_size, &page_token).await?;
        Ok(Response::new(ListUsersResponse {
            users: page.users.into_iter().map(User::from).collect(),
            next_page_token: page.next,
            total: i32::try_from(page.total).unwrap_or(i32::MAX),
        }))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Answer<UpdateUserResponse> {
        let origin = wire::origin(&request, &Caller::of(&request)?);
        let UpdateUserRequest { user_id, role, disabled, display_name, password } = request.into_inner();
        let update = user::Update {
            role: role.map(wire::role).transpose()?.flatten(),
            disabled,
            display_name,
            password: password.as_deref(),
        };
        let user = self.0.update_user(wire::id(&user_id, "/userId")?, update, &origin).await?;
        Ok(Response::new(UpdateUserResponse { user: Some(user.into()) }))
    }

    async fn create_api_key(&self, request: Request<CreateApiKeyRequest>) -> Answer<CreateApiKeyResponse> {
        let caller = Caller::of(&request)?;
        let origin = wire::origin(&request, &caller);
        let CreateApiKeyRequest { name, token_budget, expires_at, user_id } = request.into_inner();
        let make = api_key::Make {
            name: &name,
            owner: caller.person()?.subject(&user_id)?,
            token_budget,
            expires_at: wire::time(expires_at.as_ref(), "/expiresAt")?,
        };
        let (key, row) = self.0.make_key(make, &caller, &origin).await?;
        Ok(Response::new(CreateApiKeyResponse { key, api_key: Some(row.into()) }))
    }

    async fn list_api_keys(&self, request: Request<ListApiKeysRequest>) -> Answer<ListApiKeysResponse> {
        let owner = Caller::of(&request)?.person()?.subject(&request.get_ref().user_id)?;
        let keys = self.0.keys(owner).await?;
        let api_keys = keys.into_iter().map(ApiKey::from).collect();
        Ok(Response::new(ListApiKeysResponse { api_keys }))
    }

    async fn revoke_api_key(&self, request: Request<RevokeApiKeyRequest>) -> Answer<RevokeApiKeyResponse> {
        let caller = Caller::of(&request)?;
        let origin = wire::origin(&request, &caller);
        let id = wire::id(&request.get_ref().key_id, "/keyId")?;
        let key = self.0.revoke_key(id, &caller, &origin).await?;
        Ok(Response::new(RevokeApiKeyResponse { api_key: Some(key.into()) }))
    }

    async fn create_ticket(&self, request: Request<CreateTicketRequest>) -> Answer<CreateTicketResponse> {
        let caller = Caller::of(&request)?;
        let CreateTicketRequest { path, origin } = request.into_inner();
        let (ticket, ends) = self.0.make_ticket(caller.person()?, &path, &origin).await?;
        Ok(Response::new(CreateTicketResponse { ticket, expires_at: Some(timestamp(ends)) }))
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Answer<GetJwksResponse> {
        let (kid, x) = self.0.public_key()?;
        let key = Jwk {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            kid,
            x,
            alg: "EdDSA".into(),
            r#use: "sig".into(),
        };
        Ok(Response::new(GetJwksResponse { keys: vec![key] }))
    }

    async fn redeem_ticket(&self, request: Request<RedeemTicketRequest>) -> Answer<RedeemTicketResponse> {
        let RedeemTicketRequest { ticket, path, origin } = request.into_inner();
        let principal = self.0.redeem_ticket(&ticket, &path, &origin).await?;
        Ok(Response::new(RedeemTicketResponse { principal: Some(principal.into()) }))
    }

    async fn authenticate(&self, request: Request<AuthenticateRequest>) -> Answer<AuthenticateResponse> {
        let principal = self.0.authenticate(&request.get_ref().credential).await?;
        Ok(Response::new(AuthenticateResponse { principal: Some(principal.into()) }))
    }

    async fn confirm_access(&self, request: Request<ConfirmAccessRequest>) -> Answer<ConfirmAccessResponse> {
        let ConfirmAccessRequest { user_id, key_id, token_version } = request.into_inner();
        let key_id = key_id.map(|id| wire::id(&id, "/keyId")).transpose()?;
        self.0.confirm_access(wire::id(&user_id, "/userId")?, key_id, token_version).await?;
        Ok(Response::new(ConfirmAccessResponse {}))
    }

    async fn act_for_task(&self, request: Request<ActForTaskRequest>) -> Answer<ActForTaskResponse> {
        if Caller::of(&request)?.service != Service::Agent {
            return Err(Fault::new(Reason::RoleRequired, "this is for the service of agents only").into());
        }
        let message = request.into_inner();
        let key_id = message.key_id.map(|id| wire::id(&id, "/keyId")).transpose()?;
        let task = Task { id: wire::id(&message.task_id, "/taskId")?, agent_id: message.agent_id };
        let request_id = wire::id(&message.request_id, "/requestId")?;
        let user_id = wire::id(&message.user_id, "/userId")?;
        let identity_token = self.0.act_for_task(user_id, key_id, task, request_id).await?;
        Ok(Response::new(ActForTaskResponse { identity_token }))
    }

    type WatchRevocationsStream =
        Pin<Box<dyn Stream<Item = Result<WatchRevocationsResponse, Status>> + Send>>;

    async fn watch_revocations(
        &self,
        _: Request<WatchRevocationsRequest>,
    ) -> Answer<Self::WatchRevocationsStream> {
        let signals = self.0.watch_revocations();
        Ok(Response::new(Box::pin(signals.map(|signal| Ok(signal?.into())))))
    }
}

/// Adds the refresh token as metadata, of which the edge makes a cookie.
fn with_cookie<T>(signed_in: &SignedIn, message: T) -> Answer<T> {
    let mut response = Response::new(message);
    let value = signed_in.refresh_token.parse();
    let value = value.map_err(|_| Error::Internal("a refresh token is no metadata"))?;
    response.metadata_mut().insert(REFRESH_TOKEN_HEADER, value);
    Ok(response)
}
