//! The WebSocket: JSON-RPC 2.0 with streams, many calls over one connection; and `/stream/logs`, a name on it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{
        FromRequestParts as _, Request, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
};
use devstudio_kit::{Fault, Reason, Service, identity::Identity};
use devstudio_proto::auth::v1::{RedeemTicketRequest, auth_service_client::AuthServiceClient};
use futures::{Sink, SinkExt as _, StreamExt as _};
use http::{HeaderMap, Response, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    MAX_JSON_BYTES, client,
    door::{self, Door},
    guard::{Refusal, Who},
    json, reply,
    revocation::identity_of,
    session, transcode,
};

/// Calls that run at once on one socket.
const MAX_CALLS: usize = 64;
/// Messages that wait for a slow reader; what comes after waits at its source.
const QUEUE: usize = 64;
/// How often a socket is asked whether it lives.
pub const PING: Duration = Duration::from_secs(20);
/// A socket on which nothing comes, not even an answer to our pings, is dead.
pub const SILENCE: Duration = Duration::from_secs(60);

/// `GET /stream/rpc`.
pub async fn rpc(State(door): State<Door>, request: Request) -> Response<Body> {
    open(door, request, None).await
}

/// `GET /stream/logs`: `logs.watch` from the start, its messages bare. Query parameters: backlog, level, afterSeq.
pub async fn logs(State(door): State<Door>, request: Request) -> Response<Body> {
    let query = query(request.uri().query().unwrap_or_default());
    let number =
        |name: &str, other: i64| query.get(name).and_then(|v| v.parse::<i64>().ok()).unwrap_or(other);
    let mut params =
        json!({"backlog": number("backlog", 100), "afterSeq": number("afterSeq", 0), "filter": {}});
    if let Some(level) = query.get("level") {
        params["filter"]["minLevel"] = Value::String(level.clone());
    }
    open(door, request, Some(("logs.watch", params))).await
}

async fn open(door: Door, request: Request, at_once: Option<(&'static str, Value)>) -> Response<Body> {
    match enter(&door, request).await {
        Ok(Entered { identity, client, upgrade, .. }) => {
            upgrade.on_upgrade(move |socket| run(door, socket, identity, client, at_once))
        }
        Err(fault) => reply::failure(&fault, Value::Null, HeaderMap::new()),
    }
}

/// Somebody who was let in, and whose socket opens now.
pub struct Entered {
    /// Who.
    pub identity: Identity,
    /// Where from.
    pub client: Option<IpAddr>,
    /// What the address says besides its path.
    pub query: HashMap<String, String>,
    /// Becomes the socket.
    pub upgrade: WebSocketUpgrade,
}

/// Lets a caller in who shows a ticket for this path, or a header.
pub async fn enter(door: &Door, request: Request) -> Result<Entered, Fault> {
    let client = door::client(&request);
    let path = request.uri().path().to_owned();
    let mut query = query(request.uri().query().unwrap_or_default());
    let ticket = query.remove("ticket");
    let (mut head, _) = request.into_parts();
    let identity = admit(door, &head.headers.clone(), ticket, &path).await?;
    match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => {
            Ok(Entered { identity, client, query, upgrade: upgrade.max_message_size(MAX_JSON_BYTES) })
        }
        Err(_) => Err(Fault::new(Reason::SchemaViolation, "this address is for WebSockets")
            .with("pointer", "")
            .with("keyword", "upgrade")),
    }
}

/// A ticket, bound to path and origin, or an Authorization header (programs send no Origin).
async fn admit(
    door: &Door,
    headers: &HeaderMap,
    ticket: Option<String>,
    path: &str,
) -> Result<Identity, Fault> {
    let Some(ticket) = ticket else {
        if headers.contains_key(header::ORIGIN) && !session::same_origin(headers) {
            return Err(Fault::new(
                Reason::TicketInvalid,
                "a page of another origin may not open this socket",
            ));
        }
        if !headers.contains_key(header::AUTHORIZATION) && !headers.contains_key("x-api-key") {
            return Err(Fault::new(Reason::TicketInvalid, "a ticket is missing"));
        }
        return door.guard.identify(headers).await;
    };
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    redeem(door, ticket, path, origin).await
}

