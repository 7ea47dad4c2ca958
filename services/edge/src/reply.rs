//! How a result or fault is told on the JSON doors: HTTP status, headers, JSON-RPC 2.0 bodies.

use axum::body::Body;
use devstudio_kit::{Fault, Reason, fault, telemetry};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{door::seconds, guard::Refusal};

/// The error object of JSON-RPC. `request_id` is empty where a call did not come as far as getting one.
pub fn error_object(fault: &Fault, request_id: &str) -> Value {
    let row = fault::row(fault.reason);
    json!({
        "code": row.rpc,
        "message": fault.message,
        "data": {
            "reason": fault::name(fault.reason),
            "grpc_code": devstudio_kit::server::code_name(row.code),
            "http_status": row.http,
            "request_id": request_id,
            "trace_id": telemetry::trace_id(),
            "details": fault.details,
        }
    })
}

/// The request id in an answer's headers.
pub fn request_id(headers: &HeaderMap) -> String {
    headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// An HTTP answer to a failed call: status by the table, and always an error envelope.
pub fn failure(fault: &Fault, id: Value, mut headers: HeaderMap) -> Response<Body> {
    let body = json!({"jsonrpc": "2.0", "id": id, "error": error_object(fault, &request_id(&headers))});
    let status =
        StatusCode::from_u16(fault::row(fault.reason).http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = match fault.reason {
            Reason::TokenMissing => "Bearer realm=\"devstudio\"",
            Reason::TokenExpired => {
                "Bearer realm=\"devstudio\", error=\"invalid_token\", error_description=\"expired\""
            }
            _ => "Bearer realm=\"devstudio\", error=\"invalid_token\"",
        };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(after) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
        if fault.reason == Reason::RateLimited {
            headers.insert("ratelimit-remaining", HeaderValue::from_static("0"));
            headers.insert("ratelimit-reset", HeaderValue::from(seconds(after)));
        }
    }
    json_response(status, headers, &body)
}

/// An HTTP answer to a call that the guard refused.
pub fn refused(refusal: Refusal, id: Value) -> Response<Body> {
    failure(&refusal.fault, id, id_header(refusal.request_id))
}

/// The header that tells a call's id.
pub fn id_header(request_id: Uuid) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert("x-request-id", value);
    }
    headers
}

/// An HTTP answer to a call that went well. With an envelope's id the result comes in an envelope, else bare.
pub fn success(result: Value, envelope: Option<Value>, headers: HeaderMap) -> Response<Body> {
    let body = match envelope {
        Some(id) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        None => result,
    };
    json_response(StatusCode::OK, headers, &body)
}

/// A JSON answer.
pub fn json_response(status: StatusCode, headers: HeaderMap, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
