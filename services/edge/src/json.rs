//! JSON-RPC 2.0 and its relatives: `POST /rpc`, `POST /rpc/<method>`, the brief's REST names, SSE and NDJSON.

use std::{net::IpAddr, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Request, State},
};
use devstudio_kit::{
    Fault, Reason,
    rpc::{Index, Method},
};
use futures::{StreamExt as _, future};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::{
    MAX_JSON_BYTES,
    client::{self, Answer},
    door::{self, Door},
    guard::{Pass, Who},
    idempotency::{self, Begun},
    reply, transcode,
};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most calls in one batch.
const MAX_BATCH: usize = 100;

/// The REST names of the brief, and the methods they stand for.
pub const REST: [(&str, &str); 7] = [
    ("chat", "llm.chat"),
    ("completion", "llm.completion"),
    ("embed", "llm.embed"),
    ("models", "llm.list_models"),
    ("download", "llm.download"),
    ("load", "llm.start"),
    ("unload", "llm.stop"),
];

/// `POST /rpc`: an envelope, or a batch of them.
pub async fn rpc(State(door): State<Door>, request: Request) -> Response<Body> {
    let (client, accept, headers, body) = parts(request);
    let value = match parse(body).await {
        Ok(value) => value,
        Err(fault) => return reply::failure(&fault, Value::Null, HeaderMap::new()),
    };
    if let Value::Array(calls) = value {
        return batch(&door, client, &headers, calls).await;
    }
    let call = match Call::of(value, None) {
        Ok(call) => call,
        Err((id, fault)) => return reply::failure(&fault, id, HeaderMap::new()),
    };
    let method = match find(&call.method) {
        Ok(method) => method,
        Err(fault) => return reply::failure(&fault, call.id.unwrap_or_default(), HeaderMap::new()),
    };
    let span = door::span(method, &headers);
    async {
        match door.guard.check(method, &headers, client, &Who::Headers).await {
            Ok(pass) => answer(&door, method, pass, &headers, call, accept).await,
            Err(refusal) => reply::refused(refusal, call.id.unwrap_or_default()),
        }
    }
    .instrument(span)
    .await
}

/// `POST /rpc/<method>`: bare parameters, or an envelope.
pub async fn rpc_method(
    State(door): State<Door>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    named(&door, &name, request).await
}

/// `POST /llm/<verb>`, and `GET /llm/models`.
pub async fn rest(State(door): State<Door>, Path(verb): Path<String>, request: Request) -> Response<Body> {
    let method = REST.iter().find(|(name, _)| *name == verb).map_or(verb.as_str(), |(_, method)| *method);
    named(&door, method, request).await
}

async fn named(door: &Door, name: &str, request: Request) -> Response<Body> {
    let (client, accept, headers, body) = parts(request);
    let method = match find(name) {
        Ok(method) => method,
        Err(fault) => return reply::failure(&fault, Value::Null, HeaderMap::new()),
    };
    let span = door::span(method, &headers);
    async {
        // the guard first: whoever may not call is not read
        let pass = match door.guard.check(method, &headers, client, &Who::Headers).await {
            Ok(pass) => pass,
            Err(refusal) => return reply::refused(refusal, Value::Null),
        };
        let ids = reply::id_header(pass.request_id);
        let value = match parse(body).await {
            Ok(value) => value,
            Err(fault) => return reply::failure(&fault, Value::Null, ids),
        };
        match Call::of(value, Some(name)) {
            Ok(call) => answer(door, method, pass, &headers, call, accept).await,
            Err((id, fault)) => reply::failure(&fault, id, ids),
        }
    }
    .instrument(span)
    .await
}

/// How the client wants to read a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accept {
    /// The last message, which carries the whole result.
    Last,
    /// Server-sent events.
    Sse,
    /// A JSON object a line.
    Lines,
}

/// One call, out of an envelope or bare.
struct Call {
    method: String,
    params: Value,
    /// The envelope's id; `None` for bare calls.
    id: Option<Value>,
    notification: bool,
}