/// Uses a ticket up and tells whose it is.
pub async fn redeem(door: &Door, ticket: String, path: &str, origin: &str) -> Result<Identity, Fault> {
    let mut auth = AuthServiceClient::new(door.link(Service::Auth));
    let (path, origin) = (path.to_owned(), origin.to_owned());
    let mut request = tonic::Request::new(RedeemTicketRequest { ticket, path, origin });
    request.set_timeout(Duration::from_secs(5));
    let answer = auth.redeem_ticket(request).await.map_err(|status| {
        let fault = Fault::from_status(&status);
        match fault.reason {
            Reason::SchemaViolation => Fault::new(Reason::TicketInvalid, "the ticket is not valid"),
            _ => fault,
        }
    })?;
    identity_of(answer.into_inner().principal, Uuid::now_v7())
}

/// One open socket.
#[derive(Clone)]
struct Session {
    door: Door,
    identity: Identity,
    client: Option<IpAddr>,
    out: mpsc::Sender<Message>,
    running: Arc<Mutex<HashMap<String, CancellationToken>>>,
    ended: CancellationToken,
    bare: bool,
}

async fn run(
    door: Door,
    socket: WebSocket,
    identity: Identity,
    client: Option<IpAddr>,
    at_once: Option<(&'static str, Value)>,
) {
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = mpsc::channel::<Message>(QUEUE);
    let ended = CancellationToken::new();
    let end_calls = ended.clone().drop_guard();
    let mut gone = door.guard.revocations.subscribe();
    let stop = door.stop.clone();
    let session = Session {
        door,
        identity: identity.clone(),
        client,
        out,
        running: Arc::default(),
        ended,
        bare: at_once.is_some(),
    };
    if let Some((method, params)) = at_once {
        session.take(json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})).await;
    }
    let mut ping = tokio::time::interval(PING);
    let mut heard = tokio::time::Instant::now();
    let close = loop {
        tokio::select! {
            message = queue.recv() => match message {
                Some(message) => if sink.send(message).await.is_err() { break None },
                None => break None,
            },
            message = source.next() => {
                heard = tokio::time::Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                        Ok(value) => session.take(value).await,
                        Err(error) => {
                            let fault = Fault::new(Reason::ParseError, format!("the message is not JSON: {error}"));
                            let text = json!({"jsonrpc": "2.0", "id": null, "error": reply::error_object(&fault, "")});
                            if sink.send(Message::Text(text.to_string().into())).await.is_err() { break None }
                        }
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
                    Some(Ok(_)) => {}
                }
            },
            event = gone.recv() => match event {
                Ok(event) if !event.concerns(&identity) => {}
                _ => break Some((4401, "the access was revoked")),
            },
            () = stop.cancelled() => break Some((1012, "the server restarts")),
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE { break None }
                if sink.send(Message::Ping(Vec::new().into())).await.is_err() { break None }
            }
        }
    };
    drop(end_calls);
    if let Some((code, reason)) = close {
        say_goodbye(&mut sink, code, reason).await;
    }
}

/// Tells the other end why a socket closes, if it still listens.
pub async fn say_goodbye(sink: &mut (impl Sink<Message> + Unpin), code: u16, reason: &str) {
    let frame = CloseFrame { code, reason: reason.to_owned().into() };
    let _ = tokio::time::timeout(Duration::from_secs(1), sink.send(Message::Close(Some(frame)))).await;
}

