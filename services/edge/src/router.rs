//! All addresses of the edge in one place, and the headers that every answer carries.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware,
    response::IntoResponse as _,
    routing::{get, post, put},
};
use devstudio_kit::{Fault, Mesh, Reason};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::{
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
};
use uuid::Uuid;

use crate::{
    Config, assets,
    door::{self, Door},
    json, preview, probe, reply, socket, terminal, upload,
};

/// The router of the edge.
pub fn build(
    config: &Config,
    door: Door,
    mesh: Mesh,
    preview_host: Option<String>,
    stop: CancellationToken,
) -> Router {
    let previews = preview::Previews::new(door.clone(), preview_host.clone());
    let (reporter, health) = tonic_health::server::health_reporter();
    let follow = probe::follow(mesh.clone(), reporter);
    tokio::spawn(async move {
        tokio::select! { () = follow => {}, () = stop.cancelled() => {} }
    });
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(devstudio_proto::DESCRIPTORS)
    };
    let mut described = tonic::service::Routes::builder();
    // both versions: older clients speak v1alpha only
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        described.add_service(v1).add_service(v1alpha);
    }
    let reflection = described.routes().into_axum_router().reset_fallback();
    let reflection = reflection.layer(middleware::from_fn_with_state(door.clone(), signed_in));
    let health = tonic::service::Routes::new(health).into_axum_router().reset_fallback();

    let web: Option<Arc<PathBuf>> = config.web_dir.clone().map(Arc::new);
    let jwks = get(|State(door): State<Door>, request: Request| async move {
        let (mut parts, _) = request.into_parts();
        parts.method = Method::POST;
        json::rpc_method(
            State(door),
            axum::extract::Path("auth.jwks".to_owned()),
            Request::from_parts(parts, Body::empty()),
        )
        .await
    });
    let readiness = mesh.clone();
    Router::new()
        .route("/rpc", post(json::rpc))
        .route("/rpc/{method}", post(json::rpc_method))
        .route("/llm/models", get(models).post(models))
        .route("/llm/{verb}", post(json::rest))
        .route("/stream/rpc", get(socket::rpc))
        .route("/stream/logs", get(socket::logs))
        .route("/stream/terminal/{id}", get(terminal::attach))
        .route("/upload", put(upload::put))
        .route("/.well-known/jwks.json", jwks)
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(move || probe::readyz(readiness.clone())))
        .route("/version", get(move || probe::version(preview_host.clone())))
        .with_state(door.clone())
        .merge(reflection)
        .merge(health)
        .fallback(move |request: Request| anything_else(door.clone(), web.clone(), request))
        .layer(middleware::from_fn(security_headers))
        .layer(cors(config))
        // outermost: what comes by a preview's host is a stranger's, and reaches nothing of ours
        .layer(middleware::from_fn_with_state(previews, preview::gate))
}

/// gRPC and gRPC-web by their content type; the Studio's files; else 404 in the form of the door that was knocked at.
async fn anything_else(door: Door, web: Option<Arc<PathBuf>>, request: Request) -> Response<Body> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/grpc-web") {
        let inner = service_fn(move |request: http::Request<tonic::body::Body>| {
            let door = door.clone();
            async move { Ok::<_, std::convert::Infallible>(door.grpc(request).await) }
        });
        let Ok(response) = tonic_web::GrpcWebLayer::new().layer(inner).oneshot(request).await;
        return response.map(Body::new);
    }
    if kind.starts_with("application/grpc") {
        return door.grpc(request.map(tonic::body::Body::new)).await.map(Body::new);
    }
    let path = request.uri().path();
    if matches!(*request.method(), Method::GET | Method::HEAD) && !path.starts_with("/rpc") {
        let files = service_fn(move |request: Request| {
            let web = web.clone();
            async move {
                let (dir, path) = (web.as_deref().map(PathBuf::as_path), request.uri().path());
                Ok::<_, std::convert::Infallible>(assets::serve(dir, path, request.headers()).await)
            }
        });
        let Ok(response) = CompressionLayer::new().layer(files).oneshot(request).await;
        return response.map(Body::new);
    }
    let fault = Fault::new(
        Reason::UnknownMethod,
        format!("{} {path} leads nowhere; calls go to POST /rpc", request.method()),
    );
    reply::failure(&fault, Value::Null, http::HeaderMap::new())
}

async fn models(State(door): State<Door>, request: Request) -> Response<Body> {
    json::rest(State(door), axum::extract::Path("models".to_owned()), request).await
}

/// The shape of all APIs is for whoever is signed in.
async fn signed_in(State(door): State<Door>, request: Request, next: middleware::Next) -> Response<Body> {
    let client = door::client(&request);
    match door.guard.identify(request.headers(), client, Uuid::now_v7()).await {
        Ok(_) => next.run(request).await,
        Err(fault) => tonic::Status::from(fault).into_http::<Body>().into_response(),
    }
}

async fn security_headers(request: Request, next: middleware::Next) -> Response<Body> {
    let mut response = next.run(request).await;
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, assets::CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ];
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        for (name, value) in fixed {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
    response
}

fn cors(config: &Config) -> CorsLayer {
    let origins: Vec<HeaderValue> =
        config.cors_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let names =
        |list: &[&'static str]| list.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers(names(&[
            "authorization",
            "content-type",
            "x-grpc-web",
            "x-user-agent",
            "grpc-timeout",
            "connect-protocol-version",
            "traceparent",
            "x-api-key",
            "idempotency-key",
            "x-content-sha256",
        ]))
        .expose_headers(names(&[
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "x-request-id",
            "retry-after",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
        ]))
}
