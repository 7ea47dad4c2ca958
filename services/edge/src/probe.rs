//! Health of the edge and of what stands behind it: /healthz, /readyz, /version and grpc.health.v1.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Body;
use devstudio_kit::{Mesh, Service, rpc::Index};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_check_response::ServingStatus as Pb, health_client::HealthClient},
    server::HealthReporter,
};

use crate::reply;

const BEHIND: [Service; 5] =
    [Service::Auth, Service::Billing, Service::Sandbox, Service::Llm, Service::Agent];

/// `GET /healthz`: the edge itself answers.
pub async fn healthz() -> Response<Body> {
    reply::json_response(StatusCode::OK, HeaderMap::new(), &json!({"status": "ok"}))
}

/// `GET /version`.
pub async fn version(preview_host: Option<String>) -> Response<Body> {
    let (name, version) = ("devstudio", env!("CARGO_PKG_VERSION"));
    let body = json!({"name": name, "version": version, "contract": "v1", "previewHost": preview_host});
    reply::json_response(StatusCode::OK, HeaderMap::new(), &body)
}

/// `GET /readyz`: 200 when everything behind the edge serves, else 503; names each service's state.
pub async fn readyz(mesh: Mesh) -> Response<Body> {
    let states = states(&mesh).await;
    let ready = states.values().all(|serves| *serves);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let services: BTreeMap<&str, &str> =
        states.iter().map(|(s, up)| (s.name(), if *up { "serving" } else { "not-serving" })).collect();
    let body: Value = json!({"status": if ready { "ready" } else { "not-ready" }, "services": services});
    reply::json_response(status, HeaderMap::new(), &body)
}

/// Keeps grpc.health.v1 in step with what stands behind the edge.
pub async fn follow(mesh: Mesh, reporter: HealthReporter) {
    loop {
        let states = states(&mesh).await;
        for (name, service) in Index::get().service_names() {
            let up = states.get(&service).copied().unwrap_or(false);
            reporter
                .set_service_status(
                    &name,
                    if up { ServingStatus::Serving } else { ServingStatus::NotServing },
                )
                .await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn states(mesh: &Mesh) -> BTreeMap<Service, bool> {
    let checks = BEHIND.map(|service| async move {
        let mut request = tonic::Request::new(HealthCheckRequest { service: String::new() });
        request.set_timeout(Duration::from_secs(1));
        let mut client = HealthClient::new(mesh.link(service));
        let answer = tokio::time::timeout(Duration::from_secs(1), client.check(request)).await;
        let serves = matches!(answer, Ok(Ok(response)) if response.get_ref().status() == Pb::Serving);
        (service, serves)
    });
    futures::future::join_all(checks).await.into_iter().collect()
}