impl Session {
    /// One message of the client's.
    async fn take(&self, value: Value) {
        let id = value.get("id").cloned().unwrap_or_default();
        let params = value.get("params").cloned().unwrap_or_default();
        let Some(name) = value.get("method").and_then(Value::as_str) else {
            let fault = Fault::new(Reason::SchemaViolation, "method must be a text");
            return self.fail(id, &fault.with("pointer", "/method").with("keyword", "required"), "");
        };
        if name == "stream.cancel" {
            let key = params.get("id").map(Value::to_string).unwrap_or_default();
            if let Some(token) = self.running().remove(&key) {
                token.cancel();
            }
            return;
        }
        let key = id.to_string();
        let token = self.ended.child_token();
        let refused = {
            let mut running = self.running();
            if id.is_null() || running.contains_key(&key) {
                Some(
                    Fault::new(Reason::SchemaViolation, "id must be set, and not be in use")
                        .with("pointer", "/id")
                        .with("keyword", "unique"),
                )
            } else if running.len() >= MAX_CALLS {
                Some(Fault::new(
                    Reason::QueueFull,
                    format!("a socket carries at most {MAX_CALLS} calls at once"),
                ))
            } else {
                running.insert(key.clone(), token.clone());
                None
            }
        };
        if let Some(fault) = refused {
            return self.fail(id, &fault, "");
        }
        let method = match json::find(name) {
            Ok(method) => method,
            Err(fault) => {
                self.running().remove(&key);
                return self.fail(id, &fault, "");
            }
        };
        let this = self.clone();
        let span = door::span(method, &HeaderMap::new());
        let work = async move {
            tokio::select! {
                () = token.cancelled() => this.fail(id, &Fault::new(Reason::Cancelled, "the call was cancelled"), ""),
                () = this.call(method, id.clone(), params) => {}
            }
            this.running().remove(&key);
        };
        tokio::spawn(work.instrument(span));
    }

    async fn call(&self, method: &'static devstudio_kit::rpc::Method, id: Value, params: Value) {
        let nothing = HeaderMap::new();
        let who = Who::Known(Box::new(self.identity.clone()));
        let pass = match self.door.guard.check(method, &nothing, self.client, &who).await {
            Ok(pass) => pass,
            Err(Refusal { request_id, fault }) => return self.fail(id, &fault, &request_id.to_string()),
        };
        let request_id = pass.request_id.to_string();
        let message = match transcode::read(method, params) {
            Ok(message) => message,
            Err(fault) => return self.fail(id, &fault, &request_id),
        };
        let mut answer = match client::call(&self.door, method, pass, &nothing, message).await {
            Ok(answer) => answer,
            Err((fault, _)) => return self.fail(id, &fault, &request_id),
        };
        let mut last = Value::Null;
        let mut seq = 0u64;
        while let Some(item) = answer.messages.next().await {
            match item {
                Ok(message) if self.bare => {
                    if self.out.send(Message::Text(message.to_string().into())).await.is_err() {
                        return;
                    }
                }
                Ok(message) => {
                    if method.streams {
                        seq += 1;
                        let next = json!({"jsonrpc": "2.0", "method": "stream.next", "params": {"id": id, "seq": seq, "message": message}});
                        if self.out.send(Message::Text(next.to_string().into())).await.is_err() {
                            return;
                        }
                    }
                    last = message;
                }
                Err(fault) => return self.fail(id, &fault, &request_id),
            }
        }
        let done = json!({"jsonrpc": "2.0", "id": id, "result": last});
        let _ = self.out.send(Message::Text(done.to_string().into())).await;
    }

    /// Tells a failure; where the reader is so slow that the queue is full, by a task of its own.
    fn fail(&self, id: Value, fault: &Fault, request_id: &str) {
        let text =
            json!({"jsonrpc": "2.0", "id": id, "error": reply::error_object(fault, request_id)}).to_string();
        if let Err(mpsc::error::TrySendError::Full(message)) = self.out.try_send(Message::Text(text.into())) {
            let (out, ended) = (self.out.clone(), self.ended.clone());
            tokio::spawn(async move {
                tokio::select! { _ = out.send(message) => {}, () = ended.cancelled() => {} }
            });
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The parameters of an address.
pub fn query(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.replace("%2F", "/").replace("%3A", ":"))).collect()
}
