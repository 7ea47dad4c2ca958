//! The guard: who calls, may they, and how often. Every door asks it before it reads a body.

use std::{net::IpAddr, sync::Arc, time::Duration};

use devstudio_kit::{
    Fault, Mesh, Reason,
    identity::{CLIENT_IP_HEADER, IDENTITY_HEADER, REFRESH_TOKEN_HEADER, REQUEST_ID_HEADER, SERVICE_HEADER},
    rpc::{Access as Rule, Method, RateClass},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;

use crate::{
    Config,
    access::Access,
    limits::{Left, Limits, Subject},
    revocation::{Revocations, revoked},
    session,
};

/// Who stands at the door.
#[derive(Debug, Clone)]
pub enum Who {
    /// Whoever the headers say.
    Headers,
    /// A person who was let in before, on a socket.
    Known(Access),
}

/// What the guard decided: the call may go on, under this id, as this person.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The request's id.
    pub request_id: Uuid,
    /// Whose call it is; public methods need nobody.
    pub access: Option<Access>,
    /// What is left of the rate limit.
    pub left: Option<Left>,
    /// http or https, as the caller sees it.
    pub scheme: &'static str,
    token: Option<HeaderValue>,
    client: Option<IpAddr>,
    refresh_token: Option<HeaderValue>,
}

/// A refusal, with the id under which it happened.
#[derive(Debug)]
pub struct Refusal {
    /// The request's id.
    pub request_id: Uuid,
    /// Why.
    pub fault: Fault,
}

/// Checks credentials, access rules and rates.
#[derive(Clone)]
pub struct Guard {
    mesh: Mesh,
    limits: Arc<Limits>,
    revocations: Revocations,
}

impl Guard {
    /// A guard with the configured rates.
    pub fn new(config: &Config, mesh: Mesh, revocations: Revocations) -> Self {
        let limits = Arc::new(Limits::new(config));
        let sweep = Arc::downgrade(&limits);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                match sweep.upgrade() {
                    Some(limits) => limits.sweep(),
                    None => return,
                }
            }
        });
        Self { mesh, limits, revocations }
    }

    /// May this caller call this method now?
    pub async fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        who: &Who,
    ) -> Result<Pass, Refusal> {
        let request_id = Uuid::now_v7();
        self.decide(method, headers, client, who, request_id)
            .await
            .map_err(|fault| Refusal { request_id, fault })
    }

    /// Lets in whom the headers name, whatever the method. Fails as DEV methods do. Whoever guesses credentials is
    /// slowed down by address.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        request_id: Uuid,
    ) -> Result<Access, Fault> {
        let identified = match credential(headers) {
            Ok(credential) => self.revocations.identify(credential, request_id).await,
            Err(fault) => Err(fault),
        };
        if identified.is_err() {
            self.limits.take(RateClass::Unspecified, Subject::of(client))?;
        }
        identified
    }

    /// Uses a ticket up and lets in whose it is. Whoever guesses tickets is slowed down by address.
    pub async fn redeem(
        &self,
        ticket: &str,
        path: &str,
        origin: &str,
        client: Option<IpAddr>,
    ) -> Result<Access, Fault> {
        let redeemed = self.revocations.redeem(ticket, path, origin).await;
        if redeemed.as_ref().is_err_and(|fault| fault.reason == Reason::TicketInvalid) {
            self.limits.take(RateClass::SignIn, Subject::of(client))?;
        }
        redeemed
    }

    async fn decide(
        &self,
        method: &Method,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        who: &Who,
        request_id: Uuid,
    ) -> Result<Pass, Fault> {
        let access = match (method.access, who) {
            (Rule::Public, _) => None,
            (_, Who::Known(access)) if access.is_lost() => return Err(revoked()),
            (_, Who::Known(access)) => Some(access.under(request_id)),
            (_, Who::Headers) => Some(self.identify(headers, client, request_id).await?),
        };
        let identity = access.as_ref().map(|access| &access.identity);
        match (method.access, identity) {
            (Rule::Service | Rule::Unspecified, _) => {
                return Err(Fault::new(Reason::RoleRequired, "only services of DevStudio may call this")
                    .with("role", "service"));
            }
            (Rule::Admin, Some(identity)) => identity.must_be_admin()?,
            _ => {}
        }
        let subject = match identity {
            Some(identity) => identity.key_id.map_or(Subject::User(identity.user_id), Subject::Key),
            None => Subject::of(client),
        };
        // signing in and out of many tabs of one house must stay possible; guesses are Auth's to slow down
        let left = self.limits.take(method.rate, subject)?;
        let token = match identity {
            Some(identity) => Some(header_value(&self.mesh.keys().mint_identity(identity)?)?),
            None => None,
        };
        let refresh_token = session::refresh_token(method, headers)?;
        let scheme = session::scheme(headers);
        Ok(Pass { request_id, access, left: Some(left), token, client, scheme, refresh_token })
    }
}

impl Pass {
    /// Writes what the services need into the headers of a call, in place of what a client may have sent.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let foreign: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().starts_with("x-devstudio-")).cloned().collect();
        for name in foreign {
            headers.remove(name);
        }
        for name in [header::AUTHORIZATION, header::COOKIE, HeaderName::from_static("x-api-key")] {
            headers.remove(name);
        }
        debug_assert!(!headers.contains_key(SERVICE_HEADER));
        if let Some(token) = &self.token {
            headers.insert(IDENTITY_HEADER, token.clone());
        }
        if let Ok(id) = header_value(&self.request_id.to_string()) {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        if let Some(Ok(ip)) = self.client.map(|ip| header_value(&ip.to_string())) {
            headers.insert(CLIENT_IP_HEADER, ip);
        }
        if let Some(token) = &self.refresh_token {
            headers.insert(REFRESH_TOKEN_HEADER, token.clone());
        }
    }
}

fn credential(headers: &HeaderMap) -> Result<&str, Fault> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        return match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
                Ok(token.trim())
            }
            _ => Err(Fault::new(
                Reason::TokenInvalid,
                "Authorization must be: Bearer <access token or API key>",
            )),
        };
    }
    match headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default()) {
        Some(key) => Ok(key),
        None => Err(Fault::new(
            Reason::TokenMissing,
            "sign in first: send Authorization: Bearer <access token or API key>",
        )),
    }
}

fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(Fault::internal)
}
