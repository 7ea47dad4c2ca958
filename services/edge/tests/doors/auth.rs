//! A double of Auth: tickets, credentials and revocations in memory. It answers the four calls that the edge makes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::Response, routing::post};
use bytes::{BufMut as _, Bytes, BytesMut};
use devstudio_kit::{Fault, Reason, clock::timestamp, identity::Keyring};
use devstudio_proto::auth::v1::{
    AuthenticateRequest, AuthenticateResponse, ConfirmAccessRequest, ConfirmAccessResponse, Principal,
    RedeemTicketRequest, RedeemTicketResponse, RevokedUser, Role, WatchRevocationsResponse,
    watch_revocations_response::Revoked,
};
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use time::OffsetDateTime;
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use crate::house::eventually;

/// Whose, for which path, from which page.
type Ticket = (Uuid, String, String);

#[derive(Clone)]
pub struct Auth {
    keys: Arc<Keyring>,
    tickets: Arc<Mutex<HashMap<String, Ticket>>>,
    revoked: broadcast::Sender<Uuid>,
    /// The version of people's tokens where it is not 1; nobody's who is blocked.
    versions: Arc<Mutex<HashMap<Uuid, Option<i32>>>>,
    /// When people's credentials end, where they do.
    ends: Arc<Mutex<HashMap<Uuid, OffsetDateTime>>>,
    blind: watch::Sender<bool>,
    held: Arc<Mutex<Option<Arc<Held>>>>,
}

/// An answer about a ticket that waits on its way.
#[derive(Default)]
pub struct Held {
    pub waits: Notify,
    pub go: Notify,
}

impl Auth {
    pub fn new(keys: Arc<Keyring>) -> Self {
        let (revoked, blind) = (broadcast::channel(16).0, watch::channel(false).0);
        let (tickets, versions, ends, held) = Default::default();
        Self { keys, tickets, revoked, versions, ends, blind, held }
    }

    pub fn ticket(&self, user_id: Uuid, path: &str, origin: &str) -> String {
        let ticket = Uuid::new_v4().to_string();
        let what = (user_id, path.to_owned(), origin.to_owned());
        self.tickets.lock().expect("no test failed").insert(ticket.clone(), what);
        ticket
    }

    pub fn revoke(&self, user_id: Uuid) {
        self.revoked.send(user_id).expect("the edge listens");
    }

    /// Blocks a person, and tells nobody.
    pub fn block(&self, user_id: Uuid) {
        self.versions.lock().expect("no test failed").insert(user_id, None);
    }

    /// Signs a person out everywhere, and tells nobody.
    pub fn sign_out(&self, user_id: Uuid) {
        self.versions.lock().expect("no test failed").insert(user_id, Some(2));
    }

    /// Gives a person a credential that ends.
    pub fn ends(&self, user_id: Uuid, at: OffsetDateTime) {
        self.ends.lock().expect("no test failed").insert(user_id, at);
    }

    /// Ends the watch of revocations, and lets none begin until it sees again.
    pub async fn be_blind(&self) {
        self.blind.send_replace(true);
        let nobody = || std::future::ready((self.revoked.receiver_count() == 0).then_some(()));
        eventually("the watch ends", nobody).await;
    }

    pub fn see(&self) {
        self.blind.send_replace(false);
    }

    /// Holds the next answer about a ticket.
    pub fn hold(&self) -> Arc<Held> {
        let held = Arc::<Held>::default();
        *self.held.lock().expect("no test failed") = Some(held.clone());
        held
    }

    fn principal(&self, user_id: Uuid) -> Result<Option<Principal>, Reason> {
        let known = self.versions.lock().expect("no test failed").get(&user_id).copied();
        let token_version = known.unwrap_or(Some(1)).ok_or(Reason::UserDisabled)?;
        let ends_at = self.ends.lock().expect("no test failed").get(&user_id).copied().map(timestamp);
        let (user_id, email) = (user_id.to_string(), "someone@example.org".into());
        Ok(Some(Principal { user_id, email, role: Role::Dev.into(), key_id: None, token_version, ends_at }))
    }