impl Call {
    /// `named` is the method of the path; bare parameters are allowed there only.
    fn of(value: Value, named: Option<&str>) -> Result<Self, (Value, Fault)> {
        let bad = |id: Value, message: &str, pointer: &str, keyword: &str| {
            let fault = Fault::new(Reason::SchemaViolation, message);
            Err((id, fault.with("pointer", pointer).with("keyword", keyword)))
        };
        let Value::Object(mut object) = value else {
            if named.is_some() && value.is_null() {
                return Ok(Self {
                    method: named.unwrap_or_default().into(),
                    params: value,
                    id: None,
                    notification: false,
                });
            }
            return bad(Value::Null, "a call is a JSON object", "", "type");
        };
        if !object.contains_key("jsonrpc") {
            return match named {
                Some(method) => Ok(Self {
                    method: method.into(),
                    params: Value::Object(object),
                    id: None,
                    notification: false,
                }),
                None => bad(Value::Null, "jsonrpc must be \"2.0\"", "/jsonrpc", "required"),
            };
        }
        let notification = !object.contains_key("id");
        let id = object.remove("id").unwrap_or_default();
        if !matches!(id, Value::Null | Value::String(_) | Value::Number(_)) {
            return bad(Value::Null, "id must be a text or a number", "/id", "type");
        }
        if object.get("jsonrpc") != Some(&json!("2.0")) {
            return bad(id, "jsonrpc must be \"2.0\"", "/jsonrpc", "const");
        }
        let method = match (object.remove("method"), named) {
            (Some(Value::String(method)), None) => method,
            (Some(Value::String(method)), Some(named)) if same(&method, named) => method,
            (None, Some(named)) => named.to_owned(),
            (Some(_), Some(_)) => return bad(id, "method is not that of the address", "/method", "const"),
            _ => return bad(id, "method must be a text", "/method", "required"),
        };
        let params = object.remove("params").unwrap_or_default();
        if !params.is_object() && !params.is_null() {
            return bad(id, "params must be an object", "/params", "type");
        }
        Ok(Self { method, params, id: Some(id), notification })
    }
}

fn same(a: &str, b: &str) -> bool {
    let path = |name| Index::get().by_name(name).map(|method| &method.path);
    a == b || path(a).is_some_and(|found| Some(found) == path(b))
}

/// The method of a name. One that takes a stream is for other doors than JSON's.
pub fn find(name: &str) -> Result<&'static Method, Fault> {
    let unknown =
        || Fault::new(Reason::UnknownMethod, format!("there is no method {name}")).with("method", name);
    let method = Index::get().by_name(name).ok_or_else(unknown)?;
    match method.instead() {
        Some(instead) => {
            let message = format!("{name} takes a stream, which JSON cannot send; use {instead}");
            Err(Fault::new(Reason::NotSupported, message).with("method", name).with("instead", instead))
        }
        None => Ok(method),
    }
}

async fn answer(
    door: &Door,
    method: &'static Method,
    pass: Pass,
    headers: &HeaderMap,
    call: Call,
    accept: Accept,
) -> Response<Body> {
    let ids = reply::id_header(pass.request_id);
    let id = call.id.clone().unwrap_or_default();
    let streamed = method.streams && accept != Accept::Last;
    if streamed && headers.contains_key("idempotency-key") {
        let fault =
            Fault::new(Reason::SchemaViolation, "a stream cannot be repeated under an Idempotency-Key");
        return reply::failure(&fault.with("pointer", "").with("keyword", "not"), id, ids);
    }
    let begun = match idempotency::begin(door, method, &pass, headers, &call.params).await {
        Ok(begun) => begun,
        Err(fault) => return reply::failure(&fault, id, ids),
    };
    let held = match begun {
        Begun::Answered(result) => return reply::success(result, call.id, ids),
        Begun::Held(held) => Some(held),
        Begun::Without => None,
    };
    let (result, answered) = match transcode::read(method, call.params) {
        Ok(message) => match client::call(door, method, pass, headers, message).await {
            Ok(answer) if streamed => return stream(answer, accept).await,
            Ok(mut answer) => (client::last(&mut answer).await, answer.headers),
            Err((fault, mut headers)) => {
                headers.extend(ids);
                (Err(fault), headers)
            }
        },
        Err(fault) => (Err(fault), ids),
    };
    if let Some(held) = held {
        held.end(result.as_ref());
    }
    match result {
        Ok(_) if call.notification => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = answered;
            response
        }
        Ok(result) => reply::success(result, call.id, answered),
        Err(fault) => reply::failure(&fault, id, answered),
    }
}

