//! Who calls: the person and the service, and what tells them inside the mesh (docs/ARCHITECTURE.md, Joints).

mod keys;
mod tokens;

use devstudio_proto::auth::v1::Role;
use tonic::metadata::MetadataValue;
use uuid::Uuid;

pub use self::{
    keys::{Keyring, unix_now},
    tokens::{ACCESS_TOKEN_SECONDS, AccessClaims},
};
use crate::{Fault, Reason, Service};

/// Metadata that carries the service token.
pub const SERVICE_HEADER: &str = "x-devstudio-service";
/// Metadata that carries the identity token.
pub const IDENTITY_HEADER: &str = "x-devstudio-identity";
/// Metadata that carries the request id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Metadata in which the edge tells where a call comes from.
pub const CLIENT_IP_HEADER: &str = "x-devstudio-client-ip";
/// Metadata that carries a refresh token between the edge's cookie and Auth.
pub const REFRESH_TOKEN_HEADER: &str = "x-devstudio-refresh-token";
/// How far clocks may be apart.
pub const LEEWAY_SECONDS: u64 = 2;

/// A signed-in person, or a key of theirs, as one request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person.
    pub user_id: Uuid,
    /// The person's address.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// The API key, if the request came with one.
    pub key_id: Option<Uuid>,
    /// The request.
    pub request_id: Uuid,
    /// The agent's task that acts in the person's name; nothing where the person is there.
    pub task: Option<Task>,
}

/// An agent's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The task.
    pub id: Uuid,
    /// The agent that works on it.
    pub agent_id: String,
}

impl Identity {
    /// May the caller see or change what belongs to `owner`?
    pub fn may_act_for(&self, owner: Uuid) -> bool {
        self.role == Role::Admin || self.user_id == owner
    }

    /// Refuses whoever is not an admin.
    pub fn must_be_admin(&self) -> Result<(), Fault> {
        match self.role {
            Role::Admin => Ok(()),
            _ => Err(Fault::new(Reason::RoleRequired, "only admins may do this").with("role", "admin")),
        }
    }

    /// Whom a field names: the caller when it is empty, another person only for admins.
    pub fn subject(&self, user_id: &str) -> Result<Uuid, Fault> {
        if user_id.is_empty() {
            return Ok(self.user_id);
        }
        let subject = Uuid::parse_str(user_id).map_err(|_| {
            Fault::new(Reason::SchemaViolation, "/userId must be a UUID").with("pointer", "/userId")
        })?;
        if self.may_act_for(subject) {
            Ok(subject)
        } else {
            Err(Fault::new(Reason::NotFound, "there is no such person"))
        }
    }
}

/// Who made a call: the service that sent it and, where there is one, the person it is for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The service that sent the call.
    pub service: Service,
    /// The person.
    pub identity: Option<Identity>,
    /// The request.
    pub request_id: Uuid,
    pub(crate) token: Option<MetadataValue<tonic::metadata::Ascii>>,
}

impl Caller {
    /// The caller of a request that came through [`crate::server`].
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Caller, Fault> {
        let caller = request.extensions().get::<Caller>().cloned();
        caller.ok_or_else(|| Fault::internal("the server's layers were not laid on"))
    }

    /// The person; methods with access DEV or ADMIN always have one.
    pub fn person(&self) -> Result<&Identity, Fault> {
        self.identity.as_ref().ok_or_else(|| Fault::new(Reason::TokenMissing, "sign in first"))
    }

    /// Makes a request to another service on behalf of this caller.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(IDENTITY_HEADER, token.clone());
        }
        if let Ok(id) = self.request_id.to_string().parse() {
            request.metadata_mut().insert(REQUEST_ID_HEADER, id);
        }
        request
    }
}

/// `admin` or `dev`.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Dev | Role::Unspecified => "dev",
    }
}

/// The role of a name; `user` is read as `dev`.
pub fn role_of(name: &str) -> Option<Role> {
    match name {
        "admin" => Some(Role::Admin),
        "dev" | "user" => Some(Role::Dev),
        _ => None,
    }
}