    pub fn router(self) -> Router {
        Router::new()
            .route("/devstudio.auth.v1.AuthService/RedeemTicket", post(redeem))
            .route("/devstudio.auth.v1.AuthService/ConfirmAccess", post(confirm))
            .route("/devstudio.auth.v1.AuthService/Authenticate", post(authenticate))
            .route("/devstudio.auth.v1.AuthService/WatchRevocations", post(watch))
            .with_state(self)
    }
}

async fn redeem(State(auth): State<Auth>, body: Body) -> Response {
    let asked: RedeemTicketRequest = read(body).await;
    let known = auth.tickets.lock().expect("no test failed").remove(&asked.ticket);
    let principal = match known {
        Some((user_id, path, origin)) if path == asked.path && origin == asked.origin => {
            auth.principal(user_id)
        }
        _ => Err(Reason::TicketInvalid),
    };
    let held = auth.held.lock().expect("no test failed").take();
    if let Some(held) = held {
        held.waits.notify_one();
        held.go.notified().await;
    }
    match principal {
        Ok(principal) => answer(futures::stream::iter([RedeemTicketResponse { principal }])),
        Err(reason) => refuse(reason),
    }
}

async fn confirm(State(auth): State<Auth>, body: Body) -> Response {
    let asked: ConfirmAccessRequest = read(body).await;
    match auth.principal(asked.user_id.parse().expect("an id")) {
        Ok(now) if now.as_ref().is_some_and(|now| now.token_version == asked.token_version) => {
            answer(futures::stream::iter([ConfirmAccessResponse {}]))
        }
        Ok(_) => refuse(Reason::TokenInvalid),
        Err(reason) => refuse(reason),
    }
}

async fn authenticate(State(auth): State<Auth>, body: Body) -> Response {
    let asked: AuthenticateRequest = read(body).await;
    let claims = auth.keys.verify_access(&asked.credential).map_err(|_| Reason::TokenInvalid);
    match claims.and_then(|claims| auth.principal(claims.sub)) {
        Ok(principal) => answer(futures::stream::iter([AuthenticateResponse { principal }])),
        Err(reason) => refuse(reason),
    }
}

async fn watch(State(auth): State<Auth>) -> Response {
    let (mut revoked, blind) = (auth.revoked.subscribe(), auth.blind.subscribe());
    if *blind.borrow() {
        return refuse(Reason::UpstreamUnavailable);
    }
    let events = async_stream::stream! {
        while !*blind.borrow() {
            let revoked = tokio::time::timeout(Duration::from_millis(100), revoked.recv()).await;
            let revoked = revoked.ok().and_then(Result::ok).map(|user_id| {
                let user_id = user_id.to_string();
                Revoked::User(RevokedUser { user_id, min_token_version: 2, disabled: false })
            });
            yield WatchRevocationsResponse { revoked };
        }
    };
    answer(events)
}

async fn read<M: prost::Message + Default>(body: Body) -> M {
    let whole = body.collect().await.expect("it comes whole").to_bytes();
    M::decode(&whole[5..]).expect("a message")
}

fn answer<M: prost::Message + 'static>(messages: impl Stream<Item = M> + Send + 'static) -> Response {
    let frame = |message: M| {
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(message.encoded_len() as u32);
        message.encode(&mut frame).expect("there is room");
        http_body::Frame::data(frame.freeze())
    };
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let end = futures::stream::iter([http_body::Frame::<Bytes>::trailers(trailers)]);
    let body = StreamBody::new(messages.map(frame).chain(end).map(Ok::<_, std::convert::Infallible>));
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(Body::new(body)).expect("a response")
}

fn refuse(reason: Reason) -> Response {
    tonic::Status::from(Fault::new(reason, "no")).into_http()
}
