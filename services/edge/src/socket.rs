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
use devstudio_kit::{Fault, Reason};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::{HeaderMap, Response, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    MAX_JSON_BYTES,
    access::Access,
    client,
    door::{self, Door},
    guard::{Refusal, Who},
    json, reply, session, transcode,
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
        Ok(Entered { access, client, upgrade, .. }) => {
            upgrade.on_upgrade(move |socket| run(door, socket, access, client, at_once))
        }
        Err(fault) => reply::failure(&fault, Value::Null, HeaderMap::new()),
    }
}

/// Somebody who was let in, and whose socket opens now.
pub struct Entered {
    /// Whose access it lives by.
    pub access: Access,
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
    let access = admit(door, &head.headers, client, ticket, &path).await?;
    match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => {
            let upgrade = upgrade.max_message_size(MAX_JSON_BYTES).max_frame_size(MAX_JSON_BYTES);
            Ok(Entered { access, client, query, upgrade })
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
    client: Option<IpAddr>,
    ticket: Option<String>,
    path: &str,
) -> Result<Access, Fault> {
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
        return door.guard.identify(headers, client, Uuid::now_v7()).await;
    };
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    door.guard.redeem(&ticket, path, origin, client).await
}

/// One open socket.
#[derive(Clone)]
struct Session {
    door: Door,
    access: Access,
    client: Option<IpAddr>,
    out: mpsc::Sender<Message>,
    running: Arc<Mutex<HashMap<String, CancellationToken>>>,
    ended: CancellationToken,
    bare: bool,
}

async fn run(
    door: Door,
    socket: WebSocket,
    access: Access,
    client: Option<IpAddr>,
    at_once: Option<(&'static str, Value)>,
) {
    let (mut sink, source) = socket.split();
    let (out, queue) = mpsc::channel::<Message>(QUEUE);
    let ended = CancellationToken::new();
    let end_calls = ended.clone().drop_guard();
    let stop = door.stop.clone();
    let (running, bare) = (Arc::default(), at_once.is_some());
    let session = Session { door, access: access.clone(), client, out, running, ended, bare };
    if let Some((method, params)) = at_once {
        session.take(json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})).await;
    }
    // besides it, since a reader that does not read keeps it waiting
    let close = tokio::select! {
        () = session.serve(&mut sink, source, queue) => None,
        () = access.lost() => Some((4401, "the access was revoked")),
        () = stop.cancelled() => Some((1012, "the server restarts")),
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
    /// Sends what calls have to say and takes what the client says, until it goes or is dead.
    async fn serve(
        &self,
        sink: &mut (impl Sink<Message> + Unpin),
        mut source: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
        mut queue: mpsc::Receiver<Message>,
    ) {
        let mut ping = tokio::time::interval(PING);
        let mut heard = tokio::time::Instant::now();
        loop {
            let message = tokio::select! {
                message = queue.recv() => match message {
                    Some(message) => message,
                    None => return,
                },
                message = source.next() => {
                    heard = tokio::time::Instant::now();
                    match message {
                        // one that was opened for a stream carries nothing else
                        Some(Ok(Message::Text(_))) if self.bare => {}
                        Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                            Ok(value) => self.take(value).await,
                            Err(error) => {
                                let text = format!("the message is not JSON: {error}");
                                self.fail(Value::Null, &Fault::new(Reason::ParseError, text), "");
                            }
                        },
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                        Some(Ok(_)) => {}
                    }
                    continue;
                },
                _ = ping.tick() => match heard.elapsed() > SILENCE {
                    true => return,
                    false => Message::Ping(Vec::new().into()),
                },
            };
            // whoever takes nothing for so long is as dead as whoever says nothing
            if !matches!(tokio::time::timeout(SILENCE, sink.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

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
        let who = Who::Known(self.access.clone());
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