/// A stream as events or lines. A failure before the first message still has its HTTP status.
async fn stream(mut answer: Answer, accept: Accept) -> Response<Body> {
    let first = match answer.messages.next().await {
        Some(Err(fault)) => return reply::failure(&fault, Value::Null, answer.headers),
        first => first,
    };
    let request_id = reply::request_id(&answer.headers);
    let all = futures::stream::iter(first).chain(answer.messages);
    let body = all.map(move |item| {
        let text = match (item, accept) {
            (Ok(message), Accept::Sse) => match message.get("seq").and_then(Value::as_str) {
                Some(seq) => format!("id: {seq}\ndata: {message}\n\n"),
                None => format!("data: {message}\n\n"),
            },
            (Err(fault), Accept::Sse) => {
                format!(
                    "event: error\ndata: {}\n\n",
                    json!({"error": reply::error_object(&fault, &request_id)})
                )
            }
            (Ok(message), _) => format!("{message}\n"),
            (Err(fault), _) => format!("{}\n", json!({"error": reply::error_object(&fault, &request_id)})),
        };
        Ok::<_, std::convert::Infallible>(Bytes::from(text))
    });
    let end = match accept {
        Accept::Sse => "event: end\ndata: {}\n\n",
        _ => "",
    };
    let body =
        body.chain(futures::stream::iter((!end.is_empty()).then(|| Ok(Bytes::from_static(end.as_bytes())))));
    let mut response = Response::new(Body::from_stream(body));
    *response.headers_mut() = answer.headers;
    let kind = if accept == Accept::Sse { "text/event-stream" } else { "application/x-ndjson" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn batch(
    door: &Door,
    client: Option<IpAddr>,
    headers: &HeaderMap,
    calls: Vec<Value>,
) -> Response<Body> {
    if calls.is_empty() || calls.len() > MAX_BATCH {
        let fault = Fault::new(Reason::SchemaViolation, format!("a batch has 1 to {MAX_BATCH} calls"));
        return reply::failure(
            &fault.with("pointer", "").with("keyword", "maxItems"),
            Value::Null,
            HeaderMap::new(),
        );
    }
    let each = calls.into_iter().map(|value| one(door, client, headers, value));
    let answers: Vec<Value> = future::join_all(each).await.into_iter().flatten().collect();
    if answers.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    }
    reply::json_response(StatusCode::OK, HeaderMap::new(), &Value::Array(answers))
}

async fn one(door: &Door, client: Option<IpAddr>, headers: &HeaderMap, value: Value) -> Option<Value> {
    let error = |id: Value, fault: &Fault, request_id: &str| json!({"jsonrpc": "2.0", "id": id, "error": reply::error_object(fault, request_id)});
    let call = match Call::of(value, None) {
        Ok(call) => call,
        Err((id, fault)) => return Some(error(id, &fault, "")),
    };
    let id = call.id.unwrap_or_default();
    let done: Result<Value, (Fault, String)> = async {
        let method = find(&call.method).map_err(|fault| (fault, String::new()))?;
        async {
            let pass = door
                .guard
                .check(method, headers, client, &Who::Headers)
                .await
                .map_err(|refusal| (refusal.fault, refusal.request_id.to_string()))?;
            let request_id = pass.request_id.to_string();
            let message =
                transcode::read(method, call.params).map_err(|fault| (fault, request_id.clone()))?;
            let answer = client::call(door, method, pass, headers, message).await;
            let mut answer = answer.map_err(|(fault, _)| (fault, request_id.clone()))?;
            client::last(&mut answer).await.map_err(|fault| (fault, request_id))
        }
        .instrument(door::span(method, headers))
        .await
    }
    .await;
    match done {
        _ if call.notification => None,
        Ok(result) => Some(json!({"jsonrpc": "2.0", "id": id, "result": result})),
        Err((fault, request_id)) => Some(error(id, &fault, &request_id)),
    }
}

fn parts(request: Request) -> (Option<IpAddr>, Accept, HeaderMap, Body) {
    let client = door::client(&request);
    let (head, body) = request.into_parts();
    let wanted = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accept = if wanted.contains("text/event-stream") {
        Accept::Sse
    } else if wanted.contains("application/x-ndjson") {
        Accept::Lines
    } else {
        Accept::Last
    };
    (client, accept, head.headers, body)
}

async fn parse(body: Body) -> Result<Value, Fault> {
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_JSON_BYTES).collect());
    let bytes = match whole.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let fault =
                Fault::new(Reason::BodyTooLarge, format!("a request has at most {MAX_JSON_BYTES} bytes"));
            return Err(fault.with("limit", MAX_JSON_BYTES));
        }
        Ok(Err(_)) | Err(_) => return Err(Fault::new(Reason::ParseError, "the body did not arrive whole")),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::new(Reason::ParseError, format!("the body is not JSON: {error}")))
}
