//! A double of Auth: tickets, credentials and revocations in memory. It answers the three calls that the edge makes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::Response, routing::post};
use bytes::{BufMut as _, Bytes, BytesMut};
use devstudio_kit::{Fault, Reason, identity::Keyring};
use devstudio_proto::auth::v1::{
    AuthenticateRequest, AuthenticateResponse, Principal, RedeemTicketRequest, RedeemTicketResponse,
    RevokedUser, Role, WatchRevocationsResponse, watch_revocations_response::Revoked,
};
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::broadcast;
use uuid::Uuid;

/// Whose, for which path, from which page.
type Ticket = (Uuid, String, String);

#[derive(Clone)]
pub struct Auth {
    keys: Arc<Keyring>,
    tickets: Arc<Mutex<HashMap<String, Ticket>>>,
    revoked: broadcast::Sender<Uuid>,
}

impl Auth {
    pub fn new(keys: Arc<Keyring>) -> Self {
        Self { keys, tickets: Arc::default(), revoked: broadcast::channel(16).0 }
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

    pub fn router(self) -> Router {
        Router::new()
            .route("/devstudio.auth.v1.AuthService/RedeemTicket", post(redeem))
            .route("/devstudio.auth.v1.AuthService/Authenticate", post(authenticate))
            .route("/devstudio.auth.v1.AuthService/WatchRevocations", post(watch))
            .with_state(self)
    }
}

fn principal(user_id: Uuid) -> Option<Principal> {
    let (user_id, email) = (user_id.to_string(), "someone@example.org".into());
    Some(Principal { user_id, email, role: Role::Dev.into(), key_id: None, token_version: 1 })
}

async fn redeem(State(auth): State<Auth>, body: Body) -> Response {
    let asked: RedeemTicketRequest = read(body).await;
    let known = auth.tickets.lock().expect("no test failed").remove(&asked.ticket);
    match known {
        Some((user_id, path, origin)) if path == asked.path && origin == asked.origin => {
            answer(futures::stream::iter([RedeemTicketResponse { principal: principal(user_id) }]))
        }
        _ => refuse(Reason::TicketInvalid),
    }
}

async fn authenticate(State(auth): State<Auth>, body: Body) -> Response {
    let asked: AuthenticateRequest = read(body).await;
    match auth.keys.verify_access(&asked.credential) {
        Ok(claims) => {
            answer(futures::stream::iter([AuthenticateResponse { principal: principal(claims.sub) }]))
        }
        Err(_) => refuse(Reason::TokenInvalid),
    }
}

async fn watch(State(auth): State<Auth>) -> Response {
    let mut revoked = auth.revoked.subscribe();
    let events = async_stream::stream! {
        loop {
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
